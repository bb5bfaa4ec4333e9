from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from django_egnyte.choices import Status
from django_egnyte.conf import LEASE
from django_egnyte.exceptions import TokenExpiredError
from django_egnyte.models import EgnyteAccount
from django_egnyte.services import leases
from django_egnyte.services.transactions import ago, hence
from tests.values import assert_stays_as_made

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch):
    """Time stands still but for who sleeps; what was slept, in seconds."""
    slept: list[float] = []
    # For this module alone: the rest of the process goes by the real one.
    clock = SimpleNamespace(monotonic=lambda: 1000.0 + sum(slept), sleep=slept.append)
    monkeypatch.setattr(leases, "time", clock)
    return slept


def leased(until=None):
    EgnyteAccount.objects.write(lease="somebody's", leased_until=until or hence(60))


def test_a_lease_stays_what_it_was_made_as():
    assert_stays_as_made(leases.Lease)


def test_a_lease_stands_on_the_account_for_as_long_as_a_task_may_run(egnyte_account):
    with leases.hold(egnyte_account, patience=0) as lease:
        stored = EgnyteAccount.objects.get()
        assert (stored.lease, lease.rows) == (lease.nonce, (stored.pk,))
        left = (stored.leased_until - timezone.now()).total_seconds()
        assert LEASE - 10 < left <= LEASE + 1
    stored = EgnyteAccount.objects.get()
    assert (stored.lease, stored.leased_until) == ("", None)


def test_without_patience_nobody_waits(egnyte_account, clock):
    leased()
    with pytest.raises(TokenExpiredError) as caught, leases.hold(egnyte_account, patience=0):
        pass
    assert caught.value.retryable
    assert caught.value.host == egnyte_account.domain
    assert clock == []


def test_the_owner_is_waited_for_in_short_steps(egnyte_account, clock):
    leased()
    with pytest.raises(TokenExpiredError), leases.hold(egnyte_account, patience=3):
        pass
    assert 2.99 < sum(clock) < 3.3
    assert max(clock) < 0.3


def test_a_lease_that_ran_out_is_taken_without_waiting(egnyte_account, clock):
    leased(ago(1))
    with leases.hold(egnyte_account, patience=3):
        pass
    assert clock == []


def test_the_lease_comes_free_while_somebody_waits(egnyte_account, clock, monkeypatch):
    leased()

    def sleep(seconds):
        clock.append(seconds)
        EgnyteAccount.objects.write(leased_until=ago(1))

    monkeypatch.setattr(leases.time, "sleep", sleep)
    with leases.hold(egnyte_account, patience=3):
        pass
    assert len(clock) == 1


@pytest.mark.parametrize(
    ("changes", "left"),
    [({"token_id": 2}, True), ({"status": Status.REVOKED}, False)],
)
def test_who_moved_is_not_leased(egnyte_account, changes, left):
    EgnyteAccount.objects.write(**changes)
    with pytest.raises(leases.Moved) as caught, leases.hold(egnyte_account, patience=0):
        pass
    assert (caught.value.account == egnyte_account) is left
    assert EgnyteAccount.objects.get().lease == ""


def test_all_who_hold_the_refresh_token_are_leased_at_once(egnyte_account, make_user, link):
    twin = link(make_user("twin"))
    other = link(make_user("other"), username="bdoe")
    abroad = link(make_user("abroad"), domain="globex", username="mmiller")
    dead = link(make_user("dead"))
    same = egnyte_account.refresh_fingerprint
    for account in (twin, abroad, dead):
        EgnyteAccount.objects.filter(pk=account.pk).write(refresh_fingerprint=same)
    EgnyteAccount.objects.filter(pk=dead.pk).write(status=Status.REVOKED)
    with leases.hold(egnyte_account, patience=0) as lease:
        assert lease.rows == tuple(sorted((egnyte_account.pk, twin.pk)))
        held = EgnyteAccount.objects.exclude(lease="").values_list("lease", flat=True)
        assert list(held) == [lease.nonce] * 2
        # Whoever of them comes second waits; nobody else does.
        twin.refresh_from_db()
        with pytest.raises(TokenExpiredError), leases.hold(twin, patience=0):
            pass
        with leases.hold(other, patience=0) as second:
            assert second.rows == (other.pk,)
    assert not EgnyteAccount.objects.exclude(lease="").exists()


def test_accounts_without_a_refresh_token_have_nothing_in_common(egnyte_account, make_user, link):
    other = link(make_user("other"), username="bdoe")
    EgnyteAccount.objects.write(refresh_fingerprint="")
    egnyte_account.refresh_from_db()
    with leases.hold(egnyte_account, patience=0) as lease:
        assert lease.rows == (egnyte_account.pk,)
        other.refresh_from_db()
        with leases.hold(other, patience=0):
            pass


def test_what_the_new_owner_took_is_not_given_back(egnyte_account):
    with leases.hold(egnyte_account, patience=0):
        EgnyteAccount.objects.write(lease="the new owner's")
    stored = EgnyteAccount.objects.get()
    assert stored.lease == "the new owner's"
    assert stored.leased_until - timezone.now() > timedelta(seconds=60)
