"""One HTTP/1.1 connection: parse requests, send answers, and simulate faults."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from email.utils import formatdate

from .app import App, reason
from .messages import BrokenBodyError, Request, Response, Trickle, Wire

RECEIVE = 65_536
HEAD_LIMIT = 65_536
DRAIN_LIMIT = 128 * 1024 * 1024
LINGER_SECONDS = 2.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClosedError(Exception):
    """The connection is closed."""


class Connection:
    """Serves one accepted socket. `shut` may be called from another thread."""

    def __init__(self, sock: socket.socket, peer: str, authority: str, app: App) -> None:
        self._sock = sock
        self._peer = peer
        self._authority = authority
        self._app = app
        self._buffer = b""
        self._date = (0, "")

    def serve(self) -> None:
        """Answer requests until either side ends."""
        with contextlib.suppress(ClosedError, BrokenBodyError, OSError):
            while not self._app.stopping.is_set():
                if not self._serve_one():
                    break

    def shut(self) -> None:
        """Shut the connection down, even while another thread uses it."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    # Receiving

    def receive(self, size: int) -> bytes:
        """Up to `size` bytes, from the buffer first. Empty if the peer closed the connection."""
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        return self._sock.recv(size)

    def line(self) -> bytes:
        """A line without its line break. Raises ClosedError."""
        while b"\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def go_on(self) -> None:
        """Send `100 Continue` to a client that waits for it."""
        self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _more(self) -> None:
        data = self._sock.recv(RECEIVE)
        if not data or len(self._buffer) > HEAD_LIMIT:
            raise ClosedError
        self._buffer += data

    def _serve_one(self) -> bool:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        head = self._buffer[:end].decode("latin-1")
        self._buffer = self._buffer[end + 4 :]
        first, *lines = head.split("\r\n")
        try:
            method, target, version = first.split(" ")
            headers = dict(_header(line) for line in lines)
            body = _body(self, headers)
        except ValueError:
            self._send(Response(400), head_only=False, keep=False)
            return False
        path, _, query = target.partition("?")
        if "://" in path:
            path = "/" + path.partition("://")[2].partition("/")[2]
        request = Request(
            method, path, query, headers, body, headers.get("host", self._authority), self._peer
        )
        wants = headers.get("connection", "").lower()
        keep = version == "HTTP/1.1" and wants != "close"
        response = self._app.respond(request)
        if keep and not body.spent and not body.waiting and body.small:
            while body.read(RECEIVE):
                pass
        # After an early refusal, the unread rest of the body would come before the next request.
        whole = body.spent
        keep = keep and whole
        if response.wire is not None:
            keep = self._break(response, response.wire, method == "HEAD", keep)
        else:
            self._send(response, head_only=method == "HEAD", keep=keep)
        if not whole:
            self._linger()
        return keep

    def _linger(self) -> None:
        """Discard unread bytes for a while before the connection is closed.

        Closing a socket with unread bytes resets it, and the client may lose the answer.
        """
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(LINGER_SECONDS)
        taken = 0
        while taken < DRAIN_LIMIT and (data := self._sock.recv(RECEIVE)):
            taken += len(data)

    # Sending

    def _head(self, response: Response, *, keep: bool) -> bytes:
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        lines = [
            f"HTTP/1.1 {response.status} {reason(response.status)}",
            "Server: egnyte-sandbox",
            f"Date: {self._date[1]}",
        ]
        lines += [f"{name}: {value}" for name, value in response.headers]
        size = response.size
        lines.append("Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}")
        if not keep:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def _send(self, response: Response, *, head_only: bool, keep: bool) -> None:
        head = self._head(response, keep=keep)
        if head_only:
            self._sock.sendall(head)
        elif isinstance(response.body, bytes):
            self._sock.sendall(head + response.body)
        else:
            self._sock.sendall(head)
            self._send_blocks(response.body, chunked=response.size is None)

    def _send_blocks(self, blocks: Iterable[bytes], *, chunked: bool) -> None:
        for block in blocks:
            if self._app.stopping.is_set():
                raise ClosedError
            self._sock.sendall(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            self._sock.sendall(b"0\r\n\r\n")

    def _break(self, response: Response, wire: Wire, head_only: bool, keep: bool) -> bool:
        """Send an answer with its faults. Returns whether the connection stays open."""
        if wire.delay:
            self._app.stopping.wait(wire.delay)
        if wire.hang is not None:
            self._app.stopping.wait(wire.hang)
            raise ClosedError
        if wire.reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            raise ClosedError
        if wire.truncate is not None:
            body = _up_to(response, wire.truncate)
            self._sock.sendall(self._head(response, keep=False) + body)
            raise ClosedError
        if wire.trickle is not None and not head_only:
            self._trickle(response, wire.trickle)
            return False
        self._send(response, head_only=head_only, keep=keep)
        return keep

    def _trickle(self, response: Response, trickle: Trickle) -> None:
        head = self._head(response, keep=False)
        body = response.body
        if trickle.part == "body":
            self._sock.sendall(head)
        else:
            self._drip(head, trickle)
        if trickle.part == "headers":
            if isinstance(body, bytes):
                self._sock.sendall(body)
            else:
                self._send_blocks(body, chunked=response.size is None)
            return
        for block in [body] if isinstance(body, bytes) else body:
            self._drip(block, trickle)

    def _drip(self, data: bytes, trickle: Trickle) -> None:
        step = max(1, trickle.size)
        for start in range(0, len(data), step):
            self._sock.sendall(data[start : start + step])
            if self._app.stopping.wait(trickle.interval):
                raise ClosedError


class _Body:
    """The body of one request, of known length or in chunks."""

    def __init__(self, connection: Connection, left: int, *, chunked: bool, waiting: bool) -> None:
        self._connection = connection
        self._left = left
        self._chunked = chunked
        self.waiting = waiting
        self.spent = not chunked and left == 0

    @property
    def small(self) -> bool:
        """Whether the rest is known to be small."""
        return not self._chunked and self._left <= RECEIVE

    def read(self, size: int) -> bytes:
        """Up to `size` bytes. Raises BrokenBodyError if the peer stops early."""
        if self.spent:
            return b""
        if self.waiting:
            self.waiting = False
            self._connection.go_on()
        if self._chunked and self._left == 0 and not self._next_chunk():
            return b""
        data = self._connection.receive(min(size, self._left))
        if not data:
            raise BrokenBodyError
        self._left -= len(data)
        if self._left == 0:
            if self._chunked:
                self._connection.line()
            else:
                self.spent = True
        return data

    def _next_chunk(self) -> bool:
        try:
            self._left = int(self._connection.line().partition(b";")[0], 16)
        except ValueError:
            raise BrokenBodyError from None
        if self._left > 0:
            return True
        while self._connection.line():
            pass
        self.spent = True
        return False


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise ValueError("bad header")
    return name.lower(), value.strip()


def _body(connection: Connection, headers: dict[str, str]) -> _Body:
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    left = int(headers.get("content-length", "0"))
    if left < 0:
        raise ValueError("bad length")
    waiting = headers.get("expect", "").lower() == "100-continue"
    return _Body(connection, 0 if chunked else left, chunked=chunked, waiting=waiting)


def _up_to(response: Response, size: int) -> bytes:
    if isinstance(response.body, bytes):
        return response.body[:size]
    taken = b""
    for block in response.body:
        taken += block
        if len(taken) >= size:
            break
    return taken[:size]
