"""Give an account to another user: its tokens are encrypted again, and none is lost."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from django_egnyte.accounts import reassign
from django_egnyte.choices import EventKind
from django_egnyte.exceptions import (
    DecryptionError,
    InTransactionError,
    LinkError,
    NotLinkedError,
)
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.services import grants
from django_egnyte.services import reassign as reassigning
from django_egnyte.services.disconnect import disconnect, revoke
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations

from .conftest import grant_of, orphans, pending, refresh_token_of
from .test_refresh import Slow, killed_before_it_pointed


@pytest.fixture
def other(make_user: Any) -> Any:
    return make_user("other")


def stored() -> EgnyteAccount:
    return EgnyteAccount.objects.with_token().get()


def unchanged(account: EgnyteAccount) -> bool:
    now = EgnyteAccount.objects.get(pk=account.pk)
    return (now.user_id, now.token_id) == (account.user_id, account.token_id)


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen between reading the account and locking its grant."""

    def set_up(happens: Any, times: int = 1) -> None:
        merged, left = reassigning.grants.merged, [happens] * times

        def late(ids: Any) -> Any:
            if left:
                left.pop()()
            return merged(ids)

        monkeypatch.setattr(reassigning.grants, "merged", late)

    return set_up


def test_the_account_works_for_its_new_user(egnyte_sandbox, egnyte_account, other):
    token, old = egnyte_account.open_token(), egnyte_account.user_id
    given = reassign(egnyte_account, other, actor="command")
    for account in (given, stored()):
        assert (account.pk, account.user_id) == (egnyte_account.pk, other.pk)
        assert account.open_token() == token
        assert account.token.user_ref == str(other.pk)
        assert (account.is_default, account.default_of, account.status) == (False, None, "active")
    assert pending() == []
    event = AccountEvent.objects.get(kind=EventKind.REASSIGNED)
    assert (event.user_ref, event.actor) == (str(other.pk), "command")
    assert event.reason == f"from {old}"


def test_the_account_outlives_the_user_it_left(egnyte_sandbox, egnyte_account, egnyte_user, other):
    """As at the end of a merge."""
    reassign(egnyte_account, other)
    egnyte_user.delete()
    process_revocations()
    new = refresh(stored(), actor="task")
    assert egnyte_sandbox.is_alive(new.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(new))
    disconnect(new.pk, actor="user:1")
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []


def test_what_the_caller_wrote_into_its_instance_does_not_matter(
    egnyte_account, egnyte_user, other
):
    """As after ``save()`` has refused it."""
    egnyte_account.user = other
    reassign(egnyte_account, other)
    assert stored().user_id == other.pk
    event = AccountEvent.objects.get(kind=EventKind.REASSIGNED)
    assert event.reason == f"from {egnyte_user.pk}"


def test_a_grant_without_a_newest_token_is_no_obstacle(egnyte_sandbox, egnyte_account, other):
    EgnyteGrant.objects.write(**grants.NO_NEWEST)
    reassign(egnyte_account, other)
    assert stored().user == other
    assert egnyte_sandbox.is_alive(stored().open_token())


def test_whoever_has_the_account_keeps_it_as_it_is(egnyte_account, egnyte_user):
    """A merge may be run again."""
    assert reassign(egnyte_account, egnyte_user).is_default
    assert unchanged(egnyte_account)
    assert not AccountEvent.objects.filter(kind=EventKind.REASSIGNED).exists()


def test_a_revoked_account_goes_without_a_token(egnyte_account, other):
    revoke(egnyte_account, actor="admin:1", reason="a test")
    reassign(egnyte_account, other)
    assert (stored().user_id, stored().token, stored().status) == (other.pk, None, "revoked")


def test_another_account_of_the_grant_stays_where_it_is(
    egnyte_sandbox, egnyte_user, make_user, link, other
):
    egnyte_sandbox.policy.same_token = egnyte_sandbox.policy.refresh_rotates = True
    mine, theirs = link(egnyte_user), link(other)
    reassign(theirs, make_user("third"))
    assert unchanged(mine)
    assert grant_of(mine) == grant_of(theirs)
    refresh(mine, actor="task")
    for account in EgnyteAccount.objects.with_token():
        assert egnyte_sandbox.is_alive(account.open_token())
        assert account.token.user_ref == str(account.user_id)


def test_a_user_who_has_linked_the_same_egnyte_user_gets_no_second_one(
    egnyte_sandbox, egnyte_account, link, other
):
    theirs = link(other)
    with pytest.raises(LinkError) as caught:
        reassign(egnyte_account, other)
    assert "Disconnect one" in caught.value.hint
    assert unchanged(egnyte_account) and unchanged(theirs)
    process_revocations()
    assert orphans(egnyte_sandbox) == set()
    assert egnyte_sandbox.is_alive(egnyte_account.open_token())


def test_a_user_who_is_gone_gets_nothing(egnyte_account, other):
    gone = type(other).objects.get(pk=other.pk)
    other.delete()
    with pytest.raises(LinkError, match="was deleted"):
        reassign(egnyte_account, gone)
    assert unchanged(egnyte_account)


def test_an_account_that_is_gone_is_not_given(egnyte_account, other):
    disconnect(egnyte_account.pk, actor="user:1")
    with pytest.raises(NotLinkedError) as caught:
        reassign(egnyte_account, other)
    assert caught.value.host == "acme.egnyte.com"
    assert not EgnyteAccount.objects.exists()


def test_a_token_that_no_key_opens_is_not_given(egnyte_account, other, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, of thirty-two characters or more"]
    with pytest.raises(DecryptionError):
        reassign(egnyte_account, other)
    assert unchanged(egnyte_account)
    assert EgnyteToken.objects.count() == 1


def test_nothing_is_given_inside_a_transaction(egnyte_account, other):
    with transaction.atomic(), pytest.raises(InTransactionError):
        reassign(egnyte_account, other)
    assert unchanged(egnyte_account)


# Meanwhile


@pytest.mark.parametrize("rotates", [False, True])
def test_a_refresh_in_flight_brings_its_token_to_the_new_user(
    egnyte_sandbox, egnyte_account, other, monkeypatch, rotates
):
    egnyte_sandbox.policy.refresh_rotates = rotates
    slow = Slow(monkeypatch, egnyte_account)
    reassign(egnyte_account, other)
    assert slow.finish() == stored()
    assert stored().token.generation == 2
    assert stored().token.user_ref == str(other.pk)
    assert egnyte_sandbox.is_alive(stored().open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(stored()))


def test_what_a_killed_refresh_brought_goes_along(
    egnyte_sandbox, egnyte_account, other, monkeypatch
):
    egnyte_sandbox.policy.refresh_rotates = egnyte_sandbox.policy.refresh_kills_access = True
    brought = killed_before_it_pointed(egnyte_account, monkeypatch)
    assert reassign(egnyte_account, other).open_token() == brought.open().access_token.reveal()
    assert egnyte_sandbox.is_alive(stored().open_token())
    assert stored().token.user_ref == str(other.pk)


def leaves_its_token() -> None:
    """On the same connection, so that the failed attempt rolls it back."""
    EgnyteAccount.objects.write(token=None)


def test_a_change_that_comes_between_is_seen_at_the_next_try(egnyte_account, other, meanwhile):
    meanwhile(leaves_its_token, times=reassigning.TRIES - 1)
    assert reassign(egnyte_account, other).user_id == other.pk
    assert stored().open_token() == egnyte_account.open_token()
    assert AccountEvent.objects.filter(kind=EventKind.REASSIGNED).count() == 1


@pytest.mark.parametrize("how", ["another token", "no grant"])
def test_an_account_that_changes_all_the_time_is_given_up(
    egnyte_account, other, meanwhile, monkeypatch, how
):
    if how == "no grant":
        monkeypatch.setattr(reassigning.grants, "merged", lambda ids: None)
    else:
        meanwhile(leaves_its_token, times=reassigning.TRIES)
    with pytest.raises(NotLinkedError, match="changed"):
        reassign(egnyte_account, other)
    assert unchanged(egnyte_account)
