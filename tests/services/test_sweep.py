from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_egnyte import gateway, oauth
from django_egnyte.choices import Purpose
from django_egnyte.exceptions import (
    InTransactionError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.models import (
    EgnyteAccount,
    EgnyteToken,
    HostState,
    KeyState,
    SpentState,
    TokenRequest,
)
from django_egnyte.services import hosts, ledger, runner, sweep
from django_egnyte.services.link import spend_state
from django_egnyte.services.transactions import hence

from .conftest import due_now, grant_of
from .rows import HOUR, expired_now, generations, refreshes_due
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
    EgnyteToken.objects.filter(accounts=expired.pk).write(expires_at=timezone.now() - HOUR)
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 2, "refreshed": 1, "dead": 1}
    statuses = dict(EgnyteAccount.objects.values_list("pk", "status"))
    assert statuses == {
        alive.pk: "active", suspect.pk: "active", expired.pk: "active", dead.pk: "revoked"
    }  # fmt: skip


def test_living_tokens_cost_few_queries(many, django_assert_max_num_queries):
    accounts = many(40)
    # The first validation at a host creates the row of the key there.
    sweep.validate_batch([accounts[0].pk], actor="task")
    # The rows, the lock and the update of one batch, the key's state, and the hosts' states.
    with django_assert_max_num_queries(8):
        assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"alive": 40}


def test_a_hung_host_starves_nobody(egnyte_sandbox, many, make_user, link, settings):
    settings.EGNYTE_TIMEOUT = (0.5, 0.3)
    many(12)
    good = link(make_user("good"), domain="globex", username="mmiller")
    egnyte_sandbox.faults.add(path="/userinfo", domain="acme", hang=5, times=None)
    due_now()
    outcomes = sweep.validate_due(actor="command")
    assert outcomes == {"alive": 1, "failed": 12}
    assert egnyte_sandbox.faults.rules[0].hits <= sweep.THREADS + 3
    assert set(HostState.objects.values_list("host", flat=True)) == {"acme.egnyte.com"}
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1}
    assert EgnyteAccount.objects.get(pk=good.pk).validation_attempts == 0


def test_a_host_that_answers_errors_is_left_alone_for_a_while(
    egnyte_sandbox, many, make_user, link
):
    many(30)
    good = link(make_user("good"), domain="globex", username="mmiller")
    egnyte_sandbox.faults.add(path="/userinfo", domain="acme", delay=0.3, status=504, times=None)
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1, "failed": 30}
    assert egnyte_sandbox.faults.rules[0].hits <= sweep.THREADS + 3
    assert EgnyteAccount.objects.get(pk=good.pk).validation_attempts == 0
    # For at most ten minutes each time, because the errors may concern only a few accounts.
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


def test_a_batch_ends_in_time_though_all_its_tokens_have_expired(many, monkeypatch):
    accounts = many(10)
    expired_now()
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(runner, "time", clock)
    monkeypatch.setattr(runner.Pass, "is_lost", lambda self, host: False)
    settle = sweep.validate.settle_refused

    def slow(*args, **options):
        now[0] += 10
        return settle(*args, **options)

    monkeypatch.setattr(sweep.validate, "settle_refused", slow)
    outcomes = sweep.validate_batch([a.pk for a in accounts], actor="task", seconds=25)
    assert outcomes == {"refreshed": 3, "unreached": 7}


@pytest.mark.parametrize("fault", [{"hang": 5}, {"status": 504}])
def test_a_token_endpoint_that_fails_is_not_asked_for_a_whole_batch(
    egnyte_sandbox, many, settings, fault
):
    many(10)
    expired_now()
    due_now()
    settings.EGNYTE_TIMEOUT = (0.5, 0.3)
    egnyte_sandbox.faults.add(grant_type="refresh_token", times=None, **fault)
    assert sweep.validate_due(actor="task") == {"failed": 2, "unreached": 8}
    assert egnyte_sandbox.faults.rules[0].hits == 2
    assert set(HostState.objects.values_list("host", flat=True)) == {"acme.egnyte.com"}
    assert not EgnyteAccount.objects.due_for_validation(timezone.now()).exists()


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
        # Locked rows are tried again when their claim expires. SQLite locks the whole database.
        validated = EgnyteAccount.objects.exclude(last_validated_at=None).order_by("pk")
        assert list(validated) == ([two] if locks else [one, two])
        free.set()


def test_a_batch_locks_its_rows_in_the_order_of_all_others(many, monkeypatch):
    """Without SKIP LOCKED, the batch waits for one row, and a link waits for the other."""
    features = type(connection.features)
    monkeypatch.setattr(features, "has_select_for_update_skip_locked", False)
    one, two = many(2)
    # On PostgreSQL an update moves a row to the end, and a small table is read in physical order.
    EgnyteAccount.objects.filter(pk=one.pk).update(validation_attempts=1)
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
    EgnyteToken.objects.filter(accounts=accounts[0].pk).write(seal_id="0" * 32)
    due_now()
    assert sweep.validate_due(actor="command") == {"alive": 1, "failed": 1}
    assert bad.get().status == "active" and bad.get().validation_attempts == 1
    assert "cannot be decrypted" in caplog.text


def test_one_lost_connection_costs_a_host_no_batch(egnyte_sandbox, many, monkeypatch):
    monkeypatch.setattr(sweep, "THREADS", 1)
    accounts = many(6)
    egnyte_sandbox.faults.add(path="/userinfo", reset=True)
    assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"alive": 5, "failed": 1}
    assert not HostState.objects.exists()


def test_one_server_error_costs_a_host_no_batch(egnyte_sandbox, many, monkeypatch):
    monkeypatch.setattr(sweep, "THREADS", 1)
    accounts = many(6)
    egnyte_sandbox.faults.add(path="/userinfo", status=503)
    assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"alive": 5, "failed": 1}
    assert not HostState.objects.exists()


@pytest.mark.parametrize("error", [RecursionError("too deep"), OperationalError("away")])
@pytest.mark.parametrize("where", ["settle_refused", "settle_alive"])
def test_any_exception_in_one_row_puts_it_off_and_the_batch_goes_on(
    egnyte_sandbox, many, monkeypatch, caplog, error, where
):
    bad, *others = many(3)
    EgnyteAccount.objects.filter(pk=bad.pk).write(status="suspect")
    if where == "settle_refused":
        egnyte_sandbox.expire_token(bad.open_token())

    def failing(*args, **options):
        raise error

    monkeypatch.setattr(sweep.validate, where, failing)
    ids = [bad.pk, *[each.pk for each in others]]
    assert sweep.validate_batch(ids, actor="task") == {"failed": 1, "alive": 2}
    row = EgnyteAccount.objects.get(pk=bad.pk)
    assert (row.status, row.validation_attempts) == ("suspect", 1)
    assert row.next_validation_at > timezone.now()
    assert [r for r in caplog.records if getattr(r, "event", "") == "row_failed"]


def test_any_exception_in_a_thread_puts_its_row_off(many, monkeypatch):
    bad, *others = many(3)
    opened = EgnyteAccount.opened_access_token

    def failing(self):
        if self.pk == bad.pk:
            raise RecursionError("too deep")
        return opened(self)

    monkeypatch.setattr(EgnyteAccount, "opened_access_token", failing)
    ids = [bad.pk, *[each.pk for each in others]]
    assert sweep.validate_batch(ids, actor="task") == {"failed": 1, "alive": 2}
    assert EgnyteAccount.objects.get(pk=bad.pk).validation_attempts == 1


def test_a_slow_token_endpoint_uses_its_share_of_a_batch_only(
    egnyte_sandbox, many, make_user, link, monkeypatch
):
    """Expired tokens are refreshed one after the other, so a slow host delays all others."""
    accounts = [*many(6), link(make_user("good"), domain="globex", username="mmiller")]
    expired_now()
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(runner, "time", clock)
    settle = sweep.validate.settle_refused

    def slow(account, *args, **options):
        now[0] += 29 if account.domain == "acme.egnyte.com" else 0.1
        return settle(account, *args, **options)

    monkeypatch.setattr(sweep.validate, "settle_refused", slow)
    outcomes = sweep.validate_batch([a.pk for a in accounts], actor="task", seconds=120)
    assert outcomes == {"refreshed": 3, "unreached": 4}
    assert generations()[accounts[-1].pk] == 2


def test_tokens_of_another_key_say_nothing_about_the_key_of_now(many, settings):
    accounts = many(2)
    settings.EGNYTE_CLIENT_ID = "another-key"
    assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"alive": 2}
    digest = gateway.key_digest()
    assert not KeyState.objects.filter(key_digest=digest).exclude(accepted_at=None).exists()


# Refreshing


def test_refreshes_are_made_in_time_and_those_in_use_go_first(egnyte_sandbox, many, settings):
    idle, used, later = many(3)
    now = timezone.now()
    EgnyteAccount.objects.update(last_used_at=now - timedelta(days=20))
    EgnyteAccount.objects.filter(pk=used.pk).update(last_used_at=now)
    refreshes_due()
    refreshes_due(later, ago=-timedelta(days=3))
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1
    assert sweep.refresh_due(actor="command") == {"refreshed": 1, "budget": 1}
    assert generations() == {idle.pk: 1, used.pk: 2, later.pk: 1}
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_two_sweeps_ask_for_a_failing_account_once(egnyte_sandbox, egnyte_account, monkeypatch):
    egnyte_sandbox.faults.add(grant_type="refresh_token", status=503, times=None)
    refreshes_due()
    # Each pass lists the due work when it begins, and reaches the account later.
    lists = [list(EgnyteAccount.objects.with_token()) for _ in range(4)]
    monkeypatch.setattr(sweep, "_due_for_refresh", lambda *args: lists.pop())
    assert sweep.refresh_due(actor="task") == {"failed": 1}
    HostState.objects.all().delete()
    for _ in range(3):
        assert sweep.refresh_due(actor="task") == {"skipped": 1}
    assert TokenRequest.objects.count() == 1
    due_in = grant_of(egnyte_account).next_refresh_at - timezone.now()
    assert timedelta(0) < due_in < timedelta(minutes=2)


def test_a_sweep_works_at_an_account_alone_and_a_killed_ones_lease_runs_out(
    egnyte_account, monkeypatch
):
    from django_egnyte.models import EgnyteGrant

    refreshes_due()
    EgnyteGrant.objects.write(lease="a killed one's", leased_until=hence(60))
    assert sweep.refresh_due(actor="task") == {"skipped": 1}
    EgnyteGrant.objects.write(leased_until=hence(-1))
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}


def test_what_the_budget_refuses_keeps_its_place(many, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1
    first, idle = many(2)
    now = timezone.now()
    EgnyteAccount.objects.filter(pk=first.pk).update(last_used_at=now)
    EgnyteAccount.objects.filter(pk=idle.pk).update(last_used_at=now - timedelta(days=20))
    refreshes_due(first, ago=2 * HOUR)
    refreshes_due(idle, ago=HOUR)
    with ledger.charged(Purpose.REFRESH, host="acme.egnyte.com"):
        pass
    before = grant_of(first)
    assert sweep.refresh_due(actor="task") == {"budget": 1}
    after = grant_of(first)
    assert (after.next_refresh_at, after.refresh_attempts) == (before.next_refresh_at, 0)
    TokenRequest.objects.all().delete()
    assert sweep.refresh_due(actor="task")["refreshed"] == 1
    assert generations()[first.pk] == 2


def test_accounts_that_cannot_be_refreshed_do_not_starve_the_others(many, settings):
    accounts = many(4)
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 3
    EgnyteAccount.objects.update(last_used_at=timezone.now())
    for hours, each in enumerate(accounts):
        refreshes_due(each, ago=(9 - hours) * HOUR)
    for each in accounts[:3]:
        EgnyteToken.objects.filter(accounts=each.pk).write(seal_id=f"{each.pk:032d}")
    for _ in range(2):
        sweep.refresh_due(actor="task")
    assert generations()[accounts[3].pk] == 2


@pytest.mark.parametrize("error", [RecursionError("too deep"), OperationalError("away")])
def test_any_exception_in_one_refresh_puts_it_off_and_the_pass_goes_on(
    many, monkeypatch, caplog, error
):
    bad = many(3)[0]
    refreshes_due(ago=HOUR)
    refreshes_due(bad, ago=2 * HOUR)
    refresh = sweep.refresh

    def failing(account, **options):
        if account.pk == bad.pk:
            raise error
        return refresh(account, **options)

    monkeypatch.setattr(sweep, "refresh", failing)
    assert sweep.refresh_due(actor="task") == {"failed": 1, "refreshed": 2}
    assert grant_of(bad).next_refresh_at > timezone.now()
    assert grant_of(bad).refresh_attempts == 1
    assert [r for r in caplog.records if getattr(r, "event", "") == "row_failed"]
    # It does not come first again.
    assert sweep.refresh_due(actor="task") == {}


def test_a_token_endpoint_with_errors_is_left_alone_by_the_refreshes(
    egnyte_sandbox, many, make_user, link
):
    many(5)
    good = link(make_user("good"), domain="globex", username="mmiller")
    refreshes_due()
    egnyte_sandbox.faults.add(grant_type="refresh_token", domain="acme", status=504, times=None)
    assert sweep.refresh_due(actor="task") == {"refreshed": 1, "failed": 2}
    assert generations()[good.pk] == 2
    assert hosts.held_off() == {"acme.egnyte.com"}


@pytest.mark.parametrize("status", [409, 429])
def test_a_host_that_takes_no_more_token_requests_stops_no_other_host(
    egnyte_sandbox, many, make_user, link, status
):
    """The host's accounts are always due first, and must not end each pass."""
    acme = many(3)
    good = link(make_user("good"), domain="globex", username="mmiller")
    refreshes_due(*acme, ago=2 * HOUR)
    refreshes_due(good)
    EgnyteAccount.objects.exclude(pk=good.pk).update(last_used_at=timezone.now())
    egnyte_sandbox.faults.add(
        grant_type="refresh_token", domain="acme", status=status, headers={"Retry-After": "3000"}
    )
    assert sweep.refresh_due(actor="task") == {"failed": 1, "limited": 1, "refreshed": 1}
    requests = TokenRequest.objects.count()
    refreshes_due(good)
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}
    assert TokenRequest.objects.count() == requests + 1
    KeyState.objects.update(held_off_until=hence(-1))
    assert sweep.refresh_due(actor="task") == {"refreshed": 2}


def test_a_host_that_has_used_up_its_failures_stops_no_other_host(
    egnyte_sandbox, many, make_user, link, settings
):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 40
    acme = many(3)
    good = link(make_user("good"), domain="globex", username="mmiller")
    refreshes_due(*acme, ago=HOUR)
    refreshes_due(good)
    for _ in range(11):
        with pytest.raises(UnavailableError), ledger.charged(Purpose.REFRESH, host=acme[0].domain):
            raise UnavailableError("503", status=503)
    assert sweep.refresh_due(actor="task") == {"limited": 1, "refreshed": 1}
    assert generations()[good.pk] == 2


def test_a_slow_token_endpoint_uses_its_share_only(many, make_user, link, monkeypatch):
    """A slow host is not held off, and its accounts are always the first that are due."""
    monkeypatch.setattr(sweep, "CHUNK", 3)
    acme = many(5)
    good = link(make_user("good"), domain="globex", username="mmiller")
    refreshes_due(*acme, ago=HOUR)
    refreshes_due(good)
    now = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(runner, "time", clock)
    refresh = sweep.refresh

    def slow(account, **options):
        now[0] += 29 if account.domain == "acme.egnyte.com" else 0.1
        return refresh(account, **options)

    monkeypatch.setattr(sweep, "refresh", slow)
    assert sweep.refresh_due(actor="task", seconds=120) == {"refreshed": 3}
    assert generations()[good.pk] == 2


def test_a_budget_that_is_too_small_is_told(many, settings, caplog):
    many(3)
    refreshes_due(ago=-timedelta(days=1))
    settings.EGNYTE_REFRESH_BEFORE = timedelta(hours=1)
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    assert not sweep.warn_of_budget()
    refreshes_due()
    assert sweep.refresh_forecast() == (3, 2)
    assert sweep.warn_of_budget()
    assert "EGNYTE_TOKEN_REQUESTS_PER_HOUR" in caplog.text


def test_what_is_over_is_forgotten_after_its_time():
    spend_state("one")
    with ledger.charged(Purpose.REFRESH, host="acme.egnyte.com"):
        pass
    assert sweep.purge() == 0
    SpentState.objects.update(expires_at=timezone.now())
    assert sweep.purge() == 1
    TokenRequest.objects.update(created_at=hence(-7100))
    assert sweep.purge() == 0
    TokenRequest.objects.update(created_at=hence(-7300))
    assert sweep.purge() == 1


@pytest.mark.parametrize(
    "work",
    [
        lambda: next(sweep.claim_due(), None),
        lambda: sweep.validate_batch([1], actor="task"),
        lambda: sweep.validate_due(actor="task"),
        lambda: sweep.refresh_due(actor="task"),
        lambda: sweep.release_forgotten(),
    ],
)
def test_no_sweep_inside_a_transaction(egnyte_account, work):
    with transaction.atomic(), pytest.raises(InTransactionError):
        work()


def test_a_batch_asks_nothing_once_its_time_is_over(egnyte_sandbox, many, monkeypatch):
    accounts = many(3)
    asked = egnyte_sandbox.counts["userinfo"]
    monkeypatch.setattr(runner.Pass, "is_over", lambda self: True)
    monkeypatch.setattr(runner.Pass, "is_lost", lambda self, host: False)
    assert sweep.validate_batch([a.pk for a in accounts], actor="task") == {"unreached": 3}
    assert egnyte_sandbox.counts["userinfo"] == asked


def test_a_validation_that_egnyte_throttles_waits_as_long_as_egnyte_asks(
    egnyte_account, monkeypatch
):
    def throttled(self, token):
        raise RateLimitedError(
            "Slower.", retry_after=20 * HOUR.total_seconds(), kind="daily", status=429, host="acme"
        )

    monkeypatch.setattr(oauth.OAuthClient, "userinfo", throttled)
    assert sweep.validate_batch([egnyte_account.pk], actor="task") == {"failed": 1}
    due = EgnyteAccount.objects.get().next_validation_at
    assert due - timezone.now() > 19 * HOUR
