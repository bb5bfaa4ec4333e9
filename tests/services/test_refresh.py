from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import timedelta
from itertools import product
from unittest.mock import Mock

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_egnyte.choices import EventKind
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
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    KeyState,
    PendingRevocation,
    new_id,
)
from django_egnyte.oauth import OAuthClient, TokenAnswer
from django_egnyte.services import budget, leases, sweep
from django_egnyte.services import refresh as refreshing
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.outbox import SUPERSEDED
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence

from .conftest import all_due, orphans


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
    old_access, old_refresh = account.open_token(), account.opened_token().refresh_token.reveal()
    new = refresh(account, actor="task")
    stored = EgnyteAccount.objects.get()
    assert new == stored and stored.token_id == 2
    assert stored.open_token() != old_access
    assert (stored.opened_token().refresh_token.reveal() != old_refresh) is rotates
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert egnyte_sandbox.is_alive(stored.opened_token().refresh_token.reveal())
    assert timedelta(days=29) < stored.expires_at - timezone.now() <= timedelta(days=30)
    # The old token waits: to revoke it would kill the grant.
    row = PendingRevocation.objects.get()
    assert (row.reason, row.grant_id, row.opened_token().refresh_token.reveal()) == (
        "superseded",
        stored.grant_id,
        "",
    )
    all_due()
    assert process_revocations() == {"waiting": 1}
    assert egnyte_sandbox.is_alive(stored.open_token())
    disconnect(stored.pk, actor="user:1")
    assert sum(process_revocations().values()) == 2
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_a_superseded_token_goes_when_it_expires(egnyte_sandbox, egnyte_account):
    refresh(egnyte_account, actor="task")
    PendingRevocation.objects.write(expires_at=timezone.now() - timedelta(seconds=1))
    all_due()
    assert process_revocations() == {"expired": 1}
    assert egnyte_sandbox.is_alive(EgnyteAccount.objects.get().open_token())


def test_all_who_hold_the_refresh_token_get_the_new_one(egnyte_sandbox, egnyte_account, make_user):
    twin = EgnyteAccount(
        user=make_user("twin"),
        domain=egnyte_account.domain,
        egnyte_user_id=121,
        username="jsmith",
        access_token=egnyte_account.open_token(),
        refresh_token=egnyte_account.opened_token().refresh_token.reveal(),
        token_fingerprint=egnyte_account.token_fingerprint,
        refresh_fingerprint=egnyte_account.refresh_fingerprint,
        grant_id=egnyte_account.grant_id,
        expires_at=egnyte_account.expires_at,
    )
    twin.save()
    egnyte_sandbox.policy.refresh_rotates = True
    assert refresh(egnyte_account, actor="task") == egnyte_account
    one, two = EgnyteAccount.objects.order_by("pk")
    assert one.open_token() == two.open_token()
    assert one.opened_token().refresh_token.reveal() == two.opened_token().refresh_token.reveal()
    assert egnyte_sandbox.is_alive(two.opened_token().refresh_token.reveal())
    assert refresh(two, actor="task") == two
    one, two = EgnyteAccount.objects.order_by("pk")
    one.delete()
    all_due()
    process_revocations()
    assert egnyte_sandbox.is_alive(two.open_token())
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
            tokens.append(refresh(egnyte_account, actor="client").access_token)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert len(tokens) == 10 and len(set(tokens)) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, UnavailableError),
        ({"reset": True}, UnavailableError),
        ({"status": 409, "headers": {"Retry-After": "60"}}, RateLimitedError),
    ],
)
def test_a_transient_failure_keeps_the_token(egnyte_sandbox, egnyte_account, fault, error):
    token = egnyte_account.open_token()
    egnyte_sandbox.faults.add(grant_type="refresh_token", **fault)
    before = egnyte_account.next_refresh_at
    EgnyteAccount.objects.write(next_refresh_at=timezone.now())
    with pytest.raises(error):
        refresh(EgnyteAccount.objects.get(), actor="task")
    stored = EgnyteAccount.objects.get()
    assert (stored.open_token(), stored.status, stored.token_id) == (token, "active", 1)
    assert timezone.now() < stored.next_refresh_at < before
    assert (stored.lease, stored.leased_until) == ("", None)


def test_an_answer_lost_after_the_rotation_keeps_the_account_until_its_token_expires(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.policy.refresh_rotates = True
    egnyte_sandbox.faults.add(grant_type="refresh_token", acted=True, reset=True)
    with pytest.raises(UnavailableError):
        refresh(egnyte_account, actor="task")
    with pytest.raises(InvalidGrantError):
        refresh(EgnyteAccount.objects.get(), actor="task")
    stored = EgnyteAccount.objects.get()
    assert stored.status == "active" and stored.opened_token().refresh_token.reveal() == ""
    assert "reconnect" in stored.status_reason
    assert stored.next_refresh_at is None
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert AccountEvent.objects.filter(kind=EventKind.REFRESH_REFUSED).exists()
    disconnect(stored.pk, actor="user:1")
    process_revocations()
    assert not egnyte_sandbox.is_alive(stored.open_token())


def killed_before_it_stored(account, monkeypatch):
    """A refresh whose process died with its answer in the outbox."""
    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "due_on_failure", lambda row: nullcontext())
        patch.setattr(refreshing, "_store", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            refresh(account, actor="task")


@pytest.mark.parametrize("rotates", [False, True])
def test_a_refresh_that_was_killed_before_it_stored_is_finished_by_the_next(
    egnyte_sandbox, egnyte_account, monkeypatch, rotates
):
    policy = egnyte_sandbox.policy
    policy.refresh_rotates = policy.refresh_kills_access = rotates
    killed_before_it_stored(egnyte_account, monkeypatch)
    brought = PendingRevocation.objects.get().fingerprint
    new = refresh(egnyte_account, actor="task")
    assert new.token_fingerprint == brought
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert egnyte_sandbox.is_alive(new.open_token())
    assert egnyte_sandbox.is_alive(new.opened_token().refresh_token.reveal())
    assert timedelta(days=29) < new.expires_at - timezone.now() <= timedelta(days=30)
    assert refresh(new, actor="task").token_fingerprint != brought
    disconnect(new.pk, actor="user:1")
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_what_a_killed_refresh_brought_is_found_even_after_the_revoker_came_by(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    egnyte_sandbox.policy.refresh_rotates = True
    killed_before_it_stored(egnyte_account, monkeypatch)
    brought = PendingRevocation.objects.get().fingerprint
    all_due()
    assert process_revocations() == {"waiting": 1}
    assert refresh(EgnyteAccount.objects.get(), actor="task").token_fingerprint == brought
    stored = EgnyteAccount.objects.get()
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert egnyte_sandbox.is_alive(stored.opened_token().refresh_token.reveal())
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_superseded_token_is_not_taken_for_what_a_killed_refresh_brought(
    egnyte_sandbox, egnyte_account
):
    """A relink's own answer may outlive its process, too; what the account holds is newer."""
    egnyte_sandbox.policy.refresh_rotates = True
    old = EgnyteAccount.objects.get()
    stale = PendingRevocation.objects.create(
        domain=old.domain,
        user_ref=str(old.user_id),
        account_ref=old.pk,
        seal_id=new_id(),
        access_token=old.open_token(),
        refresh_token=old.opened_token().refresh_token.reveal(),
        fingerprint=old.token_fingerprint,
        refresh_fingerprint=old.refresh_fingerprint,
        grant_id=old.grant_id,
        expires_at=old.expires_at,
        reason="connect",
    )
    held = refresh(old, actor="task")
    all_due()
    assert process_revocations()["waiting"] == 2
    assert PendingRevocation.objects.get(pk=stale.pk).reason == SUPERSEDED
    new = refresh(held, actor="task")
    assert new.token_fingerprint not in (old.token_fingerprint, held.token_fingerprint)
    assert egnyte_sandbox.is_alive(new.open_token())
    assert egnyte_sandbox.is_alive(new.opened_token().refresh_token.reveal())


def lose_connection() -> None:
    """End this thread's connection, as a failover does; a SQLite file cannot be lost."""
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

    def losing(self: OAuthClient, refresh_token: str) -> TokenAnswer:
        answer = real(self, refresh_token)
        lose_connection()
        return answer

    monkeypatch.setattr(OAuthClient, "refresh", losing)
    new = refresh(egnyte_account, actor="task")
    assert new.token_id == 2
    assert egnyte_sandbox.is_alive(new.open_token()) and egnyte_sandbox.is_alive(
        new.opened_token().refresh_token.reveal()
    )


def test_a_relink_with_the_same_refresh_token_leaves_the_lease_to_its_owner(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    egnyte_sandbox.policy.same_token = egnyte_sandbox.policy.refresh_rotates = True
    real = OAuthClient.refresh
    called, go_on = threading.Event(), threading.Event()

    def slow(self: OAuthClient, refresh_token: str) -> TokenAnswer:
        called.set()
        assert go_on.wait(10)
        return real(self, refresh_token)

    def run() -> None:
        try:
            refresh(EgnyteAccount.objects.get(), actor="task", patience=0)
        finally:
            connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OAuthClient, "refresh", slow)
        thread = threading.Thread(target=run)
        thread.start()
        assert called.wait(10)
        assert link(egnyte_user).refresh_fingerprint == egnyte_account.refresh_fingerprint
        with pytest.raises(TokenExpiredError):
            refresh(EgnyteAccount.objects.get(), actor="task", patience=0)
        go_on.set()
        thread.join()
    stored = EgnyteAccount.objects.get()
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert egnyte_sandbox.is_alive(stored.opened_token().refresh_token.reveal())
    assert stored.lease == ""


def test_a_refresh_token_that_no_key_opens_waits_for_its_next_time(egnyte_sandbox, egnyte_account):
    EgnyteAccount.objects.write(seal_id="0" * 32)
    due = timezone.now() - timedelta(hours=1)
    EgnyteAccount.objects.update(next_refresh_at=due)
    with pytest.raises(DecryptionError):
        refresh(EgnyteAccount.objects.get(), actor="task")
    assert EgnyteAccount.objects.get().next_refresh_at > timezone.now()


def test_a_refused_account_is_not_asked_about_again_while_verdicts_are_paused(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.set_password("acme", "jsmith", "new-password-1")
    budget.prepare()
    KeyState.objects.update(verdicts_paused_at=timezone.now())
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    for _ in range(3):
        sweep.refresh_due(actor="task")
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert EgnyteAccount.objects.get().status == "suspect"


def test_an_answer_that_may_not_be_used_is_not_what_a_refresh_finishes_with(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.faults.add(grant_type="refresh_token", truncate=60)
    with pytest.raises(EgnyteError):
        refresh(egnyte_account, actor="task")
    cut = PendingRevocation.objects.get().fingerprint
    assert refresh(egnyte_account, actor="task").token_fingerprint != cut


def test_both_tokens_refused_is_a_verdict(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    with pytest.raises(InvalidGrantError):
        refresh(egnyte_account, actor="task")
    stored = EgnyteAccount.objects.get()
    assert (stored.status, stored.open_token(), stored.token_id) == ("revoked", "", 2)
    assert process_revocations() == {"dead": 1}
    assert not PendingRevocation.objects.exists()


def test_a_refused_refresh_token_decides_nothing_while_userinfo_is_out(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    egnyte_sandbox.faults.add(path="/userinfo", status=503)
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    with pytest.raises(UnavailableError):
        refresh(egnyte_account, actor="task")
    stored = EgnyteAccount.objects.get()
    assert (stored.status, stored.token_id, stored.attempts) == ("active", 1, 1)
    assert stored.refresh_fingerprint == egnyte_account.refresh_fingerprint
    assert stored.next_refresh_at > timezone.now()


def test_an_account_that_left_during_the_refresh_leaves_no_token(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.faults.add(grant_type="refresh_token", delay_after=0.5)
    failures = []

    def run() -> None:
        try:
            refresh(egnyte_account, actor="task")
        except NotLinkedError as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    while not egnyte_sandbox.counts["token:refresh_token"]:
        pass
    disconnect(egnyte_account.pk, actor="user:1")
    thread.join()
    assert len(failures) == 1
    process_revocations()
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_a_lease_that_is_held_is_waited_for_and_one_that_ran_out_is_taken(egnyte_account):
    EgnyteAccount.objects.write(lease="another", leased_until=hence(60))
    with pytest.raises(TokenExpiredError):
        refresh(egnyte_account, actor="task", patience=0.2)
    EgnyteAccount.objects.write(leased_until=hence(-1))
    assert refresh(egnyte_account, actor="task").token_id == 2


def test_who_comes_late_gets_what_the_winner_stored(egnyte_sandbox, egnyte_account):
    stale = EgnyteAccount.objects.get()
    refresh(egnyte_account, actor="task")
    assert refresh(stale, actor="task").token_id == 2
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_the_owner_of_a_lost_lease_releases_nothing_of_the_new_owners(egnyte_account):
    with leases.hold(egnyte_account, patience=0):
        EgnyteAccount.objects.write(lease="another", leased_until=hence(60))
    assert EgnyteAccount.objects.get().lease == "another"


def test_no_refresh_inside_a_transaction(egnyte_sandbox, egnyte_account):
    with transaction.atomic(), pytest.raises(InTransactionError):
        refresh(egnyte_account, actor="task")
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_a_refresh_ends_a_suspicion(egnyte_sandbox, egnyte_account):
    EgnyteAccount.objects.write(status="suspect", status_reason="401")
    new = refresh(EgnyteAccount.objects.get(), actor="task")
    assert (new.status, new.status_reason) == ("active", "")
    assert orphans(egnyte_sandbox) == set()
