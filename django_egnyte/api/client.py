"""The client: calls Egnyte's API with one user's token."""

from __future__ import annotations

import copy
import math
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from django_egnyte import answers, http
from django_egnyte.api import flows
from django_egnyte.api.files import Files
from django_egnyte.api.paths import api_path
from django_egnyte.api.rate import Rate
from django_egnyte.exceptions import (
    InvalidHeaderError,
    RateLimitedError,
    TokenExpiredError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.secret import Secret

if TYPE_CHECKING:
    from typing import Self

    import requests

    from django_egnyte.api.flows import Flow

_T = TypeVar("_T")

Body = bytes | str | Mapping[str, Any] | IO[bytes] | Iterator[bytes]
Timeout = float | tuple[float, float]

# RFC 9110, 9.2.2.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_PASSING = frozenset({502, 503, 504})
_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII).fullmatch
_ACT_AS = re.compile(r"[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa0-\xff]{0,253}[\x21-\x7e\xa1-\xff])?")
# The client's own, or the connection's.
_RESERVED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-egnyte-act-as",
        "x-egnyte-act-as-email",
    }
)
_USERINFO = "/pubapi/v1/userinfo"
# A body over this may take long to send, and only the silence on the line is bounded.
_SMALL = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access token, and which of the account's tokens it is."""

    access_token: Secret
    token_id: int


class Connection(Protocol):
    """What a client stands on: a host, limits, and somebody who keeps the token."""

    host: str
    base_url: str
    """Scheme and host, "https://acme.egnyte.com", without a slash at the end."""
    timeout: tuple[float, float]
    """Seconds to connect, seconds of silence."""
    max_retries: int
    max_throttle_wait: float
    """The seconds that one call may wait in all for throttles to pass."""

    def credentials(self) -> Credentials:
        """The token to use. May raise NotLinkedError, DecryptionError, TokenExpiredError."""
        ...

    def rejected(self, used: Credentials, *, acting: bool) -> Credentials | None:
        """Egnyte refused this token. Returns new credentials, or None to give up.

        Called a second time when the new ones are refused too; the answer is then ignored.
        """
        ...

    def accepted(self, used: Credentials) -> None:
        """Egnyte answered 2xx to this token."""
        ...

    def observed(
        self, method: str, status: int | None, seconds: float, request_id: str | None
    ) -> None:
        """One request was made; `status` is None if it got no answer. For logs and metrics.

        Called in the thread that made it, so no place for database work. Must not raise.
        """
        ...


class EgnyteClient:
    """Calls the API of one Egnyte domain with the token of one connection.

    Every call has an asynchronous twin: `aget` for `get`. Raw calls return the answer whatever its
    status, but raise UnauthorizedError for a dead token and RateLimitedError for a throttle.
    """

    __slots__ = ("_acting", "_connection", "_rate_headers")

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._acting: tuple[str, str] | None = None
        self._rate_headers: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        host = self._connection.host if self._connection is not None else "not connected"
        return f"<{type(self).__name__} {host}{' acting as another' if self._acting else ''}>"

    def _connect(self) -> Connection:
        """The connection to use. A subclass may find it only now."""
        assert self._connection is not None
        return self._connection

    def _open(self) -> tuple[Connection, Credentials]:
        connection = self._connect()
        return connection, connection.credentials()

    async def _run_db(self, function: Callable[..., _T], *args: Any) -> _T:
        """Where the connection's own work runs in asynchronous code. Django has rules for that."""
        return await flows.in_pool(function, *args)

    @property
    def rate(self) -> Rate | None:
        """What the last answer said about this token's limits; None if it said nothing."""
        return None if self._rate_headers is None else Rate.of(self._rate_headers)

    @property
    def files(self) -> Files:
        """Files and folders."""
        return Files(self)

    def act_as(self, *, username: str | None = None, email: str | None = None) -> Self:
        """A client that an administrator's token lets act as another user of the domain.

        Exactly one of the two. Raises InvalidHeaderError for what no header may carry.
        """
        if (username is None) == (email is None):
            raise TypeError("act_as() takes either username or email")
        value = username if username is not None else email
        if not isinstance(value, str) or not _ACT_AS.fullmatch(value):
            raise InvalidHeaderError("That cannot be the name or address of an Egnyte user.")
        client = copy.copy(self)
        client._acting = (
            "X-Egnyte-Act-As" if username is not None else "X-Egnyte-Act-As-Email",
            value,
        )
        client._rate_headers = None
        return client

    def request(self, method: str, path: str, **kw: Any) -> requests.Response:
        """Call `path` ("/pubapi/v1/userinfo", a query allowed) and return the answer.

        Keywords: `params`, `data` (bytes, str, a mapping for a form, a binary file or an iterator
        of bytes), `json`, `headers`; `stream` leaves the body to be read; `timeout` in seconds or
        (connect, read); `max_bytes`, the most the body may have (16 MiB); `retry` says whether the
        call may be repeated when the network or Egnyte fails (default: GET, HEAD, OPTIONS, PUT
        and DELETE may). After a refresh or a throttle, or if it never left, any call is repeated
        whose body can be sent again.

        Raises InvalidPathError, InvalidHeaderError, and ValueError for a timeout that is none,
        before anything is sent; UnauthorizedError, RateLimitedError, UnavailableError,
        ResponseError, and what the connection raises.
        """
        return flows.run(self._request(method, path, **kw))

    def get(self, path: str, **kw: Any) -> requests.Response:
        return self.request("GET", path, **kw)

    def post(self, path: str, **kw: Any) -> requests.Response:
        return self.request("POST", path, **kw)

    def put(self, path: str, **kw: Any) -> requests.Response:
        return self.request("PUT", path, **kw)

    def patch(self, path: str, **kw: Any) -> requests.Response:
        return self.request("PATCH", path, **kw)

    def delete(self, path: str, **kw: Any) -> requests.Response:
        return self.request("DELETE", path, **kw)

    def userinfo(self) -> dict[str, Any]:
        """Whose token this is: id, username, first_name, last_name. Raises for every error."""
        return flows.run(self._userinfo())

    async def arequest(self, method: str, path: str, **kw: Any) -> requests.Response:
        return await flows.arun(self._request(method, path, **kw), self)

    async def aget(self, path: str, **kw: Any) -> requests.Response:
        return await self.arequest("GET", path, **kw)

    async def apost(self, path: str, **kw: Any) -> requests.Response:
        return await self.arequest("POST", path, **kw)

    async def aput(self, path: str, **kw: Any) -> requests.Response:
        return await self.arequest("PUT", path, **kw)

    async def apatch(self, path: str, **kw: Any) -> requests.Response:
        return await self.arequest("PATCH", path, **kw)

    async def adelete(self, path: str, **kw: Any) -> requests.Response:
        return await self.arequest("DELETE", path, **kw)

    async def auserinfo(self) -> dict[str, Any]:
        return await flows.arun(self._userinfo(), self)

    def _userinfo(self) -> Flow[dict[str, Any]]:
        response = yield from self._request("GET", _USERINFO)
        answers.raise_for_status(response)
        return answers.json_of(response)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Body | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        timeout: Timeout | None = None,
        max_bytes: int = http.MAX_BYTES,
        retry: bool | None = None,
    ) -> Flow[requests.Response]:
        """The one way a token is used: refreshes, retries and throttles included."""
        method = method.upper()
        if not _METHOD(method):
            raise InvalidHeaderError("That is no HTTP method.")
        where = api_path(path)
        sent_headers = self._headers(headers)
        asked = None if timeout is None else _seconds(timeout)
        connection: Connection
        used: Credentials
        connection, used = yield flows.Step("db", self._open)
        call = _Call(method, connection.base_url + where, params, data, json, sent_headers)
        call.limits(connection.timeout if asked is None else asked, stream, max_bytes)
        may_retry = method in _IDEMPOTENT if retry is None else retry
        patience = connection.max_throttle_wait
        failures = 0
        refreshed = False
        while True:
            pause = 0.0
            try:
                response: requests.Response = yield flows.Step("io", _send, connection, call, used)
                self._rate_headers = response.headers
                answers.classify(response)
            except UnauthorizedError as error:
                # Under EGNYTE_BASE_URL the address that was asked is not the account's host.
                error.host = connection.host
                new = yield from _rejected(connection, used, self._acting is not None)
                if new is None or refreshed:
                    raise
                if not call.rewind():
                    raise TokenExpiredError(
                        "The token was refreshed, but this body cannot be sent a second time.",
                        hint="Make the call again: it will use the new token.",
                        host=connection.host,
                    ) from None
                used, refreshed = new, True
                continue
            except RateLimitedError as error:
                pause = max(error.retry_after, 0.05)
                if error.kind != "qps" or pause > patience or not call.rewind():
                    raise
                patience -= pause
                # Others that were refused at the same moment are to come back at another.
                pause += random.uniform(0, 0.1)  # noqa: S311
            except UnavailableError as error:
                allowed = may_retry or not error.sent
                if not allowed or failures >= connection.max_retries or not call.rewind():
                    raise
                failures += 1
                pause = _backoff(failures)
            else:
                if response.status_code in _PASSING and may_retry:
                    pause = _backoff(failures + 1)
                    if wait := response.headers.get("Retry-After"):
                        pause = answers.retry_after(wait)
                    affordable = pause <= patience or not wait
                    if failures < connection.max_retries and affordable and call.rewind():
                        failures += 1
                        patience -= pause if wait else 0
                        response.close()
                        yield flows.sleep(pause)
                        continue
                if 200 <= response.status_code < 300:
                    yield flows.Step("db", connection.accepted, used)
                return response
            yield flows.sleep(pause)

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = dict(headers) if headers else {}
        for name in sent:
            if str(name).strip().lower() in _RESERVED:
                raise InvalidHeaderError(
                    "This header is the client's own.", hint="To act as another user: act_as()."
                )
        if self._acting is not None:
            sent[self._acting[0]] = self._acting[1]
        return sent


def _send(connection: Connection, call: _Call, used: Credentials) -> requests.Response:
    started = time.monotonic()
    status = request_id = None
    try:
        response = call.send(used)
        status = response.status_code
        # Neither header is documented; whichever is there helps Egnyte's support to find the call.
        headers = response.headers
        request_id = headers.get("X-Egnyte-Request-Id") or headers.get("X-Request-Id")
        return response
    finally:
        connection.observed(call.method, status, time.monotonic() - started, request_id)


def _rejected(connection: Connection, used: Credentials, acting: bool) -> Flow[Credentials | None]:
    def tell() -> Credentials | None:
        return connection.rejected(used, acting=acting)

    new: Credentials | None = yield flows.Step("db", tell)
    return new


def _seconds(timeout: Timeout) -> tuple[float, float]:
    """Seconds to connect and of silence. The socket's own complaint would name no parameter."""
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


def _backoff(failures: int) -> float:
    """Seconds before the next try, with jitter: about 0.25, 0.5, 1 ... at most 8."""
    return min(8.0, 0.25 * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.5)  # noqa: S311


def _is_small(data: Any) -> bool:
    """Whether it is known beforehand that little is to be sent; of a bare file it is not."""
    if data is None or isinstance(data, Mapping):
        return True
    return hasattr(data, "__len__") and len(data) <= _SMALL


class _Call:
    """A request that can be sent more than once. Its repr tells nothing."""

    __slots__ = (
        "_data",
        "_deadline",
        "_headers",
        "_json",
        "_max_bytes",
        "_params",
        "_start",
        "_stream",
        "_timeout",
        "_url",
        "method",
    )

    def __init__(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None,
        data: Any,
        json: Any,
        headers: Mapping[str, str],
    ) -> None:
        self.method = method
        self._url = url
        self._params = params
        self._data = data
        self._json = json
        self._headers = headers
        self._start: int | None = None
        if hasattr(data, "read"):
            try:
                self._start = data.tell()
            except (OSError, AttributeError, ValueError):
                self._start = None

    def limits(self, timeout: tuple[float, float], stream: bool, max_bytes: int) -> None:
        self._timeout = timeout
        self._stream = stream
        self._max_bytes = max_bytes
        # A trickling server must not hold a worker for ever: a small call has a generous end.
        small = _is_small(self._data)
        self._deadline = self._timeout[0] + 4 * self._timeout[1] if small else None

    def send(self, credentials: Credentials) -> requests.Response:
        return http.send(
            self.method,
            self._url,
            bearer=credentials.access_token,
            headers=self._headers,
            params=self._params,
            data=self._data,
            json=self._json,
            timeout=self._timeout,
            deadline=self._deadline,
            stream=self._stream,
            max_bytes=self._max_bytes,
        )

    def rewind(self) -> bool:
        """Make the body ready to be sent again. False if it cannot be."""
        data = self._data
        if data is None or isinstance(data, bytes | str | Mapping | list | tuple):
            return True
        if self._start is None:
            return False
        try:
            data.seek(self._start)
        except (OSError, AttributeError, ValueError):
            return False
        return True
