from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.choices import EventKind, Status
from django_egnyte.exceptions import UnavailableError
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken, HostState
from django_egnyte.services import administer, hosts
from django_egnyte.services.disconnect import disconnect

from .conftest import grant_of

LATER = timedelta(hours=5)


def kinds():
    return list(AccountEvent.objects.filter(actor="admin").values_list("kind", flat=True))


def is_now(moment):
    return abs(timezone.now() - moment) < timedelta(minutes=1)


def test_a_validation_that_is_asked_for_is_due_now_and_hurried(
    egnyte_account, egnyte_user, link, hurried
):
    other = link(egnyte_user, username="bdoe")
    EgnyteAccount.objects.update(next_validation_at=timezone.now() + LATER)
    assert administer.request_validation(egnyte_account, actor="admin") is True
    due = dict(EgnyteAccount.objects.values_list("pk", "next_validation_at"))
    assert is_now(due[egnyte_account.pk]) and not is_now(due[other.pk])
    assert hurried == [("validate_account", egnyte_account.pk, egnyte_account.token_id)]
    assert kinds() == [EventKind.VALIDATION_ASKED]


def test_a_refresh_that_is_asked_for_is_due_now_and_hurried(
    egnyte_account, egnyte_user, link, hurried
):
    other = link(egnyte_user, username="bdoe")
    EgnyteGrant.objects.write(next_refresh_at=timezone.now() + LATER)
    assert administer.request_refresh(egnyte_account, actor="admin") is True
    assert is_now(grant_of(egnyte_account).next_refresh_at)
    assert not is_now(grant_of(other).next_refresh_at)
    assert hurried == [("refresh_account", egnyte_account.pk, egnyte_account.token_id)]
    assert kinds() == [EventKind.REFRESH_ASKED]


@pytest.mark.parametrize(
    ("ask", "task"),
    [
        (administer.request_validation, "validate_account"),
        (administer.request_refresh, "refresh_account"),
    ],
)
def test_a_page_read_before_the_reconnect_names_no_token(egnyte_account, hurried, ask, task):
    egnyte_account.token_id = None
    assert ask(egnyte_account, actor="admin") is True
    assert hurried == [(task, egnyte_account.pk, 0)]


@pytest.mark.parametrize("ask", [administer.request_validation, administer.request_refresh])
def test_nothing_can_be_asked_of_an_account_that_has_ended(egnyte_account, hurried, ask):
    EgnyteAccount.objects.write(status=Status.REVOKED)
    assert ask(egnyte_account, actor="admin") is False
    assert (hurried, kinds()) == ([], [])


def test_no_refresh_without_a_refresh_token_that_works(egnyte_account, hurried, settings):
    EgnyteToken.objects.write(refresh_fingerprint="")
    assert administer.request_refresh(egnyte_account, actor="admin") is False
    EgnyteToken.objects.write(refresh_fingerprint="f" * 64)
    EgnyteGrant.objects.write(refresh_refused_at=timezone.now())
    assert administer.request_refresh(egnyte_account, actor="admin") is False
    EgnyteGrant.objects.write(refresh_refused_at=None)
    settings.EGNYTE_CLIENT_ID = "another-key"
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
    stored = EgnyteAccount.objects.get()
    assert (stored.is_default, stored.default_of) == (False, None)


def test_a_revocation_that_failed_is_tried_again_at_once(egnyte_account, hurried):
    disconnect(egnyte_account.pk, actor="user")
    for host in ("acme.egnyte.com", "globex.egnyte.com"):
        hosts.note_unreachable(host, UnavailableError("No answer."))
    EgnyteGrant.objects.write(
        revoke_attempts=1, revoke_refreshes=3, release_at=timezone.now() + LATER
    )
    hurried.clear()
    row = EgnyteGrant.objects.get()
    assert administer.request_revocation(row, actor="admin") is True
    stored = EgnyteGrant.objects.get()
    assert is_now(stored.release_at) and stored.revoke_refreshes == 0
    assert list(HostState.objects.values_list("host", flat=True)) == ["globex.egnyte.com"]
    assert (hurried, kinds()) == ([("process_revocations",)], [EventKind.RETRY_ASKED])


def test_a_revocation_that_never_failed_or_is_in_use_is_left_alone(
    egnyte_account, hurried, make_user, link
):
    used = grant_of(link(make_user("other")))
    EgnyteGrant.objects.filter(pk=used.pk).write(revoke_attempts=1)
    disconnect(egnyte_account.pk, actor="user")
    EgnyteGrant.objects.exclude(pk=used.pk).write(release_at=timezone.now() + LATER)
    hurried.clear()
    for row in EgnyteGrant.objects.all():
        assert administer.request_revocation(row, actor="admin") is False
    assert EgnyteGrant.objects.get(pk=used.pk).release_at is None
    assert not is_now(EgnyteGrant.objects.exclude(pk=used.pk).get().release_at)
    assert (hurried, kinds()) == ([], [])
