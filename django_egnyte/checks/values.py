"""The types and the bounds of the settings that are numbers or times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from ..conf import TASK_SOFT_TIME_LIMIT, TOKEN_DEADLINE

# Seconds. Far above any useful value, and below the time limit of a worker.
SILENCE: Final = TASK_SOFT_TIME_LIMIT - TOKEN_DEADLINE
HOUR: Final = 3600
LONGEST: Final = timedelta(days=365)
MOST_RETRIES: Final = 100
MOST_REQUESTS: Final = 1_000_000
MOST_EVENTS: Final = 10_000_000


def _is_number(value: Any, least: float, most: float) -> bool:
    # This excludes NaN too.
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_time(value: Any) -> bool:
    return isinstance(value, timedelta) and timedelta(0) <= value <= LONGEST


def _is_timeout(value: Any) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(_is_number(each, 0, SILENCE) and 0 < each < SILENCE for each in value)
    )


VALUES: Final[Sequence[tuple[str, str, str, Callable[[Any], bool]]]] = (
    (
        "EGNYTE_TIMEOUT",
        f"two numbers of seconds, to connect and to read, each above 0 and below {SILENCE}",
        "(3.05, 30)",
        _is_timeout,
    ),
    (
        "EGNYTE_MAX_RETRIES",
        f"a whole number from 0 to {MOST_RETRIES}",
        "2",
        lambda value: _is_count(value, 0, MOST_RETRIES),
    ),
    (
        "EGNYTE_MAX_THROTTLE_WAIT",
        f"a number of seconds from 0 to {HOUR:,}",
        "5",
        lambda value: _is_number(value, 0, HOUR),
    ),
    (
        "EGNYTE_VALIDATE_EVERY",
        f"a timedelta above zero, and of {LONGEST.days} days at most",
        "timedelta(days=1)",
        lambda value: _is_time(value) and value > timedelta(0),
    ),
    (
        "EGNYTE_REFRESH_BEFORE",
        f"a timedelta from zero to {LONGEST.days} days",
        "timedelta(days=7)",
        _is_time,
    ),
    (
        "EGNYTE_REVOKE_INACTIVE_AFTER",
        f"None, or a timedelta above zero and of {LONGEST.days} days at most",
        "timedelta(days=90)",
        lambda value: value is None or (_is_time(value) and value > timedelta(0)),
    ),
    (
        "EGNYTE_TOKEN_REQUESTS_PER_HOUR",
        f"a whole number from 1 to {MOST_REQUESTS:,}",
        "100",
        lambda value: _is_count(value, 1, MOST_REQUESTS),
    ),
    (
        "EGNYTE_EVENTS_PER_HOUR",
        f"a whole number from 1,000 to {MOST_EVENTS:,}",
        "100_000",
        lambda value: _is_count(value, 1000, MOST_EVENTS),
    ),
)
