"""Short transactions, and the clock of the database."""

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
from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    connections,
    router,
    transaction,
)
from django.db.models import DateTimeField, Func

from ..exceptions import InTransactionError
from ..models import EgnyteAccount

logger = logging.getLogger("django_egnyte.transactions")

_T = TypeVar("_T")

TRIES: Final = 6
# Seconds.
FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 1.0
# SQLite's modes in which a transaction takes the write lock at its start.
WITH_LOCK: Final = ("IMMEDIATE", "EXCLUSIVE")


def alias() -> str:
    """The alias of the database with this app's tables."""
    return router.db_for_write(EgnyteAccount)


def in_callers_transaction() -> bool:
    """Whether a transaction of the caller is open, whose rollback would undo a write."""
    connection = connections[alias()]
    blocks = connection.atomic_blocks
    if blocks:
        return not blocks[-1]._from_testcase  # type: ignore[attr-defined]
    return connection.in_atomic_block or not connection.get_autocommit()


def refuse_in_transaction() -> None:
    """``InTransactionError`` inside a transaction, because a rollback would lose a new token."""
    if in_callers_transaction():
        raise InTransactionError(
            "A token request inside a transaction is not allowed: a rollback would lose the token."
        )


@contextmanager
def locking_transaction(*, durable: bool = False) -> Iterator[None]:
    """A transaction. On SQLite, which locks no rows, it takes the write lock at its start.

    Unless it is part of another transaction, its isolation level is READ COMMITTED, not the site's.
    After a wait for a lock, it must read the data that the other transaction has committed.
    """
    connection: Any = connections[alias()]
    # The vendor's features and level are known only after the connection is open.
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
    """Set READ COMMITTED, unless it is set. Django has a name for MariaDB, or ``None``."""
    level = getattr(connection, "isolation_level", "read committed")
    name = getattr(level, "name", level) or ""
    if name.lower().replace("_", " ") != "read committed":
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


def in_short_transaction(work: Callable[[], _T], *, patience: float = 0.0) -> _T:
    """Run ``work`` in its own durable transaction.

    It runs again after a deadlock, a serialization failure, a busy lock, a lost connection, or if
    the server has become a read-only replica: up to ``TRIES`` times, and more often until
    ``patience`` seconds have passed, with growing pauses.
    ``work`` must only use the database. ``RuntimeError`` inside another transaction.
    """
    until = time.monotonic() + patience
    for tried in itertools.count(1):
        try:
            with locking_transaction(durable=True):
                return work()
        except (InterfaceError, InternalError, OperationalError):
            connection = connections[alias()]
            over = tried >= TRIES and time.monotonic() >= until
            if over or connection.in_atomic_block:
                raise
            if tried == 1:
                connection.close_if_unusable_or_obsolete()
            else:
                # After a failover this server may only read, though its connection is usable.
                connection.close()
        time.sleep(random.uniform(0.3, 1.0) * min(FIRST_PAUSE * 2.0**tried, LONGEST_PAUSE))  # noqa: S311
    raise AssertionError("unreachable")


def take_write_lock() -> None:
    """On SQLite, in the caller's transaction: take the write lock before the first read.

    Otherwise SQLite refuses a write after a read if another connection has written in between. A
    transaction that began as ``IMMEDIATE`` has the lock already.
    """
    connection: Any = connections[alias()]
    if connection.vendor != "sqlite":
        return
    # Without autocommit, Django did not begin the transaction.
    has_lock = connection.commit_on_exit and connection.transaction_mode in WITH_LOCK
    if not has_lock:
        EgnyteAccount.objects.filter(pk=0).write(status_reason="")


def after_commit(work: Callable[[], object]) -> None:
    """Run ``work`` after the commit, or now without a transaction. Its exceptions are logged.

    It also runs now without autocommit, because Django does not know when such a transaction ends.
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
    """The clock of the database server, plus a ``timedelta``, in the form of stored times.

    On MariaDB, Django's ``Now()`` is in the time zone of the session, and stored times are in that
    of ``USE_TZ``. They could differ by hours.
    """

    arity = 0
    # Django accepts a field or a property here; django-stubs only knows the property.
    output_field = DateTimeField()  # pyright: ignore[reportAssignmentType]

    def __init__(self, plus: timedelta = timedelta(0)) -> None:
        super().__init__()
        self.seconds = plus.total_seconds()

    def compiled(self, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """The SQL and the parameters, for a raw statement."""
        for_vendor = getattr(self, f"as_{connection.vendor}", self.as_sql)
        sql, values = for_vendor(None, connection)
        return sql, values

    def shift_in(self, connection: Any) -> float:
        """The shift, plus the UTC offset of the zone in which naive times are stored."""
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


def ago(seconds: float) -> DatabaseNow:
    return DatabaseNow(timedelta(seconds=-seconds))


def hence(seconds: float) -> DatabaseNow:
    return DatabaseNow(timedelta(seconds=seconds))
