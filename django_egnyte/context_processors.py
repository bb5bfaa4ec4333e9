"""For ``TEMPLATES``: the user's client in every template."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def egnyte(request: HttpRequest) -> dict[str, Any]:
    """``egnyte``: true in ``{% if egnyte %}`` if the user has a live account.

    It is ``request.egnyte``, so a template that does not use it costs no query. ``None`` without
    the middleware.
    """
    return {"egnyte": getattr(request, "egnyte", None)}
