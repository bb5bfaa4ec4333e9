"""When what is due next: spread by jitter, so that a million accounts do not come at once."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final, TypedDict

from django.utils import timezone

from ..conf import conf
from ..exceptions import EgnyteError, RateLimitedError

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
FIRST_WAIT: Final = 60.0


class Validated(TypedDict):
    """The columns of a validation that went well just now."""

    last_validated_at: datetime
    next_validation_at: datetime
    validation_attempts: int


def validated() -> Validated:
    """The next validation is due ``EGNYTE_VALIDATE_EVERY`` from now, or up to a tenth earlier."""
    now = timezone.now()
    return {
        "last_validated_at": now,
        "next_validation_at": now + conf.validate_every * _between(0.9, 1.0),
        "validation_attempts": 0,
    }


def next_refresh(expires_at: datetime | None, can_refresh: bool) -> datetime | None:
    """``EGNYTE_REFRESH_BEFORE`` the end, or for a short life its last quarter. ``None``: never."""
    if expires_at is None or not can_refresh:
        return None
    margin = min(conf.refresh_before, (expires_at - timezone.now()) / 4)
    return expires_at - margin * _between(0.8, 1.0)


def wait_after(
    attempts: int,
    error: EgnyteError | None = None,
    *,
    first: float = FIRST_WAIT,
    longest: float = DAY,
) -> timedelta:
    """The pause after so many failures in a row: doubled each time, and jittered.

    It is no shorter than the wait that the ``error`` asks for.
    """
    seconds = min(first * 2.0 ** min(attempts, 30), longest) * _between(0.8, 1.0)
    if isinstance(error, RateLimitedError):
        seconds = max(seconds, error.retry_after)
    return timedelta(seconds=seconds)


def as_egnytes(error: Exception) -> EgnyteError | None:
    """The error, if it is one of those that may name a wait."""
    return error if isinstance(error, EgnyteError) else None


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - a spread, not a secret
