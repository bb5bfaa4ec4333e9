"""Find out who makes a request: a browser that opens a page, htmx, or a script."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from .secret import Secret

HIDDEN_QUERY: Final = "django_egnyte.query"
"""The key in a WSGI environ or an ASGI scope for a ``Secret`` with the query removed from it."""

WEBHOOK_HEADER: Final = "X-Egnyte-Webhook-Secret"
WEBHOOK_KEY: Final = "HTTP_X_EGNYTE_WEBHOOK_SECRET"
"""The same in a WSGI environ."""

# The headers that the functions here read.
VARY: Final = ("Accept", "HX-Request", "Sec-Fetch-Mode")


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx makes the request. It would follow a redirect and insert that page."""
    return request.headers.get("HX-Request") == "true"


def wants_page(request: HttpRequest) -> bool:
    """Whether to redirect to a page: the browser navigates, or ``text/html`` is accepted.

    ``fetch`` and curl send ``Accept: */*``, which does not count.
    """
    if request.headers.get("Sec-Fetch-Mode") == "navigate":
        return True
    names_html = any(
        (each.main_type, each.sub_type) == ("text", "html") for each in request.accepted_types
    )
    kinds = ["text/html", "application/json"]
    return names_html and request.get_preferred_type(kinds) == "text/html"


def page_of(request: HttpRequest) -> str:
    """The path of the page to return to. Empty if there is none.

    For a navigation it is the request's own path, if it is a GET: the body of another request would
    be lost. For a script it is the page in which it runs, which htmx and the ``Referer`` name.
    """
    if wants_page(request) and not is_htmx(request):
        return request.get_full_path() if request.method == "GET" else ""
    if path := page_behind(request):
        return path
    # For tools without a browser: after connect_url the user should see the answer.
    return request.get_full_path() if request.method == "GET" and not is_htmx(request) else ""


def page_behind(request: HttpRequest) -> str:
    """The path of the page in which the calling script runs. Empty if unknown."""
    for name in ("HX-Current-URL", "Referer"):
        if path := _own_path(request, request.headers.get(name, "")):
            return path
    return ""


def _own_path(request: HttpRequest, url: str) -> str:
    """The path and query of an absolute address of this site. Empty for another site's."""
    if "://" not in url or not url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return ""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def scrub_addresses(headers: Any, query: Secret) -> None:
    """Remove the query in place, also from proxies' headers such as X-Original-URI."""
    for name, value in headers.items():
        if name == "QUERY_STRING":
            headers[name] = ""
        elif name in ("REQUEST_URI", "RAW_URI"):  # set by uWSGI and gunicorn for their access logs
            headers[name] = value.partition("?")[0]
        elif query and isinstance(value, str):
            headers[name] = value.replace(f"?{query.reveal()}", "")
