"""Connections that keep to the deadline of their call.

A socket's timeout starts again with every byte, so a server that sends byte by byte could hold a
caller forever. Here each wait (for a connection, a handshake, a byte sent or received) gets only
the time that is left of the whole call. The file classes below also limit what an answer's framing
may claim: requests and urllib3 accept any chunk size, and read extensions and trailers without end.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import threading
import time
from contextvars import ContextVar
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager

HEAD_BYTES = 1024 * 1024
"""The most bytes before a body: status lines and headers, including interim answers."""
_CHUNK_LINE = 4096
_TRAILERS = 100
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}").fullmatch


class Call:
    """What one HTTP call may take: seconds to connect, seconds of silence, seconds in all.

    `seconds` is None for a call without a deadline. The time starts now, or for a `large` body once
    it has been sent. `allowance` is the number of bytes that may still arrive, None for any.
    """

    __slots__ = ("allowance", "connecting", "expires", "large", "seconds", "silence")

    def __init__(
        self, timeout: tuple[float, float], seconds: float | None, *, large: bool = False
    ) -> None:
        self.connecting, self.silence = timeout
        self.seconds = seconds
        self.large = large
        self.allowance: int | None = HEAD_BYTES
        self.expires: float | None = None
        if not large:
            self.start()

    def start(self) -> None:
        """Start the time now."""
        self.expires = None if self.seconds is None else time.monotonic() + self.seconds

    @property
    def expired(self) -> bool:
        return self.expires is not None and time.monotonic() >= self.expires

    def left(self, most: float) -> float:
        """The seconds for one wait, at most `most`. TimeoutError if none is left."""
        if self.expires is None:
            return most
        left = self.expires - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, most)

    def count(self, size: int) -> None:
        if self.allowance is not None:
            self.allowance -= size
            if self.allowance < 0:
                raise http.client.HTTPException("too much came")


current: ContextVar[Call] = ContextVar("django_egnyte_call")
"""The call of this thread. The HTTP libraries give no way to pass it as an argument."""


class _Incoming(io.RawIOBase):
    """The bytes that a socket receives."""

    def __init__(self, file: io.BufferedIOBase, sock: Any) -> None:
        self._raw: Any = file.detach()
        self._sock = sock
        self._call = current.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        token = current.set(self._call)  # a stream may be read in another thread
        try:
            self._sock.settimeout(self._call.left(self._call.silence))
            size: int = self._raw.readinto(buffer)
        finally:
            current.reset(token)
        self._call.count(size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Chunks(io.RawIOBase):
    """The content of a chunked body (RFC 9112 section 7.1); trailers are dropped."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._left: int | None = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left == 0:
            self._begin_chunk()
        if self._left is None:
            return 0
        size = self._file.readinto1(memoryview(buffer)[: self._left])
        if not size:
            raise http.client.IncompleteRead(b"", self._left)
        self._left -= size
        if not self._left and self._line().strip():
            raise http.client.HTTPException("a chunk without an end")
        return size

    def _begin_chunk(self) -> None:
        size = self._line().partition(b";")[0].strip()
        if not _CHUNK_SIZE(size):
            raise http.client.HTTPException("a chunk without a size")
        self._left = int(size, 16) or None
        if self._left is None:
            for _ in range(_TRAILERS):
                # Some servers close the connection instead of sending the last line.
                if not self._file.readline(_CHUNK_LINE).strip():
                    return
            raise http.client.HTTPException("too many trailers")

    def _line(self) -> bytes:
        line = self._file.readline(_CHUNK_LINE)
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        return line

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Incoming(self.fp, sock))

    def begin(self) -> None:
        super().begin()
        coding = self.headers.get("Transfer-Encoding", "identity").strip().lower()
        if coding not in ("chunked", "identity"):
            raise http.client.HTTPException("an unknown transfer coding")
        if self.chunked:
            # The body now ends when the file ends. A Content-Length beside chunked coding has
            # no meaning (RFC 9112 section 6.3).
            self.chunked = False
            del self.headers["Transfer-Encoding"], self.headers["Content-Length"]
            if self.length != 0:
                self.length = None
                self.fp = io.BufferedReader(_Chunks(self.fp))

    def read(self, amt: int | None = None) -> bytes:
        """At most `amt` bytes, as they arrive: waiting for more could lose those that are here."""
        if amt is None:
            return super().read()
        piece = super().read1(amt)
        if self.length == 0:
            self.close()
        return piece


class _Outer:
    """A TLS socket to a proxy, which carries another TLS connection."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, *args: Any) -> Any:
        call = current.get()
        self._sock.settimeout(call.left(call.silence))
        return self._sock.recv(*args)

    def sendall(self, data: Any) -> None:
        _send_all(self._sock, data, current.get())


def _send_all(sock: Any, data: Any, call: Call) -> None:
    """Like `sendall`, but each wait has a timeout of its own."""
    view = memoryview(data).cast("B")
    while view:
        sock.settimeout(call.left(call.silence))
        view = view[sock.send(view) :]


class _Timed(HTTPConnection):
    """A mixin for urllib3's connections, including those over TLS and through a SOCKS proxy."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        call = current.get()
        self.timeout = call.left(call.connecting)
        return super()._new_conn()

    def _tunnel(self) -> None:
        super()._tunnel()
        # This is for the handshake that follows.
        call = current.get()
        self.sock.settimeout(call.left(call.connecting))

    def _connect_tls_proxy(self, hostname: str, sock: Any) -> Any:
        connected = super()._connect_tls_proxy(hostname, sock)  # type: ignore[misc]
        return _Outer(connected) if self._tunnel_host else connected

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _send_all(self.sock, data, current.get())

    def getresponse(self) -> Any:
        call = current.get()
        if call.large:
            call.start()
        return super().getresponse()


class _Resolved(_Timed):
    """The same for connections whose host name this machine looks up, not the SOCKS proxy."""

    def _new_conn(self) -> socket.socket:
        call, named = current.get(), self._dns_host
        problem: Exception | None = None
        for address in self._addresses(call):
            self._dns_host = address
            try:
                return super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as error:
                problem = error
            finally:
                self._dns_host = named
        assert problem is not None
        raise problem

    def _addresses(self, call: Call) -> list[str]:
        """Look up the name in a thread, which may outlast the call: the resolver has no timeout."""
        name = self._dns_host.strip("[]")
        # Not every resolver answers these with a loopback address (RFC 6761 section 6.3).
        name = "localhost" if name.endswith(".localhost") else name
        found: list[Any] = []

        def look_up() -> None:
            try:
                found.append(socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM))
            except Exception as error:
                found.append(error)

        if call.expires is None or _is_address(name):
            look_up()
        else:
            thread = threading.Thread(target=look_up, name="egnyte-resolve", daemon=True)
            thread.start()
            thread.join(call.left(threading.TIMEOUT_MAX))
        result = found[0] if found else TimeoutError()
        if isinstance(result, OSError) and not isinstance(result, TimeoutError):
            raise NameResolutionError(self.host, self, result)  # type: ignore[arg-type]
        if isinstance(result, Exception):
            raise ConnectTimeoutError(self, "no name") from result
        return list(dict.fromkeys(str(entry[4][0]) for entry in result))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def time_out(manager: PoolManager, *, resolve: bool = True) -> None:
    """Make every connection of this manager keep to the limits of the current call."""
    mixin = _Resolved if resolve else _Timed
    pools: dict[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: type(
            f"Timed{pool.__name__}",
            (pool,),
            {"ConnectionCls": type("Connection", (mixin, pool.ConnectionCls), {})},
        )
        for scheme, pool in pools.items()
    }
