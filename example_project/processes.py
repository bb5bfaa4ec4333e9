"""Start and stop the demo's processes, with one log file each. Standard library only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

PATIENCE = 30.0

# Ignore proxies of the environment for the addresses of this machine.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Ended(Exception):
    """A process has exited, or did not become ready. The message names it."""


class Processes:
    """Starts processes. At the end of the ``with`` block, it stops them in reverse order."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> None:
        with open(self.logs / f"{name}.log", "wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # In its own session: only run.py receives Ctrl-C, and it stops the others.
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text("utf-8", errors="replace")

    def tails(self, lines: int = 15) -> str:
        """The last lines of all logs."""
        parts = []
        for name in self.running:
            end = self.log(name).splitlines()[-lines:]
            parts.append("\n".join([f"--- {name}.log", *end]))
        return "\n".join(parts)

    def ensure_running(self) -> None:
        """Raises ``Ended`` if a process has exited."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise Ended(f"{name} has ended with status {process.returncode}")

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Wait until ``ready`` returns true. ``Ended`` if a process exits or the time is over."""
        ends = time.monotonic() + seconds
        while not ready():
            self.ensure_running()
            if time.monotonic() > ends:
                raise Ended(f"waited {seconds:.0f} seconds in vain: {what}")
            time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.terminate()
        ends = time.monotonic() + 10
        for process in self.running.values():
            try:
                process.wait(max(ends - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        process.kill()
    else:  # each process has its own session, so this stops only it and its children
        os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    """Whether a server answers at this URL."""
    try:
        with direct.open(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def port_near(wanted: int) -> int:
    """``wanted`` if it is free on the loopback address, else another free port. 0: any port."""
    with socket.socket() as probe:
        if os.name != "nt":  # as servers do, so that a port that was just closed counts as free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
