"""Templates of the site."""

from __future__ import annotations

from django.http import HttpRequest

from django_egnyte.context_processors import egnyte


def banner(request: HttpRequest) -> dict[str, str]:
    """A context processor of the site."""
    return {"banner": "" if egnyte(request)["egnyte"] else "Connect your Egnyte account."}
