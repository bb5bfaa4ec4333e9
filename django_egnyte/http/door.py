"""The one door to HTTP. Everything the package sends goes through `send`.

The process pools its connections and drops them after a fork. The door follows no redirects, keeps
and sends no cookies, and never reads `.netrc`; it uses the proxies and the CA bundle that the
environment names. It raises only exceptions of `django_egnyte.exceptions`, and whatever a request
body of the caller raises while it is read. Neither these errors, nor their tracebacks, nor the
answer contain a secret. It uses no `requests.Session`, because it keeps nothing but connections.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import IO, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, get_environ_proxies

from django_egnyte import __version__
from django_egnyte.exceptions import EgnyteError, InvalidHeaderError, ResponseError
from django_egnyte.http import line
from django_egnyte.http.failures import explain
from django_egnyte.http.limits import CHUNK_SIZE, MAX_BYTES
from django_egnyte.http.opaque import opaque
from django_egnyte.secret import Secret

Timeout = tuple[float, float]
Body = bytes | str | Mapping[str, Any] | IO[bytes] | Iterator[bytes]
"""A mapping becomes a form. Its values may be secrets."""

_USER_AGENT = f"django-egnyte/{__version__}"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*").fullmatch
# requests would leave such a URL as it is. Most of Egnyte's are like this.
_PLAIN_URL = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*(?::[1-9]\d{0,3}|:[1-5]\d{4})?(?:/\w[\w-]*(?:\.[\w-]+)*)+",
    re.ASCII,
).fullmatch
_ENVIRONMENT = tuple(
    spelling
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for spelling in (name, name.upper())
)
# So many hosts may have idle connections.
_HOSTS = 64
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)

_adapter: HTTPAdapter | None = None


class Answer(requests.Response):
    """What `send` returns: an answer that knows its call."""

    def __init__(self, call: line.Call) -> None:
        super().__init__()
        self.call = call


class _Adapter(HTTPAdapter):
    """Pools whose connections keep to the limits of the current call, through proxies too.

    requests works out the pool of each request anew. Without a proxy, the pool depends only on the
    origin and the CA bundle, which are the key of ``_pools``.
    """

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str | bool], Any] = {}
        super().__init__(pool_connections=_HOSTS, pool_maxsize=32)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # urllib3 sends a file in blocks of this size. Its default is a quarter of it.
        super().init_poolmanager(*args, blocksize=CHUNK_SIZE, **kwargs)
        line.time_out(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, blocksize=CHUNK_SIZE, **kwargs)
        if not known:
            line.time_out(manager, resolve=not proxy.lower().startswith("socks"))
        return manager

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        key = _origin(request.url), verify
        pool = self._pools.get(key)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            if len(self._pools) >= _HOSTS:
                self._pools.clear()
            self._pools[key] = pool
        return pool

    def request_url(self, request: Any, proxies: Any) -> str:
        path: str = super().request_url(request, proxies) if proxies else request.path_url
        return path

    def close(self) -> None:
        self._pools.clear()
        super().close()

    def build_response(self, req: Any, resp: Any) -> Answer:
        """As requests does it, but it looks for cookies only if there are some."""
        answer = Answer(line.current.get())
        answer.status_code, answer.reason = resp.status, resp.reason
        answer.headers = CaseInsensitiveDict(resp.headers)
        answer.encoding = get_encoding_from_headers(answer.headers)
        answer.raw, answer.url = resp, req.url
        answer.request, answer.connection = req, self
        if "Set-Cookie" in answer.headers:
            extract_cookies_to_jar(answer.cookies, req, resp)  # type: ignore[no-untyped-call]
        return answer


@opaque
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
    large: bool = False,
    stream: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Answer:
    """Send one request and return its answer, whatever the status.

    `timeout` is (seconds to connect, seconds without a byte sent or received). `deadline` bounds
    the whole call in seconds, body included, even if the server sends byte by byte. With `large`
    this time begins when the request's body has been sent. With `stream` it ends when the headers
    have arrived, and you read the body with `iter_body`. Without `stream` the body is read here, up
    to `max_bytes` bytes unpacked. The answer's `request` no longer has its body and its
    Authorization header.

    The values of a form in `data`, and of an object in `json`, may be secrets.

    Raises UnavailableError if no answer came (its `sent` is False if the request was never sent),
    ResponseError for an answer that is cut off, undecodable or too large, and InvalidHeaderError.
    """
    prepared = _prepared(method, url, bearer, headers, params, data, json, stream)
    call = line.Call(timeout, deadline, large=large)
    token = line.current.set(call)
    try:
        return _exchange(prepared, call, stream, max_bytes)
    except EgnyteError:
        raise
    except _FOREIGN as failure:
        raise explain(failure, _host(url), call) from None
    finally:
        line.current.reset(token)
        prepared.headers.pop("Authorization", None)
        prepared.body = None


@opaque
def read(response: requests.Response, max_bytes: int, deadline: float) -> bytes:
    """The body of a streamed answer, or as much of it as `max_bytes` and `deadline` allow.

    For error answers: if the body breaks off, what has arrived is enough.
    """
    body = bytearray()
    with contextlib.suppress(EgnyteError):
        for piece in iter_body(response, deadline=deadline):
            body += piece
            if len(body) >= max_bytes:
                break
    response.close()
    return bytes(body[:max_bytes])


def iter_body(
    response: requests.Response, chunk_size: int = CHUNK_SIZE, *, deadline: float | None = None
) -> Iterator[bytes]:
    """The body of a streamed answer, unpacked, in pieces of at most `chunk_size` bytes.

    `deadline` limits the whole reading, in seconds. Without it only each silence is limited.

    Raises UnavailableError if the server stops sending, and ResponseError if the body ends before
    its Content-Length or cannot be unpacked. Closes the response at the end, or when the iterator
    is dropped.
    """
    if deadline is not None and isinstance(response, Answer):
        response.call.seconds = deadline
        response.call.start()
    return _pieces(response, chunk_size)


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
    every, body = _headers(headers, stream), _body_of(data)
    json = _members_of(json)
    prepared = requests.PreparedRequest()
    try:
        # Not `prepare`: it makes a jar for cookies and takes credentials from the URL.
        prepared.prepare_method(method)
        if params or not _PLAIN_URL(url):
            prepared.prepare_url(url, params)
        else:
            prepared.url = url
        prepared.headers = CaseInsensitiveDict(every)
        prepared.prepare_body(body, None, json)
        problem = ""
    except requests.exceptions.InvalidJSONError:
        problem = "The request's body cannot be written as JSON."
    except TypeError as failure:
        # The message names a type but no value: "Object of type date is not JSON serializable".
        problem = f"The request's parameters or body cannot be sent: {failure}"
    except _FOREIGN:
        problem = "The request has a URL or a body that cannot be sent."
    if problem:
        raise EgnyteError(problem)
    if bearer is not None:
        # The message does not repeat the value, which would be the token.
        if not bearer or not _HEADER_VALUE(bearer.reveal()):
            raise InvalidHeaderError(
                "The token contains characters that are not allowed in a header."
            )
        prepared.headers["Authorization"] = f"Bearer {bearer.reveal()}"
    return prepared


def _headers(headers: Mapping[str, str] | None, stream: bool) -> dict[str, str]:
    every = {
        "User-Agent": _USER_AGENT,
        "Accept": "*/*",
        # A download's length and checksum are those of the bytes sent, and br or zstd would be
        # unpacked by whatever library happens to be installed.
        "Accept-Encoding": "identity" if stream else "gzip",
    }
    given: Mapping[Any, Any] = headers or {}
    for name, value in given.items():
        # A name given as bytes would be sent as that name, even if it is reserved.
        if not (isinstance(name, str) and _HEADER_NAME(name) and _HEADER_VALUE(str(value))):
            raise InvalidHeaderError("A header contains characters that are not allowed in one.")
        every[name] = str(value).strip()
    return every


def _body_of(data: Body | None) -> Any:
    """The body as requests takes it: secrets in clear, and large bodies as a file.

    requests sends bytes at once, whatever their size, but a file piece by piece.
    """
    if isinstance(data, Mapping):
        return _members_of(data)
    if isinstance(data, str):
        data = data.encode()
    large = isinstance(data, bytes) and len(data) > CHUNK_SIZE
    return io.BytesIO(data) if large else data  # type: ignore[arg-type]


def _members_of(value: Any) -> Any:
    """The fields of a form, or the members of a JSON object, with secrets in clear."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: member.reveal() if isinstance(member, Secret) else member
        for name, member in value.items()
    }


def _exchange(
    prepared: requests.PreparedRequest, call: line.Call, stream: bool, max_bytes: int
) -> Answer:
    started = time.perf_counter()
    response = _the_adapter().send(
        prepared,
        stream=True,
        timeout=(call.connecting, call.silence),
        verify=_ca_bundle(),
        proxies=_proxies(_origin(prepared.url or ""), _environment()),
    )
    assert isinstance(response, Answer)
    response.elapsed = timedelta(seconds=time.perf_counter() - started)
    # More than framing and packing can add.
    call.allowance = None if stream else line.HEAD_BYTES + 2 * max_bytes
    if stream:
        call.expires = None
    else:
        # requests has no function that fills a response up to a limit.
        response._content = _body(response, prepared.method or "", max_bytes)
    return response


def _body(response: Answer, method: str, max_bytes: int) -> bytes:
    announced = response.headers.get("Content-Length", "")
    if method != "HEAD" and announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise _too_large(response, max_bytes)
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(response):
        size += len(piece)
        if size > max_bytes:
            raise _too_large(response, max_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def _pieces(response: requests.Response, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
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
                "The answer has a Content-Encoding that was not requested.",
                status=response.status_code,
            )
        if error is None:
            response._content_consumed = True  # type: ignore[attr-defined]
    except (*_FOREIGN, zlib.error) as failure:
        call = response.call if isinstance(response, Answer) else None
        error = explain(failure, _host(response.url), call, in_body=True)
    finally:
        response.close()
    if error is not None:
        raise error


def _too_large(response: requests.Response, max_bytes: int) -> ResponseError:
    # Close the connection instead of reading what is left on it.
    response.close()
    return ResponseError(
        f"The answer is larger than {max_bytes:,} bytes.",
        status=response.status_code,
        host=_host(response.url),
        hint="Call with stream=True, or request fewer entries at a time.",
    )


def _unpacked(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Gunzip with at most `size` bytes in memory: a kilobyte can unpack to a gigabyte.

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
    # At first use two threads may make one each. One of them is then collected as garbage.
    adapter = _adapter
    if adapter is None:
        adapter = _adapter = _Adapter()
    return adapter


def _forget_adapter() -> None:
    """For a forked child, which must not use its parent's sockets."""
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


def _origin(url: str) -> str:
    """Scheme, host and port."""
    return "/".join(url.split("/", 3)[:3])


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_adapter)
