from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.api.areas.notifications import Notification
from django_egnyte.choices import Purpose
from django_egnyte.fields import seal
from django_egnyte.models import (
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    EventCursor,
    ReceivedEvent,
    SweepState,
    TokenRequest,
)
from django_egnyte.secret import Secret
from django_egnyte.services import events, ledger, polls, sweep
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.refresh import refresh
from django_egnyte.services.status import overview

from .rows import DAY, HOUR, MINUTE, refreshes_due

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _swept(db):
    """The sweeps have just run."""
    sweep.note_run("validations")


def test_a_site_without_anything_is_well(egnyte_sandbox):
    seen = overview().as_dict()
    assert 0 <= seen.pop("last_sweep_seconds") < 30
    assert seen.pop("accounts") == {"active": 0, "suspect": 0, "revoked": 0}
    assert seen.pop("token_requests_per_hour") == 100
    assert seen.pop("refreshes_possible") == 7 * 24 * 100
    assert not any(seen.values()), seen


def test_the_oldest_twenty_are_opened(egnyte_account, many, settings):
    many(20)
    settings.EGNYTE_ENCRYPTION_KEYS = ["a key that opens nothing here, not a single row"]
    for name in ("access_token", "refresh_token"):
        sealed = seal(Secret("a token"), egnyte_account.token.seal_context(name))
        EgnyteToken.objects.filter(pk=egnyte_account.token_id).write(**{name: sealed})
    seen = overview()
    assert (seen.tokens_tried, seen.tokens_unreadable, len(seen.problems)) == (20, 19, 1)


@pytest.mark.parametrize(("due", "late"), [(59 * MINUTE, 0), (61 * MINUTE, 1)])
def test_a_validation_is_late_after_an_hour(egnyte_account, due, late):
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - due)
    seen = overview()
    assert (seen.validations_due, seen.validations_late, len(seen.problems)) == (1, late, late)


@pytest.mark.parametrize(("ago", "overdue"), [(20 * DAY - MINUTE, 0), (20 * DAY + MINUTE, 1)])
def test_a_validation_is_overdue_after_twice_its_time(egnyte_account, settings, ago, overdue):
    settings.EGNYTE_VALIDATE_EVERY = 10 * DAY
    EgnyteAccount.objects.write(last_validated_at=timezone.now() - ago)
    assert overview().validations_overdue == overdue


@pytest.mark.parametrize(
    ("left", "soon"), [(-MINUTE, 0), (MINUTE, 1), (7 * DAY - MINUTE, 1), (7 * DAY + MINUTE, 0)]
)
def test_a_token_expires_soon_within_a_week(egnyte_account, left, soon):
    EgnyteToken.objects.write(expires_at=timezone.now() + left)
    seen = overview()
    assert (seen.expiring_soon, seen.expired) == (soon, int(left < timedelta(0)))


@pytest.mark.parametrize(
    ("age", "attempts", "stuck"),
    [(25 * HOUR, 0, 0), (300 * 24 * HOUR, 1, 0), (300 * 24 * HOUR, 11, 0), (25 * HOUR, 12, 1)],
)
def test_a_grant_is_stuck_when_its_revocation_has_failed_for_a_day(
    egnyte_account, age, attempts, stuck
):
    disconnect(egnyte_account.pk, actor="test")
    EgnyteGrant.objects.write(created_at=timezone.now() - age, revoke_attempts=attempts)
    seen = overview()
    assert (seen.revocations, seen.revocations_due) == (1, 1)
    assert (seen.revocations_failed, seen.revocations_stuck) == (bool(attempts), stuck)
    assert len(seen.problems) == stuck
    assert 0 <= seen.revocations_oldest_seconds - age.total_seconds() < 30


def test_what_is_in_use_or_an_older_token_of_it_is_no_revocation(egnyte_account):
    refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    EgnyteGrant.objects.write(created_at=timezone.now() - 30 * HOUR, revoke_attempts=1)
    seen = overview()
    assert (seen.revocations, seen.revocations_due, seen.revocations_oldest_seconds) == (0, 0, 0)
    assert (seen.revocations_failed, seen.revocations_stuck) == (0, 0)


@pytest.mark.parametrize(("due", "late"), [(59 * MINUTE, 0), (61 * MINUTE, 1)])
def test_a_refresh_is_late_after_an_hour(egnyte_account, due, late):
    refreshes_due(ago=due)
    seen = overview()
    assert (seen.refreshes_due, seen.refreshes_late, len(seen.problems)) == (1, late, late)
    # Grants that are due for revocation need no refresh.
    disconnect(egnyte_account.pk, actor="test")
    seen = overview()
    assert (seen.refreshes_due, seen.refreshes_late) == (0, 0)


@pytest.mark.parametrize(("due", "late"), [(59 * MINUTE, 0), (61 * MINUTE, 1)])
def test_an_event_and_a_poll_are_late_after_an_hour(egnyte_account, due, late):
    events.store(egnyte_account, [Notification(event_id=each, event_type="x") for each in "abc"])
    ReceivedEvent.objects.update(due_at=None)  # handled
    waiting, failed, _handled = ReceivedEvent.objects.order_by("pk")
    waiting.due_at = timezone.now() - due
    waiting.save()
    failed.due_at, failed.attempts = timezone.now() + HOUR, 1
    failed.save()
    polls.follow(egnyte_account, after=7)
    EventCursor.objects.update(next_poll_at=timezone.now() - due)
    seen = overview()
    assert (seen.events_waiting, seen.events_failing, seen.events_late) == (2, 1, late)
    assert seen.polls_late == late
    assert len(seen.problems) == 2 * late


@pytest.mark.parametrize(("attempts", "failing"), [(0, 0), (1, 1)])
def test_a_failing_refresh_is_shown(egnyte_account, attempts, failing):
    EgnyteGrant.objects.write(refresh_attempts=attempts)
    assert overview().refreshes_failing == failing


@pytest.mark.parametrize(("ago", "used"), [(59 * MINUTE, (3, 1)), (61 * MINUTE, (0, 0))])
def test_what_an_earlier_hour_used_does_not_count(egnyte_sandbox, ago, used):
    for purpose in (Purpose.REFRESH, Purpose.REVOKE, Purpose.LINK, Purpose.IMPLICIT):
        with ledger.charged(purpose, host="acme.egnyte.com", user_ref="7"):
            pass
    TokenRequest.objects.update(created_at=timezone.now() - ago)
    seen = overview()
    assert (seen.token_requests_this_hour, seen.token_requests_for_links) == used


def test_a_key_in_doubt_and_a_host_that_takes_no_more_requests_are_shown(egnyte_sandbox):
    ledger.write_key_state("acme.egnyte.com", doubted_at=timezone.now())
    ledger.write_key_state("globex.egnyte.com", held_off_until=timezone.now() + HOUR)
    seen = overview()
    assert seen.verdicts_paused
    assert [each["host"] for each in seen.key_held_off_at] == ["globex.egnyte.com"]
    assert [text for text in seen.problems if "key suspended" in text]


def test_accounts_of_another_key_are_shown_and_told(egnyte_account, many, settings):
    many(1)
    assert overview().accounts_of_another_key == 0
    settings.EGNYTE_CLIENT_ID = "another-key"
    seen = overview()
    assert seen.accounts_of_another_key == 2
    assert [text for text in seen.problems if "another API key: 2" in text and "reconnect" in text]
    # A revoked account has no token of any key.
    EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(status="revoked", token=None)
    assert overview().accounts_of_another_key == 1


@pytest.mark.parametrize(("limit", "problems"), [(1, 1), (2, 0)])
def test_a_budget_that_just_reaches_is_no_problem(
    egnyte_account, egnyte_user, link, settings, limit, problems
):
    link(egnyte_user, username="bdoe")
    settings.EGNYTE_REFRESH_BEFORE = HOUR
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = limit
    refreshes_due(ago=-59 * MINUTE)
    seen = overview()
    assert (seen.refreshes_in_horizon, seen.refreshes_possible) == (2, limit)
    assert len(seen.problems) == problems
    assert sweep.warn_of_budget() is bool(problems)
    refreshes_due(ago=-61 * MINUTE)
    assert overview().refreshes_in_horizon == 0


@pytest.mark.parametrize(
    ("before", "possible"), [(MINUTE, 10), (HOUR, 10), (1.5 * HOUR, 15), (24 * HOUR, 240)]
)
def test_what_is_possible_is_reckoned_for_an_hour_at_least(
    egnyte_sandbox, settings, before, possible
):
    settings.EGNYTE_REFRESH_BEFORE = before
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 10
    assert sweep.refresh_forecast() == (0, possible)


@pytest.mark.parametrize(("ago", "least", "most"), [(MINUTE, 60, 62), (-MINUTE, 0, 0)])
def test_the_age_of_the_last_sweep_is_never_negative(egnyte_sandbox, ago, least, most):
    SweepState.objects.update(ran_at=timezone.now() - ago)
    assert least <= overview().last_sweep_seconds <= most


@pytest.mark.parametrize(
    ("ago", "age", "problem"),
    [
        (59 * MINUTE, 2 * HOUR, ""),
        (61 * MINUTE, 2 * HOUR, "61 minutes"),
        (None, 59 * MINUTE, ""),
        (None, 61 * MINUTE, "ever run"),
    ],
)
def test_sweeps_that_do_not_run_are_a_problem(egnyte_account, ago, age, problem):
    EgnyteAccount.objects.update(created_at=timezone.now() - age)
    if ago is None:
        SweepState.objects.all().delete()
    else:
        SweepState.objects.update(ran_at=timezone.now() - ago)
    seen = overview()
    assert [text for text in seen.problems if problem in text] == seen.problems
    assert bool(seen.problems) is bool(problem)


def test_without_a_key_its_figures_are_zero(egnyte_sandbox, settings):
    settings.EGNYTE_CLIENT_ID = ""
    seen = overview().as_dict()
    assert seen["key_missing"] in seen["problems"]
    names = ("accounts_of_another_key", "token_requests_this_hour", "token_requests_for_links")
    assert [seen[name] for name in (*names, "verdicts_paused")] == [0, 0, 0, 0]
