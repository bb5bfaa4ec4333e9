"""Write each operation once, for synchronous and asynchronous callers.

An operation is a generator that yields `Step`s: work that blocks. `run` does each step in the
calling thread. `arun` gives each step to the right thread. So retries, refreshes and uploads have
one set of rules, which is written once.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from django_egnyte.api import threads

_P = ParamSpec("_P")
_T = TypeVar("_T")

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


class Place(Protocol):
    """Where the steps of an operation run, if it is driven from a coroutine."""

    host: str
    """The host, whose own threads run the "io" steps. Any other text until it is known."""

    def run(self, function: Callable[..., _T], *args: Any) -> Awaitable[_T]:
        """Run a "db" step: Django has rules about the thread."""
        ...


def sleep(seconds: float) -> Step:
    return Step("sleep", time.sleep, seconds)


def settled(result: Any) -> Steps[Any]:
    """The result of a function, which may have returned steps: these are done first."""
    return (yield from result) if isinstance(result, Generator) else result


def run(work: Steps[_T]) -> _T:
    """Run an operation in this thread."""
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
            # Outside the handler: inside it each error would become the context of the next.
            step = work.send(result) if error is None else work.throw(error)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    finally:
        work.close()


def synchronous(operation: Callable[_P, Steps[_T]]) -> Callable[_P, _T]:
    """A function that runs the steps of the operation in this thread and returns its result."""

    @functools.wraps(operation)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run(operation(*args, **kwargs))

    return call


async def arun(work: Steps[_T], place: Place) -> _T:
    """Run an operation for a coroutine, without blocking the event loop."""
    try:
        step = next(work)
        while True:
            error: Exception | None = None
            result: Any = None
            try:
                if step.kind == "sleep":
                    await asyncio.sleep(*step.args)
                elif step.kind == "db":
                    result = await place.run(step.function, *step.args)
                elif step.kind == "whole":
                    result = await _uncancelled(arun(step.function(*step.args), place))
                else:
                    result = await in_pool(place.host, step.function, *step.args)
            except Exception as raised:
                error = raised
            step = work.send(result) if error is None else work.throw(error)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    finally:
        work.close()


def _uncancelled(work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
    """Run it in a task of its own, which continues when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    _going_on.add(task)  # the event loop keeps only a weak reference
    task.add_done_callback(_ended)
    return asyncio.shield(task)


def _ended(task: asyncio.Task[Any]) -> None:
    _going_on.discard(task)
    if not task.cancelled():
        task.exception()  # retrieve it, or asyncio reports an error that nobody waits for


def in_pool(host: str, function: Callable[..., _T], *args: Any) -> Awaitable[_T]:
    """Run a blocking function in the threads for HTTP to this host."""
    return asyncio.wrap_future(threads.submit(host, function, *args))
