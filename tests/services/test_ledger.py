from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from django_egnyte.choices import EventKind
from django_egnyte.exceptions import (
    InvalidGrantError,
    RateLimitedError,
    TooManyFailuresError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.models import AccountEvent, KeyState, SpentState
from django_egnyte.services import budget

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def limit(egnyte_sandbox, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 10
    return 10


def counts():
    state = KeyState.objects.get()
    return state.token_requests, state.link_requests


def counted(requests, links, *, since):
    budget.prepare()
    began = timezone.now() - since
    KeyState.objects.update(token_requests=requests, link_requests=links, hour_started_at=began)


def refused(*, refresh):
    with pytest.raises(RateLimitedError) as caught:
        budget.draw(refresh=refresh)
    assert caught.value.kind == "token_endpoint"
    return caught.value.retry_after


def test_the_first_requests_of_a_key_are_counted():
    budget.draw(refresh=True)
    assert counts() == (1, 0)
    budget.draw(refresh=False)
    assert counts() == (2, 1)
    began = KeyState.objects.get().hour_started_at
    assert timedelta(0) <= timezone.now() - began < MINUTE
    budget.draw(refresh=True)
    assert counts() == (3, 1)
    assert KeyState.objects.get().hour_started_at == began


@pytest.mark.parametrize(("refresh", "expected"), [(True, (1, 0)), (False, (1, 1))])
def test_a_new_hour_begins_anew(refresh, expected):
    counted(10, 4, since=61 * MINUTE)
    budget.draw(refresh=refresh)
    assert counts() == expected
    assert timezone.now() - KeyState.objects.get().hour_started_at < MINUTE


def test_an_hour_has_sixty_minutes():
    counted(10, 4, since=59 * MINUTE)
    assert 30 < refused(refresh=True) <= 60
    assert counts() == (10, 4)


def test_all_of_it_is_for_refreshes():
    counted(9, 0, since=MINUTE)
    budget.draw(refresh=True)
    assert 58 * 60 < refused(refresh=True) <= 59 * 60
    assert counts() == (10, 0)


def test_four_in_ten_are_for_users_who_connect():
    counted(3, 3, since=MINUTE)
    budget.draw(refresh=False)
    assert 58 * 60 < refused(refresh=False) <= 59 * 60
    budget.draw(refresh=True)
    assert counts() == (5, 4)


def test_users_can_connect_however_small_the_budget_is(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    budget.draw(refresh=True)
    budget.draw(refresh=False)
    refused(refresh=False)
    assert counts() == (2, 1)


@pytest.mark.parametrize(
    ("seconds", "longest", "least"),
    [(300, 300, 290), (0, 1, 1), (-5, 1, 1), (10**9, 86_400, 86_390)],
)
def test_what_egnyte_asks_for_is_waited(seconds, longest, least):
    budget.prepare()
    budget.hold_off(seconds)
    until = KeyState.objects.get().held_off_until - timezone.now()
    assert least - 1 <= until.total_seconds() <= longest
    if seconds == 300:
        assert least <= refused(refresh=True) <= longest


def test_whoever_must_wait_for_two_things_waits_for_the_later_one():
    counted(10, 0, since=50 * MINUTE)
    budget.hold_off(60)
    assert 9 * 60 < refused(refresh=True) <= 10 * 60
    budget.hold_off(1800)
    assert 29 * 60 < refused(refresh=True) <= 30 * 60


def test_a_full_hour_that_is_not_in_the_way_is_not_waited_for():
    counted(5, 0, since=MINUTE)
    budget.hold_off(60)
    assert 30 < refused(refresh=True) <= 60


def test_nobody_is_told_to_wait_for_less_than_a_second(monkeypatch):
    budget.prepare()
    budget.hold_off(60)
    late = timezone.now() + timedelta(seconds=59.9)
    monkeypatch.setattr(budget.timezone, "now", lambda: late)
    assert refused(refresh=True) == 1.0


def test_what_was_held_off_goes_on_afterwards():
    counted(5, 0, since=MINUTE)
    KeyState.objects.update(held_off_until=timezone.now() - MINUTE)
    budget.draw(refresh=True)
    assert counts() == (6, 0)


def failures(number, *, ago=timedelta(0)):
    for _ in range(number):
        event = AccountEvent.objects.create(kind=EventKind.LINK_FAILED, user_ref="7")
        AccountEvent.objects.filter(pk=event.pk).update(created_at=timezone.now() - ago)


def test_five_refused_codes_in_an_hour_are_enough():
    failures(4)
    budget.refuse_after_failures("7")
    failures(1)
    budget.refuse_after_failures("8")
    with pytest.raises(TooManyFailuresError) as caught:
        budget.refuse_after_failures("7")
    assert caught.value.retry_after == 3600


def test_refused_codes_are_forgiven_after_an_hour():
    failures(5, ago=61 * MINUTE)
    budget.refuse_after_failures("7")
    failures(5, ago=59 * MINUTE)
    with pytest.raises(TooManyFailuresError):
        budget.refuse_after_failures("7")


def fail(*who, error=InvalidGrantError):
    with pytest.raises(error), budget.attempt(*who):
        raise error("refused")


@pytest.mark.parametrize("error", [InvalidGrantError, UnauthorizedError])
def test_five_attempts_in_an_hour_are_enough(error):
    for _ in range(5):
        fail("7", error=error)
    assert SpentState.objects.count() == 5
    fail("7", error=TooManyFailuresError)
    with budget.attempt("8"):
        pass


def test_an_attempt_that_succeeds_or_that_egnyte_spoils_costs_nothing():
    with budget.attempt("7", "acme.egnyte.com", "jsmith"):
        assert SpentState.objects.count() == 2
    fail("7", error=UnavailableError)
    assert not SpentState.objects.exists()


def test_attempts_at_one_egnyte_user_are_counted_whoever_makes_them():
    for user in range(5):
        fail(str(user), "acme.egnyte.com", "JSmith")
    fail("9", "acme.egnyte.com", "jsmith", error=TooManyFailuresError)
    # What was taken for the site's user is given back.
    assert SpentState.objects.count() == 10
    with budget.attempt("9", "globex.egnyte.com", "jsmith"), budget.attempt("9"):
        pass


@pytest.mark.parametrize("refresh", [True, False])
def test_what_is_given_back_was_drawn(refresh):
    budget.draw(refresh=refresh)
    for _ in range(2):
        budget.give_back(refresh=refresh)
        assert counts() == (0, 0)


def test_attempts_are_forgiven_after_an_hour():
    for _ in range(5):
        fail("7")
    lasts = SpentState.objects.first().expires_at - timezone.now()
    # SQLite keeps milliseconds, rounded.
    assert 59 * MINUTE < lasts < 60 * MINUTE + timedelta(milliseconds=1)
    SpentState.objects.update(expires_at=timezone.now() - MINUTE)
    fail("7")
    again = SpentState.objects.order_by("-expires_at").first().expires_at - timezone.now()
    assert 59 * MINUTE < again <= 60 * MINUTE
    assert SpentState.objects.count() == 5


def test_no_attempt_is_made_inside_a_transaction():
    """Its rollback would give the attempt back."""
    with transaction.atomic(), pytest.raises(RuntimeError), budget.attempt("7"):
        pass


def test_too_many_attempts_say_how_long():
    for _ in range(5):
        fail("7")
    with pytest.raises(TooManyFailuresError) as caught, budget.attempt("7"):
        pass
    assert caught.value.retry_after == 3600
