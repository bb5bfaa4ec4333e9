"""Filters of the lists. They offer existing values, and find them without a table scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db import connections
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import EventKind, Status
from ..models import EgnyteAccount
from ..services import status

MOST_VALUES: Final = 30
SAMPLE: Final = 500
EVERYTHING: Final = "everything"

# A DISTINCT would read the whole index. This statement jumps from each value to the next.
_VALUES = """
WITH RECURSIVE found (value, n) AS (
  SELECT MIN({column}), 1 FROM {table}
  UNION ALL
  SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > found.value), n + 1
  FROM found WHERE found.value IS NOT NULL AND n <= %s
)
SELECT value FROM found WHERE value IS NOT NULL
"""


def values_in_use(rows: QuerySet[Any], field: str) -> list[str]:
    """The first values of an indexed text column, at most ``MOST_VALUES`` plus one.

    If the site's own admin lists only some rows, these are the values of those rows.
    """
    if rows.query.where:
        values = rows.order_by(field).values_list(field, flat=True).distinct()
        return list(values[: MOST_VALUES + 1])
    connection = connections[rows.db]
    quote = connection.ops.quote_name
    options = rows.model._meta
    statement = _VALUES.format(
        table=quote(options.db_table), column=quote(options.get_field(field).column)
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [MOST_VALUES])
        return [row[0] for row in cursor.fetchall()]


class InUseFilter(SimpleListFilter):
    """Offers the values of an indexed column if they are few, and always the chosen value."""

    def name_of(self, value: str) -> Any:
        return value

    def in_use(self, rows: QuerySet[Any]) -> list[str]:
        found = values_in_use(rows, str(self.parameter_name))
        return found if len(found) <= MOST_VALUES else []

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, Any]]:
        found = set(self.in_use(model_admin.get_queryset(request)))
        if chosen := self.value():
            found.add(chosen)
        names = [(value, self.name_of(value)) for value in found if value]
        return sorted(names, key=lambda pair: str(pair[1]))

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or bool(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name, value = str(self.parameter_name), self.value()
        return queryset.filter(**{name: value}) if value else queryset


class StatusFilter(InUseFilter):
    title = _("status")
    parameter_name = "status"

    def name_of(self, value: str) -> Any:
        return Status(value).label if value in Status.values else value


class KindFilter(InUseFilter):
    title = _("event")
    parameter_name = "kind"

    def name_of(self, value: str) -> Any:
        return EventKind(value).label if value in EventKind.values else value


class DomainFilter(InUseFilter):
    title = _("domain")
    parameter_name = "domain"


class ScopeFilter(InUseFilter):
    """Finds accounts with a scope, and those without scopes, which may do everything.

    The column has no index. To avoid a table scan, the filter offers the scopes of the oldest and
    of the newest accounts.
    """

    title = _("scope")
    parameter_name = "scope"

    def name_of(self, value: str) -> Any:
        return _("everything") if value == EVERYTHING else value.removeprefix("Egnyte.")

    def in_use(self, rows: QuerySet[Any]) -> list[str]:
        sample = [
            scopes
            for order in ("pk", "-pk")
            for scopes in rows.order_by(order).values_list("scopes", flat=True)[:SAMPLE]
        ]
        return [scope for scopes in sample for scope in scopes or [EVERYTHING]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        scope = self.value()
        if not scope:
            return queryset
        if scope == EVERYTHING:
            return queryset.filter(scopes="")
        return queryset.filter(
            Q(scopes=scope)
            | Q(scopes__startswith=f"{scope} ")
            | Q(scopes__endswith=f" {scope}")
            | Q(scopes__contains=f" {scope} ")
        )


class OccurringFilter(SimpleListFilter):
    """Offers those of its ``kinds`` that have rows. An index finds each of them."""

    kinds: ClassVar[Mapping[str, Any]]

    def of_kind(self, rows: QuerySet[Any], kind: str) -> QuerySet[Any]:
        raise NotImplementedError

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, Any]]:
        rows = model_admin.get_queryset(request).order_by()
        return [
            (kind, name)
            for kind, name in self.kinds.items()
            if kind == self.value() or self.of_kind(rows, kind).exists()
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        kind = self.value() or ""
        return self.of_kind(queryset, kind) if kind in self.kinds else queryset


class StaleFilter(OccurringFilter):
    """Live accounts with an overdue validation."""

    title = _("validation")
    parameter_name = "stale"
    kinds: ClassVar[Mapping[str, Any]] = {"yes": _("Overdue"), "never": _("Never")}

    def of_kind(self, rows: QuerySet[EgnyteAccount], kind: str) -> QuerySet[EgnyteAccount]:
        never = status.never_validated()
        return rows.filter(never if kind == "never" else status.overdue(timezone.now()))


class ExpiringFilter(SimpleListFilter):
    """Live accounts with a token that expires soon. Without refresh token, users must reconnect."""

    title = _("token expiry")
    parameter_name = "expiring"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, Any]]:
        return [
            ("week", _("Within 7 days")),
            ("unaided", _("Within 7 days, no refresh token")),
            ("expired", _("Expired")),
            ("never", _("Never")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[EgnyteAccount]
    ) -> QuerySet[EgnyteAccount]:
        now = timezone.now()
        conditions = {
            "week": status.expiring(now),
            "unaided": status.expiring_unaided(now),
            "expired": status.expired(now),
            "never": status.never_expiring(),
        }
        condition = conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)
