from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.models import EgnyteAccount, HostState, SpentState
from django_egnyte.services import sweep
from django_egnyte.services.link import spend_state


@pytest.fixture
def many(egnyte_sandbox, make_user, link):
    def make(count: int, **options):
        return [link(make_user(f"user{number}"), **options) for number in range(count)]

    return make


def due_now() -> None:
    EgnyteAccount.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=1))


def test_only_what_is_due_is_asked(egnyte_sandbox, many):
    many(3)
    assert sweep.validate_due(actor="command") == {}
    due_now()
    EgnyteAccount.objects.filter(pk=EgnyteAccount.objects.first().pk).update(
        next_attempt_at=timezone.now() + timedelta(hours=1)
    )
    asked = egnyte_sandbox.counts["userinfo"]
    assert sweep.validate_due(actor="command") == {"alive": 2}
    assert egnyte_sandbox.counts["userinfo"] - asked == 2
    assert sweep.validate_due(actor="command") == {}


def test_two_sweeps_claim_nothing_twice_and_a_killed_ones_claim_comes_back(many):
    many(5)
    due_now()
    first = [pk for ids in sweep.claim_due() for pk in ids]
    assert len(first) == 5
    assert [pk for ids in sweep.claim_due() for pk in ids] == []
    EgnyteAccount.objects.update(next_attempt_at=timezone.now())
    assert sorted(pk for ids in sweep.claim_due() for pk in ids) == sorted(first)


def test_suspects_come_first(many):
    accounts = many(3)
    due_now()
    EgnyteAccount.objects.filter(pk=accounts[2].pk).write(status="suspect")
    assert next(sweep.claim_due()) == [accounts[2].pk]


def test_a_batch_does_all_that_a_validation_does(egnyte_sandbox, many, make_user, link):
    alive, suspect, expired = many(3)
    egnyte_sandbox.policy.style = "legacy"
    dead = link(make_user("dead"), username="bdoe")
    egnyte_sandbox.set_password("acme", "bdoe", "new")
    EgnyteAccount.objects.filter(pk=suspect.pk).write(status="suspect")
    EgnyteAccount.objects.filter(pk=expired.pk).write(
        expires_at=timezone.now() - timedelta(hours=1)
    )
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 2, "refreshed": 1, "dead": 1}
    statuses = dict(EgnyteAccount.objects.values_list("pk", "status"))
    assert statuses == {
        alive.pk: "active", suspect.pk: "active", expired.pk: "active", dead.pk: "revoked"
    }  # fmt: skip


def test_living_tokens_cost_few_queries(many, django_assert_max_num_queries):
    accounts = many(40)
    due_now()
    # The rows, one lot's update, the breaker's count, and the hosts'.
    with django_assert_max_num_queries(6):
        assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"alive": 40}


def test_a_hung_host_starves_nobody(egnyte_sandbox, many, make_user, link, settings):
    settings.EGNYTE_TIMEOUT = (0.5, 0.3)
    many(12)
    good = link(make_user("good"), domain="globex", username="mmiller")
    egnyte_sandbox.faults.add(path="/userinfo", domain="acme", hang=5, times=None)
    due_now()
    outcomes = sweep.validate_due(actor="command")
    assert outcomes == {"alive": 1, "unknown": 12}
    assert egnyte_sandbox.counts["userinfo"] - 13 <= sweep.THREADS + 3
    assert set(HostState.objects.values_list("host", flat=True)) == {"acme.egnyte.com"}
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1}
    assert EgnyteAccount.objects.get(pk=good.pk).attempts == 0


def test_an_unreadable_row_stops_no_batch(many, settings, caplog):
    accounts = many(2)
    bad = EgnyteAccount.objects.filter(pk=accounts[0].pk)
    bad.write(seal_id="0" * 32)
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1, "unreadable": 1}
    assert bad.get().status == "active" and bad.get().attempts == 1
    assert "does not open with any key" in caplog.text


def test_refreshes_are_made_in_time_and_those_in_use_go_first(egnyte_sandbox, many, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    idle, used, later = many(3)
    now = timezone.now()
    EgnyteAccount.objects.update(last_used_at=now - timedelta(days=20), next_refresh_at=now)
    EgnyteAccount.objects.filter(pk=used.pk).update(last_used_at=now)
    EgnyteAccount.objects.filter(pk=later.pk).update(next_refresh_at=now + timedelta(days=3))
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1
    assert sweep.refresh_due(actor="command") == {"refreshed": 1, "budget": 1}
    versions = dict(EgnyteAccount.objects.values_list("pk", "token_version"))
    assert versions == {idle.pk: 1, used.pk: 2, later.pk: 1}
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_budget_that_is_too_small_is_told(many, settings, caplog):
    many(3)
    EgnyteAccount.objects.update(next_refresh_at=timezone.now() + timedelta(days=1))
    settings.EGNYTE_REFRESH_BEFORE = timedelta(hours=1)
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    assert not sweep.warn_of_budget()
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    assert sweep.refresh_forecast() == (3, 2)
    assert sweep.warn_of_budget()
    assert "EGNYTE_TOKEN_REQUESTS_PER_HOUR" in caplog.text


def test_spent_states_are_forgotten_after_their_time():
    spend_state("one")
    assert sweep.purge_spent_states() == 0
    SpentState.objects.update(expires_at=timezone.now())
    assert sweep.purge_spent_states() == 1
