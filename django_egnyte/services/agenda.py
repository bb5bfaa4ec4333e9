"""When what is due next: spread by jitter, so that a million accounts do not come at once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final, TypedDict

from ..conf import conf

DAY: Final = 24 * 3600.0
FIRST_WAIT: Final = 60.0


class ValidationDue(TypedDict):
    next_attempt_at: datetime


class RefreshDue(TypedDict):
    next_refresh_at: datetime | None


def after_validation(now: datetime) -> ValidationDue:
    """The next validation: no later than ``EGNYTE_VALIDATE_EVERY``, up to a tenth earlier."""
    return {"next_attempt_at": now + conf.validate_every * _between(0.9, 1.0)}


def refresh_times(expires_at: datetime | None, can_refresh: bool, now: datetime) -> RefreshDue:
    """The next refresh: ``EGNYTE_REFRESH_BEFORE`` the end, or for a short life its last quarter."""
    if expires_at is None or not can_refresh:
        return {"next_refresh_at": None}
    margin = min(conf.refresh_before, (expires_at - now) / 4)
    return {"next_refresh_at": expires_at - margin * _between(0.8, 1.0)}


def wait_after(attempts: int, *, first: float = FIRST_WAIT, longest: float = DAY) -> timedelta:
    """The pause after so many failures in a row: doubled each time, and jittered."""
    seconds = min(first * 2.0 ** min(attempts, 30), longest)
    return timedelta(seconds=seconds * _between(0.8, 1.0))


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - a spread, not a secret
