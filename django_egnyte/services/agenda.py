"""The times of the next validations and refreshes. Jitter spreads them over the accounts."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final, TypedDict

from django.utils import timezone

from ..conf import conf
from ..exceptions import RateLimitedError

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
FIRST_WAIT: Final = 60.0
# With the pauses of ``wait_after``, this many failures in a row take over a day.
FAILURES_OF_A_DAY: Final = 12


class Validated(TypedDict):
    """The columns to write after a successful validation."""

    last_validated_at: datetime
    next_validation_at: datetime
    validation_attempts: int


def validated() -> Validated:
    """Validated now. The next one is in ``EGNYTE_VALIDATE_EVERY``, or up to a tenth earlier."""
    now = timezone.now()
    return {
        "last_validated_at": now,
        "next_validation_at": now + conf.validate_every * _between(0.9, 1.0),
        "validation_attempts": 0,
    }


def next_refresh(expires_at: datetime | None, can_refresh: bool) -> datetime | None:
    """When to refresh: ``EGNYTE_REFRESH_BEFORE`` the expiry, or up to a fifth of that later.

    The margin is at most a quarter of the remaining lifetime. ``None`` if it needs no refresh.
    """
    if expires_at is None or not can_refresh:
        return None
    margin = min(conf.refresh_before, (expires_at - timezone.now()) / 4)
    return expires_at - margin * _between(0.8, 1.0)


def wait_after(
    attempts: int,
    error: Exception | None = None,
    *,
    first: float = FIRST_WAIT,
    longest: float = DAY,
) -> timedelta:
    """The pause after ``attempts`` failures in a row. It doubles each time, and has jitter.

    It is at least the ``retry_after`` of a ``RateLimitedError``.
    """
    seconds = min(first * 2.0 ** min(attempts, 30), longest) * _between(0.8, 1.0)
    if isinstance(error, RateLimitedError):
        seconds = max(seconds, error.retry_after)
    return timedelta(seconds=seconds)


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - a spread, not a secret
