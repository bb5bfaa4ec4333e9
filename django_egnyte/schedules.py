"""For a site's Celery settings. A settings module may import it, because it imports nothing.

``CELERY_BEAT_SCHEDULE = {**BEAT_SCHEDULE, ...}`` runs the background work of this app.
``CELERY_TASK_ROUTES = TASK_ROUTES`` separates work for waiting users from the sweeps. A worker must
then consume both queues (``-Q celery,egnyte.interactive,egnyte.sweep``).
"""

from __future__ import annotations

from typing import Any, Final

# Seconds. A sweep that no worker takes before the next one is dropped: the next does its work.
MINUTE: Final = 60.0
HOUR: Final = 3600.0

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "egnyte-validate-accounts": {
        "task": "django_egnyte.tasks.validate_accounts",
        "schedule": MINUTE,
        "options": {"expires": MINUTE},
    },
    "egnyte-refresh-accounts": {
        "task": "django_egnyte.tasks.refresh_accounts",
        "schedule": MINUTE,
        "options": {"expires": MINUTE},
    },
    "egnyte-process-revocations": {
        "task": "django_egnyte.tasks.process_revocations",
        "schedule": MINUTE,
        "options": {"expires": MINUTE},
    },
    "egnyte-release-forgotten": {
        "task": "django_egnyte.tasks.release_forgotten",
        "schedule": HOUR,
        "options": {"expires": HOUR},
    },
    "egnyte-revoke-inactive": {
        "task": "django_egnyte.tasks.revoke_inactive",
        "schedule": HOUR,
        "options": {"expires": HOUR},
    },
    "egnyte-poll-events": {
        "task": "django_egnyte.tasks.poll_events",
        "schedule": MINUTE,
        "options": {"expires": MINUTE},
    },
    "egnyte-handle-events": {
        "task": "django_egnyte.tasks.handle_events",
        "schedule": MINUTE,
        "options": {"expires": MINUTE},
    },
    "egnyte-purge": {
        "task": "django_egnyte.tasks.purge",
        "schedule": HOUR,
        "options": {"expires": HOUR},
    },
}

TASK_ROUTES: Final[dict[str, dict[str, str]]] = {
    "django_egnyte.tasks.validate_account": {"queue": "egnyte.interactive"},
    "django_egnyte.tasks.refresh_account": {"queue": "egnyte.interactive"},
    "django_egnyte.tasks.validate_accounts": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.validate_batch": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.refresh_accounts": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.process_revocations": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.release_forgotten": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.revoke_inactive": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.poll_events": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.handle_events": {"queue": "egnyte.sweep"},
    "django_egnyte.tasks.purge": {"queue": "egnyte.sweep"},
}
