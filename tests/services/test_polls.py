"""The events of chosen accounts are polled, and sent once by the same signal."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from django_egnyte.accounts import follow, unfollow
from django_egnyte.choices import Status
from django_egnyte.exceptions import InTransactionError, NotLinkedError, UnavailableError
from django_egnyte.models import AccountEvent, EgnyteAccount, EventCursor, ReceivedEvent
from django_egnyte.services import agenda, events, hosts, polls
from django_egnyte.services.disconnect import disconnect
from django_egnyte.signals import egnyte_event
from tests.services.threads import Threads


@pytest.fixture
def seen() -> Any:
    """The paths in the events that a receiver got."""
    found: list[str] = []

    def note(event: Any, **kwargs: Any) -> None:
        found.append(event.target_path)

    egnyte_event.connect(note)
    yield found
    egnyte_event.disconnect(note)


def due() -> None:
    EventCursor.objects.update(next_poll_at=timezone.now() - timedelta(seconds=1))


def poll() -> dict[str, int]:
    due()
    counted = dict(polls.poll_due(actor="test"))
    events.handle_due()
    return counted


def add(sandbox: Any, *names: str) -> None:
    for name in names:
        sandbox.add_file("acme", f"/Shared/{name}.txt", b"x")


def paths(*names: str) -> list[str]:
    return [f"/Shared/{name}.txt" for name in names]


def test_what_happens_after_the_beginning_is_told_once(
    egnyte_account, egnyte_sandbox, seen, hurried
):
    add(egnyte_sandbox, "before")
    follow(egnyte_account)
    assert poll() == {"polled": 1}
    assert hurried == []
    add(egnyte_sandbox, "one", "two")
    assert poll() == {"polled": 1}
    assert hurried == [("handle_events",)]
    assert poll() == {"polled": 1}
    assert seen == paths("one", "two")
    row = EventCursor.objects.get()
    assert timedelta(minutes=4) < row.next_poll_at - timezone.now() <= timedelta(minutes=5)
    assert polls.poll_due(actor="test") == {}


def test_an_account_is_followed_from_an_event(egnyte_account, egnyte_sandbox, seen):
    start = egnyte_account.client.events.cursor().latest_event_id
    add(egnyte_sandbox, "one")
    follow(egnyte_account, after=start)
    poll()
    assert seen == paths("one")
    follow(egnyte_account)  # it continues at its position
    add(egnyte_sandbox, "two")
    poll()
    assert seen == paths("one", "two")
    # From an earlier event again, at once: handled events are recognised.
    EventCursor.objects.update(attempts=3, next_poll_at=timezone.now() + timedelta(hours=1))
    follow(egnyte_account, after=start)
    assert EventCursor.objects.get().attempts == 0
    assert polls.poll_due(actor="test") == {"polled": 1}
    events.handle_due()
    assert seen == paths("one", "two")
    assert EventCursor.objects.count() == 1


def test_an_account_is_followed_no_more(egnyte_account, egnyte_sandbox, seen):
    follow(egnyte_account)
    assert unfollow(egnyte_account)
    assert not unfollow(egnyte_account)
    add(egnyte_sandbox, "one")
    assert poll() == {}
    assert seen == []


def test_only_a_live_account_is_followed(egnyte_account):
    EgnyteAccount.objects.write(status=Status.REVOKED)
    egnyte_account.refresh_from_db()
    for after in (None, 1):
        with pytest.raises(NotLinkedError):
            follow(egnyte_account, after=after)
    assert not EventCursor.objects.exists()


def test_following_fails_with_the_call(egnyte_account, egnyte_sandbox):
    egnyte_sandbox.faults.add(path="/events/cursor", times=None, status=503)
    with pytest.raises(UnavailableError):
        follow(egnyte_account)
    assert not EventCursor.objects.exists()


def test_many_events_come_page_by_page_and_a_pass_has_an_end(
    egnyte_account, egnyte_sandbox, seen, monkeypatch
):
    monkeypatch.setattr(polls, "PAGE", 2)
    monkeypatch.setattr(polls, "PAGES", 2)
    follow(egnyte_account)
    begin = EventCursor.objects.get().position
    names = [str(number) for number in range(7)]
    add(egnyte_sandbox, *names)
    poll()
    assert seen == paths(*names[:4])
    ids = [event.id for event in egnyte_account.client.events.after(begin)]
    assert EventCursor.objects.get().position == ids[3]
    poll()
    poll()
    assert seen == paths(*names)
    assert EventCursor.objects.get().position == (
        egnyte_account.client.events.cursor().latest_event_id
    )


def test_a_crash_between_two_pages_loses_and_repeats_nothing(
    egnyte_account, egnyte_sandbox, seen, monkeypatch
):
    monkeypatch.setattr(polls, "PAGE", 2)
    follow(egnyte_account)
    add(egnyte_sandbox, "0", "1", "2", "3", "4")
    kept = []
    real = events.store

    def crash(account, page):
        real(account, page)
        kept.append(len(page))
        if len(kept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(events, "store", crash)
    due()
    with pytest.raises(KeyboardInterrupt):
        polls.poll_due(actor="test")
    # Events and position are written together, or not at all.
    assert ReceivedEvent.objects.count() == 2
    monkeypatch.setattr(events, "store", real)
    assert polls.poll_due(actor="test") == {}  # claimed until the claim expires
    poll()
    assert seen == paths("0", "1", "2", "3", "4")


def test_a_database_that_fails_puts_the_poll_off(
    egnyte_account, egnyte_sandbox, seen, monkeypatch, caplog
):
    follow(egnyte_account)
    add(egnyte_sandbox, "one")
    real = events.store

    def fail(account, page):
        raise OperationalError("away")

    monkeypatch.setattr(events, "store", fail)
    assert poll() == {"failed": 1}
    assert EventCursor.objects.get().attempts == 1
    monkeypatch.setattr(events, "store", real)
    assert poll() == {"polled": 1}
    assert EventCursor.objects.get().attempts == 0
    assert seen == paths("one")


def test_two_passes_at_once_store_each_event_once(egnyte_account, egnyte_sandbox, seen):
    follow(egnyte_account)
    add(egnyte_sandbox, "0", "1", "2")
    due()
    with Threads() as threads:
        for _ in range(3):
            threads.start(lambda: polls.poll_due(actor="test"))
    assert ReceivedEvent.objects.count() == 3
    events.handle_due()
    assert seen == paths("0", "1", "2")


def test_a_cursor_from_last_year_begins_again_and_says_so(
    egnyte_account, egnyte_sandbox, seen, caplog
):
    follow(egnyte_account)
    start = EventCursor.objects.get().position
    add(egnyte_sandbox, "0", "1", "2", "3")
    egnyte_sandbox.forget_events("acme", start + 3)
    assert poll() == {"polled": 1}
    assert seen == paths("2", "3")
    event = AccountEvent.objects.get(kind="events_lost")
    assert event.account_ref == egnyte_account.pk
    assert str(start) in event.reason and str(start + 3) in event.reason
    assert [r for r in caplog.records if getattr(r, "event", "") == "events_lost"]
    add(egnyte_sandbox, "4")
    poll()
    assert seen == paths("2", "3", "4")
    assert AccountEvent.objects.filter(kind="events_lost").count() == 1


def test_where_egnyte_does_not_know_the_id_before_the_oldest(egnyte_account, egnyte_sandbox, seen):
    follow(egnyte_account)
    start = EventCursor.objects.get().position
    add(egnyte_sandbox, "0", "1", "2")
    egnyte_sandbox.forget_events("acme", start + 2)
    egnyte_sandbox.faults.add(path="/v1/events$", times=2, status=404)
    assert poll() == {"polled": 1}
    assert seen == paths("2")
    assert AccountEvent.objects.filter(kind="events_lost").count() == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 403}, {"status": 200, "body": "x"}])
def test_trouble_at_egnyte_puts_the_poll_off_ever_longer(
    egnyte_account, egnyte_sandbox, seen, caplog, fault
):
    follow(egnyte_account)
    add(egnyte_sandbox, "one")
    position = EventCursor.objects.get().position
    egnyte_sandbox.faults.add(path="/v1/events$", times=None, **fault)
    waits = []
    for _ in range(3):
        hosts.note_reached({egnyte_account.domain})
        assert poll() == {"failed": 1}
        row = EventCursor.objects.get()
        waits.append(row.next_poll_at - timezone.now())
    assert row.position == position and row.attempts == 3 and row.last_error
    assert waits == sorted(waits) and waits[0] > timedelta(minutes=3)
    assert [r for r in caplog.records if getattr(r, "event", "") == "not_polled"]
    egnyte_sandbox.faults.clear()
    hosts.note_reached({egnyte_account.domain})
    assert poll() == {"polled": 1}
    assert seen == paths("one")
    assert EventCursor.objects.get().last_error == ""


@pytest.mark.parametrize(("attempts", "pause"), [(0, 5 * 60), (1, 10 * 60), (20, 6 * 3600)])
def test_the_pause_grows_from_five_minutes_to_six_hours(
    egnyte_account, egnyte_sandbox, monkeypatch, attempts, pause
):
    monkeypatch.setattr(agenda.random, "uniform", lambda low, high: high)
    follow(egnyte_account)
    EventCursor.objects.update(attempts=attempts)
    egnyte_sandbox.faults.add(path="/v1/events$", times=None, status=503)
    assert poll() == {"failed": 1}
    wait = EventCursor.objects.get().next_poll_at - timezone.now()
    assert pause - 30 < wait.total_seconds() <= pause


def test_an_account_that_is_not_live_pauses_and_goes_on_when_reconnected(
    egnyte_account, egnyte_sandbox, seen
):
    follow(egnyte_account)
    EgnyteAccount.objects.write(status=Status.REVOKED)
    add(egnyte_sandbox, "one")
    before = egnyte_sandbox.counts
    assert poll() == {"unlinked": 1}
    assert egnyte_sandbox.counts == before
    pause = EventCursor.objects.get().next_poll_at - timezone.now()
    assert timedelta(minutes=59) < pause <= timedelta(hours=1)
    EgnyteAccount.objects.write(status=Status.ACTIVE)
    assert poll() == {"polled": 1}
    assert seen == paths("one")


def test_a_disconnected_account_is_followed_no_more_and_that_is_logged(
    egnyte_account, egnyte_sandbox, caplog
):
    caplog.set_level("INFO")
    follow(egnyte_account)
    disconnect(egnyte_account.pk, actor="test")
    assert poll() == {"gone": 1}
    assert not EventCursor.objects.exists()
    assert [r for r in caplog.records if getattr(r, "event", "") == "unfollowed"]


def test_one_account_in_trouble_stops_no_other(many, egnyte_sandbox, seen, link, make_user):
    one = link(make_user("one"))
    other = link(make_user("other"), domain="globex", username="mmiller")
    for account in (one, other):
        follow(account)
    egnyte_sandbox.faults.add(domain="acme", times=None, reset=True)
    egnyte_sandbox.add_file("globex", "/Shared/x.txt", b"x", username="mmiller")
    assert poll() == {"failed": 1, "polled": 1}
    assert seen == ["/Shared/x.txt"]


def test_no_poll_inside_a_transaction(egnyte_account):
    with transaction.atomic(), pytest.raises(InTransactionError):
        polls.poll_due(actor="test")


def test_a_pass_whose_time_is_over_stops_after_the_page(
    egnyte_account, egnyte_sandbox, monkeypatch
):
    monkeypatch.setattr(polls, "PAGE", 2)
    follow(egnyte_account)
    add(egnyte_sandbox, "0", "1", "2", "3", "4")
    due()
    monkeypatch.setattr(polls.Pass, "is_over", lambda this: ReceivedEvent.objects.exists())
    assert polls.poll_due(actor="test") == {"polled": 1}
    assert ReceivedEvent.objects.count() == 2


def test_a_pass_stops_when_another_has_stored_its_page(egnyte_account, egnyte_sandbox, monkeypatch):
    monkeypatch.setattr(polls, "PAGE", 2)
    follow(egnyte_account)
    begin = EventCursor.objects.get().position
    add(egnyte_sandbox, "0", "1", "2", "3", "4")
    ids = [event.id for event in egnyte_account.client.events.after(begin)]
    real = polls.in_short_transaction

    def overtaken(work):
        EventCursor.objects.filter(position=begin).update(position=ids[1])
        return real(work)

    monkeypatch.setattr(polls, "in_short_transaction", overtaken)
    due()
    polls.poll_due(actor="test")
    assert EventCursor.objects.get().position == ids[1]
    assert not ReceivedEvent.objects.exists()


def test_two_processes_may_follow_an_account_at_once(egnyte_account, monkeypatch):
    real = EventCursor.objects.bulk_create

    def second(rows, **options):
        EventCursor.objects.create(
            account_ref=egnyte_account.pk, domain=egnyte_account.domain, position=5
        )
        return real(rows, **options)

    monkeypatch.setattr(EventCursor.objects, "bulk_create", second)
    follow(egnyte_account, after=7)
    assert EventCursor.objects.get().position == 5
