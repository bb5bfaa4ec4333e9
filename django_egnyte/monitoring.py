"""For a site's health checks and metrics: what ``egnyte_status`` tells, as functions and a view."""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .services.status import overview

logger = logging.getLogger("django_egnyte.monitoring")


def problems() -> list[str]:
    """Why somebody is needed, for people; empty when all is well. Some twenty queries."""
    return overview().problems


def figures() -> dict[str, float]:
    """Every figure of ``egnyte_status --json`` under a name for metrics. Some twenty queries.

    A flag is 0 or 1, a list its length, and an object has a figure for each key, such as
    ``accounts_active``. A figure that is not known is left out.
    """
    found: dict[str, float] = {}
    for name, value in overview().as_dict().items():
        found |= _numbers(name, value)
    return found


def _numbers(name: str, value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return {f"{name}_{key}": float(each) for key, each in value.items()}
    if isinstance(value, str):
        value = bool(value)
    return {name: float(len(value) if isinstance(value, list) else value)}


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """200 when all is well, and 503 when somebody is needed or the database does not answer.

    It tells how many problems there are. ``problems()`` and ``egnyte_status`` say which, since
    anybody may ask a health check.
    """
    try:
        found = problems()
    except Error:
        logger.exception(
            "The health check could not read the database.", extra={"event": "health_unknown"}
        )
        return JsonResponse({"status": "unknown"}, status=503)
    if found:
        return JsonResponse({"status": "trouble", "problems": len(found)}, status=503)
    return JsonResponse({"status": "ok"})
