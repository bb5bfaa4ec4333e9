"""Functions that all pages of this app share, and the error page."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_not_required, login_required
from django.db import connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import decorator_from_middleware
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.views.debug import SafeExceptionReporterFilter
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from ..access import connect_url
from ..conf import conf
from ..exceptions import (
    AccessDeniedError,
    EgnyteError,
    InTransactionError,
    InvalidDomainError,
    LinkError,
    OAuthError,
    RateLimitedError,
    RequestQuotaError,
    ResponseError,
    StateError,
    TokenConflictError,
    TooManyFailuresError,
    UnavailableError,
    WrongAccountError,
)
from ..scopes import read
from ..services.transactions import refuse_in_transaction

logger = logging.getLogger("django_egnyte.views")

View = Callable[..., HttpResponseBase]

# Characters. It is part of a URL and of a cookie, which servers and browsers limit.
LONGEST_NEXT: Final = 2000

# X-Frame-Options as in the site's settings, by default "DENY".
_framed_as_the_site_says = decorator_from_middleware(XFrameOptionsMiddleware)


@functools.cache
def _discreet(path: str) -> SafeExceptionReporterFilter:
    """The site's filter for error reports, which here hides variables under ``DEBUG``, too."""
    site_filter: Any = import_string(path)

    class DiscreetFilter(site_filter):  # type: ignore[misc]
        def is_active(self, request: HttpRequest | None) -> bool:
            return True

    discreet: SafeExceptionReporterFilter = DiscreetFilter()
    return discreet


def egnyte_page(
    methods: Sequence[str], *, login: bool = True, referrer: str = "same-origin"
) -> Callable[[View], View]:
    """A page of this app: only for users, not cached, and outside of any transaction.

    It checks the CSRF token and refuses frames even if the site lacks that middleware. A POST does
    not run in a transaction of the site. ``Http404`` becomes a page like the others.

    The page's URL is not sent to other sites. A page with a form needs ``same-origin``: with
    ``no-referrer`` browsers send ``Origin: null`` with the form, which Django's CSRF check refuses
    (Fetch standard, "append a request Origin header"). A page whose URL contains a code has
    ``no-referrer``, and no form.
    """

    def decorate(view: View) -> View:
        # A page that only takes POST redirects a GET: see _answered.
        seen = [*methods, "GET", "HEAD"] if list(methods) == ["POST"] else list(methods)
        allowed: View = require_http_methods(seen)(_answered(view, methods))
        allowed = login_required(allowed) if login else allowed
        allowed = _framed_as_the_site_says(csrf_protect(allowed))

        @functools.wraps(view)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            request.exception_reporter_filter = _discreet(
                settings.DEFAULT_EXCEPTION_REPORTER_FILTER
            )
            response = allowed(request, *args, **kwargs)
            response.headers.setdefault("Referrer-Policy", referrer)
            return response

        wrapped: View = never_cache(page)
        if not login:
            # The view requires the login itself: LoginRequiredMiddleware would keep the query.
            wrapped = login_not_required(wrapped)
        for alias in connections:
            wrapped = transaction.non_atomic_requests(using=alias)(wrapped)
        return wrapped

    return decorate


def _answered(view: View, methods: Sequence[str]) -> View:
    """Call the view outside of transactions. Redirect a GET of a POST-only page, and show a 404."""

    @functools.wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if request.method == "POST":
                refuse_in_transaction()
            elif request.method not in methods:
                # The user comes from the login page or a bookmark: there is nothing to show.
                return HttpResponseRedirect(reverse("egnyte:accounts"))
            return view(request, *args, **kwargs)
        except InTransactionError as error:
            return error_page(request, error)
        except Http404:
            return _not_found(request)

    return answered


def refuse_callback_error(error: str) -> None:
    """The error of RFC 6749 section 4.1.2.1. Its text comes from the request, so do not show it."""
    if error == "access_denied":
        raise AccessDeniedError("The user did not allow access.", code=error)
    if error:
        raise OAuthError("Egnyte sent the browser back with an error.", code="callback_error")


def asked_scopes(request: HttpRequest, signed: str) -> tuple[str, ...]:
    """The site's scopes, and the additional ones that its code signed for this user."""
    more = read(request.user, signed) if signed else ()
    if more is None:
        logger.warning(
            "The scopes in a link were not signed by this site for this user, or over a day ago. "
            "They are ignored: the app requests EGNYTE_SCOPES only.",
            extra={"event": "scopes_not_signed"},
        )
    return tuple(dict.fromkeys([*conf.scopes, *(more or ())]))


def safe_next(request: HttpRequest, path: str) -> str:
    """``path`` if it leads to a page of this site and is short enough, otherwise an empty text."""
    allowed = len(path) <= LONGEST_NEXT and url_has_allowed_host_and_scheme(
        path, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return path if allowed else ""


STATUS: Final[Sequence[tuple[type[EgnyteError], int]]] = (
    (AccessDeniedError, 403),
    (RequestQuotaError, 429),
    (TooManyFailuresError, 429),
    (OAuthError, 400),
    (StateError, 400),
    (InvalidDomainError, 400),
    (WrongAccountError, 409),
    (TokenConflictError, 409),
    (InTransactionError, 500),
    (LinkError, 400),
    (RateLimitedError, 503),
    (UnavailableError, 503),
    (ResponseError, 502),
    (EgnyteError, 502),
)


def error_page(
    request: HttpRequest, error: EgnyteError, *, domain: str = "", next_path: str = ""
) -> HttpResponse:
    """The error page: it tells the user what to do. The log tells the operator what happened."""
    status = next(code for kind, code in STATUS if isinstance(error, kind))
    if isinstance(error, InTransactionError):
        return _in_transaction(request, status)
    title, message = _words(error)
    logger.warning(
        "Connecting to Egnyte failed: %s%s%s",
        f"{type(error).__name__}: {error}",
        f" [{error.code}]" if error.code else "",
        f" Hint: {error.hint}" if error.hint else "",
        extra={"event": "connect_failed", "domain": error.host or domain, "status": status},
    )
    response = refusal(
        request,
        status=status,
        title=title,
        message=message,
        retry_url=connect_url(next_path=next_path, domain=domain),
    )
    if isinstance(error, RateLimitedError | TooManyFailuresError):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return response


def refusal(
    request: HttpRequest, *, status: int, title: str, message: str, retry_url: str = ""
) -> HttpResponse:
    """A page that refuses the request, with a text and a status."""
    context = {"title": title, "message": message, "retry_url": retry_url, "status": status}
    return render(request, "egnyte/error.html", context, status=status)


def _in_transaction(request: HttpRequest, status: int) -> HttpResponse:
    logger.error(
        "A middleware of this site opens a database transaction around the pages of django_egnyte, "
        "or autocommit is off. Nothing was done, because a rollback would lose a token. Exclude "
        "these pages from the transaction, or turn autocommit on.",
        extra={"event": "in_transaction", "status": status},
    )
    return refusal(
        request,
        status=status,
        title=_("This site is not set up for Egnyte yet"),
        message=_(
            "Nothing was changed. This site handles the whole request in one database "
            "transaction, and connections to Egnyte cannot be changed inside one. Please tell "
            "the administrator of this site."
        ),
    )


def _not_found(request: HttpRequest) -> HttpResponse:
    return refusal(
        request,
        status=404,
        title=_("Page not found"),
        message=_(
            "There is no such page or account. The account may have been disconnected already."
        ),
    )


def _words(error: EgnyteError) -> tuple[str, str]:
    """A title and a sentence for the user."""
    if isinstance(error, OAuthError):
        return _("Egnyte was not connected"), _(error.user_hint)
    if isinstance(error, StateError):
        return _("This link is no longer valid"), {
            "spent": _(
                "It was already used. If you pressed a button twice, your account may be "
                "connected: look at your Egnyte accounts."
            ),
            "expired": _("Connecting took longer than ten minutes. Please start again."),
            "foreign": _("It belongs to another user of this site. Please start again."),
            "missing": _(
                "It belongs to another browser, or is older than ten minutes. Please start again."
            ),
        }[error.reason]
    if isinstance(error, TooManyFailuresError):
        return _("Too many failed attempts"), _("Please wait an hour and try again.")
    if isinstance(error, WrongAccountError):
        return _("Wrong Egnyte account"), _(
            "At Egnyte you are logged in as another user. Log out there and reconnect, or connect "
            "that account as a new one."
        )
    if isinstance(error, TokenConflictError):
        return _("Egnyte was not connected"), _(
            "An earlier connection of this account is just ending. Please wait a minute "
            "and try again."
        )
    if isinstance(error, InvalidDomainError):
        return _("Unknown Egnyte domain"), _(
            "Accounts at this domain cannot be connected to this site. Please check the domain."
        )
    if isinstance(error, LinkError):
        return _("Egnyte was not connected"), _(
            "Please disconnect the account and connect it again."
        )
    if isinstance(error, RateLimitedError):
        return _("Egnyte is busy"), _(
            "Egnyte accepts no more connections right now. Please try again in a few minutes."
        )
    return _("Egnyte did not answer as expected"), _(
        "Nothing was connected or changed. Please try again in a few minutes."
    )
