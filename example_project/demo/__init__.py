"""The example site. Importing its Celery app here lets every process of it send messages."""

from .celery import app as celery_app

__all__ = ["celery_app"]
