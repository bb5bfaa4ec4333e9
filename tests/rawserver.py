"""A TCP server on loopback that answers with raw bytes, including invalid HTTP."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

Script = Callable[["Visitor"], None]


class Visitor:
    """One connection. It reads requests and writes bytes."""

    def __init__(self, sock: socket.socket, requests: list[bytes]) -> None:
        self.sock = sock
        self.requests = requests

    def request(self) -> bytes:
        """The next request with its body. b"" if the client has closed the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        chunked = b"transfer-encoding: chunked" in head.lower()
        while len(body) < length or (chunked and not body.endswith(b"0\r\n\r\n")):
            piece = self.sock.recv(65536)
            if not piece:
                break
            body += piece
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def trickle(self, data: bytes, interval: float = 0.02) -> None:
        with contextlib.suppress(OSError):
            for byte in data:
                self.sock.sendall(bytes([byte]))
                time.sleep(interval)


class RawServer:
    """Runs a script for each connection. `requests` has the received requests."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.context = context
        self.requests: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self.script(Visitor(sock, self.requests))
        except OSError:
            return  # the client has closed the connection, as some tests want
        finally:
            sock.close()

    def close(self) -> None:
        # After only close(), the thread in accept() would accept one more connection.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@contextlib.contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    server = RawServer(script, context)
    try:
        yield server
    finally:
        server.close()


def answer(status: str = "200 OK", body: bytes = b"{}", **headers: str) -> bytes:
    """A whole answer. Header names are given with underscores."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def always(*answers: bytes) -> Script:
    """Answer requests in order, over all connections. The last answer is repeated."""
    rest = list(answers)

    def script(visitor: Visitor) -> None:
        while visitor.request():
            visitor.send(rest.pop(0) if len(rest) > 1 else rest[0])

    return script


def tunnel_to(port: int) -> Script:
    """A proxy for CONNECT. It connects every request to a port of this machine."""

    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as onward:
            back = threading.Thread(target=_pass_on, args=(onward, visitor.sock), daemon=True)
            back.start()
            _pass_on(visitor.sock, onward)
            back.join()

    return script


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
