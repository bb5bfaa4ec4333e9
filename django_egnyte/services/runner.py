"""One way to work through rows that are due, used by every pass.

Each host has a share of the time, so that one that answers slowly or not at all starves nobody.
Whatever goes wrong with a row puts that row off and is logged; the pass goes on.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from ..exceptions import EgnyteError
from . import hosts

logger = logging.getLogger("django_egnyte.runner")

_Row = TypeVar("_Row")

# Outcomes for which no host was asked.
UNASKED: Final = frozenset({"budget", "gone", "held", "limited", "merged", "skipped", "unreached"})


class Pass(Generic[_Row]):
    """One pass of at most ``seconds``; ``outcomes`` counts what became of its rows.

    ``put_off`` writes down when a row is due again after an error.
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
        self._put_off = put_off

    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def is_lost(self, host: str) -> bool:
        """Whether this pass asks the host nothing more: it failed, or has used its share."""
        lost = host in self.failures.lost or host in self._left
        return lost or self._spent[host] >= self._share

    def lost(self) -> set[str]:
        """The hosts that are lost to this pass."""
        slow = {host for host, seconds in self._spent.items() if seconds >= self._share}
        return {*self.failures.lost, *self._left, *slow}

    def leave(self, host: str) -> None:
        """Ask this host nothing more in this pass, though it did not fail."""
        self._left.add(host)

    def spend(self, host: str, seconds: float) -> None:
        """Note the time that a call to a host took. May be called in threads."""
        self._spent[host] += seconds  # type: ignore[assignment]

    def run(
        self,
        rows: Iterable[_Row],
        work: Callable[[_Row], str],
        *,
        host_of: Callable[[_Row], str],
        until: str = "",
    ) -> Counter[str]:
        """Work through the rows until they or the time are used up, or the outcome ``until``."""
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

    def settle(
        self, row: _Row, work: Callable[[_Row], str], host: str, *, noted: Exception | None = None
    ) -> str:
        """The outcome of one row, counted. An error puts it off and is the outcome ``failed``.

        ``noted`` is an error that is in ``failures`` already. The time is the host's.
        """
        started = time.monotonic()
        try:
            outcome = work(row)
        except Exception as error:
            outcome = "failed"
            if isinstance(error, EgnyteError) and error is not noted:
                self.failures.note(host, error)
            self._give_up(row, error, host)
        else:
            if outcome not in UNASKED:
                self.failures.note(host, None)
        self.spend(host, time.monotonic() - started)
        self.outcomes[outcome] += 1
        return outcome

    def write_failures(self) -> None:
        """Tell the other passes which hosts failed. That this fails ends no pass."""
        try:
            self.failures.write()
        except Exception:
            logger.exception(
                "%s: the hosts that failed could not be noted.",
                self._name,
                extra={"event": "hosts_not_noted"},
            )

    def _give_up(self, row: _Row, error: Exception, host: str) -> None:
        if not isinstance(error, EgnyteError):
            logger.error(
                "%s: row %s failed with %s and is put off. Other rows go on.",
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
                "%s: row %s could not be put off either.",
                self._name,
                getattr(row, "pk", row),
                extra={"event": "row_not_put_off", "domain": host},
            )
