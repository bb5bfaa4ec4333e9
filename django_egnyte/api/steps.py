"""One description of each operation, driven in two ways.

An operation is a generator that yields `Step`s: things that block. The synchronous driver runs
them where it stands; the asynchronous one hands each to where it belongs. So there is one set of
rules for retries, refreshes and uploads, and none of it is written twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, Protocol, TypeVar

_T = TypeVar("_T")

_WORKERS = 32
_pool: ThreadPoolExecutor | None = None
_going_on: set[asyncio.Task[Any]] = set()


class Step:
    """Something that blocks: "db" (the connection's own work), "io" (HTTP, files), or "sleep".

    The function of a "whole" step returns further steps. Once begun they run to their end, even if
    the coroutine that waits for them is cancelled.
    """

    __slots__ = ("args", "function", "kind")

    def __init__(
        self, kind: Literal["db", "io", "sleep", "whole"], function: Callable[..., Any], *args: Any
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
            error: BaseException | None = None
            result: Any = None
            try:
                result = step.function(*step.args)
                if step.kind == "whole":
                    result = run(result)
            except BaseException as raised:
                error = raised
            # Outside the handler, or each error of a repeated call would be the next one's context.
            step = work.send(result) if error is None else work.throw(error)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    finally:
        work.close()


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
                elif step.kind == "whole":
                    result = await _uncancelled(arun(step.function(*step.args), run_db))
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


def _uncancelled(work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
    """Run it in a task of its own, which goes on when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    _going_on.add(task)  # the event loop itself keeps no strong reference
    task.add_done_callback(_ended)
    return asyncio.shield(task)


def _ended(task: asyncio.Task[Any]) -> None:
    _going_on.discard(task)
    if not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it where nobody waits any more


def in_pool(function: Callable[..., _T], *args: Any) -> Awaitable[_T]:
    """Run something that blocks in the threads kept for HTTP."""
    return asyncio.wrap_future(submit(function, *args))


def submit(function: Callable[..., _T], *args: Any) -> Future[_T]:
    """Begin something that blocks in the threads kept for HTTP; a process ends after it has."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="egnyte-http")
    return _pool.submit(function, *args)


def _forget_pool() -> None:
    """In a forked child: the parent's threads are not here."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
