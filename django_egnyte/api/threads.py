"""Threads for HTTP in asynchronous code. Hosts have separate threads: a slow one delays none."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

PER_HOST = 32
# How many hosts without a running call keep their threads for the next call.
KEPT = 8

_lock = threading.Lock()
_pools: dict[str, _Pool] = {}
"""The pools by host. The most recently used ones come last."""


class _Pool:
    __slots__ = ("busy", "executor")

    def __init__(self) -> None:
        # A pool starts a thread only if none is free, so one call needs one thread.
        self.executor = ThreadPoolExecutor(PER_HOST, thread_name_prefix="egnyte-http")
        self.busy = 0


def submit(host: str, function: Callable[..., _T], *args: Any) -> Future[_T]:
    """Start a blocking function in a thread. The process waits for it before it exits.

    At most `PER_HOST` calls to one host run at once. The others wait for their turn.
    """
    with _lock:
        pool = _pools.pop(host, None) or _Pool()
        _pools[host] = pool
        pool.busy += 1
        future = pool.executor.submit(function, *args)
    # Outside the lock: if the future is already done, the callback runs in this thread.
    future.add_done_callback(lambda future: _done(pool))
    return future


def _done(pool: _Pool) -> None:
    with _lock:
        pool.busy -= 1
        idle = [host for host, each in _pools.items() if not each.busy]
        # Do not wait: this may be a thread of that pool.
        for host in idle[: max(0, len(idle) - KEPT)]:
            _pools.pop(host).executor.shutdown(wait=False)


def _forget() -> None:
    """Reset in a forked child: it has no threads of the parent, and the lock may be held."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
