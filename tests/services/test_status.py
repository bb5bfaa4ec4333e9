from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.fields import seal
from django_egnyte.models import EgnyteAccount, KeyState, PendingRevocation
from django_egnyte.services import sweep
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.status import overview

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE


def test_a_site_without_anything_is_well(egnyte_sandbox):
    seen = overview().as_dict()
    assert seen.pop("accounts") == {"active": 0, "suspect": 0, "revoked": 0}
    assert seen.pop("token_requests_per_hour") == 100
    assert seen.pop("refreshes_possible") == 7 * 24 * 100
    assert not any(seen.values()), seen


def test_the_oldest_twenty_are_opened(egnyte_account, many, settings):
    many(20)
    settings.EGNYTE_ENCRYPTION_KEYS = ["a key that opens nothing here, not a single row"]
    sealed = seal("a token", egnyte_account.seal_context("access_token"))
    EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(access_token=sealed)
    seen = overview()
    assert (seen.tokens_tried, seen.tokens_unreadable, len(seen.problems)) == (20, 19, 1)


@pytest.mark.parametrize(("due", "late"), [(59 * MINUTE, 0), (61 * MINUTE, 1)])
def test_a_validation_is_late_after_an_hour(egnyte_account, due, late):
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - due)
    seen = overview()
    assert (seen.validations_due, seen.validations_late, len(seen.problems)) == (1, late, late)


@pytest.mark.parametrize(
    ("age", "attempts", "stuck"),
    [(25 * HOUR, 0, 0), (25 * HOUR, 1, 1), (24 * HOUR - MINUTE, 1, 0), (24 * HOUR + MINUTE, 1, 1)],
)
def test_a_token_is_stuck_when_it_failed_and_stays_for_a_day(egnyte_account, age, attempts, stuck):
    disconnect(egnyte_account.pk, actor="test")
    PendingRevocation.objects.update(created_at=timezone.now() - age, attempts=attempts)
    seen = overview()
    assert (seen.outbox, seen.outbox_stuck, len(seen.problems)) == (1, stuck, stuck)
    assert 0 <= seen.outbox_oldest_seconds - age.total_seconds() < 30


@pytest.mark.parametrize(("began", "used"), [(59 * MINUTE, 17), (61 * MINUTE, 0)])
def test_what_an_earlier_hour_used_does_not_count(egnyte_sandbox, began, used):
    KeyState.objects.create(
        key_digest=gateway.key_digest(),
        hour_started_at=timezone.now() - began,
        token_requests=17,
    )
    assert overview().token_requests_this_hour == used


@pytest.mark.parametrize(("limit", "problems"), [(1, 1), (2, 0)])
def test_a_budget_that_just_reaches_is_no_problem(
    egnyte_account, egnyte_user, link, settings, limit, problems
):
    link(egnyte_user, username="bdoe")
    settings.EGNYTE_REFRESH_BEFORE = HOUR
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = limit
    EgnyteAccount.objects.update(next_refresh_at=timezone.now() + 59 * MINUTE)
    seen = overview()
    assert (seen.refreshes_in_horizon, seen.refreshes_possible) == (2, limit)
    assert len(seen.problems) == problems
    assert sweep.warn_of_budget() is bool(problems)
    EgnyteAccount.objects.update(next_refresh_at=timezone.now() + 61 * MINUTE)
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
