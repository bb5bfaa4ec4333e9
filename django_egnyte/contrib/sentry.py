"""For Sentry, whose WSGI middleware copies a request's query before Django sees the request."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.signals import request_started
from django.urls import NoReverseMatch, reverse

from ..callers import HIDDEN_QUERY
from ..state import address

# The pages that get a code, a token or a password.
PAGES = ("egnyte:callback", "egnyte:implicit", "egnyte:password")


def install() -> None:
    """Guard the callback from the request's start: a middleware may fail before the view."""
    request_started.connect(_guard_callback, dispatch_uid="django_egnyte.guard_callback")


def guard() -> None:
    """Let no event of the current request hold its query or its form, if it is one of ``PAGES``.

    Does nothing where Sentry is not at work, or does not look at Django's requests.
    """
    sentry = sys.modules.get("sentry_sdk")
    # The SDK's first generation has no isolation scopes.
    if sentry is None or not hasattr(sentry, "get_isolation_scope"):
        return
    client = sentry.get_client()
    if client.is_active() and client.get_integration("django") is not None:
        sentry.get_isolation_scope().add_event_processor(scrub_event)


def scrub_event(event: Any, hint: Any) -> Any:
    """An event processor of Sentry's."""
    request = event.get("request")
    if not isinstance(request, dict):
        return event
    path = urlsplit(str(request.get("url", ""))).path
    if path not in _paths():
        return event
    request.pop("query_string", None)
    request.pop("data", None)
    # Proxies repeat the address in headers of their own, such as X-Original-URI.
    request["headers"] = _scrub_texts(request.get("headers"), path)
    for failure in (event.get("exception") or {}).get("values") or ():
        for frame in (failure.get("stacktrace") or {}).get("frames") or ():
            # The repr of a request shows its query until the view has taken it out.
            frame["vars"] = _scrub_texts(frame.get("vars"), path)
    return event


def _scrub_texts(found: Any, path: str) -> Any:
    """The same without the query in the addresses of this page. Sentry bounds the depth."""
    if isinstance(found, str):
        if f"{path}?" not in found:
            return found
        return re.sub(rf"{re.escape(path)}\?[^\s'\"<>]*", path, found)
    if isinstance(found, dict):
        return {name: _scrub_texts(value, path) for name, value in found.items()}
    if isinstance(found, list):
        return [_scrub_texts(value, path) for value in found]
    return found


def _guard_callback(
    sender: Any,
    environ: Mapping[str, Any] | None = None,
    scope: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    found: Mapping[str, Any] = environ or scope or {}
    text: str = found.get("QUERY_STRING", "")
    raw: bytes = found.get("query_string", b"")
    if HIDDEN_QUERY in found or "state=" in text or b"state=" in raw:
        guard()


def _paths() -> set[str]:
    """In the default language and in the request's."""
    found: set[str] = set()
    for name in PAGES:
        try:
            found |= {address(name), reverse(name)}
        except NoReverseMatch:  # in the URLs of another host
            continue
    return found
