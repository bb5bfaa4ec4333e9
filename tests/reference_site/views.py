from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from django_egnyte.decorators import egnyte_required


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "reference_site/home.html")


@egnyte_required
def folder(request: Any) -> HttpResponse:
    """A page. For htmx, only its rows."""
    names = [entry.name for entry in request.egnyte.files.list("/Shared")]
    return HttpResponse("rows" if request.htmx else f"page: {', '.join(names)}")


async def auserinfo(request: Any) -> HttpResponse:
    client = await request.aegnyte()
    return JsonResponse(await client.auserinfo())
