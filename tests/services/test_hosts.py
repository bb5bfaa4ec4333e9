from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.exceptions import (
    InvalidGrantError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.models import HostState
from django_egnyte.services import hosts
from django_egnyte.services.agenda import random
from tests import walk

pytestmark = pytest.mark.django_db

HOST = "acme.egnyte.com"


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)


def silence():
    return UnavailableError("No answer.", host=HOST)


def error():
    return UnavailableError("An answer.", status=503, host=HOST)


def state():
    found = HostState.objects.get()
    return found.failures, found.last_error, found.held_off_until - timezone.now()


def after(*answers, **options):
    failures = hosts.Failures(**options)
    for answer in answers:
        failures.note(HOST, answer)
    return HOST in failures.lost


def test_one_silence_loses_a_host_and_two_errors_do():
    assert after(silence())
    assert not after(error())
    assert after(error(), error())
    assert not after(silence(), silences=2)
    assert after(silence(), silence(), silences=2)
    assert after(silence(), error(), silences=2)


def test_what_names_no_host_is_held_against_none():
    """A cipher whose service is down says nothing about Egnyte."""
    assert not after(*[UnavailableError("The keys cannot be reached.")] * 5)


@pytest.mark.parametrize("answer", [None, UnauthorizedError("No."), InvalidGrantError("No.")])
def test_an_answer_is_one_also_if_it_is_no(answer):
    assert not after(error(), answer, error())
    hosts.note_unreachable(HOST, silence())
    failures = hosts.Failures()
    failures.note(HOST, answer)
    failures.write()
    assert not HostState.objects.exists()


def test_a_throttle_says_nothing_of_a_host():
    throttled = RateLimitedError("Slower.", retry_after=1, kind="qps")
    assert after(error(), throttled, error())
    hosts.note_unreachable(HOST, silence())
    failures = hosts.Failures()
    failures.note(HOST, throttled)
    failures.write()
    assert HostState.objects.exists()


def test_the_last_error_of_a_lost_host_is_the_one_that_lost_it():
    failures = hosts.Failures()
    first, second = error(), error()
    failures.note(HOST, first)
    failures.note(HOST, second)
    failures.note(HOST, silence())
    assert failures.lost == {HOST: second}


def test_a_lost_host_is_written_down_once(django_assert_num_queries):
    failures = hosts.Failures()
    failures.note(HOST, silence())
    failures.write()
    with django_assert_num_queries(0):
        failures.write()
    assert state()[0] == 1


def test_a_host_that_is_back_is_written_down_once():
    hosts.note_unreachable(HOST, silence())
    failures = hosts.Failures()
    failures.note(HOST, None)
    failures.note("globex.egnyte.com", None)
    with walk.Queries() as queries:
        failures.write()
        failures.write()
    assert len([sql for sql in queries.made if "DELETE" in sql]) == 1
    assert not HostState.objects.exists()


def test_a_host_that_answered_before_it_was_lost_begins_with_the_shortest_pause():
    for _ in range(3):
        hosts.note_unreachable(HOST, silence())
    failures = hosts.Failures()
    failures.note(HOST, None)
    failures.note(HOST, silence())
    failures.write()
    assert state()[0] == 1


@pytest.mark.parametrize(("make", "longest"), [(silence, 86_400), (error, 600)])
def test_the_pause_is_doubled_up_to_a_day_or_ten_minutes(caplog, make, longest):
    with caplog.at_level(logging.WARNING, logger="django_egnyte"):
        for number in range(12):
            hosts.note_unreachable(HOST, make())
            failures, name, left = state()
            expected = timedelta(seconds=min(60 * 2**number, longest))
            assert f"for {int(expected.total_seconds())} seconds" in caplog.messages[number]
            assert failures == number + 1
            assert name == "UnavailableError"
            # SQLite keeps milliseconds, rounded.
            assert expected - timedelta(seconds=10) < left < expected + timedelta(milliseconds=1)
    assert [record.domain for record in caplog.records] == [HOST] * 12


def test_only_who_is_held_off_now_is_left_alone():
    hosts.note_unreachable(HOST, silence())
    hosts.note_unreachable("globex.egnyte.com", silence())
    HostState.objects.filter(host=HOST).update(held_off_until=timezone.now() - timedelta(seconds=1))
    assert hosts.held_off() == {"globex.egnyte.com"}
    assert hosts.failed_before() == {HOST, "globex.egnyte.com"}


def test_only_silence_is_unreachable():
    assert hosts.is_unreachable(silence())
    assert not hosts.is_unreachable(error())
    assert not hosts.is_unreachable(UnauthorizedError("No."))


def test_what_is_held_against_a_host_is_forgotten_for_that_one():
    for host in (HOST, "globex.egnyte.com"):
        hosts.note_unreachable(host, silence())
    hosts.note_reached({HOST, "initech.egnyte.com"})
    assert hosts.failed_before() == {"globex.egnyte.com"}
