"""Where Egnyte sends the browser back to."""

from __future__ import annotations

from django.contrib.auth.views import redirect_to_login
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from .. import gateway, state
from ..choices import Flow
from ..conf import conf
from ..exceptions import EgnyteError, OAuthError
from ..services import link
from .flows import exchanged
from .pages import egnyte_page, error_page, refuse_callback_error


@egnyte_page(["GET"], login=False, referrer="no-referrer")
@sensitive_variables()
def callback(request: HttpRequest) -> HttpResponse:
    """``egnyte:callback``: the code or the refusal, and the state that belongs to it."""
    query = _take_query(request)
    if conf.flow == Flow.IMPLICIT and "state" not in query:
        return _fragment_page(request)
    if not request.user.is_authenticated:
        # Without the query: a code does not belong into a log-in page's address.
        return redirect_to_login(reverse("egnyte:callback"))
    given = query.get("state", "")
    try:
        attempt = state.recall(request.session, given, user=str(request.user.pk))
    except EgnyteError as error:
        return error_page(request, error)
    try:
        link.spend_state(given)
        refuse_callback_error(query.get("error", ""))
        code = query.get("code", "")
        if not code or len(code) > 4096:
            raise OAuthError("The callback brought neither a code nor an error.")
        host = attempt.host or gateway.host_of_referer(request.headers.get("Referer", ""))
        if not host:
            parked = state.park(request.session, attempt, code)
            return HttpResponseRedirect(f"{reverse('egnyte:domain')}?attempt={parked}")
        return exchanged(request, attempt, code, host)
    except EgnyteError as error:
        return error_page(request, error, domain=attempt.host, next_path=attempt.next)


def _fragment_page(request: HttpRequest) -> HttpResponse:
    """Implicit grant: the answer is in the fragment, which only the browser sees."""
    if not request.user.is_authenticated:
        # A redirect without a fragment would inherit this one, token and all (RFC 9110, 10.2.2).
        to_login = redirect_to_login(reverse("egnyte:callback"))
        to_login.headers["Location"] += "#"
        return to_login
    response = render(request, "egnyte/implicit.html")
    # The page posts a form: see egnyte_page. A fragment is never part of a Referer.
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _take_query(request: HttpRequest) -> QueryDict:
    """The query, out of the request: its repr, and reports of errors, show what is left in it."""
    query = request.GET
    request.GET = QueryDict()
    raw = request.META.get("QUERY_STRING", "")
    for name, value in request.META.items():
        if name in ("QUERY_STRING", "REQUEST_URI", "RAW_URI"):
            request.META[name] = ""
        elif raw and isinstance(value, str):
            # Proxies repeat the address in headers of their own, such as X-Original-URI.
            request.META[name] = value.replace(f"?{raw}", "")
    if isinstance(request, ASGIRequest):
        # A copy: the server's own may be shared with what runs outside of Django.
        request.scope = {**request.scope, "query_string": b""}
    return query
