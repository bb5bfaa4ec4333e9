from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.exceptions import RateLimitedError, UnavailableError
from django_egnyte.services import agenda

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(params=["earliest", "latest"])
def jitter(request, monkeypatch):
    """The share of the jitter that is chosen."""
    pick = min if request.param == "earliest" else max
    monkeypatch.setattr(agenda.random, "uniform", lambda low, high: pick(low, high))
    return request.param


def about(moment, expected):
    return abs(moment - timezone.now() - expected) < timedelta(seconds=5)


def test_a_validation_comes_within_the_last_tenth(jitter, settings):
    settings.EGNYTE_VALIDATE_EVERY = 10 * DAY
    found = agenda.validated()
    assert about(found["next_validation_at"], {"earliest": 9 * DAY, "latest": 10 * DAY}[jitter])
    assert about(found["last_validated_at"], timedelta(0))
    assert found["validation_attempts"] == 0


@pytest.mark.parametrize(
    ("life", "margin"), [(100 * DAY, 10 * DAY), (40 * DAY, 10 * DAY), (4 * DAY, DAY)]
)
def test_a_refresh_comes_before_the_end_and_no_sooner_than_in_the_last_quarter(
    jitter, settings, life, margin
):
    settings.EGNYTE_REFRESH_BEFORE = 10 * DAY
    # The share of the margin that is picked last is the one that is used up first.
    share = {"earliest": 0.8, "latest": 1.0}[jitter]
    found = agenda.next_refresh(timezone.now() + life, can_refresh=True)
    assert about(found, life - margin * share)


@pytest.mark.parametrize(("life", "can_refresh"), [(None, True), (DAY, False)])
def test_what_does_not_end_or_cannot_be_refreshed_is_not_due(life, can_refresh):
    expires_at = timezone.now() + life if life else None
    assert agenda.next_refresh(expires_at, can_refresh) is None


def test_a_pause_is_as_long_as_egnyte_asks_for(jitter):
    slower = RateLimitedError("Slower.", retry_after=500, kind="qps")
    assert agenda.wait_after(0, slower) == timedelta(seconds=500)
    assert agenda.wait_after(10, slower) > timedelta(seconds=500)
    assert agenda.wait_after(0, UnavailableError("No answer.")) <= timedelta(seconds=60)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 60), (1, 120), (2, 240), (10, 61_440), (11, 86_400), (1_000_000, 86_400)],
)
def test_a_pause_is_doubled_up_to_a_day(jitter, attempts, seconds):
    share = {"earliest": 0.8, "latest": 1.0}[jitter]
    assert agenda.wait_after(attempts) == timedelta(seconds=seconds * share)


def test_the_first_pause_and_the_longest_can_be_others(jitter):
    share = {"earliest": 0.8, "latest": 1.0}[jitter]
    assert agenda.wait_after(2, first=1, longest=600) == timedelta(seconds=4 * share)
    assert agenda.wait_after(20, first=1, longest=600) == timedelta(seconds=600 * share)


def test_no_number_of_failures_is_too_much_for_a_float():
    # 2 to the power of 30 seconds are 34 years; 2 to the power of 1,100 overflow.
    assert agenda.wait_after(29, first=1, longest=1e12) <= timedelta(seconds=2**29)
    lo, hi = timedelta(seconds=0.8 * 2**30), timedelta(seconds=2**30)
    for attempts in (30, 31, 1_100, 2**40):
        assert lo <= agenda.wait_after(attempts, first=1, longest=1e12) <= hi


def test_the_failures_of_a_day_take_over_a_day(jitter):
    failures = range(agenda.FAILURES_OF_A_DAY - 1)
    assert sum(map(agenda.wait_after, failures), timedelta(0)) > DAY
    assert sum(map(agenda.wait_after, failures[:-1]), timedelta(0)) < DAY
