from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def is_shown(request: HttpRequest) -> bool:
    """Only for the tests that ask for it."""
    return bool(getattr(settings, "TOOLBAR", False))
