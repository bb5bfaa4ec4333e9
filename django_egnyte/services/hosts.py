"""Egnyte hosts that do not answer: one hung domain must starve nobody.

A host that fails a few times in a row is left alone for the rest of the pass, and held off by all
sweeps, twice as long each time: up to a day if it cannot be reached, up to ten minutes if it
answers with errors, which may be about a few accounts only.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from django.db.models import F

from ..exceptions import EgnyteError, InvalidGrantError, UnauthorizedError, UnavailableError
from ..models import HostState
from . import agenda
from .transactions import DatabaseNow, hence

logger = logging.getLogger("django_egnyte.hosts")

FIRST_PAUSE: Final = 60.0
LONGEST_PAUSE_FOR_ERRORS: Final = 600.0
# An error may take as long to come as silence does: a proxy answers 504 after half a minute.
ERRORS_IN_A_ROW: Final = 2


class Failures:
    """The failures of one pass, by host.

    A host is lost to the pass after ``silences`` calls in a row without an answer, or after
    ``ERRORS_IN_A_ROW`` of either kind. ``note`` may be called in threads and makes no query.
    """

    def __init__(self, *, silences: int = 1) -> None:
        self.lost: dict[str, EgnyteError] = {}
        """The hosts to leave alone, each with its last error."""
        self._silences = silences
        self._in_a_row: Counter[str] = Counter()
        self._known_bad = failed_before()
        self._reached: set[str] = set()
        self._written: set[str] = set()

    def note(self, host: str, error: EgnyteError | None) -> None:
        """How a call ended; ``None`` for well. A definite no is an answer as good as a yes.

        An error that names no host is not Egnyte's: a cipher's, whose service is down.
        """
        if isinstance(error, UnavailableError) and error.host:
            self._in_a_row[host] += 1
            most = self._silences if is_unreachable(error) else ERRORS_IN_A_ROW
            if self._in_a_row[host] >= most:
                self.lost.setdefault(host, error)
        elif error is None or isinstance(error, UnauthorizedError | InvalidGrantError):
            self._in_a_row[host] = 0
            self._reached.add(host)

    def write(self) -> None:
        """Tell the other passes. Queries nothing unless there is news."""
        back = self._reached & self._known_bad
        note_reached(back)
        self._known_bad -= back
        # Afterwards: a host that answered in this pass, too, begins with the shortest pause.
        for host in self.lost.keys() - self._written:
            note_unreachable(host, self.lost[host])
            self._written.add(host)


def held_off() -> set[str]:
    """The hosts that no sweep asks now."""
    rows = HostState.objects.filter(held_off_until__gt=DatabaseNow())
    return set(rows.values_list("host", flat=True))


def failed_before() -> set[str]:
    """The hosts that something is held against, whether or not that time is over."""
    return set(HostState.objects.values_list("host", flat=True))


def is_unreachable(error: EgnyteError) -> bool:
    """Whether the host gave no answer at all, so that its other accounts would fare no better."""
    return isinstance(error, UnavailableError) and error.status is None


def note_unreachable(host: str, error: EgnyteError) -> None:
    """Hold the host off."""
    rows = HostState.objects
    state, _ = rows.get_or_create(host=host)
    longest = agenda.DAY if is_unreachable(error) else LONGEST_PAUSE_FOR_ERRORS
    pause = agenda.wait_after(state.failures, first=FIRST_PAUSE, longest=longest)
    rows.filter(pk=state.pk).update(
        failures=F("failures") + 1,
        held_off_until=hence(pause.total_seconds()),
        last_error=type(error).__name__,
    )
    logger.warning(
        "%s does not answer, or only with errors. The sweeps do not call it for %d seconds.",
        host,
        pause.total_seconds(),
        extra={"event": "host_held_off", "domain": host},
    )


def note_reached(hosts: set[str]) -> None:
    """Forget what was held against hosts that answered."""
    for host in hosts:  # one by one: two passes could lock each other out
        HostState.objects.filter(host=host).delete()
