"""Work through the rows that are due. Every pass uses this.

Each host has a share of the time, so that a slow host does not delay the others. After any error of
a row, the row is put off, the error is logged, and the pass continues.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from django.db.models import QuerySet

from ..api import steps, threads
from ..api.steps import Steps
from ..exceptions import EgnyteError
from . import hosts

logger = logging.getLogger("django_egnyte.runner")

_Row = TypeVar("_Row")

# Outcomes without a call to a host.
UNASKED: Final = frozenset(
    {"budget", "gone", "handled", "held", "limited", "merged", "skipped", "unlinked", "unreached"}
)


CHUNK: Final = 100
# Rows that wait until their host is free.
MOST_WAITING: Final = 500


@dataclass
class _Work(Generic[_Row]):
    """A row in progress, and the call for which it waits."""

    row: _Row
    host: str
    work: Steps[str]
    call: Future[Any] = field(default_factory=Future)
    started: float = field(default_factory=lambda: time.monotonic())


class Pass(Generic[_Row]):
    """One pass of at most ``seconds``. ``outcomes`` counts the outcomes of its rows.

    ``put_off`` stores when a row is due again after an error.
    """

    def __init__(
        self,
        name: str,
        *,
        seconds: float,
        put_off: Callable[[_Row, Exception], object],
        silences: int = 1,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failures = hosts.Failures(silences=silences)
        self._name = name
        self._ends = time.monotonic() + seconds
        self._share = seconds / 4
        self._spent: Counter[str] = Counter()
        self._left: set[str] = set()
        self._lock = threading.Lock()
        self._put_off = put_off

    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def is_lost(self, host: str) -> bool:
        """Whether this pass skips the host: it failed, or has used its share of the time."""
        lost = host in self.failures.lost or host in self._left
        return lost or self._spent[host] >= self._share

    def lost(self) -> set[str]:
        """The hosts that this pass skips."""
        slow = {host for host, seconds in self._spent.items() if seconds >= self._share}
        return {*self.failures.lost, *self._left, *slow}

    def leave(self, host: str) -> None:
        """Skip this host for the rest of the pass, although it did not fail."""
        self._left.add(host)

    def spend(self, host: str, seconds: float) -> None:
        """Note the time that a call to a host took. May be called in threads."""
        with self._lock:
            self._spent[host] += seconds  # type: ignore[assignment]

    def run(
        self,
        rows: Iterable[_Row],
        work: Callable[[_Row], str],
        *,
        host_of: Callable[[_Row], str],
        until: str = "",
    ) -> Counter[str]:
        """Work through the rows until the rows or the time end, or until the outcome ``until``."""
        for row in rows:
            if self.is_over():
                break
            host = host_of(row)
            if self.is_lost(host):
                continue
            outcome = self.settle(row, work, host)
            self.write_failures()
            if outcome == until:
                break
        return self.outcomes

    def run_together(
        self,
        rows: Iterable[_Row],
        begin: Callable[[_Row], Steps[str]],
        *,
        host_of: Callable[[_Row], str],
        together: int,
    ) -> Counter[str]:
        """Like ``run``, but asks up to ``together`` hosts at once, each about one row.

        The threads only make the calls: the "io" steps. This thread does the database's work.
        """
        running: dict[str, _Work[_Row]] = {}
        lanes = _Lanes(rows, host_of, running)
        try:
            while True:
                while len(running) < together and not self.is_over():
                    row = lanes.next()
                    if row is None:
                        break
                    self._start(row, host_of(row), begin, running)
                if not running:
                    return self.outcomes
                self._continue(running)
                self.write_failures()
        finally:
            for one in running.values():
                one.call.cancel()
                one.work.close()

    def _start(
        self,
        row: _Row,
        host: str,
        begin: Callable[[_Row], Steps[str]],
        running: dict[str, _Work[_Row]],
    ) -> None:
        if self.is_lost(host):
            return
        running[host] = one = _Work(row, host, begin(row))
        if not self._advance(one, None, None):
            del running[host]

    def _continue(self, running: dict[str, _Work[_Row]]) -> None:
        """Wait until a call has ended, and continue with its row."""
        wait([one.call for one in running.values()], return_when=FIRST_COMPLETED)
        for one in [one for one in running.values() if one.call.done()]:
            error = one.call.exception()
            result = None if error is not None else one.call.result()
            if not self._advance(one, result, error):
                del running[one.host]

    def _advance(self, one: _Work[_Row], result: Any, error: BaseException | None) -> bool:
        """Run the steps up to the next call, and start that call. ``False`` if the row is done."""
        try:
            while True:
                step = one.work.throw(error) if error is not None else one.work.send(result)
                if step.kind == "io":
                    one.call = threads.submit(one.host, step.function, *step.args)
                    return True
                result, error = None, None
                try:
                    result = step.function(*step.args)
                    if step.kind == "whole":
                        result = steps.run(result)
                except Exception as raised:
                    error = raised
        except StopIteration as stop:
            self._count(one.row, one.host, stop.value, None, one.started)
        except Exception as raised:
            self._count(one.row, one.host, "failed", raised, one.started)
        return False

    def settle(
        self, row: _Row, work: Callable[[_Row], str], host: str, *, noted: Exception | None = None
    ) -> str:
        """Do one row and count its outcome. An error puts the row off: outcome ``failed``.

        ``noted`` is an error that is in ``failures`` already. The time is the host's.
        """
        started = time.monotonic()
        error: Exception | None = None
        try:
            outcome = work(row)
        except Exception as raised:
            outcome, error = "failed", raised
        self._count(row, host, outcome, error, started, noted)
        return outcome

    def _count(
        self,
        row: _Row,
        host: str,
        outcome: str,
        error: Exception | None,
        started: float,
        noted: Exception | None = None,
    ) -> None:
        if error is not None:
            if isinstance(error, EgnyteError) and error is not noted:
                self.failures.note(host, error)
            self._give_up(row, error, host)
        elif outcome not in UNASKED:
            self.failures.note(host, None)
        self.spend(host, time.monotonic() - started)
        self.outcomes[outcome] += 1

    def write_failures(self) -> None:
        """Store which hosts failed, for the other passes. An error here is only logged."""
        try:
            self.failures.write()
        except Exception:
            logger.exception(
                "%s: the database did not store which hosts failed.",
                self._name,
                extra={"event": "hosts_not_noted"},
            )

    def _give_up(self, row: _Row, error: Exception, host: str) -> None:
        if not isinstance(error, EgnyteError):
            logger.error(
                "%s: row %s failed with %s. It is tried again later, and the sweep continues.",
                self._name,
                getattr(row, "pk", row),
                type(error).__name__,
                exc_info=error,
                extra={"event": "row_failed", "domain": host},
            )
        try:
            self._put_off(row, error)
        except Exception:
            logger.exception(
                "%s: a later attempt for row %s could not be scheduled either.",
                self._name,
                getattr(row, "pk", row),
                extra={"event": "row_not_put_off", "domain": host},
            )


class _Lanes(Generic[_Row]):
    """Rows in their order, except that rows of a busy host wait."""

    def __init__(
        self, rows: Iterable[_Row], host_of: Callable[[_Row], str], busy: Mapping[str, object]
    ) -> None:
        self._rows, self._host_of, self._busy = iter(rows), host_of, busy
        self._waiting: deque[_Row] = deque()

    def next(self) -> _Row | None:
        """The next row of a host that is not busy; ``None`` if there is none for now."""
        for row in self._waiting:
            if self._host_of(row) not in self._busy:
                self._waiting.remove(row)
                return row
        while len(self._waiting) < MOST_WAITING:
            found = next(self._rows, None)
            if found is None or self._host_of(found) not in self._busy:
                return found
            self._waiting.append(found)
        return None


def waiting(this: Pass[Any], rows: QuerySet[Any]) -> Iterator[Any]:
    """Rows with a ``domain``, by primary key and in chunks, except those of skipped hosts."""
    held, last = hosts.held_off(), 0
    rows = rows.order_by("pk")
    while chunk := list(rows.filter(pk__gt=last).exclude(domain__in=held | this.lost())[:CHUNK]):
        yield from chunk
        last = chunk[-1].pk
