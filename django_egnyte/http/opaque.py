"""Tracebacks without secrets: an error leaves the door, and none of the door's frames with it.

Error reports show the local variables of every frame. Below the door these hold the token, the
form and the answer in clear, in this package's frames and in those of the HTTP libraries.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from django_egnyte.exceptions import EgnyteError

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Those who may stand between the door and the network. gevent and eventlet replace `ssl`.
_INSIDE = sys.stdlib_module_names | {
    *("django_egnyte", "requests", "urllib3", "OpenSSL", "certifi", "eventlet", "gevent"),
    *("charset_normalizer", "chardet", "idna", "socks"),
}


def opaque(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let no frame of `function`, or below it, stay in the traceback of what it raises.

    Frames of the caller's own code stay: those of a body's generator, say. The same holds for
    causes and contexts, and for KeyboardInterrupt and a worker's time limit. What
    `function` raises of this package has no context: a foreign exception refers to the request.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except BaseException as failure:
            error = failure
        # Raised outside the handler, or the error would be its own context.
        del args, kwargs
        _forget_frames(error)
        try:
            raise error
        finally:
            del error

    return call


def _forget_frames(error: BaseException) -> None:
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()  # "raise error from error" is its own cause
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, EgnyteError):
            one.__context__ = None
        one.__traceback__ = _callers_own(one.__traceback__)
        waiting += [one.__cause__, one.__context__]


def _callers_own(traceback: TracebackType | None) -> TracebackType | None:
    """What begins with the first frame of foreign code; it called whatever follows itself."""
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _INSIDE:
            return traceback
        traceback = traceback.tb_next
    return None
