"""Turns among the workers of pytest-xdist: tests that measure time run alone.

Tests in a browser run beside others, but one at a time.

The locks are ``flock`` on files of this folder, so they end with the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

GATE = Path(__file__)
ROOM = Path(__file__).with_name("__init__.py")
BROWSER = Path(__file__).with_name("browsing.py")


def turn(*, alone: bool, browser: bool = False) -> contextlib.AbstractContextManager[None]:
    """Wait for a turn, with other workers or ``alone``. Without other workers, do not wait."""
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) < 2 or sys.platform == "win32":
        return contextlib.nullcontext()
    return among(alone=alone, browser=browser)


@contextlib.contextmanager
def among(*, alone: bool, browser: bool = False) -> Iterator[None]:
    with contextlib.ExitStack() as room:
        if browser:  # before the gate: others may pass while this one waits
            room.enter_context(locked(BROWSER, alone=True))
        # A worker that waits to be alone keeps the gate, so that no other worker starts a test.
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
            fcntl.flock(
                file, fcntl.LOCK_UN
            )  # close() is not enough, because a forked process also has the file open
