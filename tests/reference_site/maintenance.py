from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def closed(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Middleware of a site in maintenance."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return HttpResponse("Back soon.", status=503)

    return middleware
