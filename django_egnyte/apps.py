"""The app's configuration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_delete
from django.utils.translation import gettext_lazy as _


class EgnyteConfig(AppConfig):
    """Named ``django_egnyte`` in ``INSTALLED_APPS``."""

    name = "django_egnyte"
    verbose_name = _("Egnyte")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401
        from .models import EgnyteAccount

        # The one signal that this app connects to itself: nothing else sees a cascade.
        pre_delete.connect(
            _queue_deleted, sender=EgnyteAccount, dispatch_uid="django_egnyte.queue_deleted"
        )


def _queue_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    from .services.disconnect import queue_deleted

    queue_deleted(instance, using=using)
