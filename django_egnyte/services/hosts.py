"""Egnyte hosts that do not answer: one hung domain must starve nobody.

A host that cannot be reached is held off by all sweeps, twice as long each time, up to a day.
"""

from __future__ import annotations

import logging
from typing import Final

from django.db.models import F

from ..exceptions import EgnyteError, UnavailableError
from ..models import HostState
from . import agenda
from .transactions import DatabaseNow, alias, hence

logger = logging.getLogger("django_egnyte.hosts")

FIRST_PAUSE: Final = 60.0


def held_off() -> set[str]:
    """The hosts that no sweep asks now."""
    rows = HostState.objects.using(alias()).filter(held_off_until__gt=DatabaseNow())
    return set(rows.values_list("host", flat=True))


def failed_before() -> set[str]:
    """The hosts that something is held against, whether or not that time is over."""
    return set(HostState.objects.using(alias()).values_list("host", flat=True))


def is_unreachable(error: EgnyteError) -> bool:
    """Whether the host gave no answer at all, so that its other accounts would fare no better."""
    return isinstance(error, UnavailableError) and error.status is None


def note_unreachable(host: str, error: EgnyteError) -> None:
    """Hold the host off."""
    rows = HostState.objects.using(alias())
    state, _ = rows.get_or_create(host=host)
    pause = agenda.wait_after(state.failures, first=FIRST_PAUSE)
    rows.filter(pk=state.pk).update(
        failures=F("failures") + 1,
        held_off_until=hence(pause.total_seconds()),
        last_error=type(error).__name__,
    )
    logger.warning(
        "%s cannot be reached; sweeps leave it alone for %d seconds.",
        host,
        pause.total_seconds(),
        extra={"event": "host_held_off", "domain": host},
    )


def note_reached(hosts: set[str]) -> None:
    """Forget what was held against hosts that answered."""
    if hosts:
        HostState.objects.using(alias()).filter(host__in=hosts).delete()
