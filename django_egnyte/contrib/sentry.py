"""For Sentry, whose WSGI middleware copies a request's query and headers before Django sees it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.signals import request_started
from django.urls import NoReverseMatch, reverse

from ..callers import HIDDEN_QUERY, WEBHOOK_HEADER, WEBHOOK_KEY
from ..state import address

# The pages that receive a code, a token or a password.
PAGES = ("egnyte:callback", "egnyte:implicit", "egnyte:password")
# Sentry shows all headers but those whose names it knows.
SECRET_HEADER = WEBHOOK_HEADER.lower()


def install() -> None:
    """Protect the callback from the start of the request: a middleware may fail before the view."""
    request_started.connect(_guard_request, dispatch_uid="django_egnyte.guard_request")


def guard() -> None:
    """Remove a webhook's secret from Sentry's events of this request, and for ``PAGES`` the query
    and the form.

    Does nothing if Sentry is not active or does not observe Django's requests.
    """
    sentry = sys.modules.get("sentry_sdk")
    # Version 1 of the SDK has no isolation scopes.
    if sentry is None or not hasattr(sentry, "get_isolation_scope"):
        return
    client = sentry.get_client()
    if client.is_active() and client.get_integration("django") is not None:
        sentry.get_isolation_scope().add_event_processor(scrub_event)


def scrub_event(event: Any, hint: Any) -> Any:
    """An event processor for Sentry."""
    request = event.get("request")
    if not isinstance(request, dict):
        return event
    headers = request.get("headers")
    if isinstance(headers, dict):
        request["headers"] = {
            name: value for name, value in headers.items() if name.lower() != SECRET_HEADER
        }
    path = urlsplit(str(request.get("url", ""))).path
    if path not in _paths():
        return event
    request.pop("query_string", None)
    request.pop("data", None)
    # Proxies repeat the address in headers of their own, such as X-Original-URI.
    request["headers"] = _scrub_texts(request.get("headers"), path)
    for failure in (event.get("exception") or {}).get("values") or ():
        for frame in (failure.get("stacktrace") or {}).get("frames") or ():
            # The repr of a request shows the query until the view removes it.
            frame["vars"] = _scrub_texts(frame.get("vars"), path)
    return event


def _scrub_texts(found: Any, path: str) -> Any:
    """A copy without the query in addresses of this page. Sentry limits how deep values nest."""
    if isinstance(found, str):
        if f"{path}?" not in found:
            return found
        return re.sub(rf"{re.escape(path)}\?[^\s'\"<>]*", path, found)
    if isinstance(found, dict):
        return {name: _scrub_texts(value, path) for name, value in found.items()}
    if isinstance(found, list):
        return [_scrub_texts(value, path) for value in found]
    return found


def _guard_request(
    sender: Any,
    environ: Mapping[str, Any] | None = None,
    scope: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    found: Mapping[str, Any] = environ or scope or {}
    text: str = found.get("QUERY_STRING", "")
    raw: bytes = found.get("query_string", b"")
    is_callback = HIDDEN_QUERY in found or "state=" in text or b"state=" in raw
    names = {name.lower() for name, _ in found.get("headers", ())}
    if is_callback or WEBHOOK_KEY in found or SECRET_HEADER.encode() in names:
        guard()


def _paths() -> set[str]:
    """The paths in the default language and in the request's language."""
    found: set[str] = set()
    for name in PAGES:
        try:
            found |= {address(name), reverse(name)}
        except NoReverseMatch:  # in the URLs of another host
            continue
    return found
