"""A Content-Security-Policy that a test can set after the test site has started."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def middleware(get_response: Callable[..., Any]) -> Callable[..., Any]:
    """Send ``settings.CONTENT_SECURITY_POLICY`` with every answer, if it is set.

    A live server reads ``settings.MIDDLEWARE`` only once, so no test can add one later.
    """
    if iscoroutinefunction(get_response):

        async def awaited(request: Any) -> Any:
            return protected(await get_response(request))

        return awaited

    def called(request: Any) -> Any:
        return protected(get_response(request))

    return called


def protected(response: Any) -> Any:
    if policy := getattr(settings, "CONTENT_SECURITY_POLICY", ""):
        response.headers["Content-Security-Policy"] = policy
    return response
