"""``request.egnyte``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib import messages
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from .access import RequestClient, settle_again, to_connect
from .exceptions import EgnyteError, NotLinkedError, TokenExpiredError, UnauthorizedError

logger = logging.getLogger("django_egnyte.middleware")


class EgnyteMiddleware:
    """Attaches ``request.egnyte`` and ``request.aegnyte()``. Put it after
    ``AuthenticationMiddleware``.

    A request that uses neither makes no query. If a view raises ``NotLinkedError`` or
    ``UnauthorizedError``, the user is sent to ``egnyte:connect``; but not if the error is about
    another user's account, which this user cannot reconnect. If the error rolled back the view's
    transaction (``ATOMIC_REQUESTS``), the outcome of the refused token is written again.
    """

    sync_capable = True
    async_capable = True

    def __init__(
        self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]
    ) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        # Under async, this is the coroutine of the rest of the chain: awaited by the handler.
        client = request.egnyte = RequestClient(request)  # type: ignore[attr-defined]
        request.aegnyte = client.aresolve  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer for an error about the user's own link. Return ``None`` for any other error."""
        if isinstance(exception, TokenExpiredError | UnauthorizedError):
            _settle_again(exception)
        if not isinstance(exception, NotLinkedError | UnauthorizedError):
            return None
        if not _is_own(request, exception) or exception.retryable:
            return None
        if isinstance(exception, UnauthorizedError):
            messages.warning(
                request,
                _("Egnyte no longer accepts your connection to %(domain)s. Please reconnect.")
                % {"domain": exception.host},
                fail_silently=True,
            )
        return to_connect(request, domain=exception.host or "")


def _settle_again(error: EgnyteError) -> None:
    try:
        settle_again(error)
    except Error:
        # Report the view's own error.
        logger.exception(
            "The database did not take the new state of an account after Egnyte refused its token. "
            "The next call or sweep sets it.",
            extra={"event": "refusal_not_written", "domain": error.host},
        )


def _is_own(request: HttpRequest, error: EgnyteError) -> bool:
    """Whether the error is about the user's own account, or about having none."""
    owner = None if error.used is None else error.used.user_id
    # Compare as text: a user from a JSON web token has a primary key of type str.
    return owner is None or str(owner) == str(request.user.pk)
