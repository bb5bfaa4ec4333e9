"""Filters of the list of accounts; none of them reads the table to offer its choices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db import connections
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import LIVE, Scope
from ..conf import conf
from ..models import EgnyteAccount

MOST_DOMAINS: Final = 30

# A DISTINCT would read the index from end to end. This jumps from each domain to the next one.
_DOMAINS = """
WITH RECURSIVE domains (domain, n) AS (
  SELECT MIN(domain), 1 FROM {table}
  UNION ALL
  SELECT (SELECT MIN(domain) FROM {table} WHERE domain > domains.domain), n + 1
  FROM domains WHERE domains.domain IS NOT NULL AND n <= %s
)
SELECT domain FROM domains WHERE domain IS NOT NULL
"""


def some_domains(using: str, table: str) -> list[str]:
    """The first domains of an indexed column ``domain``, one more than ``MOST_DOMAINS`` at most."""
    connection = connections[using]
    statement = _DOMAINS.format(table=connection.ops.quote_name(table))
    with connection.cursor() as cursor:
        cursor.execute(statement, [MOST_DOMAINS])
        return [row[0] for row in cursor.fetchall()]


class DomainFilter(SimpleListFilter):
    """Offers the domains while they are few; any can be had by a click on it in the list."""

    title = _("domain")
    parameter_name = "domain"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, str]]:
        chosen = self.value()
        rows = model_admin.model._default_manager.all()
        found = some_domains(rows.db, model_admin.opts.db_table)
        if len(found) > MOST_DOMAINS:
            found = []
        if chosen:
            found.append(chosen)
        return [(domain, domain) for domain in sorted(set(found))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(domain=self.value()) if self.value() else queryset


class ScopeFilter(SimpleListFilter):
    """One of the words of a text column."""

    title = _("scope")
    parameter_name = "scope"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, str]]:
        known = [*Scope.values, *(each for each in conf.scopes if each not in Scope.values)]
        return [(scope, scope.removeprefix("Egnyte.")) for scope in known]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        scope = self.value()
        if not scope:
            return queryset
        return queryset.filter(
            Q(scopes=scope)
            | Q(scopes__startswith=f"{scope} ")
            | Q(scopes__endswith=f" {scope}")
            | Q(scopes__contains=f" {scope} ")
        )


class StaleFilter(SimpleListFilter):
    """Live accounts whose last validation is older than it should be."""

    title = _("validation")
    parameter_name = "stale"

    def lookups(
        self, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> Iterable[tuple[str, Any]]:
        return [("yes", _("Overdue")), ("never", _("Never"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[EgnyteAccount]
    ) -> QuerySet[EgnyteAccount]:
        if self.value() == "yes":
            return queryset.filter(
                status__in=LIVE, last_validated_at__lt=timezone.now() - 2 * conf.validate_every
            )
        if self.value() == "never":
            return queryset.filter(status__in=LIVE, last_validated_at=None)
        return queryset


class ExpiringFilter(SimpleListFilter):
    """Live accounts whose token ends soon. Without a refresh token, only their user can help."""

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
        soon = Q(token__expires_at__gt=now, token__expires_at__lte=now + timedelta(days=7))
        conditions = {
            "week": soon,
            "unaided": soon & Q(token__grant__next_refresh_at=None),
            "expired": Q(token__expires_at__lte=now),
            "never": Q(token__expires_at=None),
        }
        condition = conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition, status__in=LIVE)
