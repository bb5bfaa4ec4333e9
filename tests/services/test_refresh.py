from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import timedelta
from itertools import product
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_egnyte.choices import EventKind, LeasedFor
from django_egnyte.conf import LEASE
from django_egnyte.exceptions import (
    DecryptionError,
    EgnyteError,
    InTransactionError,
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    TokenExpiredError,
    UnavailableError,
)
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.oauth import OAuthClient, TokenAnswer
from django_egnyte.secret import Secret
from django_egnyte.services import grants, sweep
from django_egnyte.services import refresh as refreshing
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence
from django_egnyte.services.validate import validate

from .conftest import all_due, arrive, grant_of, orphans, pending, refresh_token_of
from .rows import expired_now


def stored() -> EgnyteAccount:
    return EgnyteAccount.objects.with_token().get()


def is_well(sandbox: Any, account: EgnyteAccount) -> bool:
    return all(sandbox.is_alive(secret.reveal()) for secret in account.opened_token())


@pytest.mark.parametrize(
    ("rotates", "kills", "repeats", "as_string"), list(product([False, True], repeat=4))
)
def test_every_way_in_which_egnyte_may_refresh(
    egnyte_sandbox, egnyte_user, link, rotates, kills, repeats, as_string
):
    policy = egnyte_sandbox.policy
    policy.refresh_rotates, policy.refresh_kills_access = rotates, kills
    policy.refresh_repeats, policy.expires_in_as_string = repeats, as_string
    account = link(egnyte_user)
    old_access, old_refresh = account.open_token(), refresh_token_of(account)
    new = refresh(account, actor="task")
    assert new == stored() and stored().token_id != account.token_id
    assert stored().open_token() != old_access
    assert (refresh_token_of(new) != old_refresh) is rotates
    assert is_well(egnyte_sandbox, stored())
    assert timedelta(days=29) < new.expires_at - timezone.now() <= timedelta(days=30)
    # The old token stays in the grant: revoking it would end the refresh token, too.
    assert EgnyteToken.objects.filter(grant=grant_of(new)).count() == 2
    assert pending() == []
    disconnect(new.pk, actor="user:1")
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteToken.objects.exists()


@pytest.mark.parametrize(
    "work",
    [
        lambda account: refresh(account, actor="task"),
        lambda account: validate(account.pk, actor="t"),
    ],
    ids=["refresh", "validation"],
)
def test_what_is_on_its_way_to_an_account_is_not_revoked(
    egnyte_sandbox, egnyte_user, make_user, link, monkeypatch, work
):
    """Another user of the same Egnyte identity gets the new tokens first, and disconnects."""
    egnyte_sandbox.policy.same_token = True
    account = link(egnyte_user)
    egnyte_sandbox.advance(31 * 24 * 3600)
    expired_now()
    ask = OAuthClient.refresh

    def answered_late(client: OAuthClient, refresh_token: Secret) -> TokenAnswer:
        answer = ask(client, refresh_token)
        another = link(make_user("another"))
        assert another.open_token() == answer.access_token.reveal()
        another.delete()
        assert process_revocations() == {"skipped": 1}
        return answer

    monkeypatch.setattr(OAuthClient, "refresh", answered_late)
    work(account)
    assert stored().token_id != account.token_id and is_well(egnyte_sandbox, stored())
    assert process_revocations() == {}  # the two grants have become one
    assert is_well(egnyte_sandbox, stored())
    disconnect(account.pk, actor="user:1")
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []


def test_only_a_new_token_waits_for_a_refresh_in_flight(egnyte_sandbox, many):
    refreshed, old = many(2)
    assert grants.lease(refreshed.token.grant_id, LeasedFor.REFRESH)
    old.delete()
    assert process_revocations() == {"skipped": 1}
    EgnyteToken.objects.write(created_at=timezone.now() - timedelta(seconds=LEASE + 1))
    assert process_revocations() == {"revoked": 1}


def test_a_refresh_at_another_host_holds_up_no_revocation(egnyte_sandbox, make_user, link):
    refreshed = link(make_user("one"), domain="globex", username="mmiller")
    assert grants.lease(refreshed.token.grant_id, LeasedFor.REFRESH)
    link(make_user("two")).delete()
    assert process_revocations() == {"revoked": 1}


def test_a_superseded_token_goes_when_it_has_expired(egnyte_sandbox, egnyte_account):
    first = refresh(egnyte_account, actor="task")
    EgnyteToken.objects.exclude(pk=first.token_id).write(expires_at=timezone.now())
    second = refresh(first, actor="task")
    assert set(EgnyteToken.objects.values_list("pk", flat=True)) == {
        first.token_id, second.token_id
    }  # fmt: skip
    assert is_well(egnyte_sandbox, stored())


def test_all_who_use_the_grant_get_the_new_token(egnyte_sandbox, egnyte_account, make_user, link):
    egnyte_sandbox.policy.same_token = egnyte_sandbox.policy.refresh_rotates = True
    twin = link(make_user("twin"))
    assert refresh(egnyte_account, actor="task") == egnyte_account
    one, two = EgnyteAccount.objects.with_token().order_by("pk")
    assert one.opened_token() == two.opened_token()
    assert two.token_id != twin.token_id
    assert refresh(two, actor="task") == two
    one, two = EgnyteAccount.objects.with_token().order_by("pk")
    one.delete()
    process_revocations()
    assert is_well(egnyte_sandbox, two)
    two.delete()
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []


def test_ten_threads_make_one_refresh(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.policy.refresh_rotates = True
    egnyte_sandbox.faults.add(grant_type="refresh_token", delay=0.3, times=None)
    barrier = threading.Barrier(10)
    tokens: list[str] = []

    def run() -> None:
        barrier.wait()
        try:
            tokens.append(refresh(egnyte_account, actor="client").open_token())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert len(tokens) == 10 and len(set(tokens)) == 1


def test_a_refresh_that_brings_the_same_tokens_prolongs_them(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    """Otherwise it would stay due, and be made again by every sweep."""
    access, refresh_token = egnyte_account.opened_token()
    calls: list[int] = []

    def repeat(client: OAuthClient, given: Secret) -> TokenAnswer:
        calls.append(1)
        return TokenAnswer(access, refresh_token, 3600)

    monkeypatch.setattr(OAuthClient, "refresh", repeat)
    EgnyteToken.objects.write(expires_at=timezone.now())
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    for _ in range(3):
        sweep.refresh_due(actor="task")
    assert len(calls) == 1
    assert not stored().token.is_expired
    assert grant_of(egnyte_account).next_refresh_at > timezone.now()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, UnavailableError),
        ({"reset": True}, UnavailableError),
        ({"status": 409, "headers": {"Retry-After": "60"}}, RateLimitedError),
    ],
)
def test_a_transient_failure_keeps_the_token(egnyte_sandbox, egnyte_account, fault, error):
    egnyte_sandbox.faults.add(grant_type="refresh_token", **fault)
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    with pytest.raises(error):
        refresh(egnyte_account, actor="task")
    assert (stored().token, stored().status) == (egnyte_account.token, "active")
    grant = grant_of(egnyte_account)
    assert timezone.now() < grant.next_refresh_at < timezone.now() + timedelta(hours=1)
    assert (grant.lease, grant.leased_until, grant.refresh_attempts) == ("", None, 1)


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"html": True}])
def test_a_failing_refresh_is_asked_for_once(egnyte_sandbox, egnyte_account, fault):
    """A hundred page views of one user must not use up the key's hour for everybody."""
    egnyte_sandbox.faults.add(grant_type="refresh_token", times=None, **fault)
    EgnyteToken.objects.write(expires_at=timezone.now())
    with pytest.raises(EgnyteError):
        stored().client.userinfo()
    for _ in range(100):
        with pytest.raises(TokenExpiredError) as caught:
            stored().client.userinfo()
        assert 0 < caught.value.retry_after <= 60
    assert egnyte_sandbox.counts["token"] == 1
    assert (grant_of(egnyte_account).next_refresh_at - timezone.now()) < timedelta(minutes=1)


def test_many_pages_at_once_ask_once_when_the_refresh_fails(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.faults.add(grant_type="refresh_token", status=503, delay=0.3, times=None)
    barrier, errors = threading.Barrier(8), []

    def run() -> None:
        barrier.wait()
        try:
            refresh(egnyte_account, actor="client")
        except EgnyteError as error:
            errors.append(type(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert egnyte_sandbox.counts["token"] == 1
    assert sorted(error.__name__ for error in errors) == (
        ["TokenExpiredError"] * 7 + ["UnavailableError"]
    )


def test_a_failing_refresh_is_tried_again_when_its_time_has_come(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.faults.add(grant_type="refresh_token", status=503)
    with pytest.raises(UnavailableError):
        refresh(egnyte_account, actor="task")
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}
    grant = grant_of(egnyte_account)
    assert (grant.refresh_attempts, grant.last_error) == (0, "")


def test_an_answer_lost_after_the_rotation_keeps_the_account_until_its_token_expires(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.policy.refresh_rotates = True
    egnyte_sandbox.faults.add(grant_type="refresh_token", acted=True, reset=True)
    with pytest.raises(UnavailableError):
        refresh(egnyte_account, actor="task")
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    with pytest.raises(InvalidGrantError):
        refresh(stored(), actor="task")
    assert validate(egnyte_account.pk, actor="task") == "alive"
    assert stored().status == "active"
    assert "reconnect" in stored().status_reason
    grant = grant_of(egnyte_account)
    assert grant.next_refresh_at is None and grant.refresh_refused_at is not None
    assert egnyte_sandbox.is_alive(stored().open_token())
    assert AccountEvent.objects.filter(kind=EventKind.REFRESH_REFUSED).count() == 1
    disconnect(egnyte_account.pk, actor="user:1")
    process_revocations()
    assert not egnyte_sandbox.is_alive(egnyte_account.open_token())


def killed_before_it_pointed(account, monkeypatch):
    """A refresh whose process was stopped after its answer was stored."""
    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "due_on_failure", lambda token: nullcontext())
        patch.setattr(refreshing, "_point", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            refresh(account, actor="task")
    return EgnyteToken.objects.order_by("pk").last()


@pytest.mark.parametrize("revoker_first", [False, True])
@pytest.mark.parametrize("rotates", [False, True])
def test_a_refresh_that_was_killed_is_finished_by_the_next(
    egnyte_sandbox, egnyte_account, monkeypatch, rotates, revoker_first
):
    policy = egnyte_sandbox.policy
    policy.refresh_rotates = policy.refresh_kills_access = rotates
    brought = killed_before_it_pointed(egnyte_account, monkeypatch)
    if revoker_first:
        all_due()
        assert process_revocations() == {}
    new = refresh(egnyte_account, actor="task")
    assert new.token_id == brought.pk
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert is_well(egnyte_sandbox, new)
    assert timedelta(days=29) < new.expires_at - timezone.now() <= timedelta(days=30)
    assert refresh(new, actor="task").token_id != brought.pk
    disconnect(new.pk, actor="user:1")
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteToken.objects.exists()


@pytest.mark.parametrize(("seconds", "of_use"), [(-60, False), (60, True), (None, True)])
def test_what_a_killed_refresh_brought_is_of_use_until_it_expires(
    egnyte_sandbox, egnyte_account, monkeypatch, seconds, of_use
):
    egnyte_sandbox.policy.refresh_rotates = False
    brought = killed_before_it_pointed(egnyte_account, monkeypatch)
    ends = None if seconds is None else timezone.now() + timedelta(seconds=seconds)
    EgnyteToken.objects.filter(pk=brought.pk).write(expires_at=ends)
    assert (refresh(egnyte_account, actor="task").token_id == brought.pk) is of_use


def test_what_a_killed_refresh_brought_is_left_where_no_key_opens_it(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    egnyte_sandbox.policy.refresh_rotates = False
    brought = killed_before_it_pointed(egnyte_account, monkeypatch)
    EgnyteToken.objects.filter(pk=brought.pk).write(seal_id="0" * 32)
    assert refresh(egnyte_account, actor="task").token_id != brought.pk
    assert EgnyteToken.objects.filter(pk=brought.pk).exists()


def lose_connection() -> None:
    """Close this thread's connection, as a failover does. Does nothing on SQLite."""
    if connection.vendor == "sqlite":
        return
    if connection.vendor == "postgresql":
        number, statement = (
            connection.connection.info.backend_pid,
            "SELECT pg_terminate_backend(%s)",
        )
    else:
        number, statement = connection.connection.thread_id(), "KILL %s"

    def end() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, [number])
        connection.close()

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()


@pytest.mark.parametrize("rotates", [False, True])
def test_a_connection_that_is_lost_during_the_call_costs_no_token(
    egnyte_sandbox, egnyte_account, monkeypatch, rotates
):
    egnyte_sandbox.policy.refresh_rotates = rotates
    real = OAuthClient.refresh

    def losing(self: OAuthClient, refresh_token: Secret) -> TokenAnswer:
        answer = real(self, refresh_token)
        lose_connection()
        return answer

    monkeypatch.setattr(OAuthClient, "refresh", losing)
    new = refresh(egnyte_account, actor="task")
    assert new.token_id != egnyte_account.token_id
    assert is_well(egnyte_sandbox, new)


# Meanwhile

# Other values in the answer of a refresh.
BRINGS = ["a new refresh token", "the same refresh token", "no refresh token"]


def refresh_brings(sandbox: Any, what: str) -> None:
    sandbox.policy.refresh_rotates = what == BRINGS[0]
    sandbox.policy.refresh_repeats = what == BRINGS[1]


class Slow:
    """A refresh whose request waits until the test releases it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, account: EgnyteAccount) -> None:
        self.called, self.go_on = threading.Event(), threading.Event()
        self.outcome: Any = None
        real = OAuthClient.refresh

        def slow(client: OAuthClient, refresh_token: Secret) -> TokenAnswer:
            self.called.set()
            assert self.go_on.wait(10)
            return real(client, refresh_token)

        def run() -> None:
            try:
                self.outcome = refresh(account, actor="task", patience=0)
            except EgnyteError as error:
                self.outcome = error
            finally:
                connection.close()

        with monkeypatch.context() as patch:
            patch.setattr(OAuthClient, "refresh", slow)
            self.thread = threading.Thread(target=run)
            self.thread.start()
            assert self.called.wait(10)

    def finish(self) -> Any:
        self.go_on.set()
        self.thread.join()
        return self.outcome


@pytest.mark.parametrize("brings", BRINGS)
def test_a_relink_that_brings_the_same_tokens_during_a_refresh(
    egnyte_sandbox, egnyte_account, egnyte_user, link, monkeypatch, brings
):
    egnyte_sandbox.policy.same_token = True
    refresh_brings(egnyte_sandbox, brings)
    slow = Slow(monkeypatch, egnyte_account)
    assert link(egnyte_user).token_id == egnyte_account.token_id
    with pytest.raises(TokenExpiredError):
        refresh(stored(), actor="task", patience=0)
    assert slow.finish() == egnyte_account
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert is_well(egnyte_sandbox, stored())
    assert (grant_of(stored()).lease, pending()) == ("", [])


def test_a_relink_with_other_tokens_during_a_refresh_is_no_end_of_the_link(
    egnyte_sandbox, egnyte_account, egnyte_user, link, monkeypatch
):
    slow = Slow(monkeypatch, egnyte_account)
    again = link(egnyte_user)
    assert slow.finish() == again
    assert stored().token_id == again.token_id
    process_revocations()
    assert is_well(egnyte_sandbox, stored())
    assert orphans(egnyte_sandbox) == set()


@pytest.mark.parametrize("kills", [False, True])
@pytest.mark.parametrize("brings", BRINGS)
def test_a_disconnect_during_a_refresh_leaves_no_token(
    egnyte_sandbox, egnyte_account, monkeypatch, brings, kills
):
    """If Egnyte repeats the refresh token, the app must not refresh in a loop."""
    refresh_brings(egnyte_sandbox, brings)
    egnyte_sandbox.policy.refresh_kills_access = kills
    slow = Slow(monkeypatch, egnyte_account)
    disconnect(egnyte_account.pk, actor="user:1")
    assert process_revocations() == {}  # the refresh has the lease
    assert isinstance(slow.finish(), NotLinkedError)
    assert process_revocations() == {"revoked": 1}
    assert process_revocations() == {}
    assert egnyte_sandbox.live_tokens() == []
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


@pytest.mark.parametrize("revoker_comes", [False, True])
@pytest.mark.parametrize("brings", BRINGS)
def test_two_users_disconnect_with_a_refresh_between(
    egnyte_sandbox, egnyte_account, make_user, link, brings, revoker_comes
):
    egnyte_sandbox.policy.same_token = True
    refresh_brings(egnyte_sandbox, brings)
    other = link(make_user("other"))
    disconnect(egnyte_account.pk, actor="user:1")
    if revoker_comes:
        assert process_revocations() == {"held": 1}
    new = refresh(EgnyteAccount.objects.with_token().get(pk=other.pk), actor="task")
    process_revocations()
    assert is_well(egnyte_sandbox, new)
    disconnect(other.pk, actor="user:2")
    for _ in range(3):
        process_revocations()
    assert egnyte_sandbox.live_tokens() == []
    assert not EgnyteGrant.objects.exists()
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_lease_that_is_lost_during_the_call_costs_no_token(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    slow = Slow(monkeypatch, egnyte_account)
    EgnyteGrant.objects.write(lease="the new owner's", leased_until=hence(60))
    error = slow.finish()
    assert isinstance(error, TokenExpiredError) and error.retry_after == 1
    EgnyteGrant.objects.write(lease="", leased_until=None)
    process_revocations()
    assert is_well(egnyte_sandbox, refresh(stored(), actor="task"))
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert orphans(egnyte_sandbox) == set()


# Tokens that are not refreshed


def test_a_refresh_token_that_no_key_opens_waits_for_its_next_time(egnyte_sandbox, egnyte_account):
    EgnyteToken.objects.write(seal_id="0" * 32)
    EgnyteGrant.objects.write(next_refresh_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(DecryptionError):
        refresh(stored(), actor="task")
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_a_refused_token_is_asked_about_once(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.set_password("acme", "jsmith", "new-password-1")
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    for _ in range(3):
        sweep.refresh_due(actor="task")
        with pytest.raises(InvalidGrantError):
            refresh(stored(), actor="task")
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert stored().is_live


def test_an_answer_that_may_not_be_used_is_not_what_a_refresh_finishes_with(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.policy.refresh_rotates = False
    egnyte_sandbox.faults.add(grant_type="refresh_token", truncate=60)
    with pytest.raises(EgnyteError):
        refresh(egnyte_account, actor="task")
    cut = EgnyteToken.objects.order_by("pk").last()
    assert (cut.generation, stored().token_id) == (0, egnyte_account.token_id)
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    assert refresh(stored(), actor="task").token_id != cut.pk


def test_both_tokens_refused_is_a_verdict_of_the_validation(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    with pytest.raises(InvalidGrantError):
        refresh(egnyte_account, actor="task")
    assert sweep.validate_due(actor="task") == {"dead": 1}
    assert (stored().status, stored().token) == ("revoked", None)
    assert process_revocations() == {"dead": 1}
    assert not EgnyteGrant.objects.exists()


def test_a_refused_refresh_token_decides_nothing_while_userinfo_is_out(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    egnyte_sandbox.faults.add(path="/userinfo", status=503)
    with pytest.raises(InvalidGrantError):
        refresh(egnyte_account, actor="task")
    assert validate(egnyte_account.pk, actor="task") == "unknown"
    assert (stored().status, stored().token) == ("active", egnyte_account.token)


def test_a_lease_that_is_held_is_waited_for_and_one_that_ran_out_is_taken(egnyte_account):
    EgnyteGrant.objects.write(lease="another", leased_until=hence(60))
    with pytest.raises(TokenExpiredError):
        refresh(egnyte_account, actor="task", patience=0.2)
    EgnyteGrant.objects.write(leased_until=hence(-1))
    assert refresh(egnyte_account, actor="task").token_id != egnyte_account.token_id


def test_who_comes_late_gets_what_the_winner_stored(egnyte_sandbox, egnyte_account):
    new = refresh(egnyte_account, actor="task")
    assert refresh(egnyte_account, actor="task").token_id == new.token_id
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_no_refresh_inside_a_transaction(egnyte_sandbox, egnyte_account):
    with transaction.atomic(), pytest.raises(InTransactionError):
        refresh(egnyte_account, actor="task")
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_a_token_of_another_api_key_is_not_refreshed(egnyte_sandbox, egnyte_account, settings):
    """Its secret would be the wrong one."""
    settings.EGNYTE_CLIENT_ID = "another-key"
    with pytest.raises(NotLinkedError) as caught:
        refresh(egnyte_account, actor="task")
    assert "reconnect" in caught.value.hint
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    assert sweep.refresh_due(actor="task") == {}
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_the_revoker_waits_for_a_refresh(egnyte_account, egnyte_user):
    token = arrive(egnyte_user, "another")
    all_due()
    assert grants.lease(token.grant_id, LeasedFor.REFRESH)
    assert process_revocations() == {}


def test_a_grant_without_a_newest_token_gets_one_by_a_refresh(egnyte_sandbox, egnyte_account):
    EgnyteGrant.objects.write(**grants.NO_NEWEST)
    assert is_well(egnyte_sandbox, refresh(egnyte_account, actor="task"))
    assert grants.newest_of(grant_of(stored()).pk, "").pk == stored().token_id
