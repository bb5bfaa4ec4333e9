"""How much of its limits a token has used, read from Egnyte's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django_egnyte import answers


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second ("qps") and calls a day ("quota"): allowed, and used so far.

    None if the answer did not say. At `quota_reset` the count of the day starts again.
    """

    qps_allotted: int | None = None
    qps_current: int | None = None
    quota_allotted: int | None = None
    quota_current: int | None = None
    quota_reset: datetime | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Rate | None:
        """Read an answer's headers. None if they name no limit."""
        rate = cls(
            _number(headers.get("X-Accesstoken-Qps-Allotted")),
            _number(headers.get("X-Accesstoken-Qps-Current")),
            _number(headers.get("X-Accesstoken-Quota-Allotted")),
            _number(headers.get("X-Accesstoken-Quota-Current")),
            answers.moment_of(headers.get("X-Quota-Reset", "")),
        )
        return None if rate == cls() else rate


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
