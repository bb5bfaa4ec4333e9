"""Querysets that use the app's database and refuse writes of guarded fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from django.core.exceptions import FieldError
from django.db import models, router, transaction
from django.db.models.utils import resolve_callables

_Row = TypeVar("_Row", bound=models.Model)

# Both columns must be written when an account is no longer its user's default.
NO_DEFAULT: Final = {"is_default": False, "default_of": None}


class AppQuerySet(models.QuerySet[_Row]):
    """Reads and writes the one database that this app's tables are on."""

    def __init__(
        self, model: Any = None, query: Any = None, using: str | None = None, hints: Any = None
    ) -> None:
        if using is None and model is not None:
            using = router.db_for_write(model)
        super().__init__(model, query, using, hints)


class GuardedQuerySet(AppQuerySet[_Row]):
    """Refuses to write the model's ``guarded_fields``, which only services may write."""

    def _refuse(self, names: Iterable[str], verb: str) -> None:
        guarded = sorted(set(names) & self.model.guarded_fields)  # type: ignore[attr-defined]
        if guarded:
            raise FieldError(
                f"{verb} may not write {', '.join(guarded)}: only django_egnyte.services may, "
                "because a token could otherwise stay valid at Egnyte without a record of it."
            )

    def update(self, **kwargs: Any) -> int:
        self._refuse(kwargs, "update()")
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def write(self, **kwargs: Any) -> int:
        """``update()`` for the services, without the guard. Not for other code."""
        return super().update(**kwargs)

    write.alters_data = True  # type: ignore[attr-defined]

    def write_to(self, row: _Row, **values: Any) -> bool:
        """Update this row if the query still matches it, and set the same values on ``row``."""
        if not self.filter(pk=row.pk).write(**values):
            return False
        for name, value in values.items():
            if not hasattr(value, "resolve_expression"):
                setattr(row, name, value)
        return True

    write_to.alters_data = True  # type: ignore[attr-defined]

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
        return super().bulk_create(objs, *args, **kwargs)

    def update_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[_Row, bool]:
        """As Django's, but an update writes only ``defaults``, which may not name guarded fields.

        Django's own also writes every ``DateTimeField``, and some of ours are guarded.
        """
        defaults = defaults or {}
        # Refuse even if the row is created now: the same call would fail once the row exists.
        self._refuse(defaults, "update_or_create()")
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
