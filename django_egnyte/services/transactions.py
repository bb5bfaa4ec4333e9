"""Short transactions, and time as the database sees it."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.db.models import DateTimeField, Func

from ..exceptions import InTransactionError
from ..models import EgnyteAccount

logger = logging.getLogger("django_egnyte.transactions")

_T = TypeVar("_T")

TRIES: Final = 6
# Seconds.
FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 1.0
# SQLite's transactions that begin with the write lock.
WITH_LOCK: Final = ("IMMEDIATE", "EXCLUSIVE")


def alias() -> str:
    """The database that all of this app's tables are on."""
    return router.db_for_write(EgnyteAccount)


def in_callers_transaction() -> bool:
    """Whether somebody else's transaction is open, which could roll back what is written now."""
    connection = connections[alias()]
    blocks = connection.atomic_blocks
    if blocks:
        return not blocks[-1]._from_testcase  # type: ignore[attr-defined]
    return connection.in_atomic_block or not connection.get_autocommit()


def refuse_in_transaction() -> None:
    """``InTransactionError`` if a token written now might not be there afterwards."""
    if in_callers_transaction():
        raise InTransactionError(
            "A token request inside a transaction is not allowed: a rollback would lose the token."
        )


@contextmanager
def locking_transaction(*, durable: bool = False) -> Iterator[None]:
    """A transaction that takes the write lock at its start where the database locks no rows.

    It is READ COMMITTED, whatever isolation level the site has chosen, unless it is part of another
    transaction: what it reads after it has waited for a lock must not be older than the lock.
    """
    connection: Any = connections[alias()]
    # What follows is known to a connection only once it is made.
    connection.ensure_connection()
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        outermost = not connection.in_atomic_block
        with transaction.atomic(using=alias(), durable=durable):
            if outermost:
                _read_committed(connection)
            yield
        return
    mode, connection.transaction_mode = connection.transaction_mode, "IMMEDIATE"
    try:
        with transaction.atomic(using=alias(), durable=durable):
            yield
    finally:
        connection.transaction_mode = mode


def _read_committed(connection: Any) -> None:
    """Django says of MariaDB's level its name, or ``None`` for the server's own."""
    level = getattr(connection, "isolation_level", "read committed")
    name = getattr(level, "name", level) or ""
    if name.lower().replace("_", " ") != "read committed":
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


def in_short_transaction(work: Callable[[], _T], *, patience: float = 0.0) -> _T:
    """Run ``work`` in a durable transaction of its own, and again after a deadlock, a conflict of
    two transactions, a busy lock or a lost connection.

    There are ``TRIES`` tries, and more until ``patience`` seconds have passed, with a growing and
    jittered pause before each. ``work`` must do nothing but database work. ``RuntimeError`` inside
    another transaction.
    """
    until = time.monotonic() + patience
    for tried in itertools.count(1):
        try:
            with locking_transaction(durable=True):
                return work()
        except (InterfaceError, OperationalError):
            over = tried >= TRIES and time.monotonic() >= until
            if over or connections[alias()].in_atomic_block:
                raise
            connections[alias()].close_if_unusable_or_obsolete()
        time.sleep(random.uniform(0.3, 1.0) * min(FIRST_PAUSE * 2.0**tried, LONGEST_PAUSE))  # noqa: S311
    raise AssertionError("unreachable")


def take_write_lock() -> None:
    """In a transaction that others began on SQLite: take the write lock before anything is read.

    SQLite refuses a write that follows a read when another connection has written in between.
    A transaction that began as ``IMMEDIATE`` has the lock.
    """
    connection: Any = connections[alias()]
    if connection.vendor != "sqlite":
        return
    # Where Django does not commit, it did not begin the transaction either.
    has_lock = connection.commit_on_exit and connection.transaction_mode in WITH_LOCK
    if not has_lock:
        EgnyteAccount.objects.filter(pk=0).write(status_reason="")


def after_commit(work: Callable[[], object]) -> None:
    """Run ``work`` after the commit of the open transaction, or now. What it raises is logged.

    Now, too, where a transaction is managed by hand, of whose end Django does not know.
    """
    connection = connections[alias()]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(work, using=alias(), robust=True)
        return
    try:
        work()
    except Exception:
        logger.exception(
            "Work after the commit of a change failed; the change itself is stored.",
            extra={"event": "after_commit_failed"},
        )


class DatabaseNow(Func):
    """The database server's clock, plus a ``timedelta``, in the form that columns are stored in.

    Django's ``Now()`` follows the session's time zone on MariaDB, and stored times follow
    ``USE_TZ``, so the two could differ by hours.
    """

    arity = 0
    # Django takes a field or a property here; django-stubs names the property alone.
    output_field = DateTimeField()  # pyright: ignore[reportAssignmentType]

    def __init__(self, plus: timedelta = timedelta(0)) -> None:
        super().__init__()
        self.seconds = plus.total_seconds()

    def shift_in(self, connection: Any) -> float:
        """The shift, with that of the zone in which naive times are stored."""
        name = connection.timezone_name if not settings.USE_TZ else "UTC"
        if settings.USE_TZ and connection.settings_dict.get("TIME_ZONE"):
            name = connection.settings_dict["TIME_ZONE"]
        zone = datetime.now(UTC).astimezone(ZoneInfo(name)).utcoffset() or timedelta(0)
        return self.seconds + zone.total_seconds()

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **extra: Any) -> Any:
        return "(STATEMENT_TIMESTAMP() + %s * INTERVAL '1 second')", (self.seconds,)

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        seconds = self.shift_in(connection)
        return "(UTC_TIMESTAMP(6) + INTERVAL %s SECOND)", (seconds,)

    def as_sqlite(
        self, compiler: Any, connection: Any, **extra: Any
    ) -> tuple[str, tuple[Any, ...]]:
        shift = f"{self.shift_in(connection):+.3f} seconds"
        return "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', %s)", (shift,)


def clock(connection: Any, plus: float = 0.0) -> tuple[str, tuple[Any, ...]]:
    """``DatabaseNow``, so many seconds later, for a statement written by hand."""
    sql, values = (
        EgnyteAccount.objects.all().query.get_compiler(connection=connection).compile(hence(plus))
    )
    return sql, tuple(values)


def ago(seconds: float) -> DatabaseNow:
    return DatabaseNow(timedelta(seconds=-seconds))


def hence(seconds: float) -> DatabaseNow:
    return DatabaseNow(timedelta(seconds=seconds))
