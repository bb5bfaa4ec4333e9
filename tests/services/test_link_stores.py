from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_egnyte.choices import EventKind, Release, Status
from django_egnyte.exceptions import InvalidGrantError, LinkError, OAuthError
from django_egnyte.managers import NO_DEFAULT
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant
from django_egnyte.oauth import OAuthClient, TokenAnswer, UserInfo
from django_egnyte.secret import Secret
from django_egnyte.services import link as linking
from django_egnyte.services.disconnect import revoke
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations

from .conftest import HOST, arrive, grant_of, pending, refresh_token_of, store_token
from .test_link import code_for, link_at_once, link_by_code


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidGrantError("No.", code="invalid_grant"), "InvalidGrantError invalid_grant"),
        (OAuthError("No."), "OAuthError"),
    ],
)
def test_a_refused_code_is_on_record(egnyte_sandbox, egnyte_user, monkeypatch, error, reason):
    def refuse(*args):
        raise error

    monkeypatch.setattr(OAuthClient, "exchange_code", refuse)
    with pytest.raises(OAuthError):
        link_by_code(egnyte_user, "a code")
    event = AccountEvent.objects.get()
    assert (event.kind, event.reason) == (EventKind.LINK_FAILED, reason)
    assert (event.user_ref, event.actor) == (str(egnyte_user.pk), f"user:{egnyte_user.pk}")
    assert (event.domain, event.username) == (HOST, "")


@pytest.mark.parametrize("known", [False, True])
def test_all_that_a_link_writes(egnyte_sandbox, egnyte_user, settings, known):
    settings.EGNYTE_REFRESH_BEFORE = timedelta(days=2)
    if known:
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
        EgnyteAccount.objects.write(
            status=Status.SUSPECT,
            status_reason="why",
            validation_attempts=5,
            last_validated_at=None,
        )
    returned = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    stored = EgnyteAccount.objects.get()
    now = timezone.now()
    for account in (returned, stored):
        assert (account.status, account.status_reason) == ("active", "")
        assert account.validation_attempts == 0
        assert (account.is_default, account.default_of) == (True, str(egnyte_user.pk))
        assert (account.flow, account.scopes) == ("authorization_code", ["Egnyte.filesystem"])
        for moment in (account.connected_at, account.last_validated_at):
            assert now - moment < timedelta(minutes=1)
        assert timedelta(hours=21) < account.next_validation_at - now <= timedelta(days=1)
        before = account.expires_at - grant_of(account).next_refresh_at
        assert timedelta(days=1.6) <= before <= timedelta(days=2)
        assert egnyte_sandbox.is_alive(account.open_token())
    assert refresh_token_of(returned) == refresh_token_of(stored)


def test_the_very_same_tokens_again_are_no_others(egnyte_account, egnyte_user, bring):
    access, refresh_token = egnyte_account.open_token(), refresh_token_of(egnyte_account)
    stored = bring(egnyte_user, access, refresh_token)
    assert stored.token_id == egnyte_account.token_id
    assert pending() == []


def test_a_new_token_of_the_same_grant_supersedes_the_old_one(egnyte_account, egnyte_user, bring):
    stored = bring(egnyte_user, "new", refresh_token_of(egnyte_account))
    assert grant_of(stored) == EgnyteGrant.objects.get()
    assert stored.token_id != egnyte_account.token_id
    assert pending() == []


@pytest.mark.parametrize("access", ["same", "newer"])
def test_a_grant_that_is_used_again_forgets_its_failed_revocations(
    egnyte_account, egnyte_user, bring, access
):
    token = egnyte_account.opened_token()
    grant = grant_of(egnyte_account)
    egnyte_account.delete()
    EgnyteGrant.objects.write_to(grant, revoke_attempts=11)
    access_token = token.access_token.reveal() if access == "same" else access
    stored = bring(egnyte_user, access_token, token.refresh_token.reveal())
    assert grant_of(stored) == grant
    assert (grant_of(stored).release_at, grant_of(stored).revoke_attempts) == (None, 0)


@pytest.mark.parametrize("refresh_token", ["", "newer"])
def test_a_token_of_a_new_grant_releases_the_old_one(
    egnyte_account, egnyte_user, bring, refresh_token
):
    old = grant_of(egnyte_account)
    stored = bring(egnyte_user, "new", refresh_token)
    assert grant_of(stored) != old
    (released,) = pending()
    assert (released, released.reason) == (old, Release.RELINKED)


def test_whoever_shares_a_refresh_token_shares_the_grant(
    egnyte_account, egnyte_user, make_user, bring
):
    stored = bring(make_user("first"), "another", refresh_token_of(egnyte_account))
    assert grant_of(stored) == grant_of(egnyte_account)
    assert pending() == []


def test_accounts_without_refresh_tokens_share_nothing(egnyte_user, make_user, bring):
    one, two = bring(egnyte_user, "one"), bring(make_user("two"), "two")
    assert grant_of(one) != grant_of(two)


@pytest.mark.parametrize(
    ("access", "refresh_token", "goes_on"),
    [
        (None, None, True),  # the same tokens
        (None, "", True),  # the same token, and its refresh token stays with the account
        ("new", None, True),  # the same refresh token
        ("new", "", False),
        ("new", "newer", False),
        (None, "newer", True),  # the same grant nevertheless
    ],
)
def test_a_refresh_in_progress_keeps_its_lease(
    egnyte_account, egnyte_user, bring, access, refresh_token, goes_on
):
    EgnyteGrant.objects.write(lease="somebody's", leased_for="refresh")
    stored = bring(
        egnyte_user,
        egnyte_account.open_token() if access is None else access,
        refresh_token_of(egnyte_account) if refresh_token is None else refresh_token,
    )
    assert (grant_of(stored).lease == "somebody's") is goes_on


# Tokens that a browser posts


def post(user: Any, access: str) -> EgnyteAccount:
    answer = TokenAnswer(Secret(access), expires_in=10**6)
    return linking.link_with_token(user, answer, host=HOST, scopes=())


@pytest.mark.parametrize("kills", [True, False])
def test_a_posted_token_of_another_link_gives_nothing_and_breaks_nothing(
    egnyte_sandbox, egnyte_account, make_user, kills
):
    """An access token gives no access to the refresh token, and an old one replaces nothing."""
    egnyte_sandbox.policy.refresh_kills_access = kills
    mallory = make_user("mallory")
    old = egnyte_account.open_token()
    new = refresh(egnyte_account, actor="task")
    for access in (old, new.open_token()):
        with pytest.raises(LinkError):
            post(mallory, access)
    assert EgnyteAccount.objects.get() == new
    assert process_revocations() == {"held": 1}
    again = refresh(EgnyteAccount.objects.get(), actor="task")
    assert again.token_id != new.token_id
    assert egnyte_sandbox.is_alive(again.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(again))


def test_a_posted_token_that_a_code_brings_meanwhile_gives_no_refresh_token(
    egnyte_sandbox, egnyte_user, make_user, meanwhile
):
    issued = egnyte_sandbox.issue("acme", "jsmith")
    meanwhile(lambda: arrive(make_user("other"), issued.access_token, issued.refresh_token))
    with pytest.raises(LinkError):
        post(egnyte_user, issued.access_token)
    assert not EgnyteAccount.objects.exists()


def test_a_token_that_is_posted_again_is_no_other(egnyte_sandbox, egnyte_user):
    access = egnyte_sandbox.issue("acme", "jsmith").access_token
    first, again = post(egnyte_user, access), post(egnyte_user, access)
    assert first.token_id == again.token_id
    assert pending() == []


def test_a_link_whose_key_was_lost_is_mended_by_the_same_token(
    egnyte_sandbox, egnyte_user, make_user, link, settings
):
    egnyte_sandbox.policy.style, egnyte_sandbox.policy.same_token = "legacy", True
    lost = link(egnyte_user)
    token = lost.open_token()
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, of thirty-two characters or more"]
    for user in (make_user("other"), egnyte_user):
        assert link(user).open_token() == token
    process_revocations()
    assert egnyte_sandbox.is_alive(token)


# Changes during the userinfo call


@pytest.fixture
def meanwhile(monkeypatch):
    """Run something during the userinfo call."""

    def set_up(happens: Any) -> None:
        def userinfo(client: Any, token: Any) -> UserInfo:
            monkeypatch.undo()
            happens()
            return UserInfo(121, "jsmith")

        monkeypatch.setattr(OAuthClient, "userinfo", userinfo)

    return set_up


def test_a_link_points_to_what_a_refresh_has_brought_meanwhile(
    egnyte_sandbox, egnyte_account, make_user, meanwhile
):
    """Two users of one Egnyte identity: the token of the callback has been refreshed."""
    egnyte_sandbox.policy.refresh_rotates = egnyte_sandbox.policy.refresh_kills_access = True
    other = make_user("other")
    token = arrive(other, egnyte_account.open_token(), refresh_token_of(egnyte_account))
    meanwhile(lambda: refresh(egnyte_account, actor="task"))
    stored = store_token(other, token)
    for account in (stored, EgnyteAccount.objects.get(pk=egnyte_account.pk)):
        assert egnyte_sandbox.is_alive(account.open_token())
        assert egnyte_sandbox.is_alive(refresh_token_of(account))
        assert account.token.user_ref == str(account.user_id)
    assert grant_of(stored).release_at is None


def test_a_token_that_was_put_into_another_grant_meanwhile_is_followed(
    egnyte_user, make_user, meanwhile, bring
):
    used = bring(make_user("user"), "used", "shared")
    token = arrive(egnyte_user, "new", "other")
    meanwhile(lambda: arrive(make_user("third"), "new", "shared"))
    stored = store_token(egnyte_user, token)
    assert grant_of(stored) == grant_of(used) == EgnyteGrant.objects.get()
    assert EgnyteGrant.objects.get().release_at is None


def test_two_first_links_at_once_leave_one_default(egnyte_sandbox, egnyte_user):
    names = ("jsmith", "bdoe", "jsmith", "bdoe")
    link_at_once([(egnyte_user, code_for(egnyte_sandbox, name)) for name in names])
    assert EgnyteAccount.objects.count() == 2
    assert EgnyteAccount.objects.filter(is_default=True).count() == 1


def test_two_users_who_are_given_the_same_tokens_at_once_share_one_grant(
    egnyte_sandbox, egnyte_user, make_user
):
    """Neither user must try again, and no token is revoked."""
    egnyte_sandbox.policy.same_token = True
    users = [egnyte_user, make_user("two"), make_user("three")]
    link_at_once([(user, code_for(egnyte_sandbox)) for user in users])
    accounts = list(EgnyteAccount.objects.with_token())
    assert {grant_of(account) for account in accounts} == {EgnyteGrant.objects.get()}
    assert {account.token.user_ref for account in accounts} == {str(user.pk) for user in users}
    assert pending() == []
    for account in accounts[:-1]:
        account.delete()
    assert process_revocations() == {"held": 1}
    assert egnyte_sandbox.is_alive(accounts[-1].open_token())


def test_what_is_linked_becomes_the_default_where_that_is_dead(egnyte_account, egnyte_user, link):
    """Otherwise connecting another account would always lead back to the connect page."""
    revoke(egnyte_account, actor="admin:1", reason="a test")
    other = link(egnyte_user, username="bdoe")
    assert list(EgnyteAccount.objects.filter(is_default=True)) == [other]
    again = link(egnyte_user)
    assert not again.is_default


def test_the_user_of_a_link_may_be_deleted_meanwhile(egnyte_sandbox, make_user, meanwhile):
    user = make_user("gone")
    token = arrive(user, "access")
    meanwhile(type(user).objects.get(pk=user.pk).delete)
    with pytest.raises(LinkError):
        store_token(user, token)
    assert [grant.reason for grant in pending()] == [Release.FAILED]
    assert not AccountEvent.objects.filter(kind=EventKind.CONNECTED, domain=HOST).exists()


def test_a_relink_writes_nothing_to_an_account_that_another_user_was_given_meanwhile(
    egnyte_account, egnyte_user, make_user, link
):
    """A revoked account has no token that could be compared."""
    token = link(make_user("third")).token
    revoke(egnyte_account, actor="task", reason="why")
    stale = EgnyteAccount.objects.get(pk=egnyte_account.pk)
    EgnyteAccount.objects.filter(pk=stale.pk).write(user=make_user("other"), **NO_DEFAULT)
    with pytest.raises(linking.Overtaken):
        linking._replace_token(stale, {"token": token, "status": Status.ACTIVE})
    assert EgnyteAccount.objects.get(pk=stale.pk).token_id is None
