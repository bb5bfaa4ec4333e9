"""Where Egnyte sends the browser back to."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import state
from ..exceptions import AccessDeniedError, EgnyteError, OAuthError
from ..services import link
from .pages import egnyte_page, error_page


@egnyte_page(["GET"], login=False, referrer="no-referrer")
@sensitive_variables()
def callback(request: HttpRequest) -> HttpResponse:
    """``egnyte:callback``: the code or the refusal, and the state that belongs to it."""
    query = _take_query(request)
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
        _refuse(query.get("error", ""))
        code = query.get("code", "")
        if not code or len(code) > 4096:
            raise OAuthError("The callback brought neither a code nor an error.")
        account = link.link_with_code(
            request.user,
            code=code,
            host=attempt.host,
            redirect_uri=attempt.redirect_uri,
            scopes=attempt.scopes,
            flow=attempt.flow,
            relink=attempt.relink,
        )
    except EgnyteError as error:
        return error_page(request, error, domain=attempt.host, next_path=attempt.next)
    messages.success(request, _("Connected to %(domain)s.") % {"domain": account.domain})
    # Not redirect(): that would take a path for the name of a view.
    return HttpResponseRedirect(attempt.next or reverse("egnyte:accounts"))


def _take_query(request: HttpRequest) -> QueryDict:
    """The query, out of the request: its repr, and reports of errors, show what is left in it."""
    query = request.GET
    request.GET = QueryDict()
    for name in ("QUERY_STRING", "REQUEST_URI", "RAW_URI"):
        if name in request.META:
            request.META[name] = ""
    return query


def _refuse(error: str) -> None:
    """RFC 6749 section 4.1.2.1. The text is the request's own, so it is not repeated."""
    if error == "access_denied":
        raise AccessDeniedError("The user did not allow access.", code=error)
    if error:
        raise OAuthError("Egnyte sent the browser back with an error.", code="callback_error")
