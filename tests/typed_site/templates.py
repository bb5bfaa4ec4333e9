"""What the site's templates say."""

from __future__ import annotations

from django.http import HttpRequest

from django_egnyte.context_processors import egnyte


def banner(request: HttpRequest) -> dict[str, str]:
    """A context processor of the site's own."""
    return {"banner": "" if egnyte(request)["egnyte"] else "Connect your Egnyte account."}
