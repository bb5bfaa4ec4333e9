"""Who makes a request: a browser that goes to a page, htmx, or a script."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from .secret import Secret

HIDDEN_QUERY: Final = "django_egnyte.query"
"""In a WSGI environ or an ASGI scope: a ``Secret`` with the query that was taken out of it."""

# What the answers of this module depend on.
VARY: Final = ("Accept", "HX-Request", "Sec-Fetch-Mode")


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asks, which follows a redirect itself and swaps the page behind it in."""
    return request.headers.get("HX-Request") == "true"


def wants_page(request: HttpRequest) -> bool:
    """Whether a redirect to a page helps: the browser navigates, or ``text/html`` is asked for.

    ``fetch`` and curl send ``Accept: */*``, which does not say so.
    """
    if request.headers.get("Sec-Fetch-Mode") == "navigate":
        return True
    names_html = any(
        (each.main_type, each.sub_type) == ("text", "html") for each in request.accepted_types
    )
    kinds = ["text/html", "application/json"]
    return names_html and request.get_preferred_type(kinds) == "text/html"


def page_of(request: HttpRequest) -> str:
    """The path of the page to come back to; empty if there is none.

    For a navigation, that is the request's own, if it is a GET: the body of anything else would
    be lost. A script comes back to the page that it runs in, which htmx and the ``Referer`` name.
    """
    if wants_page(request) and not is_htmx(request):
        return request.get_full_path() if request.method == "GET" else ""
    if path := page_behind(request):
        return path
    # Tools without a browser: whoever opens connect_url should see the answer afterwards.
    return request.get_full_path() if request.method == "GET" and not is_htmx(request) else ""


def page_behind(request: HttpRequest) -> str:
    """The path of the page in which the script runs that asks; empty if it does not tell."""
    for name in ("HX-Current-URL", "Referer"):
        if path := _own_path(request, request.headers.get(name, "")):
            return path
    return ""


def _own_path(request: HttpRequest, url: str) -> str:
    """The path and query of an absolute address of this site; empty for another's."""
    if "://" not in url or not url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return ""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def scrub_addresses(headers: Any, query: Secret) -> None:
    """In place. Proxies repeat the address in headers of their own, such as X-Original-URI."""
    for name, value in headers.items():
        if name == "QUERY_STRING":
            headers[name] = ""
        elif name in ("REQUEST_URI", "RAW_URI"):  # uWSGI's and gunicorn's, for their access logs
            headers[name] = value.partition("?")[0]
        elif query and isinstance(value, str):
            headers[name] = value.replace(f"?{query.reveal()}", "")
