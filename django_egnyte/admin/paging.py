"""A paginator that does not count a million rows to number its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.functional import cached_property

if TYPE_CHECKING:
    RowPaginator = Paginator[Any]
else:
    RowPaginator = Paginator

LARGE: Final = 100_000


class EstimatingPaginator(RowPaginator):
    """Counts as PostgreSQL's statistics do where all rows of a large table are listed, and no
    further than ``LARGE`` where some of them are. A page far back is found in the index alone."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return int(super().count)
        if rows.query.where:
            return rows.order_by()[:LARGE].count()
        estimate = _estimate(rows)
        return estimate if estimate > LARGE else rows.count()

    def page(self, number: Any) -> Page[Any]:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return super().page(number)
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        pks = rows.select_related(None).values_list("pk", flat=True)
        on_page = list(pks[start : start + self.per_page])
        return Page(rows.filter(pk__in=on_page), number, self)


def _estimate(rows: QuerySet[Any]) -> int:
    """What PostgreSQL's statistics say of the table; elsewhere 0."""
    connection = connections[rows.db]
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
            [connection.ops.quote_name(rows.model._meta.db_table)],
        )
        return int(cursor.fetchone()[0])
