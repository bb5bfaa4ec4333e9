from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_egnyte.choices import EventKind, LeasedFor, Purpose, Release
from django_egnyte.exceptions import InTransactionError, TokenConflictError
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    HostState,
    TokenRequest,
)
from django_egnyte.oauth import OAuthClient, TokenAnswer, browser_answer
from django_egnyte.secret import Secret
from django_egnyte.services import grants, revoke
from django_egnyte.services import link as linking
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.obtain import obtain
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence

from .conftest import HOST, all_due, store_token
from .rows import expired_now, without_refresh_tokens
from .test_link import REDIRECT, code_for


def the_grant() -> EgnyteGrant:
    return EgnyteGrant.objects.get()


def test_an_expired_token_beside_a_living_refresh_token_is_used_up_first(
    egnyte_sandbox, egnyte_account
):
    egnyte_account.delete()
    egnyte_sandbox.advance(31 * 24 * 3600)
    expired_now()
    assert len(egnyte_sandbox.live_tokens()) == 1
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exists() and not EgnyteToken.objects.exists()


def test_a_dead_token_beside_a_living_refresh_token_is_used_up_too(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    egnyte_account.delete()
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []
    assert list(TokenRequest.objects.values_list("purpose", "failed")) == [(Purpose.REVOKE, False)]


def test_a_refresh_token_that_egnyte_refuses_ends_its_grant(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    # The refusal blames the token, so the key is good, and the access token's refusal counts.
    assert process_revocations() == {"dead": 1}
    assert not EgnyteGrant.objects.exists()
    assert AccountEvent.objects.filter(kind=EventKind.TOKEN_DEAD).count() == 1


def test_an_expired_token_with_nothing_beside_it_just_goes(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    without_refresh_tokens()
    expired_now()
    egnyte_sandbox.advance(31 * 24 * 3600)
    assert process_revocations() == {"expired": 1}
    assert AccountEvent.objects.filter(kind=EventKind.TOKEN_EXPIRED).exists()
    assert not EgnyteGrant.objects.exists()


def test_what_a_browser_says_of_a_tokens_life_does_not_end_its_grant(egnyte_sandbox, egnyte_user):
    egnyte_sandbox.policy.style = "legacy"  # it never expires, whatever the browser posts
    issued = egnyte_sandbox.issue(
        "acme", "jsmith", scopes=("Egnyte.filesystem",), client_id="sandbox-code-key"
    )
    answer = browser_answer({"access_token": issued.access_token, "expires_in": "0"})
    account = linking.link_with_token(egnyte_user, answer, host=HOST, scopes=("Egnyte.filesystem",))
    disconnect(account.pk, actor="user:1")
    assert process_revocations() == {"revoked": 1}
    assert not egnyte_sandbox.is_alive(issued.access_token)


@pytest.mark.parametrize("expired", [False, True])
def test_a_browsers_dead_token_needs_a_proof_of_the_key_whatever_the_browser_said(
    egnyte_sandbox, egnyte_user, expired
):
    egnyte_sandbox.policy.style = "legacy"
    issued = egnyte_sandbox.issue(
        "acme", "jsmith", scopes=("Egnyte.filesystem",), client_id="sandbox-code-key"
    )
    answer = browser_answer({"access_token": issued.access_token, "expires_in": "3600"})
    account = linking.link_with_token(egnyte_user, answer, host=HOST, scopes=("Egnyte.filesystem",))
    disconnect(account.pk, actor="user:1")
    if expired:
        expired_now()
    egnyte_sandbox.suspend_key("sandbox-code-key")
    assert process_revocations() == {"failed": 1}
    egnyte_sandbox.resume_key("sandbox-code-key")
    all_due()
    assert process_revocations() == {"revoked": 1}
    assert not egnyte_sandbox.is_alive(issued.access_token)


@pytest.mark.parametrize("style", ["legacy", "modern"])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_suspended_key_costs_no_grant_that_waits(
    egnyte_sandbox, make_user, link, style, count, caplog
):
    egnyte_sandbox.policy.style = style
    for number in range(count):
        disconnect(link(make_user(f"user{number}")).pk, actor="user:1")
    egnyte_sandbox.suspend_key("sandbox-code-key")
    minutes = 600.0  # on a busy machine, thirty could use up the host's share of the time
    for _ in range(2):
        assert process_revocations(seconds=minutes) == {"failed": count}
        all_due()
    assert EgnyteGrant.objects.count() == count
    assert caplog.text.count("may be suspended") <= 1
    egnyte_sandbox.resume_key("sandbox-code-key")
    assert process_revocations(seconds=minutes) == {"revoked": count}
    assert egnyte_sandbox.live_tokens() == []


def test_a_key_that_egnyte_calls_inactive_costs_no_grant_either(egnyte_sandbox, many):
    egnyte_sandbox.policy.style = "legacy"
    for account in many(3):
        disconnect(account.pk, actor="user:1")
    inactive = {"X-Mashery-Error-Code": "ERR_403_DEVELOPER_INACTIVE"}
    rule = egnyte_sandbox.faults.add(status=403, headers=inactive, times=None)
    assert process_revocations() == {"failed": 3}
    egnyte_sandbox.faults.remove(rule)
    all_due()
    assert process_revocations() == {"revoked": 3}
    assert egnyte_sandbox.live_tokens() == []


def test_what_its_own_refresh_brought_again_ends_the_grant_only_with_egnytes_word(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    token = egnyte_account.open_token()
    disconnect(egnyte_account.pk, actor="user:1")
    egnyte_sandbox.expire_token(token)
    again = TokenAnswer(Secret(token), Secret(""), 3600)
    monkeypatch.setattr(OAuthClient, "refresh", lambda self, refresh_token: again)
    assert process_revocations() == {"failed": 1}
    assert EgnyteToken.objects.exclude(refresh_fingerprint="").exists()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"reset": True},
        {"status": 302, "headers": {"Location": "http://evil/"}},
        {"html": True},  # a proxy's page, with a 200
    ],
)
def test_trouble_at_egnyte_keeps_the_grant_and_waits_longer_each_time(
    egnyte_sandbox, egnyte_account, fault
):
    egnyte_account.delete()
    egnyte_sandbox.faults.add(path="/tokens/revoke", times=None, **fault)
    waits = []
    for attempt in range(1, 4):
        HostState.objects.all().delete()
        assert process_revocations() == {"failed": 1}
        row = the_grant()
        assert row.revoke_attempts == attempt and row.last_error and row.lease == ""
        waits.append(row.release_at - timezone.now())
        assert process_revocations() == {}
        all_due()
    assert waits[0] < waits[1] < waits[2] < timedelta(minutes=5)
    egnyte_sandbox.faults.clear()
    HostState.objects.all().delete()
    assert process_revocations() == {"revoked": 1}


def test_a_throttle_is_waited_out_in_the_database(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    egnyte_sandbox.faults.add(
        path="/tokens/revoke",
        status=403,
        headers={"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_RATE", "Retry-After": "7200"},
    )
    assert process_revocations() == {"failed": 1}
    wait = the_grant().release_at - timezone.now()
    assert timedelta(minutes=115) < wait <= timedelta(hours=2)


def test_a_token_that_is_not_revoked_after_a_day_is_an_error_in_the_log(
    egnyte_sandbox, egnyte_account, caplog
):
    egnyte_account.delete()
    egnyte_sandbox.faults.add(path="/tokens/revoke", times=None, status=500)
    process_revocations()
    assert [r.levelname for r in caplog.records if "could not be revoked" in r.message] == [
        "WARNING"
    ]
    for _ in range(11):
        all_due()
        HostState.objects.all().delete()
        process_revocations()
    levels = [r.levelname for r in caplog.records if "could not be revoked" in r.message]
    assert levels == ["WARNING"] * 11 + ["ERROR"]


def test_a_host_that_hangs_is_asked_once_a_pass_and_then_held_off(
    egnyte_sandbox, egnyte_user, link, make_user
):
    for number in range(4):
        link(make_user(f"user{number}"))
    other = link(egnyte_user, domain="globex", username="mmiller").open_token()
    EgnyteAccount.objects.all().delete()
    egnyte_sandbox.faults.add(path="/tokens/revoke", domain="acme", reset=True, times=None)
    assert process_revocations() == {"failed": 1, "revoked": 1}
    assert HostState.objects.get().host == "acme.egnyte.com"
    assert not egnyte_sandbox.is_alive(other)
    asked = egnyte_sandbox.counts["revoke"]
    assert process_revocations() == {}
    assert egnyte_sandbox.counts["revoke"] == asked
    egnyte_sandbox.faults.clear()
    HostState.objects.update(held_off_until=timezone.now() - timedelta(seconds=1))
    all_due()
    assert process_revocations() == {"revoked": 4}
    assert not HostState.objects.exists()


def test_a_host_that_answers_with_errors_only_holds_nobody_up(egnyte_sandbox, make_user, link):
    accounts = [link(make_user(f"user{number}")) for number in range(6)]
    accounts += [link(make_user("another"), domain="globex", username="mmiller")]
    for account in accounts:
        disconnect(account.pk, actor="user:1")
    egnyte_sandbox.faults.add(domain="acme", status=504, times=None)
    asked = egnyte_sandbox.counts["revoke"]
    assert process_revocations() == {"failed": 2, "revoked": 1}
    assert egnyte_sandbox.counts["revoke"] == asked + 3
    assert HostState.objects.get().host == HOST


def test_what_another_worker_has_leased_is_left_to_it(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    EgnyteGrant.objects.write(lease="another", leased_until=hence(60))
    assert process_revocations() == {}
    assert len(egnyte_sandbox.live_grants()) == 1
    # That worker was killed, and its lease expires.
    EgnyteGrant.objects.write(leased_until=hence(-1))
    assert process_revocations() == {"revoked": 1}


def test_a_grant_is_not_revoked_while_the_same_token_is_being_linked(
    egnyte_sandbox, egnyte_account, make_user
):
    """Another user's callback has received the token, and calls userinfo."""
    plain = egnyte_account.opened_token()
    egnyte_account.delete()
    answer = TokenAnswer(*plain, 3600)
    token = obtain(
        lambda client: answer, purpose=Purpose.LINK, host=HOST, user_ref=str(make_user("late").pk)
    )
    assert token.grant_id == the_grant().pk
    assert process_revocations() == {}
    assert len(egnyte_sandbox.live_grants()) == 1


def test_grants_that_hold_one_token_become_one_before_any_is_revoked(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    """Rows that a restored backup or raw SQL could create."""
    other = link(egnyte_user, username="bdoe")
    disconnect(egnyte_account.pk, actor="user:1")
    EgnyteToken.objects.filter(grant__release_at=None).write(
        fingerprint=EgnyteToken.objects.exclude(grant__release_at=None).get().fingerprint
    )
    assert process_revocations() == {"merged": 1}
    assert the_grant().release_at is None
    assert process_revocations() == {}
    assert egnyte_sandbox.is_alive(EgnyteAccount.objects.get(pk=other.pk).open_token())


def test_a_grant_that_an_account_points_into_after_all_is_held(egnyte_sandbox, egnyte_account):
    EgnyteGrant.objects.write(release_at=hence(-1), reason=Release.FAILED, revoke_attempts=3)
    asked = egnyte_sandbox.counts["revoke"]
    assert process_revocations() == {"held": 1}
    assert egnyte_sandbox.counts["revoke"] == asked
    row = the_grant()
    assert (row.release_at, row.reason, row.lease, row.leased_for) == (None, "", "", "")
    assert row.revoke_attempts == 0


def test_a_grant_can_be_abandoned_on_record(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    assert revoke.abandon(the_grant(), actor="admin:1")
    assert not EgnyteGrant.objects.exists() and not EgnyteToken.objects.exists()
    event = AccountEvent.objects.get(kind=EventKind.ABANDONED)
    assert (event.actor, event.domain) == ("admin:1", "acme.egnyte.com")


def test_a_grant_in_flight_or_being_revoked_or_in_use_cannot_be_abandoned(
    egnyte_sandbox, egnyte_user
):
    code = Secret(code_for(egnyte_sandbox))
    token = obtain(
        lambda client: client.exchange_code(code, REDIRECT, ()),
        purpose=Purpose.LINK,
        host=HOST,
        user_ref=str(egnyte_user.pk),
    )
    row = the_grant()
    assert not revoke.abandon(row, actor="admin:1")
    EgnyteGrant.objects.write(release_at=hence(-1), leased_until=hence(60), lease="another")
    assert not revoke.abandon(row, actor="admin:1")
    EgnyteGrant.objects.write(release_at=hence(600), leased_until=None, lease="")
    store_token(egnyte_user, token)
    assert not revoke.abandon(row, actor="admin:1")
    # The same if the row contradicts the account.
    EgnyteGrant.objects.write(release_at=hence(-1))
    assert not revoke.abandon(row, actor="admin:1")
    assert not AccountEvent.objects.filter(kind=EventKind.ABANDONED).exists()
    assert egnyte_sandbox.is_alive(EgnyteAccount.objects.get().open_token())


def test_no_revocation_inside_a_transaction(egnyte_account):
    with transaction.atomic(), pytest.raises(InTransactionError):
        process_revocations()


@pytest.mark.parametrize("rotates", [True, False])
def test_what_the_revokers_own_refresh_brings_may_be_in_use_already(
    egnyte_sandbox, egnyte_user, make_user, link, monkeypatch, rotates
):
    """A user of the same Egnyte identity links before the answer is stored."""
    egnyte_sandbox.policy.same_token = True
    egnyte_sandbox.policy.refresh_rotates = rotates
    link(make_user("another")).delete()
    egnyte_sandbox.advance(31 * 24 * 3600)
    expired_now()
    ask, given = OAuthClient.refresh, []

    def answered_late(client: OAuthClient, refresh_token: Secret) -> TokenAnswer:
        answer = ask(client, refresh_token)
        with suppress(TokenConflictError):
            assert link(egnyte_user).open_token() == answer.access_token.reveal()
        given.append(answer.access_token.reveal())
        connection.close()  # of the thread in which the revoker makes its calls
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(OAuthClient, "refresh", answered_late)
        outcome = process_revocations()
    # If the refresh token stays the same, the link finds the grant and its lease.
    assert outcome == ({"merged": 1} if rotates else {"revoked": 1})
    assert EgnyteAccount.objects.count() == EgnyteGrant.objects.count() == rotates
    all_due()
    process_revocations()
    assert [egnyte_sandbox.is_alive(token) for token in given] == [rotates]
    assert EgnyteGrant.objects.count() == rotates
    EgnyteAccount.objects.all().delete()
    process_revocations()
    assert not EgnyteGrant.objects.exists() and egnyte_sandbox.live_tokens() == []


@pytest.mark.parametrize("rotates", [True, False])
def test_nothing_is_left_when_a_refreshed_account_goes(egnyte_sandbox, egnyte_account, rotates):
    egnyte_sandbox.policy.refresh_rotates = rotates
    for _ in range(3):
        refresh(EgnyteAccount.objects.with_token().get(), actor="task")
    EgnyteAccount.objects.get().delete()
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exists() and not EgnyteToken.objects.exists()


def test_a_grant_whose_twin_is_busy_is_no_progress(egnyte_account):
    token = egnyte_account.token
    busy = EgnyteGrant.objects.create(
        domain=token.domain, key_digest=token.grant.key_digest, fingerprint="e" * 64, user_ref="7"
    )
    twin = grants.copied(token, "another")
    EgnyteToken.objects.filter(pk=twin.pk).write(grant=busy)
    assert grants.lease(busy.pk, LeasedFor.REVOKE)
    egnyte_account.delete()
    assert process_revocations() == {"skipped": 1}
    assert EgnyteGrant.objects.count() == 2
