"""The client without Django: on a token that this site does not keep."""

from __future__ import annotations

from typing import assert_type

from django_egnyte.api import Connection, Credentials, EgnyteClient
from django_egnyte.secret import Secret


class BorrowedToken:
    """A connection whose token is good for as long as it lasts."""

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


def client_on(connection: Connection) -> EgnyteClient:
    client = EgnyteClient(connection)
    assert_type(client.act_as(email="boss@acme.example"), EgnyteClient)
    return client
