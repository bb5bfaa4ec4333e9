from __future__ import annotations

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone

from django_egnyte.api import steps
from django_egnyte.exceptions import RateLimitedError, UnavailableError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, HostState
from django_egnyte.services import hosts, runner, sweep
from django_egnyte.services.runner import Pass
from django_egnyte.services.transactions import hence
from tests.values import assert_stays_as_made

from .conftest import due_now
from .rows import MINUTE, expired_now, generations, refreshes_due


def a_pass():
    return Pass("test", seconds=60, put_off=lambda row, error: None)


@pytest.fixture
def sizes(monkeypatch):
    """Smaller sizes than a site needs."""

    def make(**values):
        for name, value in values.items():
            monkeypatch.setattr(sweep, name, value)

    return make


def claimed(**options):
    return [len(ids) for ids in sweep.claim_due(**options)]


@pytest.mark.parametrize(
    ("now_only", "lists"),
    [
        (None, [2, 1, 2, 1, 1]),
        (0, []),
        (1, [1]),
        (3, [2, 1]),
        (4, [2, 1, 1]),
        (99, [2, 1, 2, 1, 1]),
    ],
)
def test_what_is_due_is_claimed_in_chunks_and_given_in_batches(many, sizes, now_only, lists):
    many(7)
    due_now()
    sizes(CHUNK=3, BATCH=2)
    assert claimed(now_only=now_only) == lists


def test_a_claim_lasts_for_a_quarter_of_an_hour(many):
    many(1)
    due_now()
    assert claimed() == [1]
    left = EgnyteAccount.objects.get().next_validation_at - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


def test_no_domain_takes_more_than_its_share(many, sizes, make_user, link):
    accounts = many(3)
    others = [
        link(make_user(f"other{number}"), domain="globex", username="mmiller")
        for number in range(2)
    ]
    due_now()
    EgnyteAccount.objects.filter(pk__in=[each.pk for each in others]).update(
        next_validation_at=timezone.now() - timedelta(seconds=1)
    )
    sizes(CHUNK=1, PER_DOMAIN=2)
    found = [pk for ids in sweep.claim_due() for pk in ids]
    assert set(found[:2]) < {each.pk for each in accounts}
    assert sorted(found[2:]) == sorted(each.pk for each in others)
    # The next sweep claims the remaining accounts.
    assert claimed() == [1]


def test_those_who_wait_longest_come_first(many):
    accounts = many(3)
    for hours, each in enumerate(accounts):
        EgnyteAccount.objects.filter(pk=each.pk).update(
            next_validation_at=timezone.now() - timedelta(hours=1 + hours)
        )
    found = [pk for ids in sweep.claim_due() for pk in ids]
    assert found == [each.pk for each in reversed(accounts)]


def test_a_held_off_host_is_not_claimed(many, make_user, link):
    many(2)
    other = link(make_user("other"), domain="globex", username="mmiller")
    due_now()
    hosts.note_unreachable("acme.egnyte.com", UnavailableError("No answer."))
    assert [pk for ids in sweep.claim_due() for pk in ids] == [other.pk]


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets, only for the sweeps."""
    now = [1000.0]
    for module in (sweep, runner):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_slice_ends_in_time(many, sizes, clock):
    many(3)
    due_now()
    sizes(CHUNK=1)
    assert claimed(seconds=0) == []
    found = []
    for ids in sweep.claim_due(seconds=60):
        found += ids
        clock[0] += 30
    assert len(found) == 2


def test_a_batch_asks_nobody_after_its_time(many, clock, egnyte_sandbox):
    accounts = many(2)
    asked = egnyte_sandbox.counts["userinfo"]
    ids = [each.pk for each in accounts]
    assert sweep.validate_batch(ids, actor="task", seconds=0) == {"unreached": 2}
    assert egnyte_sandbox.counts["userinfo"] == asked
    assert sweep.validate_batch(ids, actor="task", seconds=1) == {"alive": 2}


def test_a_batch_of_accounts_that_left_is_nothing(many):
    (account,) = many(1)
    account.delete()
    assert sweep.validate_batch([account.pk], actor="task") == {}


def test_living_tokens_are_written_down_in_lots(many, sizes, monkeypatch):
    accounts = many(5)
    EgnyteAccount.objects.update(last_validated_at=None)
    lots = []
    write = sweep._write_alive

    def counting(ids):
        lots.append(len(ids))
        write(ids)

    monkeypatch.setattr(sweep, "_write_alive", counting)
    sizes(FLUSH=2)
    found = sweep.validate_batch([each.pk for each in accounts], actor="task")
    assert (found, lots) == ({"alive": 5}, [2, 2, 1])
    assert not EgnyteAccount.objects.filter(last_validated_at=None).exists()


def test_living_tokens_prove_the_key_at_their_host_once_a_batch(many, sizes, monkeypatch):
    accounts = many(3)
    grant = accounts[0].token.grant
    EgnyteGrant.objects.filter(pk=grant.pk).write(key_digest="another key")
    sizes(FLUSH=1)
    noted = []
    monkeypatch.setattr(sweep.keys, "note_accepted", lambda host, asked: noted.append(host))
    sweep.validate_batch([each.pk for each in accounts], actor="task")
    assert noted == ["acme.egnyte.com"]


def test_what_cannot_be_noted_of_living_tokens_ends_no_batch(many, monkeypatch, caplog):
    accounts = many(2)

    def away(ids):
        raise OperationalError("away")

    monkeypatch.setattr(sweep, "_write_alive", away)
    assert sweep.validate_batch([each.pk for each in accounts], actor="task") == {"failed": 2}
    assert [r for r in caplog.records if getattr(r, "event", "") == "validations_not_noted"]


def test_a_suspect_whose_token_lives_is_no_suspect_after_a_batch(many):
    accounts = many(2)
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(status="suspect", status_reason="why")
    found = sweep.validate_batch([each.pk for each in accounts], actor="task")
    assert found == {"alive": 2}
    assert set(EgnyteAccount.objects.values_list("status", "status_reason")) == {("active", "")}


def test_the_refreshes_end_in_time(many, make_user, link, monkeypatch, clock):
    many(2)
    for number in range(2):
        link(make_user(f"other{number}"), domain="globex", username="mmiller")
    refreshes_due()
    refresh = sweep.refresh

    def slow(account, **options):
        clock[0] += 30
        return refresh(account, **options)

    monkeypatch.setattr(sweep, "refresh", slow)
    assert sweep.refresh_due(actor="task", seconds=0) == {}
    assert sweep.refresh_due(actor="task", seconds=60) == {"refreshed": 2}
    # Each host has used its share, a quarter of the time.
    assert sorted(generations().values()) == [1, 1, 2, 2]


@pytest.mark.parametrize(("days", "first"), [(6.5, True), (7.5, False)])
def test_an_account_is_in_use_for_a_week(many, days, first):
    used, idle = many(2)
    EgnyteAccount.objects.filter(pk=used.pk).update(
        last_used_at=timezone.now() - timedelta(days=days)
    )
    refreshes_due(used, ago=MINUTE)
    refreshes_due(idle, ago=2 * MINUTE)
    found = [account.pk for account in sweep._due_for_refresh(a_pass())]
    assert found == ([used.pk, idle.pk] if first else [idle.pk, used.pk])


@pytest.mark.parametrize("chunk", [1, 2, 500])
def test_each_due_account_is_listed_once_however_many_are_due_at_once(many, sizes, chunk):
    accounts = many(5)
    EgnyteAccount.objects.filter(pk=accounts[4].pk).update(last_used_at=timezone.now())
    moment = timezone.now() - MINUTE
    EgnyteGrant.objects.write(next_refresh_at=moment)
    sizes(CHUNK=chunk)
    found = [account.pk for account in sweep._due_for_refresh(a_pass())]
    assert found == [accounts[4].pk, *[each.pk for each in accounts[:4]]]


def test_what_is_released_or_of_another_key_is_not_due_for_a_refresh(many, settings):
    released, revoked = many(2)
    refreshes_due()
    EgnyteGrant.objects.filter(tokens__accounts=released.pk).write(release_at=hence(60))
    EgnyteAccount.objects.filter(pk=revoked.pk).write(status="revoked")
    assert list(sweep._due_for_refresh(a_pass())) == []
    EgnyteGrant.objects.write(release_at=None)
    assert [each.pk for each in sweep._due_for_refresh(a_pass())] == [released.pk]
    settings.EGNYTE_CLIENT_ID = "another-key"
    assert list(sweep._due_for_refresh(a_pass())) == []


def test_a_refresh_that_egnyte_refuses_or_that_is_gone_is_counted_as_such(
    many, egnyte_sandbox, monkeypatch
):
    refused, left = many(2)
    refreshes_due()
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    due = list(sweep._due_for_refresh(a_pass()))
    monkeypatch.setattr(sweep, "_due_for_refresh", lambda this: due)
    EgnyteAccount.objects.get(pk=left.pk).delete()
    assert sweep.refresh_due(actor="task") == {"refused": 1, "gone": 1}
    # A refused refresh token does not revoke the account: a validation checks the access token.
    assert EgnyteAccount.objects.get(pk=refused.pk).status == "active"
    assert sweep.validate_due(actor="task") == {"dead": 1}
    assert EgnyteAccount.objects.get(pk=refused.pk).status == "revoked"


def test_another_throttle_than_the_sites_own_ends_no_sweep(many, monkeypatch):
    many(2)
    refreshes_due()

    def throttled(account, **options):
        raise RateLimitedError("Slower.", retry_after=1, kind="qps", status=429)

    monkeypatch.setattr(sweep, "refresh", throttled)
    assert sweep.refresh_due(actor="task") == {"failed": 2}


def test_each_batch_has_what_is_left_of_the_slice(many, sizes, clock, monkeypatch):
    many(3)
    due_now()
    sizes(CHUNK=1)
    given = []

    def batch(ids, *, actor, seconds):
        given.append((len(ids), actor, seconds))
        clock[0] += 29.5
        return Counter(alive=1)

    monkeypatch.setattr(sweep, "validate_batch", batch)
    assert sweep.validate_due(actor="task", seconds=59) == {"alive": 2}
    assert given == [(1, "task", 59.0), (1, "task", 29.5)]
    # Claimed accounts are validated, even if it is late.
    monkeypatch.setattr(sweep, "claim_due", lambda seconds: [[1]])
    sweep.validate_due(actor="task", seconds=-5)
    assert given[-1] == (1, "task", 1.0)


@pytest.mark.parametrize(("outcome", "forgotten"), [("refreshed", True), ("gone", False)])
def test_a_host_that_refreshes_a_token_is_there(many, monkeypatch, outcome, forgotten):
    """For a deleted account, no call is made."""
    (account,) = many(1)
    hosts.note_unreachable(account.domain, UnavailableError("No answer."))
    expired_now()
    settled = lambda account, refused, actor: outcome  # noqa: E731
    monkeypatch.setattr(sweep.validate, "settle_refused", settled)
    assert sweep.validate_batch([account.pk], actor="task") == {outcome: 1}
    assert HostState.objects.exists() is not forgotten


def test_the_refreshes_leave_a_held_off_host_alone(many, make_user, link):
    many(1)
    other = link(make_user("other"), domain="globex", username="mmiller")
    refreshes_due()
    hosts.note_unreachable("acme.egnyte.com", UnavailableError("No answer."))
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}
    assert generations()[other.pk] == 2


def test_the_refreshes_wait_for_nobody(many, monkeypatch):
    many(1)
    refreshes_due()
    EgnyteGrant.objects.write(lease="somebody's", leased_until=hence(60))
    monkeypatch.setattr(steps, "sleep", lambda seconds: pytest.fail("waited"))
    assert sweep.refresh_due(actor="task") == {"skipped": 1}


def test_an_answer_stays_as_made():
    assert_stays_as_made(sweep._Answer)


@pytest.mark.parametrize("kind", ["validation", "refresh", "revocation"])
def test_each_kind_of_work_alone_is_seen(egnyte_account, kind):
    now = timezone.now()
    assert not sweep.is_anything_due(now)
    if kind == "validation":
        due_now()
    elif kind == "refresh":
        refreshes_due(ago=MINUTE)
    else:
        EgnyteGrant.objects.write(release_at=now - MINUTE)
    assert sweep.is_anything_due(now)
