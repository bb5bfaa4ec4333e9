"""For django-debug-toolbar, which copies a request's query before a view can remove it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from django.core.signals import request_started
from django.urls import NoReverseMatch

from ..callers import HIDDEN_QUERY, scrub_addresses
from ..secret import Secret
from ..state import address


def install() -> None:
    """Hide the callback's query. Called at start if the toolbar is installed."""
    request_started.connect(hide_query, dispatch_uid="django_egnyte.hide_query")


def hide_query(
    sender: Any,
    environ: MutableMapping[str, Any] | None = None,
    scope: MutableMapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Move the query of a request for ``egnyte:callback`` to a place that only that view reads."""
    if environ is not None:
        query, path = environ.get("QUERY_STRING", ""), environ.get("PATH_INFO", "")
        path = f"{environ.get('SCRIPT_NAME', '')}{path}"
        if "state=" in query and path == _callback():
            hidden = Secret(query)
            scrub_addresses(environ, hidden)
            environ[HIDDEN_QUERY] = hidden
    elif scope is not None:
        raw = scope.get("query_string", b"")
        if b"state=" in raw and scope.get("path") == _callback():
            scope[HIDDEN_QUERY] = Secret(raw.decode("latin-1"))
            scope["query_string"] = b""


def _callback() -> str | None:
    try:
        return address("egnyte:callback")
    except NoReverseMatch:  # in the URLs of another host
        return None
