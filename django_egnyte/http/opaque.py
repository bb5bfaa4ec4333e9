"""Tracebacks without secrets: an error that leaves the door has none of the door's frames.

Error reports show the local variables of every frame. Below the door those variables hold the
token, the form and the answer in clear, in this package's frames and in the HTTP libraries'.
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

# Packages with frames between the door and the network. gevent and eventlet replace `ssl`.
_INSIDE = sys.stdlib_module_names | {
    *("django_egnyte", "requests", "urllib3", "OpenSSL", "certifi", "eventlet", "gevent"),
    *("charset_normalizer", "chardet", "idna", "socks"),
}


def opaque(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Remove the frames of `function`, and of all that it calls, from the traceback of its error.

    Frames of the caller's own code stay, for example those of a body's generator. This covers
    causes and contexts, KeyboardInterrupt and a worker's time limit. This package's own errors lose
    their context too, because a foreign exception refers to the request.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except BaseException as failure:
            error = failure
        # Raise outside the handler: inside it the error would become its own context.
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
    """The part of a traceback from the first frame whose code is in no package of `_INSIDE`."""
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _INSIDE:
            return traceback
        traceback = traceback.tb_next
    return None
