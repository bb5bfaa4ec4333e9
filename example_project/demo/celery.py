"""The site's Celery app: ``celery -A demo worker`` and ``celery -A demo beat``."""

from __future__ import annotations

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo.settings")
TRANSPORT_ALIASES["filesystem"] = "demo.broker:Transport"

app = Celery("demo")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
