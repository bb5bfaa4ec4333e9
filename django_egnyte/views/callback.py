"""The callback: Egnyte redirects the browser to it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import override
from django.views.decorators.debug import sensitive_variables

from .. import gateway, state
from ..access import connect_url
from ..choices import Flow
from ..conf import conf
from ..exceptions import EgnyteError, OAuthError
from ..secret import Secret
from ..services import link
from .flows import exchanged
from .incoming import take
from .pages import egnyte_page, error_page, refuse_callback_error


@egnyte_page(["GET"], login=False, referrer="no-referrer")
@sensitive_variables()
def callback(request: HttpRequest) -> HttpResponse:
    """``egnyte:callback``: takes the code or the refusal, and the state."""
    query = take(request, "code", "state")
    if conf.flow == Flow.IMPLICIT and "state" not in query:
        return _fragment_page(request)
    given: Secret = query.get("state", Secret())
    if not request.user.is_authenticated:
        return _to_login(request, given)
    try:
        attempt = state.recall(request.COOKIES, given.reveal(), user=str(request.user.pk))
    except EgnyteError as error:
        return error_page(request, error)
    with override(attempt.language):
        return _answered(request, query, attempt)


@sensitive_variables()
def _answered(request: HttpRequest, query: dict[str, Any], attempt: state.Attempt) -> HttpResponse:
    given: Secret = query["state"]
    try:
        link.spend_state(given.reveal())
        refuse_callback_error(query.get("error", ""))
        code: Secret = query.get("code", Secret())
        if not code or len(code.reveal()) > 4096:
            raise OAuthError("The callback request has neither a code nor an error.")
        host = attempt.host or gateway.host_of_referer(request.headers.get("Referer", ""))
        return exchanged(request, attempt, code, host) if host else _ask_domain(attempt, code)
    except EgnyteError as error:
        return error_page(request, error, domain=attempt.host, next_path=attempt.next)


def _ask_domain(attempt: state.Attempt, code: Secret) -> HttpResponse:
    """Ask for the domain of the code: the Enhanced service did not name it."""
    response = HttpResponseRedirect("")
    try:
        parked = state.park(response, attempt, code)
    except ValueError:
        raise OAuthError("The code in the callback request is too long to keep.") from None
    response.headers["Location"] = f"{reverse('egnyte:domain')}?attempt={parked}"
    return response


def _to_login(request: HttpRequest, given: Secret) -> HttpResponse:
    """The user was logged out meanwhile. After the login the attempt starts again.

    The code must not appear in the address of a login page.
    """
    attempt = state.begun_by_anybody(request.COOKIES, given.reveal())
    if attempt is None:
        return redirect_to_login(reverse("egnyte:callback"))
    return redirect_to_login(connect_url(next_path=attempt.next, domain=attempt.host))


def _fragment_page(request: HttpRequest) -> HttpResponse:
    """Implicit grant: the answer is in the fragment, which only the browser can read."""
    if not request.user.is_authenticated:
        # A redirect without a fragment would inherit this one, with the token (RFC 9110, 10.2.2).
        to_login = redirect_to_login(reverse("egnyte:callback"))
        to_login.headers["Location"] += "#"
        return to_login
    response = render(request, "egnyte/implicit.html", {"action": state.address("egnyte:implicit")})
    # The page posts a form: see egnyte_page. A fragment is never part of a Referer.
    response.headers["Referrer-Policy"] = "same-origin"
    return response
