"""A connection for tests: a token, and a record of what the client reported."""

from __future__ import annotations

from django_egnyte.api import Connection, Credentials
from django_egnyte.secret import Secret


class Line(Connection):
    host = "acme.egnyte.com"
    timeout = (2.0, 5.0)

    def __init__(
        self,
        base_url: str,
        token: str = "first",
        *,
        refreshed: str | None = None,
        max_retries: int = 2,
        max_throttle_wait: float = 5.0,
        pace_calls: bool = False,
    ) -> None:
        self.base_url = base_url
        self.token = token
        self.refreshed = refreshed
        self.max_retries = max_retries
        self.max_throttle_wait = max_throttle_wait
        self.pace_calls = pace_calls
        self.told: list[tuple[str, int, bool]] = []
        self.seen: list[tuple[str, int | None, str | None]] = []

    def credentials(self) -> Credentials:
        return Credentials(Secret(self.token), 1)

    def rejected(self, used: Credentials, *, acting: bool) -> Credentials | None:
        self.told.append(("rejected", used.token_id, acting))
        return Credentials(Secret(self.refreshed), 2) if self.refreshed else None

    def accepted(self, used: Credentials) -> None:
        self.told.append(("accepted", used.token_id, False))

    def observed(
        self, method: str, status: int | None, seconds: float, request_id: str | None
    ) -> None:
        assert seconds >= 0
        self.seen.append((method, status, request_id))
