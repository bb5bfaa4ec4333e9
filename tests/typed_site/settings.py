"""Additions to the site's settings. Other tests cover the ``EGNYTE_*`` settings."""

from __future__ import annotations

from typing import Any

from django_egnyte.schedules import BEAT_SCHEDULE, TASK_ROUTES

CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    **BEAT_SCHEDULE,
    "count-files": {"task": "typed_site.count_files", "schedule": 3600.0},
}
CELERY_TASK_ROUTES: dict[str, dict[str, str]] = {
    **TASK_ROUTES,
    "typed_site.count_files": {"queue": "slow"},
}
EGNYTE_CIPHER = ["tests.typed_site.ciphers.PrefixedCipher", "django_egnyte.ciphers.FernetCipher"]
