"""Rate limits: calls per token, second and day, and token requests per hour."""

from __future__ import annotations

import math
from collections import deque
from datetime import UTC, datetime

from . import refusals
from .messages import Response
from .state import DAY, HOUR, QPS_ALLOTTED, QUOTA_ALLOTTED, Key, Settings, Token

# Not from strftime, whose names depend on the locale of the process.
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def count_call(token: Token, settings: Settings, now: float) -> Response | None:
    """Count one API call of a token. Returns a refusal if it exceeds a limit.

    The day ends at midnight UTC. A refused call is not counted, because it was not served.
    """
    second = int(now)
    if token.second != second:
        token.second, token.in_second = second, 0
    day = now // DAY * DAY
    if token.day_started != day:
        token.day_started, token.in_day = day, 0
    if settings.daily_limit is not None and token.in_day >= settings.daily_limit:
        wait = max(1, math.ceil(token.day_started + DAY - now))
        return refusals.over_rate(settings, wait)
    if settings.qps_limit is not None and token.in_second >= settings.qps_limit:
        return refusals.over_qps(settings, 1)
    token.in_second += 1
    token.in_day += 1
    return None


def rate_headers(token: Token, settings: Settings) -> list[tuple[str, str]]:
    """The five headers of every API answer. Without a limit, they show Egnyte's limits."""
    qps = QPS_ALLOTTED if settings.qps_limit is None else settings.qps_limit
    quota = QUOTA_ALLOTTED if settings.daily_limit is None else settings.daily_limit
    return [
        ("X-Accesstoken-Qps-Allotted", str(qps)),
        ("X-Accesstoken-Qps-Current", str(token.in_second)),
        ("X-Accesstoken-Quota-Allotted", str(quota)),
        ("X-Accesstoken-Quota-Current", str(token.in_day)),
        ("X-Quota-Reset", reset_time(token.day_started + DAY)),
    ]


def reset_time(moment: float) -> str:
    """As in a recording of Egnyte: `Wednesday, April 17, 2024 12:00:00 AM GMT`."""
    at = datetime.fromtimestamp(moment, UTC)
    half = "AM" if at.hour < 12 else "PM"
    clock = f"{at.hour % 12 or 12:02}:{at.minute:02}:{at.second:02} {half} GMT"
    return f"{DAYS[at.weekday()]}, {MONTHS[at.month - 1]} {at.day}, {at.year} {clock}"


class TokenRequests:
    """Counts token requests over a sliding hour: by key, and by user for internal keys."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], deque[float]] = {}

    def count(
        self, key: Key, settings: Settings, now: float, domain: str, username: str
    ) -> Response | None:
        """Count one token request. Returns a refusal if it exceeds the limit."""
        internal = key.flow == "internal"
        if internal:
            limit = settings.internal_token_requests_per_hour
            seen = self._seen.setdefault((key.client_id, domain, username), deque())
        else:
            limit = settings.token_requests_per_hour
            seen = self._seen.setdefault((key.client_id, "", ""), deque())
        while seen and now - seen[0] >= HOUR:
            seen.popleft()
        if limit is not None and len(seen) >= limit:
            if settings.token_throttle == "quota":
                return refusals.refuse(refusals.REQUEST_QUOTA, settings.error_shape)
            wait = HOUR if not seen else max(1, math.ceil(seen[0] + HOUR - now))
            return refusals.over_token_requests(wait)
        seen.append(now)
        return None
