"""The example site. It imports the Celery app, so that every process can send tasks."""

from .celery import app as celery_app

__all__ = ["celery_app"]
