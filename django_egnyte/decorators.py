"""Decorators for the site's views."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction  # knows View.as_view()'s mark on Python 3.11, too
from django.http import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View

from .access import EgnyteHttpRequest, RequestClient, to_connect
from .scopes import lacking

_View = TypeVar("_View", bound=Callable[..., Any])


@overload
def egnyte_required(view: _View) -> _View: ...
@overload
def egnyte_required(*, scopes: Sequence[str] = ()) -> Callable[[_View], _View]: ...
def egnyte_required(view: Any = None, *, scopes: Sequence[str] = ()) -> Any:
    """Admit only users with a live account. Send the others to connect, and then back.

    With ``scopes``, users whose account lacks one of them go through consent again. A script gets a
    401 with ``connect_url`` in JSON. It decorates sync and async views, class-based views, and the
    result of ``as_view()``. A view of Django REST framework authenticates its caller first.
    ``TypeError`` for a method, which needs ``method_decorator(egnyte_required)``.
    """
    if view is None:
        return functools.partial(egnyte_required, scopes=scopes)
    if isinstance(view, type):
        return method_decorator(egnyte_required(scopes=scopes), name="dispatch")(view)
    if inspect.isfunction(view) and view.__code__.co_varnames[:1] == ("self",):
        raise TypeError("A method needs @method_decorator(egnyte_required).")
    if _is_api(getattr(view, "cls", None)):
        return _guarded_api(view, scopes)
    return _guarded(view, scopes)


def _guarded(view: Any, scopes: Sequence[str]) -> Any:
    api = _dispatched(view)
    if _is_api(type(api)):
        # An instance serves one request. It authenticates before it checks permissions.
        api.get_permissions = functools.partial(_permissions, api.get_permissions, scopes)
        return view

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
    # A plain method. It returns a coroutine if the handlers of the class are async.
    dispatched = _dispatched(view)
    return dispatched is not None and bool(dispatched.view_is_async)


def _dispatched(view: Any) -> Any:
    """The class-based view to which this ``dispatch`` belongs; ``None`` for other functions.

    ``method_decorator`` passes ``dispatch`` as a partial of the bound method.
    """
    method: Any = getattr(view, "func", None)
    of = getattr(method, "__self__", None)
    return of if isinstance(of, View) and method.__name__ == "dispatch" else None


def _is_api(cls: Any) -> bool:
    """Whether this is a view class of Django REST framework. False if that is not installed."""
    framework = sys.modules.get("rest_framework.views")
    return framework is not None and isinstance(cls, type) and issubclass(cls, framework.APIView)


def _permissions(own: Callable[[], list[Any]], scopes: Sequence[str]) -> list[Any]:
    from .contrib.rest_framework import IsEgnyteLinked

    return [*own(), IsEgnyteLinked.needing(*scopes)()]


def _guarded_api(view: Any, scopes: Sequence[str]) -> Any:
    """The ``as_view()`` of a subclass that also requires a linked account."""
    cls: Any = view.cls

    def get_permissions(self: Any) -> list[Any]:
        return _permissions(functools.partial(cls.get_permissions, self), scopes)

    names = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    linked: Any = type(cls.__name__, (cls,), {**names, "get_permissions": get_permissions})
    actions = getattr(view, "actions", None)
    of_viewset = () if actions is None else (actions,)
    return functools.update_wrapper(
        linked.as_view(*of_viewset, **view.initkwargs), view, updated=()
    )


def _refusal(
    request: EgnyteHttpRequest, client: RequestClient, scopes: Sequence[str]
) -> HttpResponseBase | None:
    account = client.account
    if account is None:
        return to_connect(request, scopes=scopes)
    if missing := lacking(account.scopes, scopes):
        # Include the scopes it has, or two pages with different needs would take turns.
        return to_connect(request, domain=account.domain, scopes=[*account.scopes, *missing])
    return None
