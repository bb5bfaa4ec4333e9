"""The account's page shows the outcome of the requested validation or refresh."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from django_egnyte.admin.outcome import outcome_of
from django_egnyte.choices import EventKind, Status
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.services import administer
from django_egnyte.services.verdict import UNPROVED

from .rows import make, text_of, url

HOUR = timedelta(hours=1)


def told(account: EgnyteAccount) -> tuple[str, str]:
    outcome = outcome_of(EgnyteAccount.objects.get(pk=account.pk))
    assert outcome is not None
    return outcome.state, outcome.text


def test_nothing_is_told_unless_it_was_asked_for_lately(
    account: EgnyteAccount, hurried: list[Any]
) -> None:
    assert outcome_of(account) is None
    now = timezone.now()
    for kind in EventKind:
        age = (
            2 * HOUR if kind in (EventKind.VALIDATION_ASKED, EventKind.REFRESH_ASKED) else 0 * HOUR
        )
        AccountEvent.objects.create(kind=kind, account_ref=account.pk, created_at=now - age)
    AccountEvent.objects.create(kind=EventKind.VALIDATION_ASKED, account_ref=account.pk + 1)
    assert outcome_of(account) is None


def test_a_validation_waits_until_somebody_does_it(
    superuser: Client, account: EgnyteAccount, hurried: list[Any]
) -> None:
    EgnyteAccount.objects.write(
        last_validated_at=timezone.now() - HOUR, validation_attempts=2,
        next_validation_at=timezone.now() + HOUR,
    )  # fmt: skip
    superuser.post(url("validate", account.pk))

    state, text = told(account)
    assert state == "waiting"
    assert text.startswith("Validation requested (")
    shown = text_of(superuser.get(url("change", account.pk)))
    assert 'class="egnyte-outcome egnyte-outcome-waiting" role="status"' in shown
    assert text in shown


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        ({"last_validated_at": True}, "good", "Egnyte accepted the token: "),
        ({"validation_attempts": 1, "next_validation_at": HOUR}, "unknown", "gave no answer"),
        (
            {"status": Status.SUSPECT, "status_reason": UNPROVED, "next_validation_at": HOUR},
            "bad",
            f"{UNPROVED}. The next validation is due: ",
        ),
        (
            {
                "status": Status.REVOKED,
                "status_reason": "Egnyte refuses both tokens",
                "token": None,
            },
            "bad",
            "The account is revoked: Egnyte refuses both tokens",
        ),
        ({"status": Status.SUSPECT}, "waiting", "Validation requested ("),
    ],
)
def test_the_outcome_of_a_validation(
    account: EgnyteAccount, hurried: list[Any], values: dict[str, Any], state: str, words: str
) -> None:
    administer.request_validation(account, actor="admin:1")
    now = timezone.now()
    changes = {
        name: now + (value if isinstance(value, timedelta) else 0 * HOUR)
        if name.endswith("_at")
        else value
        for name, value in values.items()
    }
    EgnyteAccount.objects.write(**changes)

    found, text = told(account)
    assert found == state
    assert words in text


def test_the_outcome_of_a_refresh(account: EgnyteAccount, hurried: list[Any]) -> None:
    EgnyteToken.objects.write(created_at=timezone.now() - HOUR)
    EgnyteGrant.objects.write(refresh_attempts=1)
    administer.request_refresh(account, actor="admin:1")
    assert told(account)[0] == "waiting"

    EgnyteGrant.objects.write(next_refresh_at=timezone.now() + HOUR, refresh_attempts=2)
    state, text = told(account)
    assert state == "unknown"
    assert "issued no new token" in text

    EgnyteGrant.objects.write(refresh_refused_at=timezone.now())
    state, text = told(account)
    assert state == "bad"
    assert "refused the refresh token" in text

    EgnyteToken.objects.write(created_at=timezone.now())
    state, text = told(account)
    assert state == "good"
    assert "issued a new token" in text


def test_the_reason_is_in_the_administrators_language(egnyte_user: Any) -> None:
    account = make(
        egnyte_user, 1, status=Status.REVOKED, status_reason="Egnyte refuses both tokens"
    )
    AccountEvent.objects.create(kind=EventKind.VALIDATION_ASKED, account_ref=account.pk)
    with translation.override("de"):
        assert "Egnyte lehnt beide Token ab" in told(account)[1]
