"""For Django REST framework: a permission, its exception, and an exception handler."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Final

from django.db import Error as DatabaseError
from django.utils.translation import gettext as _
from rest_framework import exceptions, permissions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_handler
from rest_framework.views import set_rollback

from ..access import RequestClient, connect_url, settle_again
from ..callers import page_behind
from ..exceptions import (
    BadRequestError,
    ConflictError,
    EgnyteError,
    ForbiddenError,
    InvalidHeaderError,
    InvalidPathError,
    LockedError,
    NotFoundError,
    NotLinkedError,
    RateLimitedError,
    TokenExpiredError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from ..scopes import lacking

logger = logging.getLogger("django_egnyte.rest_framework")


class EgnyteNotLinked(exceptions.APIException):
    """401: ``{"error", "detail", "connect_url"}``. The user opens ``connect_url`` in a browser.

    ``error`` is ``egnyte_not_linked`` without a live account, and ``egnyte_scopes_missing`` if
    the account was not granted what the view needs.
    """

    status_code = status.HTTP_401_UNAUTHORIZED

    def __init__(
        self,
        request: Any,
        *,
        domain: str = "",
        scopes: Sequence[str] = (),
        error: str = "egnyte_not_linked",
    ) -> None:
        # Do not return to the view itself: the browser would have no token for it.
        url = connect_url(
            next_path=page_behind(request), domain=domain, scopes=scopes, user=request.user
        )
        # Set it after the constructor, which would turn each value into an ErrorDetail.
        super().__init__(code=error)
        text = _("Please connect your Egnyte account first.")
        if error == "egnyte_scopes_missing":
            text = _("Please grant this site more permissions at Egnyte first.")
        self.detail = {"error": error, "detail": text, "connect_url": url}


class IsEgnyteLinked(permissions.BasePermission):
    """Admits users with a live account, after the view's own authentication.

    Name the scopes that the account needs with ``needing(...)``, or on the view as
    ``egnyte_scopes``. Raises ``EgnyteNotLinked``. The framework itself answers an anonymous caller.
    """

    scopes: Sequence[str] = ()

    @classmethod
    def needing(cls, *scopes: str) -> type[IsEgnyteLinked]:
        """The same permission, which also requires these scopes."""
        return type(cls.__name__, (cls,), {"scopes": (*cls.scopes, *scopes)})

    def has_permission(self, request: Any, view: Any) -> Any:
        """False for an anonymous caller. Raises ``EgnyteNotLinked``."""
        if not request.user or not request.user.is_authenticated:
            return False
        client: RequestClient = request.egnyte
        account = client.account
        if account is None:
            raise EgnyteNotLinked(request)
        needed = [*self.scopes, *getattr(view, "egnyte_scopes", ())]
        if missing := lacking(account.scopes, needed):
            raise EgnyteNotLinked(
                request,
                domain=account.domain,
                # Include the scopes it has, or two views with different needs would take turns.
                scopes=[*account.scopes, *missing],
                error="egnyte_scopes_missing",
            )
        return True


_ANSWERS: Final[Sequence[tuple[type[EgnyteError], int, str]]] = (
    (ForbiddenError, status.HTTP_403_FORBIDDEN, "egnyte_forbidden"),
    (NotFoundError, status.HTTP_404_NOT_FOUND, "egnyte_not_found"),
    (ConflictError, status.HTTP_409_CONFLICT, "egnyte_conflict"),
    (TooLargeError, status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, "egnyte_too_large"),
    (LockedError, status.HTTP_423_LOCKED, "egnyte_locked"),
    (BadRequestError, status.HTTP_400_BAD_REQUEST, "egnyte_bad_request"),
    (InvalidPathError, status.HTTP_400_BAD_REQUEST, "egnyte_invalid_path"),
    (InvalidHeaderError, status.HTTP_400_BAD_REQUEST, "egnyte_invalid_header"),
    (RateLimitedError, status.HTTP_503_SERVICE_UNAVAILABLE, "egnyte_busy"),
    (TokenExpiredError, status.HTTP_503_SERVICE_UNAVAILABLE, "egnyte_busy"),
    (UnavailableError, status.HTTP_503_SERVICE_UNAVAILABLE, "egnyte_unavailable"),
    (EgnyteError, status.HTTP_502_BAD_GATEWAY, "egnyte_error"),
)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """For ``REST_FRAMEWORK["EXCEPTION_HANDLER"]``: answers an ``EgnyteError`` in JSON.

    The answer is ``{"error", "detail"}``. The framework's own handler answers all other exceptions.
    """
    if not isinstance(exc, EgnyteError):
        return default_handler(exc, context)
    if isinstance(exc, NotLinkedError | UnauthorizedError) and not exc.retryable:
        refused = EgnyteNotLinked(context["request"], domain=exc.host or "")
        answer: Any = default_handler(refused, context)
        return EgnyteErrorResponse(exc, answer.data, answer.status_code)
    set_rollback()
    code, error = next((code, error) for kind, code, error in _ANSWERS if isinstance(exc, kind))
    response = EgnyteErrorResponse(exc, {"error": error, "detail": _detail(code)}, code)
    if (after := getattr(exc, "retry_after", None)) is not None:
        response.headers["Retry-After"] = str(math.ceil(after))
    return response


class EgnyteErrorResponse(Response):
    """Writes the outcome of a refused token again, after the request's transaction.

    The error rolled back the view's transaction (``ATOMIC_REQUESTS``), and the outcome with it.
    """

    def __init__(self, error: EgnyteError, data: Any, status: int) -> None:
        super().__init__(data, status=status)
        self._error = error

    def close(self) -> None:
        try:
            settle_again(self._error)
        except DatabaseError:
            logger.exception(
                "The database did not take the new state of an account after Egnyte refused its "
                "token. The next call or sweep sets it.",
                extra={"event": "refusal_not_written", "domain": self._error.host},
            )
        finally:
            super().close()


def _detail(code: int) -> str:
    """The text for the caller. Egnyte's own words may contain paths and names."""
    if code == status.HTTP_502_BAD_GATEWAY:
        return _("Egnyte did not answer as expected.")
    if code == status.HTTP_503_SERVICE_UNAVAILABLE:
        return _("Egnyte cannot do this right now. Please try again later.")
    return _("Egnyte refused this request.")
