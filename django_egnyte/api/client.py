"""The client: calls Egnyte's API with one user's token."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django_egnyte import answers
from django_egnyte.api import pace, steps
from django_egnyte.api.areas import Areas
from django_egnyte.api.call import Call, Patience
from django_egnyte.api.connection import Connection, Credentials, Source
from django_egnyte.api.files import Files
from django_egnyte.api.rate import Rate
from django_egnyte.api.steps import Step, Steps
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidHeaderError,
    RateLimitedError,
    TokenExpiredError,
    UnauthorizedError,
)

if TYPE_CHECKING:
    from typing import Self

    import requests

_T = TypeVar("_T")

_ACT_AS = re.compile(r"[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa0-\xff]{0,253}[\x21-\x7e\xa1-\xff])?")
# Headers that the client or the connection sets itself.
_RESERVED = frozenset(
    {
        *("authorization", "connection", "content-length", "cookie", "expect", "host"),
        *("keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "x-egnyte-act-as", "x-egnyte-act-as-email"),
    }
)
_USERINFO = "/pubapi/v1/userinfo"


class EgnyteClient(Areas):
    """Calls the API of one Egnyte domain with the token of one connection.

    Every call has an asynchronous twin: `aget` for `get`. Raw calls return the answer whatever its
    status, but raise UnauthorizedError for an invalid token and RateLimitedError for a throttle.
    """

    __slots__ = ("_acting", "_rate_headers", "_source")

    def __init__(self, source: Source) -> None:
        """`source` is a `Connection`, or a `Source` that finds one at the first call."""
        self._source = source
        self._acting: tuple[str, str] | None = None
        self._rate_headers: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        acting = " acting as another" if self._acting else ""
        return f"<{type(self).__name__} {self._host}{acting}>"

    @property
    def rate(self) -> Rate | None:
        """The limits of this token that the last answer named. None if it named none."""
        return None if self._rate_headers is None else Rate.of(self._rate_headers)

    @property
    def files(self) -> Files:
        """Files and folders."""
        return Files(self)

    def act_as(self, *, username: str | None = None, email: str | None = None) -> Self:
        """A client that acts as another user of the domain. It needs an administrator's token.

        Give exactly one of the two. Raises InvalidHeaderError for a value that no header can carry.
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
        of bytes), `json`, `headers`. With `stream` you read the body yourself. `timeout` is in
        seconds, or (connect, read). `max_bytes` limits the body (16 MiB). `retry` says whether the
        call may be repeated after a failure of the network or of Egnyte (default: GET, HEAD,
        OPTIONS, PUT and DELETE may). After a refresh, after a throttle, or if it was never sent,
        the client repeats any call whose body can be sent again.

        Before anything is sent it raises InvalidPathError, InvalidHeaderError, and ValueError for
        an invalid timeout. Later it raises UnauthorizedError, RateLimitedError, UnavailableError,
        ResponseError, and whatever the connection raises.
        """
        return steps.run(self._call(method, path, **kw))

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
        """The token's user: id, username, first_name, last_name. Any error is raised."""
        return steps.run(self._userinfo())

    async def arequest(self, method: str, path: str, **kw: Any) -> requests.Response:
        return await self._arun(self._call(method, path, **kw))

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
        return await self._arun(self._userinfo())

    def _userinfo(self) -> Steps[dict[str, Any]]:
        response = yield from self._call("GET", _USERINFO, checked=True)
        return answers.json_of(response)

    @property
    def _host(self) -> str:
        return self._source.host

    async def _arun(self, work: Steps[_T]) -> _T:
        """Run an operation for a coroutine. `steps.run` does the same for other code."""
        return await steps.arun(work, self._source)

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        checked: bool = False,
        about: str | None = None,
        **kw: Any,
    ) -> Steps[requests.Response]:
        """One call with the token. Every operation is built on this: see `request`.

        With `checked` it raises an exception for every answer that is not a success. `about` is the
        path of the file or folder, for the error.
        """
        call = Call(method, path, self._headers(headers), **kw)
        connection, opened = yield Step("db", self._open)
        try:
            used: Credentials = yield from steps.settled(opened)
            response = yield from self._attempts(call, connection, used)
            if checked and not 200 <= response.status_code < 300:
                # The body of a streamed answer is still to be read.
                yield Step("io", partial(answers.raise_for_status, response, path=about))
            return response
        except EgnyteError as error:
            connection.failed(error, acting=self._acting is not None)
            raise

    def _open(self) -> tuple[Connection, Any]:
        connection = self._source.connection()
        try:
            return connection, connection.credentials()
        except EgnyteError as error:
            connection.failed(error, acting=self._acting is not None)
            raise

    def _attempts(
        self, call: Call, connection: Connection, used: Credentials
    ) -> Steps[requests.Response]:
        """Send the call until there is an answer to return, or no further try is allowed."""
        patience = Patience(call, connection)
        refreshed = False
        response: requests.Response
        while True:
            yield from _take_turn(connection, used, patience)
            pause: float | None = None
            try:
                response = yield Step("io", self._send, call, connection, used)
            except UnauthorizedError:
                new = yield from self._renewed(connection, used)
                if new is None or refreshed:
                    raise
                if not call.rewind():
                    raise _not_again() from None
                used, refreshed = new, True
            except EgnyteError as error:
                pause = patience.after(error)
                if pause is None:
                    raise
            else:
                pause = patience.after_answer(response)
                if pause is None:
                    if 200 <= response.status_code < 300:
                        yield Step("db", connection.accepted, used)
                    return response
                response.close()
            if pause is not None:
                yield steps.sleep(pause)

    def _renewed(self, connection: Connection, used: Credentials) -> Steps[Credentials | None]:
        tell = partial(connection.rejected, used, acting=self._acting is not None)
        new: Credentials | None = yield from steps.settled((yield Step("db", tell)))
        return new

    def _send(self, call: Call, connection: Connection, used: Credentials) -> requests.Response:
        """Send one request. Raises what `answers.classify` raises for the answer."""
        started = time.monotonic()
        status = request_id = None
        try:
            response = call.send(connection, used)
            status = response.status_code
            # Neither header is documented. Either one helps Egnyte's support to find the call.
            headers = response.headers
            request_id = headers.get("X-Egnyte-Request-Id") or headers.get("X-Request-Id")
        finally:
            connection.observed(call.method, status, time.monotonic() - started, request_id)
        self._rate_headers = headers
        if connection.pace_calls and (rate := self.rate):
            pace.pace.learn((connection.host, used.token_id), rate.qps_allotted)
        answers.classify(response)
        return response

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        sent = dict(headers) if headers else {}
        for name in sent:
            if str(name).strip().lower() in _RESERVED:
                raise InvalidHeaderError(
                    "The client sets this header itself.", hint="To act as another user: act_as()."
                )
        if self._acting is not None:
            sent[self._acting[0]] = self._acting[1]
        return sent


def _take_turn(connection: Connection, used: Credentials, patience: Patience) -> Steps[None]:
    if not connection.pace_calls:
        return
    wait = pace.pace.reserve((connection.host, used.token_id), patience.left)
    if wait > patience.left:
        raise RateLimitedError(
            "Too many calls wait for their turn with this token.", retry_after=wait, kind="qps"
        )
    if wait > 0:
        patience.left -= wait
        yield steps.sleep(wait)


def _not_again() -> TokenExpiredError:
    return TokenExpiredError(
        "The token was refreshed, but this body cannot be sent a second time.",
        hint="Make the call again: it will use the new token.",
        retry_after=0.0,
    )
