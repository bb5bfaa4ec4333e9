"""For the site's views."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction  # knows View.as_view()'s mark on Python 3.11, too
from django.http import HttpResponseBase
from django.views import View

from .access import EgnyteHttpRequest, RequestClient, to_connect
from .scopes import lacking

_View = TypeVar("_View", bound=Callable[..., Any])


@overload
def egnyte_required(view: _View) -> _View: ...
@overload
def egnyte_required(*, scopes: Sequence[str] = ()) -> Callable[[_View], _View]: ...
def egnyte_required(view: Any = None, *, scopes: Sequence[str] = ()) -> Any:
    """Let only users with a live account through; send the others to connect, and back.

    With ``scopes``, an account that was not granted all of them is sent through consent again.
    An API's caller gets a 401 with ``connect_url`` in JSON. For sync and async views.
    """
    if view is None:
        return functools.partial(egnyte_required, scopes=scopes)

    if _is_async(view):

        @functools.wraps(view)
        async def awrapped(
            request: EgnyteHttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            answer = _refusal(request, await request.aegnyte(), scopes)
            if answer is not None:
                return answer
            response: HttpResponseBase = await view(request, *args, **kwargs)
            return response

        return awrapped

    @functools.wraps(view)
    def wrapped(request: EgnyteHttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = _refusal(request, request.egnyte, scopes)
        if answer is not None:
            return answer
        response: HttpResponseBase = view(request, *args, **kwargs)
        return response

    return wrapped


def _is_async(view: Any) -> bool:
    if iscoroutinefunction(view):
        return True
    # method_decorator() gives a partial of the bound dispatch(), a plain method that returns a
    # coroutine where the handlers of the class are async.
    method: Any = getattr(view, "func", None)
    of = getattr(method, "__self__", None)
    return isinstance(of, View) and method.__name__ == "dispatch" and of.view_is_async


def _refusal(
    request: EgnyteHttpRequest, client: RequestClient, scopes: Sequence[str]
) -> HttpResponseBase | None:
    account = client.account
    if account is None:
        return to_connect(request, scopes=scopes)
    if missing := lacking(account.scopes, scopes):
        # With those it has: two pages that need different ones must not take turns.
        return to_connect(request, domain=account.domain, scopes=[*account.scopes, *missing])
    return None
