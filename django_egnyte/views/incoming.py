"""Take the secrets out of a request.

If a code, a token or a password stayed in the request, a debug toolbar, an error report, or
``repr(request)`` in a traceback would show it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, QueryDict

from ..callers import HIDDEN_QUERY, scrub_addresses
from ..contrib import sentry
from ..secret import Secret


def take(request: HttpRequest, *secrets: str) -> dict[str, Any]:
    """Take the parameters of a GET or a POST out of the request.

    The named ones become a ``Secret``, the others text. Of a repeated name the last value counts.
    """
    query = _raw_query(request)
    given = request.POST
    if request.method != "POST":
        raw = query.reveal().encode("latin-1", errors="replace")
        given = QueryDict(raw, encoding=request.encoding)
    taken: dict[str, Any] = {
        name: Secret(str(value)) if name in secrets else value
        for name, value in given.dict().items()
    }
    _scrub(request, query)
    return taken


def _raw_query(request: HttpRequest) -> Secret:
    """The query, which may have been hidden from the code that runs before the view."""
    found: Any = request.scope if isinstance(request, ASGIRequest) else request.META
    hidden: Secret | None = found.pop(HIDDEN_QUERY, None)
    return hidden or Secret(request.META.get("QUERY_STRING", ""))


def _scrub(request: HttpRequest, query: Secret) -> None:
    request.GET = QueryDict()
    if request.method == "POST":
        request.POST = QueryDict()
        # Reading the form has left the body here, where request.body and read() find it.
        vars(request).update(_body=b"", _stream=BytesIO())
    scrub_addresses(request.META, query)
    if isinstance(request, ASGIRequest):
        # Change the server's own environ in place: middleware around Django reads it later.
        scope: Any = request.scope
        scope["query_string"] = b""
        repeated = f"?{query.reveal()}".encode("latin-1", errors="replace")
        scope["headers"] = [
            (name, value.replace(repeated, b"") if query else value)
            for name, value in scope["headers"]
        ]
    sentry.guard()
