from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.choices import EventKind, Status
from django_egnyte.exceptions import UnavailableError
from django_egnyte.models import AccountEvent, EgnyteAccount, HostState, PendingRevocation
from django_egnyte.services import administer, hosts
from django_egnyte.services.disconnect import disconnect

LATER = timedelta(hours=5)


def kinds():
    return list(AccountEvent.objects.filter(actor="admin").values_list("kind", flat=True))


def is_now(moment):
    return abs(timezone.now() - moment) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("ask", "column", "task", "kind"),
    [
        (
            administer.request_validation,
            "next_validation_at",
            "validate_account",
            EventKind.VALIDATION_ASKED,
        ),
        (administer.request_refresh, "next_refresh_at", "refresh_account", EventKind.REFRESH_ASKED),
    ],
)
def test_what_is_asked_for_is_due_now_and_hurried(
    egnyte_account, egnyte_user, link, hurried, ask, column, task, kind
):
    other = link(egnyte_user, username="bdoe")
    EgnyteAccount.objects.update(**{column: timezone.now() + LATER})
    assert ask(egnyte_account, actor="admin") is True
    assert is_now(getattr(EgnyteAccount.objects.get(pk=egnyte_account.pk), column))
    assert not is_now(getattr(EgnyteAccount.objects.get(pk=other.pk), column))
    assert (hurried, kinds()) == ([(task, egnyte_account.pk, 1)], [kind])


@pytest.mark.parametrize("ask", [administer.request_validation, administer.request_refresh])
def test_nothing_can_be_asked_of_an_account_that_has_ended(egnyte_account, hurried, ask):
    EgnyteAccount.objects.write(status=Status.REVOKED)
    assert ask(egnyte_account, actor="admin") is False
    assert (hurried, kinds()) == ([], [])


def test_no_refresh_without_a_refresh_token(egnyte_account, hurried):
    EgnyteAccount.objects.write(refresh_fingerprint="")
    assert administer.request_refresh(egnyte_account, actor="admin") is False
    assert (hurried, kinds()) == ([], [])


def test_a_user_is_asked_to_reconnect_whatever_the_status(egnyte_account):
    EgnyteAccount.objects.write(status=Status.REVOKED)
    assert administer.ask_to_reconnect(egnyte_account, actor="admin") is True
    assert EgnyteAccount.objects.get().status_reason == administer.RECONNECT_REASON
    assert kinds() == [EventKind.RECONNECT_ASKED]
    EgnyteAccount.objects.filter(pk=egnyte_account.pk).delete()
    assert administer.ask_to_reconnect(egnyte_account, actor="admin") is False
    assert kinds() == [EventKind.RECONNECT_ASKED]


def test_a_default_is_cleared(egnyte_account):
    assert EgnyteAccount.objects.get().is_default
    administer.clear_default(egnyte_account)
    assert not EgnyteAccount.objects.get().is_default


def test_a_revocation_that_failed_is_tried_again_at_once(egnyte_account, hurried):
    disconnect(egnyte_account.pk, actor="user")
    for host in ("acme.egnyte.com", "globex.egnyte.com"):
        hosts.note_unreachable(host, UnavailableError("No answer."))
    PendingRevocation.objects.write(attempts=1, not_before=timezone.now() + LATER)
    hurried.clear()
    row = PendingRevocation.objects.get()
    assert administer.request_revocation(row, actor="admin") is True
    assert is_now(PendingRevocation.objects.get().not_before)
    assert list(HostState.objects.values_list("host", flat=True)) == ["globex.egnyte.com"]
    assert (hurried, kinds()) == ([("process_revocations",)], [EventKind.RETRY_ASKED])


def test_a_revocation_that_never_failed_is_left_alone(egnyte_account, hurried):
    disconnect(egnyte_account.pk, actor="user")
    PendingRevocation.objects.write(not_before=timezone.now() + LATER)
    hurried.clear()
    row = PendingRevocation.objects.get()
    assert administer.request_revocation(row, actor="admin") is False
    assert not is_now(PendingRevocation.objects.get().not_before)
    assert (hurried, kinds()) == ([], [])
