"""The client without Django, with a token that the site does not store."""

from __future__ import annotations

from typing import assert_type

from django_egnyte.api import Connection, Credentials, EgnyteClient, Source
from django_egnyte.secret import Secret


class BorrowedToken(Connection):
    """A connection with a fixed token."""

    host = "acme.egnyte.com"
    timeout = (3.05, 30.0)
    max_retries = 0
    max_throttle_wait = 0.0

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self.token = token
        self.seen: list[int | None] = []

    def credentials(self) -> Credentials:
        return Credentials(Secret(self.token), 1)

    def rejected(self, used: Credentials, *, acting: bool) -> Credentials | None:
        return None

    def accepted(self, used: Credentials) -> None:
        assert used.token_id == 1

    def observed(
        self, method: str, status: int | None, seconds: float, request_id: str | None
    ) -> None:
        self.seen.append(status)


def client_on(source: Source) -> EgnyteClient:
    client = EgnyteClient(source)
    assert_type(client.act_as(email="boss@acme.example"), EgnyteClient)
    return client
