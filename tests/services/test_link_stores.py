from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.choices import EventKind, Status
from django_egnyte.exceptions import (
    InvalidGrantError,
    OAuthError,
)
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    PendingRevocation,
)
from django_egnyte.oauth import OAuthClient, TokenAnswer, UserInfo
from django_egnyte.services import link as linking
from django_egnyte.services import outbox
from django_egnyte.services.obtain import keep
from django_egnyte.services.transactions import hence

from .conftest import HOST
from .test_link import code_for, link_by_code


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
            attempts=5,
            is_default=False,
            lease="somebody's",
            leased_until=hence(60),
            last_validated_at=None,
        )
    returned = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    stored = EgnyteAccount.objects.get()
    now = timezone.now()
    for account in (returned, stored):
        assert (account.status, account.status_reason, account.attempts) == ("active", "", 0)
        assert (account.lease, account.leased_until) == ("", None)
        assert (account.token_id, account.is_default) == ((2, False) if known else (1, True))
        assert (account.flow, account.scopes) == ("authorization_code", ["Egnyte.filesystem"])
        for moment in (account.connected_at, account.last_validated_at):
            assert now - moment < timedelta(minutes=1)
        assert timedelta(hours=21) < account.next_validation_at - now <= timedelta(days=1)
        before = account.expires_at - account.next_refresh_at
        assert timedelta(days=1.6) <= before <= timedelta(days=2)
        assert egnyte_sandbox.is_alive(account.open_token())
    assert returned.refresh_token == stored.opened_token().refresh_token.reveal()


@pytest.fixture
def bring(monkeypatch):
    """Store a token that Egnyte says is jsmith's; it came in under this name of a grant."""
    monkeypatch.setattr(OAuthClient, "userinfo", lambda client, token: UserInfo(121, "jsmith"))

    def store(user: Any, access: str, refresh: str = "", grant: str = "new") -> EgnyteAccount:
        obtained = keep(
            TokenAnswer(access, refresh, 3600),
            client=gateway.oauth(HOST),
            user_ref=str(user.pk),
            reason="authorization_code",
            grant_id=grant,
        )
        return linking.prove_and_store(
            user, obtained, host=HOST, scopes=(), flow="authorization_code", relink=None
        )

    return store


def test_the_very_same_tokens_again_are_no_others(egnyte_account, egnyte_user, bring):
    stored = bring(
        egnyte_user,
        egnyte_account.open_token(),
        egnyte_account.opened_token().refresh_token.reveal(),
    )
    assert stored.grant_id == egnyte_account.grant_id
    assert not PendingRevocation.objects.exists()


def test_a_new_token_of_the_same_grant_supersedes_the_old_one(egnyte_account, egnyte_user, bring):
    stored = bring(egnyte_user, "new", egnyte_account.opened_token().refresh_token.reveal())
    assert stored.grant_id == egnyte_account.grant_id
    row = PendingRevocation.objects.get()
    assert (row.reason, row.opened_token().refresh_token.reveal()) == (outbox.SUPERSEDED, "")
    assert row.grant_id == egnyte_account.grant_id


def test_a_new_token_of_a_new_grant_sends_the_old_one_away(egnyte_account, egnyte_user, bring):
    stored = bring(egnyte_user, "new", "newer")
    assert stored.grant_id == "new"
    row = PendingRevocation.objects.get()
    assert (row.reason, row.opened_token().refresh_token.reveal()) == (
        "relinked",
        egnyte_account.opened_token().refresh_token.reveal(),
    )
    assert row.grant_id == egnyte_account.grant_id


def test_whoever_shares_a_refresh_token_shares_the_grant(
    egnyte_account, egnyte_user, make_user, bring
):
    first = make_user("first")
    stored = bring(first, "another", egnyte_account.opened_token().refresh_token.reveal())
    assert stored.grant_id == egnyte_account.grant_id
    assert not PendingRevocation.objects.exists()


def test_accounts_without_refresh_tokens_share_nothing(egnyte_user, make_user, bring):
    one, two = bring(egnyte_user, "one", grant="first"), bring(make_user("two"), "two")
    assert (one.grant_id, two.grant_id) == ("first", "new")


def test_all_names_of_a_grant_become_one_at_a_relink(egnyte_user, make_user, bring):
    """Two users hold one grant under two names, and a third name stands in the outbox."""
    older = bring(make_user("older"), "old", "shared", grant="first")
    own = bring(egnyte_user, "own", "its own", grant="second")
    EgnyteAccount.objects.filter(pk=own.pk).write(refresh_fingerprint=older.refresh_fingerprint)
    waits = keep(
        TokenAnswer("new"),
        client=gateway.oauth(HOST),
        user_ref="7",
        reason="authorization_code",
        grant_id="third",
    )
    PendingRevocation.objects.write(reason=outbox.SUPERSEDED)
    stored = bring(egnyte_user, "new", "shared", grant="fourth")
    assert stored.grant_id == "first"
    assert set(EgnyteAccount.objects.values_list("grant_id", flat=True)) == {"first"}
    rows = {row.pk: row for row in PendingRevocation.objects.all()}
    assert {row.grant_id for row in rows.values()} == {"first"}
    # The old access token alone is superseded; its grant goes on.
    del rows[waits.row.pk]
    (superseded,) = rows.values()
    assert (superseded.reason, superseded.refresh_token) == (outbox.SUPERSEDED, "")


@pytest.mark.parametrize(
    ("access", "refresh", "goes_on"),
    [
        (None, None, True),  # the same tokens
        (None, "", True),  # the same token, and its refresh token stays with the account
        ("new", None, True),  # the same refresh token
        ("new", "", False),
        ("new", "newer", False),
        (None, "newer", False),
    ],
)
def test_a_refresh_goes_on_if_its_token_is_still_the_accounts(
    egnyte_account, egnyte_user, bring, access, refresh, goes_on
):
    EgnyteAccount.objects.write(lease="somebody's", leased_until=hence(60))
    stored = bring(
        egnyte_user,
        egnyte_account.open_token() if access is None else access,
        egnyte_account.opened_token().refresh_token.reveal() if refresh is None else refresh,
    )
    for account in (stored, EgnyteAccount.objects.get()):
        assert (account.lease == "somebody's") is goes_on
        assert (account.leased_until is not None) is goes_on
