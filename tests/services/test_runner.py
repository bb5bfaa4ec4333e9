from __future__ import annotations

import logging
import threading
from itertools import islice
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from django_egnyte.exceptions import (
    InvalidGrantError,
    RateLimitedError,
    UnavailableError,
)
from django_egnyte.models import EventCursor, HostState
from django_egnyte.services import hosts, runner
from django_egnyte.services.runner import Pass, waiting

pytestmark = pytest.mark.django_db

HOST, OTHER = "acme.egnyte.com", "globex.egnyte.com"


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def put_off():
    """The rows that were put off, with their errors."""
    return []


@pytest.fixture
def make_pass(put_off):
    def make(seconds=60.0, **options):
        note = lambda row, error: put_off.append((row, error))  # noqa: E731
        return Pass("tests", seconds=seconds, put_off=note, **options)

    return make


def run(this, rows, work, **options):
    return this.run(rows, work, host_of=lambda row: row.partition("/")[0], **options)


def silence(host=HOST):
    return UnavailableError("No answer.", host=host)


def test_outcomes_are_counted(make_pass):
    rows = [f"{HOST}/{number}" for number in range(5)]
    found = run(make_pass(), rows, lambda row: "odd" if int(row[-1]) % 2 else "even")
    assert found == {"even": 3, "odd": 2}


@pytest.mark.parametrize(
    "error", [RecursionError("deep"), OperationalError("away"), ValueError("x"), MemoryError()]
)
def test_any_exception_puts_its_row_off_and_the_others_are_done(make_pass, put_off, caplog, error):
    done = []

    def work(row):
        if row == f"{HOST}/1":
            raise error
        done.append(row)
        return "done"

    rows = [f"{HOST}/{number}" for number in range(3)]
    assert run(make_pass(), rows, work) == {"done": 2, "failed": 1}
    assert put_off == [(f"{HOST}/1", error)]
    (record,) = [r for r in caplog.records if r.event == "row_failed"]
    assert (record.levelno, record.domain) == (logging.ERROR, HOST)
    # It is not Egnyte's error, so no host is held off.
    assert not HostState.objects.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_tells_the_process_to_stop_is_obeyed(make_pass, put_off, error):
    def work(row):
        raise error

    with pytest.raises(error):
        run(make_pass(), [HOST], work)
    assert put_off == []


def test_an_error_of_egnytes_is_no_traceback_in_the_log(make_pass, put_off, caplog):
    error = InvalidGrantError("no", host=HOST)

    def work(row):
        raise error

    assert run(make_pass(), [HOST], work) == {"failed": 1}
    assert put_off == [(HOST, error)]
    assert [r for r in caplog.records if r.exc_info] == []


def test_a_row_that_cannot_be_put_off_ends_nothing(caplog):
    def put_off(row, error):
        raise OperationalError("away")

    def work(row):
        if row == HOST:
            raise ValueError("bad")
        return "done"

    this = Pass("tests", seconds=60, put_off=put_off)
    assert run(this, [HOST, OTHER], work) == {"failed": 1, "done": 1}
    assert [r.event for r in caplog.records] == ["row_failed", "row_not_put_off"]


def test_hosts_that_cannot_be_noted_end_nothing(make_pass, monkeypatch, caplog):
    this = make_pass()

    def away():
        raise OperationalError("away")

    monkeypatch.setattr(this.failures, "write", away)
    assert run(this, [HOST, OTHER], lambda row: "done") == {"done": 2}
    assert {r.event for r in caplog.records} == {"hosts_not_noted"}


def test_a_pass_begins_nothing_after_its_time(make_pass, clock):
    def work(row):
        clock[0] += 30
        return "done"

    rows = [f"h{number}.egnyte.com" for number in range(5)]
    assert run(make_pass(60.0), rows, work) == {"done": 2}
    assert run(make_pass(0.0), rows, work) == {}


@pytest.mark.parametrize("fails", [False, True])
def test_each_host_has_a_quarter_of_the_time(make_pass, clock, fails):
    """Also if its slow answers do not count as failures of the host."""
    asked = []

    def work(row):
        asked.append(row.partition("/")[0])
        clock[0] += 29 if row.startswith(HOST) else 0.1
        if fails and row.startswith(HOST):
            raise InvalidGrantError("no", host=HOST)
        return "done"

    rows = [*[f"{HOST}/{number}" for number in range(50)], *[f"{OTHER}/{n}" for n in range(50)]]
    run(make_pass(120.0), rows, work)
    assert asked.count(HOST) == 2
    assert asked.count(OTHER) == 50
    assert not HostState.objects.exists()


def test_a_host_that_fails_is_left_alone_and_told_of(make_pass):
    asked = []

    def work(row):
        asked.append(row)
        if row.startswith(HOST):
            raise silence()
        return "done"

    rows = [f"{HOST}/1", f"{HOST}/2", f"{OTHER}/1"]
    assert run(make_pass(), rows, work) == {"failed": 1, "done": 1}
    assert asked == [f"{HOST}/1", f"{OTHER}/1"]
    assert hosts.held_off() == {HOST}


def test_a_host_that_is_left_by_choice_did_not_fail(make_pass):
    this = make_pass()
    this.leave(HOST)
    assert this.is_lost(HOST) and this.lost() == {HOST}
    assert run(this, [HOST, OTHER], lambda row: "done") == {"done": 1}
    assert not HostState.objects.exists()


def test_a_pass_ends_with_the_outcome_it_waits_for(make_pass):
    rows = [f"{HOST}/{number}" for number in range(3)]
    outcome = lambda row: "budget" if row.endswith("1") else "done"  # noqa: E731
    assert run(make_pass(), rows, outcome, until="budget") == {"done": 1, "budget": 1}


@pytest.mark.parametrize("outcome", sorted(runner.UNASKED))
def test_what_asked_no_host_says_nothing_of_it(make_pass, outcome):
    hosts.note_unreachable(HOST, silence())
    run(make_pass(), [HOST], lambda row: outcome)
    assert HostState.objects.exists()
    run(make_pass(), [HOST], lambda row: "done")
    assert not HostState.objects.exists()


def test_an_error_that_was_noted_before_counts_once(make_pass):
    this = make_pass(silences=2)
    error = silence()
    this.failures.note(HOST, error)

    def work(row):
        raise error

    this.settle(HOST, work, HOST, noted=error)
    assert not this.is_lost(HOST)
    this.settle(HOST, work, HOST)
    assert this.is_lost(HOST)


def test_a_throttle_is_no_failure_of_the_host(make_pass, put_off):
    def work(row):
        raise RateLimitedError("Slower.", retry_after=1, kind="qps", status=429, host=HOST)

    assert run(make_pass(), [f"{HOST}/{n}" for n in range(3)], work) == {"failed": 3}
    assert len(put_off) == 3


def test_time_may_be_spent_in_threads(make_pass):
    this = make_pass(4000.0)
    threads = [
        threading.Thread(target=lambda: [this.spend(HOST, 0.25) for _ in range(400)])
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    this.spend(OTHER, 1.0)
    assert this.is_lost(HOST) and not this.is_lost(OTHER)
    assert this.lost() == {HOST}


def test_rows_come_by_primary_key_and_chunk_by_chunk(make_pass, monkeypatch):
    monkeypatch.setattr(runner, "CHUNK", 2)
    numbers = [1, 2, 3, 4, 5]
    EventCursor.objects.bulk_create(
        [EventCursor(pk=n, account_ref=n, domain=HOST, position=0) for n in numbers]
    )
    found = islice(waiting(make_pass(), EventCursor.objects.all()), 9)
    assert [row.pk for row in found] == numbers
