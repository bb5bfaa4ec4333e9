"""One call of the API: what it sends, and when it is repeated."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from django_egnyte import answers, http
from django_egnyte.api.paths import api_path
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidHeaderError,
    RateLimitedError,
    UnavailableError,
)

if TYPE_CHECKING:
    import requests

    from django_egnyte.api.connection import Connection, Credentials

Body = bytes | str | Mapping[str, Any] | IO[bytes] | Iterator[bytes]
Timeout = float | tuple[float, float]

# RFC 9110, 9.2.2.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_PASSING = frozenset({502, 503, 504})
_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII).fullmatch
# A larger body may take long to send, so only each silence is limited.
_SMALL = 1024 * 1024


class Call:
    """A request that can be sent more than once. Its repr shows no content."""

    __slots__ = (
        *("_body", "_json", "_params", "_start", "_timeout", "headers", "max_bytes", "method"),
        *("may_repeat", "path", "stream"),
    )

    def __init__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        params: Mapping[str, Any] | None = None,
        data: Body | None = None,
        json: Any = None,
        stream: bool = False,
        timeout: Timeout | None = None,
        max_bytes: int = http.MAX_BYTES,
        retry: bool | None = None,
    ) -> None:
        self.method = method.upper()
        if not _METHOD(self.method):
            raise InvalidHeaderError("This is not an HTTP method.")
        self.path = api_path(path)
        self.headers = headers
        self.stream = stream
        self.max_bytes = max_bytes
        self.may_repeat = self.method in _IDEMPOTENT if retry is None else retry
        self._params = params
        self._body = data
        self._json = json
        self._timeout = None if timeout is None else _seconds(timeout)
        self._start: int | None = None
        if hasattr(data, "read"):
            try:
                self._start = data.tell()  # type: ignore[union-attr]
            except (OSError, AttributeError, ValueError):
                self._start = None

    def send(self, connection: Connection, credentials: Credentials) -> requests.Response:
        timeout = self._timeout or connection.timeout
        return http.send(
            self.method,
            connection.base_url + self.path,
            bearer=credentials.access_token,
            headers=self.headers,
            params=self._params,
            data=self._body,
            json=self._json,
            timeout=timeout,
            # A server that sends byte by byte must not hold a worker forever: limit the whole call.
            deadline=timeout[0] + 4 * timeout[1],
            large=not _is_small(self._body),
            stream=self.stream,
            max_bytes=self.max_bytes,
        )

    def rewind(self) -> bool:
        """Make the body ready to be sent again. False if it cannot be."""
        body: Any = self._body
        if body is None or isinstance(body, bytes | str | Mapping | list | tuple):
            return True
        if self._start is None:
            return False
        try:
            body.seek(self._start)
        except (OSError, AttributeError, ValueError):
            return False
        return True


class Patience:
    """Decides whether, and after how many seconds, a failed call is repeated.

    Waits for a throttle of calls per second, and for a 503 with a Retry-After, share the
    connection's `max_throttle_wait`. After a network error the call is repeated up to `max_retries`
    times, with growing pauses.
    """

    __slots__ = ("_call", "_failures", "_retries", "left")

    def __init__(self, call: Call, connection: Connection) -> None:
        self._call = call
        self._failures = 0
        self._retries = connection.max_retries
        self.left = connection.max_throttle_wait

    def after(self, error: EgnyteError) -> float | None:
        """The pause before the next try, in seconds. None if the call must not be repeated."""
        if isinstance(error, RateLimitedError):
            pause = max(error.retry_after, 0.05)
            if error.kind != "qps" or pause > self.left or not self._call.rewind():
                return None
            self.left -= pause
            # Calls that were refused at the same moment should not all return at the same moment.
            return pause + random.uniform(0, 0.1)  # noqa: S311
        if isinstance(error, UnavailableError) and (self._call.may_repeat or not error.sent):
            return self._backoff()
        return None

    def after_answer(self, response: requests.Response) -> float | None:
        """The same for an answer that reports a temporary failure at Egnyte."""
        if response.status_code not in _PASSING or not self._call.may_repeat:
            return None
        wait = response.headers.get("Retry-After")
        if not wait:
            return self._backoff()
        pause = answers.retry_after(wait)
        if pause > self.left or self._backoff() is None:
            return None
        self.left -= pause
        return pause

    def _backoff(self) -> float | None:
        if self._failures >= self._retries or not self._call.rewind():
            return None
        self._failures += 1
        return backoff(self._failures)


def backoff(failures: int) -> float:
    """Seconds before the next try, with jitter: about 0.25, 0.5, 1 ... at most 8."""
    return min(8.0, 0.25 * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.5)  # noqa: S311


def _seconds(timeout: Timeout) -> tuple[float, float]:
    """Check the timeout here, because the error of a socket would not name the parameter."""
    try:
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        pair = float(connect), float(read)
    except (TypeError, ValueError):
        pair = 0.0, 0.0
    if not all(0 < each < math.inf for each in pair):
        raise ValueError(
            "timeout must be a number of seconds above 0, or two: to connect, and to read"
        )
    return pair


def _is_small(data: Any) -> bool:
    """Whether the body is known to be small before it is sent. For a file it is not known."""
    if data is None or isinstance(data, Mapping):
        return True
    return hasattr(data, "__len__") and len(data) <= _SMALL
