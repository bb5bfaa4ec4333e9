"""Turns among pytest-xdist's workers: what watches the clock has the machine for itself.

Locks are ``flock`` on this folder's files, so that they end with their holder.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

GATE = Path(__file__)
ROOM = Path(__file__).with_name("__init__.py")


def turn(*, alone: bool) -> contextlib.AbstractContextManager[None]:
    """Wait for a turn, with others or ``alone``; without other workers it is always there."""
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) < 2 or sys.platform == "win32":
        return contextlib.nullcontext()
    return among(alone=alone)


@contextlib.contextmanager
def among(*, alone: bool) -> Iterator[None]:
    with contextlib.ExitStack() as room:
        # Whoever waits to be alone keeps the gate, or the others would take turns without end.
        with locked(GATE, alone=True):
            room.enter_context(locked(ROOM, alone=alone))
        yield


@contextlib.contextmanager
def locked(path: Path, *, alone: bool) -> Iterator[None]:
    import fcntl

    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do: a forked process has it too
