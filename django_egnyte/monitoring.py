"""The figures of ``egnyte_status`` as functions and a view, for health checks and metrics."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .services.status import overview

logger = logging.getLogger("django_egnyte.monitoring")


def problems() -> list[str]:
    """The problems that an operator must solve, as sentences. Makes about twenty queries."""
    return overview().problems


def figures() -> dict[str, float]:
    """Every figure of ``egnyte_status --json``, as numbers. Makes about twenty queries.

    A flag becomes 0 or 1, a list its length, and an object one figure per key, such as
    ``accounts_active``. Unknown figures are left out.
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


@login_not_required
@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Answers 200 if there are no problems, and 503 if there are or the database fails.

    The answer contains only the number of problems, because a health check is usually public.
    ``problems()`` and ``egnyte_status`` list them.
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
