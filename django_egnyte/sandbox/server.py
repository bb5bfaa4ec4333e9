"""A loopback HTTP/1.1 server with one thread per connection, which can break connections."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from types import TracebackType

from .app import App
from .connection import Connection
from .sandbox import Sandbox

BACKLOG = 512
LAST_PORT = 65_535


class SandboxServer:
    """Serves a sandbox on a loopback address, from `start` to `stop`, or in a with block.

    `port` 0 chooses a free port, and later starts use the same one. Raises ValueError for an
    invalid port, and for a host that is not loopback, because anybody who reaches a sandbox
    controls it.
    """

    def __init__(
        self, sandbox: Sandbox | None = None, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.host = require_loopback(host)
        if not 0 <= port <= LAST_PORT:
            raise ValueError(f"a port is a number from 0 to {LAST_PORT}, not {port}")
        self.sandbox = sandbox if sandbox is not None else Sandbox()
        self.app = App(self.sandbox)
        self.app.connections = lambda: {
            "connections_opened": self.connections_opened,
            "connections_open": self.connections_open,
        }
        self.port = port
        self.connections_opened = 0
        self._lock = threading.Lock()
        self._live: dict[Connection, threading.Thread] = {}
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:8765`."""
        return f"http://{self._authority}"

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:8765/d/{domain}`, with the braces: a value for EGNYTE_BASE_URL."""
        return f"{self.url}/d/{{domain}}"

    @property
    def host_base_url(self) -> str:
        """`http://{domain}.localhost:8765`: another value for EGNYTE_BASE_URL.

        Browsers and this package resolve such names to this machine. Other programs need a system
        that does.
        """
        return f"http://{{domain}}.localhost:{self.port}"

    @property
    def connections_open(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._live)

    def start(self) -> SandboxServer:
        """Listen. RuntimeError if already started, OSError with the port if it is in use."""
        if self._listener is not None:
            raise RuntimeError("the sandbox server is running")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"{error.strerror}: port {self.port}, {self.host}") from None
        self.port = listener.getsockname()[1]
        self.app.stopping.clear()
        self._listener = listener
        self._acceptor = threading.Thread(
            target=self._accept, args=(listener,), name="egnyte-sandbox", daemon=True
        )
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close the port and all connections, and wait for their threads. May be called twice."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self.app.stopping.set()
        # On some platforms, close() alone does not wake the accepting thread.
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=1).close()
        if self._acceptor is not None:
            self._acceptor.join(timeout=5)
        listener.close()
        for thread in self.drop_connections():
            thread.join(timeout=5)

    def drop_connections(self) -> list[threading.Thread]:
        """Close every open connection, as a restart would. Returns their threads."""
        with self._lock:
            live = dict(self._live)
        for connection in live:
            connection.shut()
        return list(live.values())

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            if self.app.stopping.is_set():
                sock.close()
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, str(peer[0]), self._authority, self.app)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="egnyte-sandbox-call", daemon=True
            )
            with self._lock:
                self.connections_opened += 1
                self._live[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._live.pop(connection, None)
            connection.close()


def require_loopback(host: str) -> str:
    """A loopback address, from `localhost` or an address. Raises ValueError for others."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError("the sandbox serves loopback addresses only")
    return host
