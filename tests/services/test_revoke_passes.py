from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from django_egnyte.choices import EventKind
from django_egnyte.exceptions import UnavailableError
from django_egnyte.models import (
    KeyState,
    PendingRevocation,
)
from django_egnyte.oauth import TokenAnswer
from django_egnyte.services import budget, hosts, outbox, revoke
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence

from .conftest import HOST


@pytest.fixture
def queued(make_user, link):
    """So many tokens of a domain in the outbox, each of a grant of its own."""

    def make(count, domain="acme", username="jsmith"):
        accounts = [
            link(make_user(f"{domain}{number}"), domain=domain, username=username)
            for number in range(count)
        ]
        for account in accounts:
            account.delete()
        return list(PendingRevocation.objects.order_by("pk"))

    return make


def one(row, **options):
    return revoke.revoke_row(row, actor="test", failures=hosts.Failures(), **options)


def test_a_row_that_left_or_that_another_worker_has_is_skipped(queued):
    gone, claimed = queued(2)
    gone.delete()
    assert one(gone) == "skipped"
    PendingRevocation.objects.write(claim="another", claimed_until=hence(60))
    assert one(claimed) == "skipped"
    assert PendingRevocation.objects.get().claim == "another"


def test_a_claim_lasts_as_long_as_a_pass_may(queued, monkeypatch):
    (row,) = queued(1)
    seen = []

    def look(found):
        stored = PendingRevocation.objects.get()
        seen.append((bool(stored.claim), stored.claimed_until - timezone.now()))
        return EventKind.TOKEN_DEAD

    monkeypatch.setattr(revoke, "_end_token", look)
    assert one(row) == "dead"
    ((claimed, left),) = seen
    assert claimed and timedelta(seconds=290) < left <= timedelta(seconds=300)


def test_a_pass_ends_in_time(queued, monkeypatch):
    queued(4)
    now = [1000.0]
    monkeypatch.setattr(revoke, "time", SimpleNamespace(monotonic=lambda: now[0]))
    row_by_row = revoke.revoke_row

    def slow(*args, **options):
        now[0] += 30
        return row_by_row(*args, **options)

    monkeypatch.setattr(revoke, "revoke_row", slow)
    # What is begun is brought to its end.
    assert process_revocations(seconds=0) == {"revoked": 1}
    assert process_revocations(seconds=60) == {"revoked": 2}
    assert process_revocations() == {"revoked": 1}


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_no_domain_takes_more_than_its_share_of_a_pass(queued, monkeypatch, chunk):
    queued(3)
    queued(1, domain="globex", username="mmiller")
    monkeypatch.setattr(revoke, "PER_DOMAIN", 2)
    monkeypatch.setattr(revoke, "CHUNK", chunk)
    found = [row.domain for row in revoke._due(hosts.Failures())]
    assert found == ["acme.egnyte.com"] * 2 + ["globex.egnyte.com"]


def test_only_what_is_due_is_listed_and_in_its_order(queued):
    rows = queued(4)
    PendingRevocation.objects.filter(pk=rows[0].pk).write(not_before=hence(60))
    PendingRevocation.objects.filter(pk=rows[1].pk).write(claimed_until=hence(60))
    PendingRevocation.objects.filter(pk=rows[2].pk).write(claimed_until=hence(-60))
    assert list(revoke._due(hosts.Failures())) == rows[2:]


def test_a_host_that_is_lost_on_the_way_is_not_listed_any_more(queued):
    rows = queued(3)
    other = queued(1, domain="globex", username="mmiller")[-1]
    failures = hosts.Failures()
    listed = revoke._due(failures)
    assert next(listed) == rows[0]
    failures.note(HOST, UnavailableError("No answer.", host=HOST))
    assert list(listed) == [other]


@pytest.mark.parametrize(
    ("age", "level"),
    [(timedelta(hours=23), "WARNING"), (timedelta(hours=25), "ERROR")],
)
def test_the_log_counts_the_attempts_and_is_an_error_after_a_day(
    egnyte_sandbox, queued, caplog, age, level
):
    queued(1)
    PendingRevocation.objects.update(created_at=timezone.now() - age, attempts=2)
    egnyte_sandbox.faults.add(path="/tokens/revoke", status=500)
    process_revocations()
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "revocation_failed"]
    assert (record.levelname, "attempt 3" in record.getMessage()) == (level, True)
    row = PendingRevocation.objects.get()
    assert (row.attempts, row.claim, row.claimed_until) == (3, "", None)
    assert timedelta(seconds=190) < row.not_before - timezone.now() <= timedelta(seconds=240)


def test_a_short_throttle_does_not_shorten_the_pause(egnyte_sandbox, queued):
    queued(1)
    PendingRevocation.objects.update(attempts=5)
    egnyte_sandbox.faults.add(
        path="/tokens/revoke",
        status=403,
        headers={"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_RATE", "Retry-After": "2"},
    )
    process_revocations()
    row = PendingRevocation.objects.get()
    assert row.not_before - timezone.now() > timedelta(seconds=1500)


def test_what_went_wrong_is_kept_as_far_as_it_fits(queued, monkeypatch):
    (row,) = queued(1)

    def fail(found):
        raise UnavailableError("x" * 500)

    monkeypatch.setattr(revoke, "_end_token", fail)
    assert one(row) == "failed"
    assert len(PendingRevocation.objects.get().last_error) == 255


def test_a_refused_token_is_counted_once_against_its_key(egnyte_sandbox, queued):
    """A verdict has counted it before; a disconnected one comes as a surprise."""
    rows = queued(2)
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    PendingRevocation.objects.write(refresh_token="", refresh_fingerprint="")
    PendingRevocation.objects.filter(pk=rows[0].pk).write(reason="given up")
    assert process_revocations() == {"dead": 2}
    assert KeyState.objects.get().deaths == 1


def test_a_living_token_counts_for_its_key(queued):
    queued(1)
    budget.prepare()
    KeyState.objects.update(answers=0)
    process_revocations()
    assert KeyState.objects.get().answers == 1


@pytest.mark.parametrize("reason", ["given up", "disconnected"])
def test_a_no_is_not_believed_while_verdicts_are_paused(egnyte_sandbox, queued, reason):
    queued(1)
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    PendingRevocation.objects.write(refresh_token="", refresh_fingerprint="", reason=reason)
    budget.prepare()
    KeyState.objects.update(verdicts_paused_at=timezone.now())
    assert process_revocations() == {"failed": 1}
    assert "not believed" in PendingRevocation.objects.get().last_error


def test_a_token_that_is_not_revoked_and_lives_stays(egnyte_sandbox, queued):
    queued(1)
    egnyte_sandbox.faults.add(path="/tokens/revoke", status=401, times=None)
    assert process_revocations() == {"failed": 1}
    assert "it lives" in PendingRevocation.objects.get().last_error
    assert len(egnyte_sandbox.live_grants()) == 1


def test_a_row_that_failed_may_be_given_up_before_its_time(queued):
    (row,) = queued(1)
    PendingRevocation.objects.write(not_before=hence(600), attempts=1)
    assert revoke.abandon(row, actor="admin:1") is True
    assert revoke.abandon(row, actor="admin:1") is False


HOURS = timedelta(hours=3)


@pytest.mark.parametrize(
    ("ends", "refresh_token", "outcome", "waits"),
    [
        (HOURS, "", "waiting", HOURS),
        (HOURS, "another", "waiting", HOURS),
        (None, "", "waiting", timedelta(days=1)),
        (-HOURS, "another", "waiting", timedelta(days=1)),
        (-HOURS, "", "expired", None),
    ],
)
def test_a_token_of_a_held_grant_waits_for_its_end(
    egnyte_account, ends, refresh_token, outcome, waits
):
    row = outbox.put_answer(
        TokenAnswer("superseded", refresh_token),
        using=DEFAULT_DB_ALIAS,
        host=HOST,
        user_ref="7",
        grant_id=egnyte_account.grant_id,
        account_ref=None,
        reason="test",
    )
    expires_at = None if ends is None else timezone.now() + ends
    PendingRevocation.objects.write(not_before=hence(-1), expires_at=expires_at)
    assert one(row) == outcome
    if waits is None:
        assert not PendingRevocation.objects.exists()
        return
    stored = PendingRevocation.objects.get()
    assert (stored.reason, stored.claim) == (outbox.SUPERSEDED, "")
    assert abs(stored.not_before - timezone.now() - waits) < timedelta(seconds=5)


def test_a_row_comes_to_know_the_grant_by_the_name_of_who_holds_it(egnyte_account):
    row = outbox.put_answer(
        TokenAnswer("superseded", egnyte_account.opened_token().refresh_token.reveal()),
        using=DEFAULT_DB_ALIAS,
        host=HOST,
        user_ref="7",
        grant_id="another name",
        account_ref=None,
        reason="test",
    )
    PendingRevocation.objects.write(not_before=hence(-1))
    assert one(row) == "waiting"
    assert PendingRevocation.objects.get().grant_id == egnyte_account.grant_id


def test_what_a_grant_superseded_is_released_by_its_name_of_now(queued, monkeypatch):
    """Meanwhile the grant turned out to be another's, too."""
    row, waits = queued(2)
    PendingRevocation.objects.filter(pk=waits.pk).write(
        reason=outbox.SUPERSEDED, grant_id="of now", not_before=hence(600)
    )

    def renamed(found):
        PendingRevocation.objects.filter(pk=row.pk).write(grant_id="of now")
        return EventKind.TOKEN_REVOKED

    monkeypatch.setattr(revoke, "_end_token", renamed)
    assert one(row) == "revoked"
    assert PendingRevocation.objects.get().not_before <= timezone.now() + timedelta(seconds=5)


def test_what_uses_a_refresh_token_up_is_no_linking(egnyte_sandbox, queued):
    (row,) = queued(1)
    egnyte_sandbox.expire_token(row.open_token())
    budget.prepare()
    before = KeyState.objects.get().link_requests
    assert one(row) == "dead"
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert KeyState.objects.get().link_requests == before


def test_the_very_first_row_is_seen(queued):
    queued(1)
    PendingRevocation.objects.write(id=1)
    assert process_revocations() == {"revoked": 1}
