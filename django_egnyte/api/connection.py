"""What a client stands on: somebody who keeps the token, and knows where blocking work may run."""

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
    """An access token, and which of the account's tokens it is."""

    access_token: Secret
    token_id: int


class Source(Protocol):
    """Where a client finds its connection. A connection finds itself; others look only now."""

    @abstractmethod
    def connection(self) -> Connection:
        """The connection to use for one call. May raise NotLinkedError."""
        ...

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run work of the connection's own, from a coroutine. By default in the threads for HTTP;
        a connection that queries a database says where that may be done."""
        return await steps.in_pool(function, *args)


class Connection(Source, Protocol):
    """A host, limits, and the token. Derive from it, and override what differs.

    `credentials` and `rejected` may block; in asynchronous code they run where `run` says. One
    that makes HTTP calls returns a generator of `steps.Step`s instead of its result, so that each
    step runs where it belongs.
    """

    host: str
    base_url: str
    """Scheme and host, "https://acme.egnyte.com", without a slash at the end."""
    timeout: tuple[float, float] = (3.05, 30.0)
    """Seconds to connect, seconds of silence."""
    max_retries: int = 2
    max_throttle_wait: float = 5.0
    """The seconds that one call may wait in all for throttles to pass."""
    pace_calls: bool = False
    """Whether calls wait so that they stay below the rate that Egnyte allots the token."""

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

        Called a second time when the new ones are refused too; the answer is then ignored.
        """
        ...

    def accepted(self, used: Credentials) -> None:
        """Egnyte answered 2xx to this token."""
        return

    def observed(
        self, method: str, status: int | None, seconds: float, request_id: str | None
    ) -> None:
        """One request was made; `status` is None if it got no answer. For logs and metrics.

        Called in the thread that made it, so no place for database work. Must not raise.
        """
        return

    def failed(self, error: EgnyteError, *, acting: bool) -> None:
        """A call ends with this error: tell there which host and whose token it was about.

        The place for database work is `rejected`. Must not raise.
        """
        error.host = self.host
