from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def is_shown(request: HttpRequest) -> bool:
    """Show the toolbar only in tests that request it."""
    return bool(getattr(settings, "TOOLBAR", False))
