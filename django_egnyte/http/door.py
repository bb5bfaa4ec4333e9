"""The one door to HTTP. Everything the package sends goes through `send`.

Connections are pooled for the whole process and dropped after a fork. Redirects are not followed,
cookies neither kept nor sent, `.netrc` never read; the environment's proxies and CA bundle are.
Only exceptions of `django_egnyte.exceptions` come out, and what a body that the caller gave raises
while it is read; neither these, nor their tracebacks, nor the answer hold the token. There is no
session: nothing is to be remembered between two calls but connections.
"""

from __future__ import annotations

import functools
import io
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import IO, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from django_egnyte import __version__
from django_egnyte.exceptions import EgnyteError, InvalidHeaderError, ResponseError
from django_egnyte.http import watchdog
from django_egnyte.http.failures import explain, overdue
from django_egnyte.secret import Secret

MAX_BYTES = 16 * 1024 * 1024
"""The most that an API answer may hold, in bytes, unpacked."""
TOKEN_MAX_BYTES = 64 * 1024
"""The same for an answer of the token endpoint."""
CHUNK_SIZE = 64 * 1024

Timeout = tuple[float, float]
Body = bytes | str | Mapping[str, Any] | IO[bytes] | Iterator[bytes]

_USER_AGENT = f"django-egnyte/{__version__}"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*").fullmatch
_ENVIRONMENT = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for spelling in (name, name.upper())
)
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)

# What sends over TLS is written in Python, too.
_INSIDE = frozenset({"django_egnyte", "http", "requests", "ssl", "urllib3"})

_adapter: HTTPAdapter | None = None


class _Adapter(HTTPAdapter):
    """Pools whose connections the watchdog can shut down; also those that go through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = watchdog.POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = watchdog.POOL_CLASSES
        return manager


def send(
    method: str,
    url: str,
    *,
    bearer: Secret | None = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    data: Body | None = None,
    json: Any = None,
    timeout: Timeout = (3.05, 30.0),
    deadline: float | None = None,
    stream: bool = False,
    max_bytes: int = MAX_BYTES,
) -> requests.Response:
    """Send one request and return its answer, whatever the status.

    `timeout` is (seconds to connect, seconds without a byte sent or received). `deadline` bounds
    the whole call in seconds, body included, even if the server trickles; with `stream` it ends
    at the headers. Unless `stream`, the body is read and may have `max_bytes` bytes unpacked;
    with it, read the body with `iter_body`. The answer's `request` has lost its body and its
    Authorization header.

    Raises UnavailableError when no answer came (its `sent` is False if the request never left),
    ResponseError for an answer cut off, undecodable or too large, InvalidHeaderError.
    """
    error: BaseException | None = None
    prepared = None
    try:
        prepared = _prepared(method, url, bearer, headers, params, data, json, stream)
    except Exception as failure:
        error = failure
    # A traceback with local variables must find no secret in this frame. For the same reason
    # errors are raised outside their handlers and without the frames below: the foreign exception
    # refers to the request, and would travel along as the context.
    del bearer, headers, params, data, json
    if prepared is not None:
        call = watchdog.Call(timeout, deadline)
        try:
            return _exchange(prepared, call, stream, max_bytes)
        except EgnyteError as failure:
            error = failure
        except _FOREIGN as failure:
            error = explain(failure, _host(url))
        except BaseException as failure:
            error = failure
        finally:
            prepared.headers.pop("Authorization", None)
            prepared.body = None
        if call.expired:
            error = overdue(_host(url), deadline)
    assert error is not None
    _forget_frames(error)
    try:
        raise error
    finally:
        del error


def _forget_frames(error: BaseException | None) -> None:
    """Keep of its traceback, and of what led to it, what lies in the caller's own code."""
    if isinstance(error, EgnyteError):
        error.__context__ = None
    seen: set[int] = set()  # "raise error from error" is its own cause
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = _below(error.__traceback__)
        error = error.__context__ if error.__cause__ is None else error.__cause__


def _below(traceback: TracebackType | None) -> TracebackType | None:
    """What lies below the frames that know the token: in the caller's generator, say."""
    below = traceback
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        traceback = traceback.tb_next
        if name.partition(".")[0] in _INSIDE:
            below = traceback
    return below


def iter_body(response: requests.Response, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """The body of a streamed answer, unpacked, in pieces of at most `chunk_size` bytes.

    Raises UnavailableError when the server falls silent, ResponseError when the body ends before
    its Content-Length or cannot be unpacked. Closes the response at the end, or when dropped.
    """
    error: EgnyteError | None = None
    try:
        pieces = response.raw.stream(chunk_size, decode_content=False)
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding in ("", "identity"):
            yield from pieces
        elif encoding in ("gzip", "x-gzip"):
            yield from _unpacked(pieces, chunk_size)
        else:
            error = ResponseError(
                "The answer is packed in a way that was not asked for.",
                status=response.status_code,
            )
        if error is None:
            response._content_consumed = True  # type: ignore[attr-defined]
    except (*_FOREIGN, zlib.error) as failure:
        error = explain(failure, _host(response.url), in_body=True)
    finally:
        response.close()
    if error is not None:
        raise error


def close_pools() -> None:
    """Close every idle connection. The next call opens new ones."""
    global _adapter
    adapter, _adapter = _adapter, None
    if adapter is not None:
        adapter.close()


def _prepared(
    method: str,
    url: str,
    bearer: Secret | None,
    headers: Mapping[str, str] | None,
    params: Mapping[str, Any] | None,
    data: Body | None,
    json: Any,
    stream: bool,
) -> requests.PreparedRequest:
    every = {
        "User-Agent": _USER_AGENT,
        "Accept": "*/*",
        # A download's length and checksum are those of what travels; and br or zstd would be
        # unpacked by whatever library happens to be installed.
        "Accept-Encoding": "identity" if stream else "gzip",
    }
    if headers:
        given: Mapping[Any, Any] = headers
        for name, value in given.items():
            # A name in bytes would become the name that it spells, reserved or not.
            if not (isinstance(name, str) and _HEADER_NAME(name) and _HEADER_VALUE(str(value))):
                raise InvalidHeaderError("A header holds characters that no header may carry.")
            every[name] = str(value).strip()
    if isinstance(data, Mapping):
        data = {
            name: value.reveal() if isinstance(value, Secret) else value
            for name, value in data.items()
        }
    if isinstance(data, str):
        data = data.encode()
    if isinstance(data, bytes) and len(data) > CHUNK_SIZE:
        # sendall() takes its timeout for the whole of what it is given, so a large body given at
        # once would fail on a slow line. A file is sent piece by piece.
        data = io.BytesIO(data)
    prepared = requests.PreparedRequest()
    try:
        prepared.prepare(method, url, headers=every, params=params, data=data, json=json)
        problem = ""
    except requests.exceptions.InvalidJSONError:
        problem = "The request's body cannot be written as JSON."
    except TypeError as failure:
        # Its words name a type, no value: "Object of type date is not JSON serializable".
        problem = f"The request's parameters or body cannot be sent: {failure}"
    except _FOREIGN:
        problem = "The request has a URL or a body that cannot be sent."
    if problem:
        raise EgnyteError(problem)
    if bearer is not None:
        # Not repeated in the message: it would be the token.
        if not bearer or not _HEADER_VALUE(bearer.reveal()):
            raise InvalidHeaderError("The token holds characters that no header may carry.")
        prepared.headers["Authorization"] = f"Bearer {bearer.reveal()}"
    return prepared


def _exchange(
    prepared: requests.PreparedRequest, call: watchdog.Call, stream: bool, max_bytes: int
) -> requests.Response:
    started = time.perf_counter()
    url: str = prepared.url or ""
    with call:
        response = _the_adapter().send(
            prepared,
            stream=True,
            timeout=call.timeout,
            verify=_ca_bundle(),
            proxies=_proxies("/".join(url.split("/", 3)[:3]), _environment()),
        )
        response.elapsed = timedelta(seconds=time.perf_counter() - started)
        if not stream:
            # requests offers no bounded way to fill a response.
            response._content = _body(response, prepared.method or "", max_bytes)
        elif call.expired:
            response.close()
    if call.expired:
        # A body that ends with the connection looks complete when the watchdog ends it.
        raise TimeoutError
    return response


def _body(response: requests.Response, method: str, max_bytes: int) -> bytes:
    announced = response.headers.get("Content-Length", "")
    if method != "HEAD" and announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise _too_large(response, max_bytes)
    pieces: list[bytes] = []
    size = 0
    for piece in iter_body(response):
        size += len(piece)
        if size > max_bytes:
            raise _too_large(response, max_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(response: requests.Response, max_bytes: int) -> ResponseError:
    # Closing gives up the connection: what it still carries is not worth reading.
    response.close()
    return ResponseError(
        f"The answer is larger than {max_bytes:,} bytes.",
        status=response.status_code,
        host=_host(response.url),
        hint="Ask with stream=True, or for fewer entries at a time.",
    )


def _unpacked(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Gunzip, never holding more than `size` bytes of the result: a kilobyte may hide a gigabyte.

    Raises zlib.error for anything but one or more whole gzip members.
    """
    unpacker = None
    for piece in pieces:
        while piece:
            unpacker = unpacker or zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
            if result := unpacker.decompress(piece, size):
                yield result
            piece = unpacker.unconsumed_tail
            if unpacker.eof:
                piece, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        raise zlib.error("cut off")


def _the_adapter() -> HTTPAdapter:
    global _adapter
    # Two threads may make one each at first use; the loser's is collected.
    adapter = _adapter
    if adapter is None:
        adapter = _adapter = _Adapter(pool_connections=64, pool_maxsize=32)
    return adapter


def _forget_adapter() -> None:
    """In a forked child: the parent's sockets are not ours to speak on."""
    global _adapter
    _adapter = None


def _environment() -> tuple[str | None, ...]:
    get = os.environ.get
    return tuple([get(name) for name in _ENVIRONMENT])


@functools.lru_cache(maxsize=256)
def _proxies(origin: str, environment: tuple[str | None, ...]) -> dict[str, str]:
    """The proxies for an origin; looked up again whenever the environment's variables change."""
    return get_environ_proxies(origin, no_proxy=None)


def _ca_bundle() -> str | bool:
    get = os.environ.get
    return get("REQUESTS_CA_BUNDLE") or get("CURL_CA_BUNDLE") or True


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_adapter)
