from __future__ import annotations

import logging

import pytest
from django.utils import timezone

from django_egnyte.models import KeyState
from django_egnyte.services import breaker, budget

pytestmark = pytest.mark.django_db


def counts():
    state = KeyState.objects.get()
    return state.answers, state.deaths


@pytest.fixture
def counted(egnyte_sandbox):
    """Make the key's row say what these answers would have left in it."""

    def make(answers, deaths, *, paused=False):
        budget.prepare()
        since = timezone.now() if paused else None
        KeyState.objects.update(answers=answers, deaths=deaths, verdicts_paused_at=since)

    return make


def test_nothing_is_counted_for_a_key_that_was_never_used(egnyte_sandbox):
    breaker.note_alive()
    assert not KeyState.objects.exists()


def test_living_tokens_are_counted(counted):
    counted(5, 1)
    breaker.note_alive()
    breaker.note_alive(3)
    assert counts() == (9, 1)


@pytest.mark.parametrize(
    ("before", "after"), [((998, 9), (999, 9)), ((999, 9), (1000, 9)), ((1000, 9), (500, 4))]
)
def test_old_answers_fade_after_a_thousand(counted, before, after):
    counted(*before)
    breaker.note_alive()
    assert counts() == after


def test_the_first_death_is_a_verdict(egnyte_sandbox):
    assert breaker.may_pass()
    assert counts() == (1, 1)


@pytest.mark.parametrize(
    ("answers", "deaths", "passes"),
    [
        (19, 19, True),  # the twentieth death, however few answers there are
        (20, 20, False),
        (418, 20, False),  # 21 of 419 are more than one in twenty
        (419, 20, True),  # 21 of 420 are one in twenty
    ],
)
def test_verdicts_pause_after_twenty_deaths_if_they_are_more_than_one_in_twenty(
    counted, caplog, answers, deaths, passes
):
    counted(answers, deaths)
    with caplog.at_level(logging.CRITICAL, logger="django_egnyte"):
        assert breaker.may_pass() is passes
    assert breaker.is_paused() is not passes
    assert len(caplog.records) == (0 if passes else 1)
    # What led to the pause says nothing about its end.
    assert counts() == ((answers + 1, deaths + 1) if passes else (0, 0))


def test_a_pause_is_told_once(counted, caplog):
    counted(0, 0, paused=True)
    with caplog.at_level(logging.CRITICAL, logger="django_egnyte"):
        for _ in range(60):
            assert not breaker.may_pass()
    assert caplog.records == []


def test_while_they_are_paused_each_lot_is_judged_by_itself(counted):
    counted(18, 18, paused=True)
    assert not breaker.may_pass()
    assert counts() == (19, 19)
    assert not breaker.may_pass()
    assert counts() == (0, 0)


@pytest.mark.parametrize(
    ("before", "after", "paused"),
    [
        ((18, 0), (19, 0), True),
        ((19, 0), (0, 0), False),
        ((19, 1), (0, 0), False),  # one in twenty
        ((19, 2), (0, 0), True),
        ((18, 2), (19, 2), True),
    ],
)
def test_a_pause_ends_when_a_lot_of_answers_is_good(counted, caplog, before, after, paused):
    counted(*before, paused=True)
    with caplog.at_level(logging.WARNING, logger="django_egnyte"):
        breaker.note_alive()
    assert counts() == after
    assert breaker.is_paused() is paused
    assert [record.event for record in caplog.records] == ([] if paused else ["verdicts_resumed"])


def test_a_pause_is_ended_on_request_and_only_once(counted, caplog):
    counted(7, 3, paused=True)
    with caplog.at_level(logging.WARNING, logger="django_egnyte"):
        assert breaker.resume("somebody asked")
    assert "somebody asked" in caplog.text
    assert counts() == (0, 0)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="django_egnyte"):
        assert not breaker.resume("somebody asked again")
    assert caplog.records == []
