"""Egnyte hosts that do not answer must not delay the accounts of other hosts.

If a host fails a few times in a row, the pass skips it, and all sweeps hold it off: they do not
call it for a while. Each time the pause doubles. It is at most a day if the host cannot be reached,
and at most ten minutes if it answers with errors, which may concern only a few accounts.
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
# An error can take as long as a timeout: a proxy answers 504 after half a minute.
ERRORS_IN_A_ROW: Final = 2


class Failures:
    """The failures of one pass, by host.

    The pass skips a host after ``silences`` calls in a row without an answer, or after
    ``ERRORS_IN_A_ROW`` failures of any kind. ``note`` may be called in threads and makes no query.
    """

    def __init__(self, *, silences: int = 1) -> None:
        self.lost: dict[str, EgnyteError] = {}
        """The hosts that the pass skips, each with its last error."""
        self._silences = silences
        self._in_a_row: Counter[str] = Counter()
        self._known_bad = failed_before()
        self._reached: set[str] = set()
        self._written: set[str] = set()

    def note(self, host: str, error: EgnyteError | None) -> None:
        """Record how a call ended: with an error or, if ``None``, with success.

        A refused token is an answer, too. An error without a host does not come from Egnyte, but
        for example from a cipher that uses a service.
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
        """Store the changes for other passes. Makes no query if there are none."""
        back = self._reached & self._known_bad
        note_reached(back)
        self._known_bad -= back
        # After note_reached: a host that also answered in this pass begins with the shortest pause.
        for host in self.lost.keys() - self._written:
            note_unreachable(host, self.lost[host])
            self._written.add(host)


def held_off() -> set[str]:
    """The hosts that sweeps do not call now."""
    rows = HostState.objects.filter(held_off_until__gt=DatabaseNow())
    return set(rows.values_list("host", flat=True))


def failed_before() -> set[str]:
    """The hosts that have failed and not answered since, whether or not their pause is over."""
    return set(HostState.objects.values_list("host", flat=True))


def is_unreachable(error: EgnyteError) -> bool:
    """Whether the host gave no answer at all, so that calls for other accounts would also fail."""
    return isinstance(error, UnavailableError) and error.status is None


def note_unreachable(host: str, error: EgnyteError) -> None:
    """Count a failure of the host, and hold it off."""
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
    """Forget the failures of hosts that have answered."""
    for host in hosts:  # one by one, so that two passes cannot deadlock
        HostState.objects.filter(host=host).delete()
