"""Querysets that find accounts, and that leave tokens to the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.core.exceptions import FieldError
from django.db import models, transaction
from django.db.models.utils import resolve_callables

from .choices import LIVE
from .fields import EncryptedTextField, Sealed, SealedModel, as_stored

if TYPE_CHECKING:
    from .models import EgnyteAccount  # noqa: F401 - named in a base class

_Row = TypeVar("_Row", bound=models.Model)


class GuardedQuerySet(models.QuerySet[_Row]):
    """Refuses to write what only services may write: a token must pass through the outbox.

    The model names those columns in ``guarded_fields``.
    """

    def _refuse(self, names: Iterable[str], verb: str) -> None:
        guarded = sorted(set(names) & self.model.guarded_fields)  # type: ignore[attr-defined]
        if guarded:
            raise FieldError(
                f"{verb} may not write {', '.join(guarded)}: only django_egnyte.services does, "
                "so that no token is left alive at Egnyte unseen."
            )

    def update(self, **kwargs: Any) -> int:
        self._refuse(kwargs, "update()")
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def write(self, **kwargs: Any) -> int:
        """``update()`` for the services: no guard but sealed values. Not for other code."""
        for field in self._sealed_fields():
            value = kwargs.get(field.attname, "")
            if value != "" and not isinstance(value, Sealed):
                raise FieldError(f"'{field.name}' is encrypted: only sealed values are written.")
        return super().update(**kwargs)

    write.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(
        self, objs: Iterable[_Row], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        fields = list(fields)
        self._refuse(fields, "bulk_update()")
        return super().bulk_update(objs, fields, batch_size)

    def bulk_create(self, objs: Iterable[_Row], *args: Any, **kwargs: Any) -> list[_Row]:
        # The fourth positional argument is update_fields.
        named = kwargs.get("update_fields") or (args[3] if len(args) > 3 else ())
        self._refuse(named or (), "bulk_create()")
        objs = list(objs)
        for each in objs:
            if isinstance(each, SealedModel):
                each.seal_values()
        with as_stored():
            return super().bulk_create(objs, *args, **kwargs)

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[_Row, bool]:
        """As Django's, but an update writes nothing except ``defaults``, none of it guarded.

        Django's own names every ``DateTimeField`` besides, and some of ours are guarded.
        """
        defaults = defaults or {}
        # Whether or not the row is there yet: what works on Monday should work on Tuesday.
        self._refuse(defaults, "update_or_create()")
        self._for_write = True
        with transaction.atomic(using=self.db):
            row, created = self.select_for_update().get_or_create(
                defaults if create_defaults is None else create_defaults, **kwargs
            )
            if not created:
                for name, value in resolve_callables(defaults):
                    setattr(row, name, value)
                concrete = {field.name for field in self.model._meta.concrete_fields}
                row.save(
                    using=self.db,
                    update_fields=set(defaults) if concrete.issuperset(defaults) else None,
                )
        return row, created

    update_or_create.alters_data = True  # type: ignore[attr-defined]

    def order_by(self, *field_names: Any) -> Self:
        sealed = {field.name for field in self._sealed_fields()}
        for name in field_names:
            if isinstance(name, str) and name.lstrip("+-") in sealed:
                raise FieldError(f"'{name.lstrip('+-')}' is encrypted: its order means nothing.")
        return super().order_by(*field_names)

    def _sealed_fields(self) -> list[EncryptedTextField]:
        fields = self.model._meta.concrete_fields
        return [field for field in fields if isinstance(field, EncryptedTextField)]


class EgnyteAccountQuerySet(GuardedQuerySet["EgnyteAccount"]):
    """Public: ``EgnyteAccount.objects`` has these."""

    def live(self) -> Self:
        """Accounts whose token is in use: active or suspect."""
        return self.filter(status__in=LIVE)

    def for_user(self, user: Any) -> Self:
        """The user's accounts; none for an anonymous user."""
        return self.filter(user_id=user.pk) if user.is_authenticated else self.none()

    def due_for_validation(self, now: datetime) -> Self:
        """Live accounts whose next validation is due at ``now``, the longest due first."""
        return self.live().filter(next_attempt_at__lte=now).order_by("next_attempt_at")
