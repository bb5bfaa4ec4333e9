"""One description of each operation, driven in two ways.

An operation is a generator that yields `Step`s: things that block. The synchronous driver runs
them where it stands; the asynchronous one hands each to where it belongs. So there is one set of
rules for retries, refreshes and uploads, and none of it is written twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

_T = TypeVar("_T")

_WORKERS = 32
_pool: ThreadPoolExecutor | None = None


class Step:
    """Something that blocks: "db" (the connection's own work), "io" (HTTP, files), or "sleep"."""

    __slots__ = ("args", "function", "kind")

    def __init__(
        self, kind: Literal["db", "io", "sleep"], function: Callable[..., Any], *args: Any
    ) -> None:
        self.kind = kind
        self.function = function
        self.args = args


Steps = Generator[Step, Any, _T]


class Run(Protocol):
    """Runs "db" steps from a coroutine: Django has rules about the thread."""

    def __call__(self, function: Callable[..., _T], *args: Any) -> Awaitable[_T]: ...


def sleep(seconds: float) -> Step:
    return Step("sleep", time.sleep, seconds)


def settled(result: Any) -> Steps[Any]:
    """The result of a function that may have returned the steps to it instead."""
    return (yield from result) if isinstance(result, Generator) else result


def run(work: Steps[_T]) -> _T:
    """Drive an operation here and now."""
    try:
        step = next(work)
        while True:
            error: Exception | None = None
            result: Any = None
            try:
                result = step.function(*step.args)
            except Exception as raised:
                error = raised
            # Outside the handler, or each error of a repeated call would be the next one's context.
            step = work.send(result) if error is None else work.throw(error)
    except StopIteration as stop:
        value: _T = stop.value
        return value


async def arun(work: Steps[_T], run_db: Run) -> _T:
    """Drive an operation from a coroutine: nothing in it blocks the event loop."""
    try:
        step = next(work)
        while True:
            error: Exception | None = None
            result: Any = None
            try:
                if step.kind == "sleep":
                    await asyncio.sleep(*step.args)
                elif step.kind == "db":
                    result = await run_db(step.function, *step.args)
                else:
                    result = await in_pool(step.function, *step.args)
            except Exception as raised:
                error = raised
            step = work.send(result) if error is None else work.throw(error)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    finally:
        work.close()


def in_pool(function: Callable[..., _T], *args: Any) -> Awaitable[_T]:
    """Run something that blocks in the threads kept for HTTP."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="egnyte-http")
    return asyncio.get_running_loop().run_in_executor(_pool, partial(function, *args))


def _forget_pool() -> None:
    """In a forked child: the parent's threads are not here."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
