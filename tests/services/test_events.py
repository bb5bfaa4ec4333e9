"""Egnyte's events are stored once and handled once. If a receiver raises, no event is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_egnyte.api.areas.events import Event
from django_egnyte.api.areas.notifications import Notification, parse_delivery
from django_egnyte.exceptions import InTransactionError, RateLimitedError, UnavailableError
from django_egnyte.models import EgnyteAccount, ReceivedEvent
from django_egnyte.services import events, hosts
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.transactions import in_short_transaction
from django_egnyte.signals import egnyte_event
from tests.services.threads import Threads


def told(*ids: str) -> tuple[Notification, ...]:
    body = [
        {
            "eventId": each,
            "eventType": "fs:add_file",
            "timestamp": 1_700_000_000_000,
            "data": {"target_path": f"/Shared/{each}.txt"},
        }
        for each in ids
    ]
    return parse_delivery(json.dumps(body).encode())


@pytest.fixture
def receiver() -> Iterator[Callable[[Callable[..., Any]], None]]:
    """Connects functions to the signal for the time of a test."""
    connected: list[Any] = []

    def connect(function: Callable[..., Any]) -> None:
        egnyte_event.connect(function, weak=False)
        connected.append(function)

    yield connect
    for function in connected:
        egnyte_event.disconnect(function)


@pytest.fixture
def seen(receiver: Callable[..., None]) -> list[tuple[int, str]]:
    """The calls of a receiver: the account and the id of the event."""
    found: list[tuple[int, str]] = []

    def note(sender: Any, account: EgnyteAccount, event: Any, **kwargs: Any) -> None:
        assert sender is EgnyteAccount
        found.append((account.pk, event.event_id))

    receiver(note)
    return found


def all_due() -> None:
    """Make all events due."""
    ReceivedEvent.objects.exclude(due_at=None).update(due_at=timezone.now() - timedelta(seconds=1))


def test_an_event_is_stored_hurried_and_handled(egnyte_account, hurried, seen):
    assert events.receive(egnyte_account.pk, told("a"))
    assert hurried == [("handle_events",)]
    assert seen == []
    assert events.handle_due() == {"handled": 1}
    assert seen == [(egnyte_account.pk, "a")]
    row = ReceivedEvent.objects.get()
    assert (row.due_at, row.payload, row.attempts) == (None, "", 1)
    assert events.handle_due() == {}


def test_the_receiver_gets_the_event_as_it_came(egnyte_account, receiver):
    found = []
    receiver(lambda event, **kwargs: found.append(event))
    [sent] = told("ä\ud800\x00")
    events.receive(egnyte_account.pk, [sent])
    events.handle_due()
    assert found == [sent]
    assert found[0].raw == sent.raw
    assert found[0].target_path == "/Shared/ä\ud800\x00.txt"


def test_the_same_event_thrice_is_handled_once(egnyte_account, seen):
    events.receive(egnyte_account.pk, told("a", "b"))
    events.receive(egnyte_account.pk, told("b"))
    assert events.handle_due() == {"handled": 2}
    events.receive(egnyte_account.pk, told("b", "c"))
    assert events.handle_due() == {"handled": 1}
    assert [each for _, each in seen] == ["a", "b", "c"]


def test_ids_differ_by_case_by_account_and_by_source(many, seen, receiver):
    one, two = many(2)
    for account in (one, two):
        events.receive(account.pk, told("a", "A", "7"))
    in_short_transaction(lambda: events.store(one, [Event.of({"id": 7})]))
    assert ReceivedEvent.objects.count() == 7


def test_events_out_of_order_are_all_handled_as_they_came(egnyte_account, seen):
    for each in ("3", "1", "2"):
        events.receive(egnyte_account.pk, told(each))
    events.handle_due()
    assert [each for _, each in seen] == ["3", "1", "2"]


def test_a_receiver_that_raises_puts_off_its_event_and_no_other(
    egnyte_account, seen, receiver, caplog
):
    broken = ["b"]

    def fail(event, **kwargs):
        if event.event_id in broken:
            raise ValueError("not now")

    receiver(fail)
    events.receive(egnyte_account.pk, told("a", "b", "c"))
    assert events.handle_due() == {"handled": 2, "failed": 1}
    row = ReceivedEvent.objects.exclude(due_at=None).get()
    assert (row.attempts, row.last_error) == (1, "ValueError")
    assert timedelta(0) < row.due_at - timezone.now() <= timedelta(minutes=1)
    assert any(
        record.event == "row_failed" for record in caplog.records if hasattr(record, "event")
    )
    assert events.handle_due() == {}
    broken.clear()
    all_due()
    assert events.handle_due() == {"handled": 1}
    # Its other receivers were asked again, too.
    assert [each for _, each in seen] == ["a", "b", "c", "b"]
    assert ReceivedEvent.objects.exclude(last_error="").count() == 0


def test_an_event_is_given_up_after_so_many_tries(egnyte_account, receiver, caplog):
    def fail(**kwargs):
        raise ValueError("never")

    receiver(fail)
    events.receive(egnyte_account.pk, told("a"))
    waits = []
    for _ in range(events.TRIES):
        all_due()
        assert events.handle_due() == {"failed": 1}
        if (due := ReceivedEvent.objects.get().due_at) is not None:
            waits.append(due - timezone.now())
    assert waits == sorted(waits)
    assert timedelta(hours=4) < sum(waits, timedelta(0)) < timedelta(hours=12)
    row = ReceivedEvent.objects.get()
    assert (row.due_at, row.attempts) == (None, events.TRIES)
    assert json.loads(row.payload)["eventId"] == "a"
    [given_up] = [r for r in caplog.records if getattr(r, "event", "") == "event_given_up"]
    named = f"failed {events.TRIES} times for event {row.pk} of account {egnyte_account.pk},"
    assert named in given_up.getMessage()
    # It is recognised nevertheless.
    events.receive(egnyte_account.pk, told("a"))
    assert events.handle_due() == {}


def test_an_event_that_kills_its_worker_comes_again_and_not_for_ever(egnyte_account, receiver):
    class Killed(BaseException):
        pass

    def kill(**kwargs):
        raise Killed

    receiver(kill)
    events.receive(egnyte_account.pk, told("a"))
    with pytest.raises(Killed):
        events.handle_due()
    row = ReceivedEvent.objects.get()
    assert row.attempts == 1
    assert timedelta(0) < row.due_at - timezone.now() <= events.CLAIM
    for _ in range(events.TRIES - 1):
        all_due()
        with pytest.raises(Killed):
            events.handle_due()
    all_due()
    assert events.handle_due() == {"failed": 1}
    assert ReceivedEvent.objects.get().due_at is None


def test_two_passes_at_once_handle_each_event_once(egnyte_account, receiver):
    events.receive(egnyte_account.pk, told(*map(str, range(20))))
    found, lock = [], threading.Lock()

    def note(event, **kwargs):
        with lock:
            found.append(event.event_id)

    receiver(note)
    with Threads() as threads:
        for _ in range(3):
            threads.start(events.handle_due)
    assert sorted(found) == sorted(map(str, range(20)))


def test_events_of_a_disconnected_account_are_dropped_with_a_log_line(egnyte_account, seen, caplog):
    caplog.set_level("INFO")
    events.receive(egnyte_account.pk, told("a"))
    disconnect(egnyte_account.pk, actor="test")
    assert events.handle_due() == {"gone": 1}
    assert not events.receive(egnyte_account.pk, told("b"))
    assert ReceivedEvent.objects.filter(due_at=None).count() == 1
    assert seen == []
    dropped = [r for r in caplog.records if getattr(r, "event", "") == "events_dropped"]
    assert len(dropped) == 2


def test_without_receivers_an_event_is_done(egnyte_account):
    events.receive(egnyte_account.pk, told("a"))
    assert events.handle_due() == {"handled": 1}


def test_a_host_that_is_held_off_costs_no_try(egnyte_account, seen):
    hosts.note_unreachable(egnyte_account.domain, UnavailableError("no", host="x"))
    events.receive(egnyte_account.pk, told("a"))
    assert events.handle_due() == {}
    assert ReceivedEvent.objects.get().attempts == 0
    hosts.note_reached({egnyte_account.domain})
    assert events.handle_due() == {"handled": 1}


def test_a_receiver_that_cannot_reach_egnyte_leaves_the_others_for_later(
    egnyte_account, receiver, egnyte_sandbox
):
    receiver(lambda account, **kwargs: account.client.userinfo())
    egnyte_sandbox.faults.add(times=None, reset=True)
    events.receive(egnyte_account.pk, told("a", "b"))
    assert events.handle_due() == {"failed": 1}
    assert sorted(ReceivedEvent.objects.values_list("attempts", flat=True)) == [0, 1]


def test_a_receiver_that_egnyte_limited_is_called_again_when_egnyte_allows_it(
    egnyte_account, receiver
):
    def fail(**kwargs):
        raise RateLimitedError("slower", retry_after=3600, kind="daily")

    receiver(fail)
    events.receive(egnyte_account.pk, told("a"))
    events.handle_due()
    wait = ReceivedEvent.objects.get().due_at - timezone.now()
    assert timedelta(minutes=59) < wait <= timedelta(hours=1)


def test_receivers_run_in_no_transaction_of_this_app(egnyte_account, receiver):
    found = []
    receiver(lambda **kwargs: found.append(transaction.get_connection().in_atomic_block))
    events.receive(egnyte_account.pk, told("a"))
    events.handle_due()
    assert found == [False]
    with transaction.atomic(), pytest.raises(InTransactionError):
        events.handle_due()


def test_what_was_handled_is_forgotten_after_a_week_and_what_waits_is_not(egnyte_account, seen):
    events.receive(egnyte_account.pk, told("old", "young", "waiting"))
    events.handle_due()
    rows = {row.digest: row for row in ReceivedEvent.objects.all()}
    assert len(rows) == 3
    old, young, waiting = ReceivedEvent.objects.order_by("pk")
    long_ago = timezone.now() - timedelta(days=7, minutes=1)
    ReceivedEvent.objects.filter(pk=young.pk).update(received_at=long_ago + timedelta(minutes=2))
    ReceivedEvent.objects.filter(pk=old.pk).update(received_at=long_ago)
    ReceivedEvent.objects.filter(pk=waiting.pk).update(received_at=long_ago, due_at=long_ago)
    assert events.purge() == 1
    assert set(ReceivedEvent.objects.values_list("pk", flat=True)) == {young.pk, waiting.pk}
