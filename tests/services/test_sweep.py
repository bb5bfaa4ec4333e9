from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_egnyte.exceptions import RateLimitedError, UnauthorizedError, UnavailableError
from django_egnyte.models import EgnyteAccount, HostState, KeyState, SpentState
from django_egnyte.services import budget, hosts, sweep
from django_egnyte.services.link import spend_state

from .conftest import due_now
from .threads import Threads


def test_only_what_is_due_is_asked(egnyte_sandbox, many):
    many(3)
    assert sweep.validate_due(actor="command") == {}
    due_now()
    EgnyteAccount.objects.filter(pk=EgnyteAccount.objects.first().pk).update(
        next_validation_at=timezone.now() + timedelta(hours=1)
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
    EgnyteAccount.objects.update(next_validation_at=timezone.now())
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
    # The rows, one lot's lock and update in a transaction, the breaker's count, and the hosts'.
    with django_assert_max_num_queries(8):
        assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"alive": 40}


def test_a_hung_host_starves_nobody(egnyte_sandbox, many, make_user, link, settings):
    settings.EGNYTE_TIMEOUT = (0.5, 0.3)
    many(12)
    good = link(make_user("good"), domain="globex", username="mmiller")
    egnyte_sandbox.faults.add(path="/userinfo", domain="acme", hang=5, times=None)
    due_now()
    outcomes = sweep.validate_due(actor="command")
    assert outcomes == {"alive": 1, "unknown": 12}
    assert egnyte_sandbox.faults.rules[0].hits <= sweep.THREADS + 3
    assert set(HostState.objects.values_list("host", flat=True)) == {"acme.egnyte.com"}
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1}
    assert EgnyteAccount.objects.get(pk=good.pk).attempts == 0


def test_a_host_that_answers_errors_is_left_alone_for_a_while(
    egnyte_sandbox, many, make_user, link
):
    many(30)
    good = link(make_user("good"), domain="globex", username="mmiller")
    egnyte_sandbox.faults.add(path="/userinfo", domain="acme", delay=0.3, status=504, times=None)
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1, "unknown": 30}
    assert egnyte_sandbox.faults.rules[0].hits <= sweep.THREADS + 3
    assert EgnyteAccount.objects.get(pk=good.pk).attempts == 0
    # Not for longer than ten minutes, however often: the errors may be about a few accounts.
    for _ in range(9):
        hosts.note_unreachable("acme.egnyte.com", UnavailableError("504", status=504))
    until = HostState.objects.get(host="acme.egnyte.com").held_off_until
    assert timezone.now() < until < timezone.now() + timedelta(minutes=11)


def test_one_failure_between_answers_costs_a_host_nothing():
    failures = hosts.Failures()
    for error in (
        UnavailableError("503", status=503, host="globex.egnyte.com"),
        None,
        UnavailableError("503", status=503, host="globex.egnyte.com"),
    ):
        failures.note("acme.egnyte.com", error)
    failures.note(
        "globex.egnyte.com", UnavailableError("503", status=503, host="globex.egnyte.com")
    )
    failures.note("globex.egnyte.com", UnauthorizedError("401"))
    failures.note(
        "globex.egnyte.com", UnavailableError("503", status=503, host="globex.egnyte.com")
    )
    failures.write()
    assert not failures.lost and not HostState.objects.exists()
    failures.note(
        "globex.egnyte.com", UnavailableError("503", status=503, host="globex.egnyte.com")
    )
    failures.write()
    assert list(HostState.objects.values_list("host", "failures")) == [("globex.egnyte.com", 1)]


def test_a_pass_tells_of_a_host_once_and_forgets_it_when_it_answers(
    django_assert_num_queries,
):
    failures = hosts.Failures()
    failures.note("acme.egnyte.com", UnavailableError("No answer.", host="acme.egnyte.com"))
    failures.write()
    with django_assert_num_queries(0):
        failures.write()
    assert list(hosts.held_off()) == ["acme.egnyte.com"]
    later = hosts.Failures()
    later.note("acme.egnyte.com", RateLimitedError("429", retry_after=1, kind="qps"))
    later.write()
    assert HostState.objects.exists()
    later.note("acme.egnyte.com", None)
    later.write()
    assert not HostState.objects.exists()


def expired_now() -> None:
    EgnyteAccount.objects.write(expires_at=timezone.now() - timedelta(hours=1))


def test_a_batch_ends_in_time_though_all_its_tokens_have_expired(egnyte_sandbox, many):
    accounts = many(10)
    expired_now()
    egnyte_sandbox.faults.add(grant_type="refresh_token", delay=0.3, times=None)
    began = time.monotonic()
    outcomes = sweep.validate_batch([a.pk for a in accounts], actor="task", seconds=0.5)
    assert time.monotonic() - began < 2.0
    assert outcomes["refreshed"] >= 1 and outcomes["unreached"] >= 5


@pytest.mark.parametrize("fault", [{"hang": 5}, {"status": 504}])
def test_a_token_endpoint_that_fails_is_not_asked_for_a_whole_batch(
    egnyte_sandbox, many, settings, fault
):
    accounts = many(10)
    expired_now()
    settings.EGNYTE_TIMEOUT = (0.5, 0.3)
    egnyte_sandbox.faults.add(grant_type="refresh_token", times=None, **fault)
    outcomes = sweep.validate_batch([a.pk for a in accounts], actor="task")
    assert outcomes == {"unknown": 10}
    assert egnyte_sandbox.faults.rules[0].hits == 2
    assert set(HostState.objects.values_list("host", flat=True)) == {"acme.egnyte.com"}
    assert EgnyteAccount.objects.filter(next_validation_at__lte=timezone.now()).count() == 0


def test_a_row_that_somebody_has_locked_stops_no_batch(many):
    one, two = many(2)
    EgnyteAccount.objects.update(last_validated_at=None)
    held, free = threading.Event(), threading.Event()
    locks = connection.features.has_select_for_update_skip_locked

    def hold() -> None:
        with transaction.atomic():
            EgnyteAccount.objects.select_for_update().get(pk=one.pk)
            held.set()
            free.wait(20 if locks else 0.5)

    with Threads() as threads:
        threads.start(hold)
        held.wait(20)
        assert sweep.validate_batch([one.pk, two.pk], actor="task") == {"alive": 2}
        # What is locked comes again when its claim runs out. SQLite locks no rows but itself.
        validated = EgnyteAccount.objects.exclude(last_validated_at=None).order_by("pk")
        assert list(validated) == ([two] if locks else [one, two])
        free.set()


def test_a_batch_locks_its_rows_in_the_order_of_all_others(many, monkeypatch):
    """Where no lock can be skipped: the batch waits for one row, and a link for the other."""
    features = type(connection.features)
    monkeypatch.setattr(features, "has_select_for_update_skip_locked", False)
    one, two = many(2)
    # On PostgreSQL any update moves a row behind the others, and a small table is read as it lies.
    EgnyteAccount.objects.filter(pk=one.pk).update(attempts=1)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE django_egnyte_egnyteaccount")
    held, free = threading.Event(), threading.Event()
    outcomes = []

    def hold() -> None:
        with transaction.atomic():
            EgnyteAccount.objects.select_for_update().get(pk=two.pk)
            held.set()
            free.wait(20)

    def both() -> None:
        rows = EgnyteAccount.objects.order_by("pk").select_for_update()
        with transaction.atomic():
            list(rows.filter(pk=one.pk))
            list(rows.filter(pk=two.pk))

    def batch() -> None:
        outcomes.append(sweep.validate_batch([two.pk, one.pk], actor="task"))

    with Threads() as threads:
        threads.start(hold)
        held.wait(20)
        for work in (batch, both):
            threads.start(work)
            time.sleep(0.5)
        free.set()
    assert outcomes == [{"alive": 2}]


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
    versions = dict(EgnyteAccount.objects.values_list("pk", "token_id"))
    assert versions == {idle.pk: 1, used.pk: 2, later.pk: 1}
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_two_sweeps_ask_for_a_failing_account_once(egnyte_sandbox, egnyte_account, monkeypatch):
    egnyte_sandbox.faults.add(grant_type="refresh_token", status=503, times=None)
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    # Each lists what is due when it begins, and comes to the account some time later.
    lists = [list(sweep._due_for_refresh(set())) for _ in range(4)]
    monkeypatch.setattr(sweep, "_due_for_refresh", lambda held: lists.pop())
    assert sweep.refresh_due(actor="task") == {"unknown": 1}
    for _ in range(3):
        assert sweep.refresh_due(actor="task") == {}
    assert KeyState.objects.get().token_requests == 1
    due_in = EgnyteAccount.objects.get().next_refresh_at - timezone.now()
    assert timedelta(0) < due_in < timedelta(minutes=2)


def test_a_sweep_works_at_an_account_alone_and_a_killed_ones_claim_comes_back(
    egnyte_account, monkeypatch
):
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    also = []

    def killed(account, **options):
        monkeypatch.setattr(sweep, "refresh", real)
        also.append(sweep.refresh_due(actor="task"))
        raise KeyboardInterrupt

    real = sweep.refresh
    monkeypatch.setattr(sweep, "refresh", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep.refresh_due(actor="task")
    assert also == [{}]
    due_in = EgnyteAccount.objects.get().next_refresh_at - timezone.now()
    assert timedelta(0) < due_in <= sweep.CLAIM
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}


def test_what_the_budget_refuses_keeps_its_place(many, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1
    first, idle = many(2)
    now = timezone.now()
    EgnyteAccount.objects.update(last_used_at=now, next_refresh_at=now - timedelta(hours=1))
    EgnyteAccount.objects.filter(pk=idle.pk).update(last_used_at=now - timedelta(days=20))
    budget.prepare()
    KeyState.objects.update(token_requests=1, hour_started_at=now)
    before = EgnyteAccount.objects.filter(pk=first.pk)
    before.update(next_refresh_at=now - timedelta(hours=2))
    seen = before.values_list("next_refresh_at", "attempts").get()
    assert sweep.refresh_due(actor="task") == {"budget": 1}
    assert before.values_list("next_refresh_at", "attempts").get() == seen
    KeyState.objects.update(token_requests=0)
    assert sweep.refresh_due(actor="task")["refreshed"] == 1
    assert EgnyteAccount.objects.get(pk=first.pk).token_id == 2


def test_accounts_that_cannot_be_refreshed_do_not_starve_the_others(many, settings):
    accounts = many(4)
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 3
    now = timezone.now()
    for hours, each in enumerate(accounts):
        EgnyteAccount.objects.filter(pk=each.pk).update(
            next_refresh_at=now - timedelta(hours=9 - hours), last_used_at=now
        )
    for each in accounts[:3]:
        EgnyteAccount.objects.filter(pk=each.pk).write(seal_id=f"{each.pk:032d}")
    for _ in range(2):
        sweep.refresh_due(actor="task")
    assert EgnyteAccount.objects.get(pk=accounts[3].pk).token_id == 2


def test_a_token_endpoint_with_errors_is_left_alone_by_the_refreshes(
    egnyte_sandbox, many, make_user, link
):
    many(5)
    good = link(make_user("good"), domain="globex", username="mmiller")
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    egnyte_sandbox.faults.add(grant_type="refresh_token", domain="acme", status=504, times=None)
    assert sweep.refresh_due(actor="task") == {"refreshed": 1, "unknown": 2}
    assert EgnyteAccount.objects.get(pk=good.pk).token_id == 2
    assert hosts.held_off() == {"acme.egnyte.com"}


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
    assert sweep.purge() == 0
    SpentState.objects.update(expires_at=timezone.now())
    assert sweep.purge() == 1
