from __future__ import annotations

import pytest
from django.db import transaction
from django.utils import timezone

from django_egnyte.api import steps
from django_egnyte.exceptions import (
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.models import EgnyteAccount, EgnyteGrant, KeyState, TokenRequest
from django_egnyte.oauth import OAuthClient
from django_egnyte.services import ledger, verdict
from django_egnyte.services.transactions import hence
from django_egnyte.services.validate import note_use, postpone, validate

from .rows import MINUTE, expired_now
from .test_validate import another_token


@pytest.mark.parametrize(
    ("attempts", "error", "least", "most"),
    [
        (0, UnavailableError("No answer."), 48, 60),
        (2, UnavailableError("No answer."), 192, 240),
        (0, RateLimitedError("Slower.", retry_after=500, kind="qps"), 500, 500),
        (9, RateLimitedError("Slower.", retry_after=500, kind="qps"), 24_576, 30_720),
    ],
)
def test_the_next_attempt_waits_as_long_as_it_must(egnyte_account, attempts, error, least, most):
    EgnyteAccount.objects.write(validation_attempts=attempts)
    egnyte_account.refresh_from_db()
    postpone(egnyte_account, error)
    stored = EgnyteAccount.objects.get()
    wait = (stored.next_validation_at - timezone.now()).total_seconds()
    assert least - 5 <= wait <= most
    assert stored.validation_attempts == attempts + 1


@pytest.mark.parametrize("changes", [{"token": None}, {"status": "revoked"}])
def test_nothing_is_postponed_for_a_token_that_is_gone(egnyte_account, changes):
    EgnyteAccount.objects.write(**changes)
    before = EgnyteAccount.objects.get().next_validation_at
    postpone(egnyte_account, UnavailableError("No answer."))
    stored = EgnyteAccount.objects.get()
    assert (stored.next_validation_at, stored.validation_attempts) == (before, 0)


@pytest.mark.parametrize(
    ("used", "status", "written"),
    [
        (None, "active", True),
        (61 * MINUTE, "active", True),
        (59 * MINUTE, "active", False),
        (59 * MINUTE, "suspect", True),
    ],
)
def test_a_use_is_written_once_an_hour_or_if_it_ends_a_suspicion(
    egnyte_account, used, status, written
):
    last = None if used is None else timezone.now() - used
    EgnyteAccount.objects.write(last_used_at=last, status=status)
    egnyte_account.refresh_from_db()
    note_use(egnyte_account)
    stored = EgnyteAccount.objects.get()
    assert (stored.last_used_at != last) is written
    assert stored.status == "active"


def test_of_two_uses_in_a_transaction_the_later_one_is_written(egnyte_account):
    with transaction.atomic():
        note_use(egnyte_account)
        first = egnyte_account.last_used_at
        egnyte_account.last_used_at = None
        note_use(egnyte_account)
        later = egnyte_account.last_used_at
        assert first < later
        assert EgnyteAccount.objects.get().last_used_at is None
    assert EgnyteAccount.objects.get().last_used_at == later


@pytest.mark.parametrize(
    ("expires_in", "expired"), [(None, False), (MINUTE, False), (-MINUTE, True)]
)
def test_a_token_has_expired_by_its_own_word(egnyte_account, expires_in, expired):
    token = egnyte_account.token
    token.expires_at = None if expires_in is None else timezone.now() + expires_in
    assert token.is_expired is expired


def test_an_expired_token_without_a_refresh_token_is_asked_about(egnyte_sandbox, legacy):
    """The clock may be wrong, so only Egnyte's refusal counts."""
    expired_now()
    asked = egnyte_sandbox.counts["userinfo"]
    assert validate(legacy.pk, actor="task") == "alive"
    assert egnyte_sandbox.counts["userinfo"] == asked + 1


def test_nobody_is_judged_or_asked_about_within_an_hour_of_a_doubt(egnyte_sandbox, legacy):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    ledger.write_key_state("globex.egnyte.com", doubted_at=timezone.now())
    assert validate(legacy.pk, actor="task") == "paused"
    assert not TokenRequest.objects.exists()
    KeyState.objects.update(doubted_at=timezone.now() - 61 * MINUTE)
    assert validate(legacy.pk, actor="task") == "dead"


def test_an_account_that_leaves_while_egnyte_is_asked_is_gone(egnyte_sandbox, legacy, monkeypatch):
    asked = OAuthClient.userinfo

    def leaving(self, token):
        EgnyteAccount.objects.all().delete()
        return asked(self, token)

    monkeypatch.setattr(OAuthClient, "userinfo", leaving)
    assert validate(legacy.pk, actor="task") == "gone"


def test_a_token_that_is_replaced_while_egnyte_refuses_it_is_gone(
    egnyte_sandbox, legacy, monkeypatch
):
    def replaced(self, token):
        EgnyteAccount.objects.write(token=another_token(legacy))
        raise UnauthorizedError("No.")

    monkeypatch.setattr(OAuthClient, "userinfo", replaced)
    assert validate(legacy.pk, actor="task") == "gone"
    assert EgnyteAccount.objects.get().status == "active"


def test_an_account_whose_refresh_token_is_refused_lives_on(egnyte_sandbox, egnyte_account):
    """Its access token has expired only by its announced lifetime."""
    expired_now()
    egnyte_sandbox.faults.add(
        grant_type="refresh_token", status=400, body={"error": "invalid_grant"}, times=None
    )
    assert validate(egnyte_account.pk, actor="task") == "alive"
    stored = EgnyteAccount.objects.with_token().get()
    assert stored.status == "active"
    assert stored.token.grant.refresh_refused_at is not None
    # The refresh token is not asked about again.
    assert validate(egnyte_account.pk, actor="task") == "alive"
    assert TokenRequest.objects.count() == 1


def test_a_verdict_waits_for_nobody(egnyte_sandbox, legacy, monkeypatch):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    EgnyteGrant.objects.write(lease="somebody's", leased_until=hence(60))
    monkeypatch.setattr(steps, "sleep", lambda seconds: pytest.fail("waited"))
    assert validate(legacy.pk, actor="task") == "unknown"


def test_a_use_that_cannot_be_written_breaks_nothing_of_the_sites(legacy, monkeypatch, caplog):
    """The write follows the commit, and must not prevent the site's own ``on_commit`` functions."""
    EgnyteAccount.objects.write(status="suspect")
    legacy.refresh_from_db()
    done = []
    monkeypatch.setattr(verdict, "clear", lambda *args, **values: 1 / 0)
    with transaction.atomic():
        note_use(legacy)
        transaction.on_commit(lambda: done.append("the site's"))
    assert done == ["the site's"]
    assert "division by zero" in caplog.text
