"""The app's configuration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import class_prepared, pre_delete
from django.utils.translation import gettext_lazy as _


class EgnyteConfig(AppConfig):
    """Named ``django_egnyte`` in ``INSTALLED_APPS``."""

    name = "django_egnyte"
    verbose_name = _("Egnyte")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401

        for model in apps.get_models():
            _watch_deletions(model)
        class_prepared.connect(_watch_deletions, dispatch_uid="django_egnyte.class_prepared")


def _watch_deletions(sender: Any, **kwargs: Any) -> None:
    """Connect to what this app itself needs to hear: nothing else sees a cascade.

    A proxy sends signals of its own. A child with a table of its own has its parent send them.
    """
    from .models import EgnyteAccount

    if sender._meta.concrete_model is EgnyteAccount:
        pre_delete.connect(
            _queue_deleted, sender=sender, dispatch_uid="django_egnyte.queue_deleted"
        )


def _queue_deleted(sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    from .services.disconnect import queue_deleted

    queue_deleted(instance, using=using)
