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
UNASKED: Final = frozenset({"gone", "held", "merged", "skipped", "unreached"})


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
        self._put_off = put_off

    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def is_lost(self, host: str) -> bool:
        """Whether this pass asks the host nothing more: it failed, or has used its share."""
        return host in self.failures.lost or self._spent[host] >= self._share

    def lost(self) -> set[str]:
        """The hosts that are lost to this pass."""
        return {*self.failures.lost, *(h for h, s in self._spent.items() if s >= self._share)}

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
            started = time.monotonic()
            outcome = self.settle(row, work, host)
            self.spend(host, time.monotonic() - started)
            self.failures.write()
            if outcome == until:
                break
        return self.outcomes

    def settle(self, row: _Row, work: Callable[[_Row], str], host: str) -> str:
        """The outcome of one row, counted. An error puts it off and is the outcome ``failed``."""
        try:
            outcome = work(row)
        except Exception as error:
            outcome = "failed"
            self._note(row, error, host)
        else:
            if outcome not in UNASKED:
                self.failures.note(host, None)
        self.outcomes[outcome] += 1
        return outcome

    def _note(self, row: _Row, error: Exception, host: str) -> None:
        if isinstance(error, EgnyteError):
            self.failures.note(host, error)
        else:
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
