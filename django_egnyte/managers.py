"""Querysets that know the app's database, find accounts, and leave tokens to the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from django.core.exceptions import FieldError
from django.db import models, router, transaction
from django.db.models.utils import resolve_callables

from .choices import LIVE

if TYPE_CHECKING:
    from .models import EgnyteAccount  # noqa: F401 - named in a base class

_Row = TypeVar("_Row", bound=models.Model)

# Columns of a token that no call reads. A refresh reads the row anew.
UNCALLED: Final = ("refresh_token", "refreshed_from", "created_at")


# What is written where an account stops being its user's default. The two go together.
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
    """Refuses to write what only services may write. The model names it in ``guarded_fields``."""

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
        """Write this one row if it still fits the query, and then the instance, too."""
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
        return self.live().filter(next_validation_at__lte=now).order_by("next_validation_at")

    def with_token(self) -> Self:
        """Each with its token and grant, in the same query."""
        return self.select_related("token__grant")

    def for_calls(self) -> Self:
        """Each with what calls need of its token, in the same query: not the refresh token."""
        return self.select_related("token").defer(*(f"token__{name}" for name in UNCALLED))
