from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from django_egnyte.api import steps
from django_egnyte.api.steps import Step
from django_egnyte.choices import LeasedFor, Status
from django_egnyte.conf import LEASE
from django_egnyte.exceptions import TokenExpiredError
from django_egnyte.models import EgnyteAccount, EgnyteGrant
from django_egnyte.services import grants, leases
from django_egnyte.services.transactions import ago, hence
from tests.values import assert_stays_as_made

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleep() advances. Returns the sleeps in seconds."""
    slept: list[float] = []
    # Only for this module. The rest of the process uses the real clock.
    clock = SimpleNamespace(monotonic=lambda: 1000.0 + sum(slept))
    monkeypatch.setattr(leases, "time", clock)
    sleep_by(monkeypatch, slept.append)
    return slept


def sleep_by(monkeypatch, sleep):
    monkeypatch.setattr(steps, "sleep", lambda seconds: Step("sleep", sleep, seconds))


def leased(until=None):
    EgnyteGrant.objects.write(lease="somebody's", leased_until=until or hence(60))


def test_a_lease_stays_what_it_was_made_as():
    assert_stays_as_made(leases.Lease)


def test_a_lease_stands_on_the_grant_for_as_long_as_a_task_may_run(egnyte_account):
    with leases.hold(egnyte_account, LeasedFor.VERDICT, patience=0) as lease:
        grant = EgnyteGrant.objects.get()
        assert (grant.lease, grant.leased_for) == (lease.nonce, "verdict")
        assert (lease.account, lease.token) == (egnyte_account, egnyte_account.token)
        left = (grant.leased_until - timezone.now()).total_seconds()
        assert LEASE - 10 < left <= LEASE + 1
    grant = EgnyteGrant.objects.get()
    assert (grant.lease, grant.leased_until, grant.leased_for) == ("", None, "")


def test_without_patience_nobody_waits(egnyte_account, clock):
    leased()
    with (
        pytest.raises(TokenExpiredError) as caught,
        leases.hold(egnyte_account, LeasedFor.REFRESH, patience=0),
    ):
        pass
    assert caught.value.retryable
    assert (caught.value.host, caught.value.retry_after) == (egnyte_account.domain, 1.0)
    assert clock == []


def test_the_owner_is_waited_for_in_short_steps(egnyte_account, clock):
    leased()
    with (
        pytest.raises(TokenExpiredError),
        leases.hold(egnyte_account, LeasedFor.REFRESH, patience=3),
    ):
        pass
    assert 2.99 < sum(clock) < 3.3
    assert max(clock) < 0.3


def test_a_lease_that_ran_out_is_taken_without_waiting(egnyte_account, clock):
    leased(ago(1))
    with leases.hold(egnyte_account, LeasedFor.REFRESH, patience=3):
        pass
    assert clock == []


def test_the_lease_comes_free_while_somebody_waits(egnyte_account, clock, monkeypatch):
    leased()

    def sleep(seconds):
        clock.append(seconds)
        EgnyteGrant.objects.write(leased_until=ago(1))

    sleep_by(monkeypatch, sleep)
    with leases.hold(egnyte_account, LeasedFor.REFRESH, patience=3):
        pass
    assert len(clock) == 1


@pytest.mark.parametrize("how", ["another token", "revoked", "gone"])
def test_who_moved_is_not_leased(egnyte_account, how):
    if how == "another token":
        newer = grants.copied(egnyte_account.token, "another")
        EgnyteAccount.objects.write(token=newer)
    elif how == "revoked":
        EgnyteAccount.objects.write(status=Status.REVOKED)
    else:
        EgnyteAccount.objects.all()._raw_delete("default")
    with (
        pytest.raises(leases.Moved) as caught,
        leases.hold(egnyte_account, LeasedFor.REFRESH, patience=0),
    ):
        pass
    assert (caught.value.account == egnyte_account) is (how == "another token")
    assert EgnyteGrant.objects.get().lease == ""


def test_all_who_use_the_grant_are_leased_at_once(egnyte_sandbox, egnyte_account, make_user, link):
    egnyte_sandbox.policy.same_token = True
    twin, other = link(make_user("twin")), link(make_user("other"), username="bdoe")
    with leases.hold(egnyte_account, LeasedFor.REFRESH, patience=0):
        # Only the second one waits.
        with (
            pytest.raises(TokenExpiredError),
            leases.hold(twin, LeasedFor.REFRESH, patience=0),
        ):
            pass
        with leases.hold(other, LeasedFor.REFRESH, patience=0):
            pass
    assert not EgnyteGrant.objects.exclude(lease="").exists()


def test_what_was_tried_meanwhile_is_seen_first(egnyte_account, clock, monkeypatch):
    """A hundred waiting pages must not each repeat a refresh that has just failed."""
    leased()

    def sleep(seconds):
        clock.append(seconds)
        EgnyteGrant.objects.write(lease="", leased_until=None, refresh_attempts=1)

    sleep_by(monkeypatch, sleep)
    with leases.hold(egnyte_account, LeasedFor.REFRESH, patience=3) as lease:
        assert lease.grant.refresh_attempts == 1


def test_what_the_new_owner_took_is_not_given_back(egnyte_account):
    with leases.hold(egnyte_account, LeasedFor.REFRESH, patience=0):
        EgnyteGrant.objects.write(lease="the new owner's")
    grant = EgnyteGrant.objects.get()
    assert grant.lease == "the new owner's"
    assert grant.leased_until - timezone.now() > timedelta(seconds=60)
