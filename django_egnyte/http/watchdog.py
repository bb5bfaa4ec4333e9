"""Total deadlines for calls.

A socket's timeout starts anew with every byte, so a server that trickles can hold a caller for
ever. Here one thread for the whole process shuts down the socket of a call that is over its
deadline, which ends whatever the caller is waiting for. A call costs one lock taken twice.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_local = threading.local()


class Call:
    """One HTTP call of the current thread, as a context manager; `expired` says how it ended."""

    __slots__ = ("_done", "_duplicate", "_socket", "expired", "expires", "seconds", "timeout")

    def __init__(self, timeout: tuple[float, float], deadline: float | None) -> None:
        self.seconds = deadline
        self.expires = None if deadline is None else time.monotonic() + deadline
        self.timeout = (
            timeout if deadline is None else (min(timeout[0], deadline), min(timeout[1], deadline))
        )
        self.expired = False
        self._done = False
        self._socket: socket.socket | None = None
        self._duplicate: socket.socket | None = None

    def __enter__(self) -> Call:
        _local.call = self
        if self.expires is not None:
            _watch.add(self, self.expires)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _local.call = None
        if self.expires is not None:
            _watch.discard(self)
            with _watch.lock:
                self._done = True
                self._release()

    def connect(self, connect: Callable[[], socket.socket]) -> socket.socket:
        """Connect, name look-up included, within the deadline. Raises TimeoutError after it.

        The resolver obeys no timeout, so it runs in a thread that is left behind if need be.
        """
        if self.expires is None:
            return connect()
        outcome: list[socket.socket | BaseException] = []
        abandoned = threading.Event()
        finished = threading.Event()

        def run() -> None:
            try:
                outcome.append(connect())
            except BaseException as error:
                outcome.append(error)
            finished.set()
            if abandoned.is_set() and isinstance(outcome[0], socket.socket):
                outcome[0].close()

        threading.Thread(target=run, name="egnyte-connect", daemon=True).start()
        if not finished.wait(max(0.0, self.expires - time.monotonic())):
            abandoned.set()
            # It may have connected between the two lines above.
            if finished.is_set() and isinstance(outcome[0], socket.socket):
                outcome[0].close()
            self.expired = True
            raise TimeoutError
        result = outcome.pop()
        if isinstance(result, BaseException):
            raise result
        self._hold(None, result.dup())
        return result

    def hold(self, connected: Any) -> None:
        """Shut this socket down at the deadline. Takes what urllib3 calls a socket."""
        if self.expires is not None:
            # TLS within TLS comes in an object around the socket proper.
            self._hold(getattr(connected, "socket", connected), None)

    def _hold(self, connected: socket.socket | None, duplicate: socket.socket | None) -> None:
        """A duplicate is ours to close. It serves while TLS takes the original away from us."""
        with _watch.lock:
            self._release()
            self._socket, self._duplicate = connected, duplicate
            if self.expired:
                self._shut_down()

    def _release(self) -> None:
        if self._duplicate is not None:
            self._duplicate.close()
        self._socket = self._duplicate = None

    def _shut_down(self) -> None:
        for held in (self._socket, self._duplicate):
            if isinstance(held, socket.socket):
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown(), which would pull the TLS object from under the
                    # thread that is reading.
                    socket.socket.shutdown(held, socket.SHUT_RDWR)

    def expire(self) -> None:
        """Called by the watchdog, which holds its lock."""
        if not self._done:
            self.expired = True
            self._shut_down()


class _Watch:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._calls: set[Call] = set()
        self._next = float("inf")
        self._thread: threading.Thread | None = None

    def add(self, call: Call, expires: float) -> None:
        with self.lock:
            self._calls.add(call)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="egnyte-watch", daemon=True)
                self._thread.start()
            elif expires < self._next:
                # Mostly it is later than what the thread waits for, and the thread sleeps on.
                self._changed.notify()

    def discard(self, call: Call) -> None:
        with self.lock:
            self._calls.discard(call)

    def _run(self) -> None:
        with self.lock:
            while True:
                now = time.monotonic()
                for call in [one for one in self._calls if (one.expires or 0) <= now]:
                    self._calls.discard(call)
                    call.expire()
                self._next = min(
                    (one.expires for one in self._calls if one.expires is not None),
                    default=float("inf"),
                )
                idle = self._next == float("inf")
                self._changed.wait(None if idle else max(0.0, self._next - time.monotonic()))


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        call: Call | None = getattr(_local, "call", None)
        return self._connect() if call is None else call.connect(self._connect)

    def _connect(self) -> socket.socket:
        named = self._dns_host
        if named.endswith(".localhost"):
            # Not every resolver knows these for the machine's own (RFC 6761 section 6.3).
            self._dns_host = "localhost"
        try:
            return super()._new_conn()
        finally:
            self._dns_host = named

    def connect(self) -> None:
        super().connect()
        _hold(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _hold(self)
        super().request(*args, **kwargs)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS: `super()` in the methods above is then `HTTPSConnection`."""


def _hold(connection: HTTPConnection) -> None:
    """Put a connected socket under the current call's deadline and its timeout for sending."""
    call: Call | None = getattr(_local, "call", None)
    if call is not None:
        call.hold(connection.sock)
        # urllib3 sends under the timeout for connecting: 3 seconds without progress would end
        # an upload.
        connection.timeout = call.timeout[1]
        if connection.sock is not None:
            connection.sock.settimeout(call.timeout[1])


# The protocols that urllib3 annotates these with are stricter than its own classes.
class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType]


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection  # pyright: ignore[reportAssignmentType]


POOL_CLASSES = {"http": _Pool, "https": _SecurePool}


def _start_anew() -> None:
    """In a forked child: the thread is gone, and another thread may have held the lock."""
    global _watch
    _watch = _Watch()


_watch = _Watch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
