"""What a client needs: an object that has the token and knows in which thread to block."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django_egnyte.api import steps
from django_egnyte.api.steps import Steps
from django_egnyte.exceptions import EgnyteError
from django_egnyte.secret import Secret

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access token, and the id of that token."""

    access_token: Secret
    token_id: int


class Source(Protocol):
    """Gives a client its connection. A connection returns itself; others look for one."""

    host: str = "not used yet"
    """The host of the connection, as far as it is known."""

    @abstractmethod
    def connection(self) -> Connection:
        """The connection to use for one call. May raise NotLinkedError."""
        ...

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run the connection's own work for a coroutine, by default in the threads for HTTP.

        A connection that queries a database overrides this.
        """
        return await steps.in_pool(self.host, function, *args)


class Connection(Source, Protocol):
    """A host, limits, and the token. Derive a class from it and override what differs.

    `credentials` and `rejected` may block. For a coroutine they run where `run` puts them. If they
    make HTTP calls, they return a generator of `steps.Step`s instead of the result, so that each
    step runs in the right thread.
    """

    base_url: str
    """Scheme and host, "https://acme.egnyte.com", without a slash at the end."""
    timeout: tuple[float, float] = (3.05, 30.0)
    """Seconds to connect, seconds of silence."""
    max_retries: int = 2
    max_throttle_wait: float = 5.0
    """The seconds that one call may spend waiting for throttles."""
    pace_calls: bool = False
    """Whether calls wait in order to stay below the rate that Egnyte allots to the token."""

    def connection(self) -> Connection:
        return self

    @abstractmethod
    def credentials(self) -> Credentials | Steps[Credentials]:
        """The token to use. May raise NotLinkedError, DecryptionError, TokenExpiredError."""
        ...

    @abstractmethod
    def rejected(
        self, used: Credentials, *, acting: bool
    ) -> Credentials | Steps[Credentials | None] | None:
        """Egnyte refused this token. Returns new credentials, or None to give up.

        It is called a second time if Egnyte refuses the new ones too. Its result is then ignored.
        """
        ...

    def accepted(self, used: Credentials) -> None:
        """Called after Egnyte has answered a call with this token with a 2xx."""
        return

    def observed(
        self, method: str, status: int | None, seconds: float, request_id: str | None
    ) -> None:
        """Called after each request, for logs and metrics. `status` is None without an answer.

        It runs in the thread of the request. It must not query a database, and must not raise.
        """
        return

    def failed(self, error: EgnyteError, *, acting: bool) -> None:
        """Called with the error that ends a call, to add the host and the token.

        It must not query a database (`rejected` may), and must not raise.
        """
        error.host = self.host
