"""The app's configuration."""

from __future__ import annotations

import sys
from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import class_prepared, pre_delete, pre_save
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
        for name in ("EgnyteAccount", "EgnyteToken"):
            pre_save.connect(
                _before_loading,
                sender=self.get_model(name),
                dispatch_uid=f"django_egnyte.before_loading.{name}",
            )
        if "sentry_sdk" in sys.modules:
            from .contrib import sentry

            sentry.install()
        if apps.is_installed("debug_toolbar"):
            from .contrib import debug_toolbar

            debug_toolbar.install()


def _watch_deletions(sender: Any, **kwargs: Any) -> None:
    """Connect the receiver of deletions, including cascades.

    The sender of the signal can be a proxy model, or the class that a migration has of the model.
    For a child model with its own table, the parent class is the sender.
    """
    if _is_account(sender):
        pre_delete.connect(
            _before_deletion, sender=sender, dispatch_uid="django_egnyte.before_deletion"
        )


def _is_account(model: Any) -> bool:
    concrete = model._meta.concrete_model
    return concrete is not None and concrete._meta.label_lower == "django_egnyte.egnyteaccount"


def _before_deletion(sender: Any, instance: Any, origin: Any = None, **kwargs: Any) -> None:
    if not _is_account(sender):
        return  # Django finds receivers by id(), which another class may get after a migration.
    from .services.disconnect import before_deletion

    before_deletion(instance, origin=origin)


def _before_loading(sender: Any, instance: Any, raw: bool, using: str, **kwargs: Any) -> None:
    """Prepare a row of a fixture, because ``loaddata`` does not call ``save()`` of this app."""
    if not raw:
        return
    from .services import fixtures

    if _is_account(sender):
        fixtures.settle_account(instance, using)
    else:
        fixtures.settle_token(instance, using)
