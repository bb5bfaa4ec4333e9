"""Threads for HTTP in asynchronous code. Each host has its own, so a slow host delays no other."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")

PER_HOST = 32
# Hosts without a call that keep their threads for the next one.
KEPT = 8

_lock = threading.Lock()
_pools: dict[str, _Pool] = {}
"""By host. Those that were used last come last."""


class _Pool:
    __slots__ = ("busy", "executor")

    def __init__(self) -> None:
        # It starts a thread when none is free, so a host with one call has one thread.
        self.executor = ThreadPoolExecutor(PER_HOST, thread_name_prefix="egnyte-http")
        self.busy = 0


def submit(host: str, function: Callable[..., _T], *args: Any) -> Future[_T]:
    """Start a blocking function. The process waits for it when it ends.

    At most `PER_HOST` calls to one host run at once. The others wait for their turn.
    """
    with _lock:
        pool = _pools.pop(host, None) or _Pool()
        _pools[host] = pool
        pool.busy += 1
        future = pool.executor.submit(function, *args)
    # Outside the lock: if the future is done already, this thread runs the callback at once.
    future.add_done_callback(lambda future: _done(pool))
    return future


def _done(pool: _Pool) -> None:
    with _lock:
        pool.busy -= 1
        idle = [host for host, each in _pools.items() if not each.busy]
        # Without a wait: this may be a thread of the pool that ends.
        for host in idle[: max(0, len(idle) - KEPT)]:
            _pools.pop(host).executor.shutdown(wait=False)


def _forget() -> None:
    """For a forked child, which has none of its parent's threads; its lock may be held."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
