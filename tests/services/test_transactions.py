from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_egnyte.exceptions import InTransactionError
from django_egnyte.models import EgnyteAccount, HostState
from django_egnyte.services import transactions
from django_egnyte.services.transactions import (
    DatabaseNow,
    after_commit,
    ago,
    hence,
    in_short_transaction,
    locking_transaction,
    refuse_in_transaction,
)


@pytest.mark.parametrize("seconds", [0, 120, -3600, 0.5])
def test_the_databases_clock_is_stored_as_the_sites_clock_would_be(seconds):
    HostState.objects.create(host="h", held_off_until=hence(seconds))
    stored = HostState.objects.get().held_off_until
    assert abs(stored - timezone.now() - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_the_databases_clock_compares_with_what_the_site_wrote():
    now = timezone.now()
    HostState.objects.create(host="past", held_off_until=now - timedelta(seconds=30))
    HostState.objects.create(host="future", held_off_until=now + timedelta(seconds=30))
    hosts = HostState.objects.values_list("host", flat=True)
    assert list(hosts.filter(held_off_until__lte=DatabaseNow())) == ["past"]
    assert list(hosts.filter(held_off_until__gt=DatabaseNow())) == ["future"]
    assert list(hosts.filter(held_off_until__gt=ago(60)).order_by("host")) == ["future", "past"]


def test_a_callers_transaction_is_noticed():
    refuse_in_transaction()
    with transaction.atomic(), pytest.raises(InTransactionError):
        refuse_in_transaction()


def test_a_deadlock_is_tried_again_and_not_for_ever():
    tries = []

    def work() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("deadlock detected")
        return "done"

    assert in_short_transaction(work) == "done"
    assert len(tries) == 3

    def hopeless() -> None:
        tries.append(1)
        raise OperationalError("deadlock detected")

    tries.clear()
    with pytest.raises(OperationalError):
        in_short_transaction(hopeless)
    assert len(tries) == transactions.TRIES


def test_a_short_transaction_may_be_a_threads_first_work():
    done = []

    def work() -> None:
        try:
            done.append(in_short_transaction(HostState.objects.count))
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [0]


def test_a_short_transaction_is_not_part_of_another():
    """It would not be durable: what it wrote could be rolled back."""
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        in_short_transaction(HostState.objects.count)


def test_a_locking_transaction_may_be_part_of_another():
    with transaction.atomic(), locking_transaction():
        HostState.objects.create(host="h")
    assert HostState.objects.exists()


def test_a_transaction_of_djangos_own_test_case_is_nobodys():
    tries = []

    def hopeless() -> None:
        tries.append(1)
        raise OperationalError("deadlock detected")

    with transaction.atomic():
        connection.atomic_blocks[-1]._from_testcase = True
        refuse_in_transaction()
        assert in_short_transaction(HostState.objects.count) == 0
        # The transaction is broken, and only its owner may end it.
        with pytest.raises(OperationalError):
            in_short_transaction(hopeless)
    assert len(tries) == 1
    with transaction.atomic():
        connection.atomic_blocks[-1]._from_testcase = True
        with transaction.atomic(), pytest.raises(InTransactionError):
            refuse_in_transaction()


def test_without_autocommit_every_statement_is_in_a_transaction():
    transaction.set_autocommit(False)
    try:
        with pytest.raises(InTransactionError):
            refuse_in_transaction()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.parametrize("failures", [transactions.TRIES - 1, transactions.TRIES])
def test_there_are_so_many_tries(failures):
    tries = []

    def work() -> None:
        tries.append(1)
        if len(tries) <= failures:
            raise InterfaceError("connection lost")

    with nullcontext() if failures < transactions.TRIES else pytest.raises(InterfaceError):
        in_short_transaction(work)
    assert len(tries) == transactions.TRIES


@pytest.mark.parametrize("error", [InternalError, OperationalError])
def test_a_server_that_has_become_a_replica_is_left(monkeypatch, error):
    """It answers queries, so that Django keeps its connection. Its error depends on the vendor."""
    left = []
    monkeypatch.setattr(connections[connection.alias], "close", lambda: left.append(1))

    def work() -> str:
        if not left:
            raise error("cannot execute INSERT in a read-only transaction")
        return "done"

    assert in_short_transaction(work) == "done"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others lock rows")
@pytest.mark.parametrize("mode", [None, "DEFERRED"])
def test_sqlite_takes_the_write_lock_at_once_and_for_this_alone(monkeypatch, mode):
    own = connections[connection.alias]
    own.ensure_connection()
    monkeypatch.setattr(own, "transaction_mode", mode)
    assert in_short_transaction(lambda: own.transaction_mode) == "IMMEDIATE"
    with pytest.raises(ZeroDivisionError):
        in_short_transaction(lambda: 1 / 0)
    assert own.transaction_mode == mode


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others lock rows")
@pytest.mark.parametrize(
    ("mode", "managed", "writes"),
    [
        (None, True, 1),
        ("DEFERRED", True, 1),
        ("IMMEDIATE", True, 0),
        ("EXCLUSIVE", True, 0),
        ("IMMEDIATE", False, 1),  # begun by raw SQL, without Django
    ],
)
def test_a_transaction_without_the_write_lock_takes_it(monkeypatch, mode, managed, writes):
    own = connections[connection.alias]
    own.ensure_connection()
    monkeypatch.setattr(own, "transaction_mode", mode)
    if not managed:
        own.set_autocommit(False)
    try:
        with transaction.atomic(), CaptureQueriesContext(own) as queries:
            transactions.take_write_lock()
    finally:
        if not managed:
            own.rollback()
            own.set_autocommit(True)
    assert [each["sql"].split()[0] for each in queries.captured_queries] == ["UPDATE"] * writes


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others lock rows")
def test_taking_the_write_lock_changes_no_row(monkeypatch, egnyte_user):
    own = connections[connection.alias]
    own.ensure_connection()
    monkeypatch.setattr(own, "transaction_mode", "DEFERRED")
    account = EgnyteAccount(pk=1, user=egnyte_user, domain="h", egnyte_user_id=1)
    account.status_reason = "a reason"
    EgnyteAccount.objects.bulk_create([account])
    with transaction.atomic():
        transactions.take_write_lock()
    assert EgnyteAccount.objects.get().status_reason == "a reason"


@pytest.mark.parametrize("autocommit", [True, False])
def test_work_after_a_commit_that_fails_is_logged_and_stops_nothing(caplog, autocommit):
    done = []

    def fail():
        raise ValueError("no")

    own = connections[connection.alias]
    own.ensure_connection()
    own.set_autocommit(autocommit)
    try:
        with transaction.atomic() if autocommit else nullcontext():
            after_commit(fail)
            after_commit(lambda: done.append(1))
    finally:
        if not autocommit:
            own.rollback()
            own.set_autocommit(True)
    assert done == [1]
    assert [record.exc_info[0] for record in caplog.records] == [ValueError]


class Connection:
    """The attributes of a connection that ``DatabaseNow`` uses."""

    def __init__(self, zone: str, own_zone: str | None = None) -> None:
        self.timezone_name = zone
        self.settings_dict = {"TIME_ZONE": own_zone}


KOLKATA = 5.5 * 3600


@pytest.mark.parametrize(
    ("use_tz", "zone", "own_zone", "shift"),
    [
        (True, "Asia/Kolkata", None, 0),
        (True, "UTC", "Asia/Kolkata", KOLKATA),
        (True, "Asia/Kolkata", "UTC", 0),
        (False, "Asia/Kolkata", None, KOLKATA),
        (False, "UTC", "Asia/Kolkata", 0),  # without USE_TZ, the connection has no time zone
        (False, "UTC", None, 0),
    ],
)
def test_the_databases_clock_shows_the_time_of_what_is_stored(
    settings, use_tz, zone, own_zone, shift
):
    settings.USE_TZ = use_tz
    assert hence(90).shift_in(Connection(zone, own_zone)) == shift + 90
    assert DatabaseNow().shift_in(Connection(zone, own_zone)) == shift
    sql, params = ago(90).as_mysql(None, Connection(zone, own_zone))
    assert ("UTC_TIMESTAMP" in sql, params) == (True, (shift - 90,))
    sql, params = ago(90).as_sqlite(None, Connection(zone, own_zone))
    assert ("'NOW'" in sql, params) == (True, (f"{shift - 90:+.3f} seconds",))
    # PostgreSQL's knows its zone.
    sql, params = ago(90).as_sql(None, Connection(zone, own_zone))
    assert ("STATEMENT_TIMESTAMP" in sql, params) == (True, (-90,))


def test_a_patient_transaction_is_tried_until_its_time_is_over(monkeypatch):
    """As for a token that has just arrived, which would be lost otherwise."""
    now, tries, pauses = [0.0], [], []

    def sleep(seconds: float) -> None:
        assert 0 < seconds <= 1
        pauses.append(seconds)
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(transactions, "time", clock)

    def work() -> None:
        tries.append(1)
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        in_short_transaction(work, patience=60)
    assert now[0] >= 60 and len(tries) > 60
    assert pauses[0] <= 0.02 and min(pauses[7:]) >= 0.3


def test_the_first_failure_leaves_a_usable_connection_open(monkeypatch):
    closed, tries = [], []
    database = connections[connection.alias]
    database.ensure_connection()
    monkeypatch.setattr(database, "close_at", None)  # not obsolete
    monkeypatch.setattr(database, "close", lambda: closed.append(1))

    def work() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("deadlock detected")
        return "done"

    assert in_short_transaction(work) == "done"
    assert closed == []
