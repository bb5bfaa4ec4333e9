"""The views of a site that uses this app."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("home")


def plain(request: Any) -> HttpResponse:
    """Answers whether the user has a live account. Makes no call to Egnyte."""
    return HttpResponse("linked" if request.egnyte else "not linked")


def userinfo(request: Any) -> HttpResponse:
    return JsonResponse(request.egnyte.userinfo())


async def auserinfo(request: Any) -> HttpResponse:
    client = await request.aegnyte()
    return JsonResponse(await client.auserinfo())
