from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from django_egnyte.choices import EventKind
from django_egnyte.exceptions import InTransactionError
from django_egnyte.fields import as_stored
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    HostState,
    PendingRevocation,
)
from django_egnyte.oauth import OAuthClient, TokenAnswer, browser_answer
from django_egnyte.services import breaker, hosts, revoke
from django_egnyte.services import link as linking
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.obtain import obtain
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence
from tests.values import assert_stays_as_made

from .conftest import HOST, all_due
from .test_link import REDIRECT, code_for


def test_an_expired_token_beside_a_living_refresh_token_is_used_up_first(
    egnyte_sandbox, egnyte_account
):
    egnyte_account.delete()
    egnyte_sandbox.advance(31 * 24 * 3600)
    PendingRevocation.objects.write(expires_at=timezone.now() - timedelta(days=1))
    assert len(egnyte_sandbox.live_tokens()) == 1
    outcomes = process_revocations()
    assert outcomes == {"dead": 1, "revoked": 1}
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_a_dead_token_beside_a_living_refresh_token_is_used_up_too(egnyte_sandbox, egnyte_account):
    token = egnyte_account.open_token()
    egnyte_account.delete()
    egnyte_sandbox.expire_token(token)
    assert process_revocations() == {"dead": 1, "revoked": 1}
    assert egnyte_sandbox.live_tokens() == []


def test_an_expired_token_with_nothing_beside_it_just_goes(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    PendingRevocation.objects.write(
        expires_at=timezone.now() - timedelta(days=1), refresh_token="", refresh_fingerprint=""
    )
    egnyte_sandbox.advance(31 * 24 * 3600)
    assert process_revocations() == {"expired": 1}
    assert AccountEvent.objects.filter(kind=EventKind.TOKEN_EXPIRED).exists()


def test_what_a_browser_says_of_a_tokens_life_does_not_end_its_row(egnyte_sandbox, egnyte_user):
    egnyte_sandbox.policy.style = "legacy"  # it lives for ever, whatever the browser says
    issued = egnyte_sandbox.issue(
        "acme", "jsmith", scopes=("Egnyte.filesystem",), client_id="sandbox-code-key"
    )
    answer = browser_answer({"access_token": issued.access_token, "expires_in": "0"})
    account = linking.link_with_token(egnyte_user, answer, host=HOST, scopes=("Egnyte.filesystem",))
    disconnect(account.pk, actor="user:1")
    assert process_revocations() == {"revoked": 1}
    assert not egnyte_sandbox.is_alive(issued.access_token)


def test_a_suspended_key_does_not_empty_the_outbox(egnyte_sandbox, make_user, link):
    egnyte_sandbox.policy.style = "legacy"
    for number in range(breaker.MOST_DEATHS + 10):
        disconnect(link(make_user(f"user{number}")).pk, actor="user:1")
    inactive = {"X-Mashery-Error-Code": "ERR_403_DEVELOPER_INACTIVE"}
    rule = egnyte_sandbox.faults.add(status=403, headers=inactive, times=None)
    assert process_revocations() == {"dead": breaker.MOST_DEATHS, "failed": 10}
    egnyte_sandbox.faults.remove(rule)
    all_due()
    process_revocations()
    assert len(egnyte_sandbox.live_tokens()) == breaker.MOST_DEATHS


def test_the_revoker_forgets_nothing_that_its_own_refresh_brought_again(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    disconnect(egnyte_account.pk, actor="user:1")
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    row = PendingRevocation.objects.get()
    again = TokenAnswer(row.open_token(), "", 3600)
    monkeypatch.setattr(OAuthClient, "refresh", lambda self, refresh_token: again)
    assert revoke.revoke_row(row, actor="task", failures=hosts.Failures()) == "dead"
    assert PendingRevocation.objects.get().refresh_fingerprint == row.refresh_fingerprint


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"reset": True},
        {"status": 302, "headers": {"Location": "http://evil/"}},
        {"html": True},  # a proxy's page, with a 200
    ],
)
def test_trouble_at_egnyte_keeps_the_row_and_waits_longer_each_time(
    egnyte_sandbox, egnyte_account, fault
):
    egnyte_account.delete()
    egnyte_sandbox.faults.add(path="/tokens/revoke", times=None, **fault)
    waits = []
    for attempt in range(1, 4):
        HostState.objects.all().delete()
        assert process_revocations() == {"failed": 1}
        row = PendingRevocation.objects.get()
        assert row.attempts == attempt and row.last_error and row.claim == ""
        waits.append(row.not_before - timezone.now())
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
    wait = PendingRevocation.objects.get().not_before - timezone.now()
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
    PendingRevocation.objects.update(created_at=timezone.now() - timedelta(days=2))
    all_due()
    process_revocations()
    assert caplog.records[-1].levelname == "ERROR"


def test_a_host_that_hangs_is_asked_once_a_pass_and_then_held_off(
    egnyte_sandbox, egnyte_user, link, make_user
):
    for number in range(4):
        link(make_user(f"user{number}"))
    other = link(egnyte_user, domain="globex", username="mmiller")
    EgnyteAccount.objects.all().delete()
    egnyte_sandbox.faults.add(path="/tokens/revoke", domain="acme", reset=True, times=None)
    assert process_revocations() == {"failed": 1, "revoked": 1}
    assert HostState.objects.get().host == "acme.egnyte.com"
    assert not egnyte_sandbox.is_alive(other.open_token())
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


def test_what_another_worker_has_claimed_is_left_to_it(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    PendingRevocation.objects.write(claim="another", claimed_until=hence(60))
    assert process_revocations() == {}
    assert len(egnyte_sandbox.live_grants()) == 1
    # That worker was killed; its claim runs out.
    PendingRevocation.objects.write(claimed_until=hence(-1))
    assert process_revocations() == {"revoked": 1}


def test_a_token_is_not_revoked_while_the_same_token_may_be_being_stored(
    egnyte_sandbox, egnyte_account
):
    egnyte_account.delete()
    row = PendingRevocation.objects.get()
    with as_stored():
        values = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
    in_flight = PendingRevocation(**values | {"id": None})
    in_flight.not_before = timezone.now() + timedelta(minutes=15)
    in_flight.save()
    assert process_revocations() == {"skipped": 1}
    assert len(egnyte_sandbox.live_grants()) == 1


def test_who_is_left_with_a_revoked_grant_becomes_suspect(
    egnyte_sandbox, egnyte_account, make_user
):
    """A holder that came by after the claim, as only a bug or raw SQL could make one."""
    row_account = EgnyteAccount.objects.get()
    grant = row_account.grant_id
    row_account.delete()
    row = PendingRevocation.objects.get()
    original = revoke._end_token

    def meanwhile(claimed):
        outcome = original(claimed)
        EgnyteAccount.objects.create(
            user=make_user("late"), domain=row.domain, egnyte_user_id=5, grant_id=grant
        )
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revoke, "_end_token", meanwhile)
        assert process_revocations() == {"revoked": 1}
    assert EgnyteAccount.objects.get().status == "suspect"


def test_a_row_can_be_given_up_on_record(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    assert revoke.abandon(PendingRevocation.objects.get(), actor="admin:1")
    assert not PendingRevocation.objects.exists()
    event = AccountEvent.objects.get(kind=EventKind.ABANDONED)
    assert (event.actor, event.domain) == ("admin:1", "acme.egnyte.com")


def test_a_row_that_is_in_flight_or_being_revoked_cannot_be_given_up(egnyte_sandbox, egnyte_user):
    obtained = obtain(
        lambda client: client.exchange_code(code_for(egnyte_sandbox), REDIRECT, ()),
        host=HOST,
        user_ref=str(egnyte_user.pk),
        reason="authorization_code",
    )
    row = PendingRevocation.objects.get()
    assert not revoke.abandon(row, actor="admin:1")
    PendingRevocation.objects.write(not_before=hence(-1), claimed_until=hence(60), claim="another")
    assert not revoke.abandon(row, actor="admin:1")
    PendingRevocation.objects.write(not_before=hence(600), claimed_until=None, claim="")
    linking.prove_and_store(
        egnyte_user, obtained, host=HOST, scopes=(), flow="authorization_code", relink=None
    )
    assert not AccountEvent.objects.filter(kind=EventKind.ABANDONED).exists()
    assert not revoke.abandon(row, actor="admin:1")


def test_no_revocation_inside_a_transaction(egnyte_account):
    with transaction.atomic(), pytest.raises(InTransactionError):
        process_revocations()


def test_nothing_is_left_when_a_refreshed_account_goes(egnyte_sandbox, egnyte_account):
    for _ in range(3):
        refresh(EgnyteAccount.objects.get(), actor="task")
    EgnyteAccount.objects.get().delete()
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_a_claim_stays_what_it_was_made_as():
    assert_stays_as_made(revoke._Claimed)
