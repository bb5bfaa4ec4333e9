"""A paginator that avoids counting all rows of a large table."""

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
    """Estimates the number of rows if a list has all rows of a large table.

    The estimate is from PostgreSQL's statistics. If a list has some rows of a table, they are
    counted up to ``LARGE``. To find a page, only the index of the primary key is read.
    """

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
    """The number of rows by PostgreSQL's statistics. 0 on other databases."""
    connection = connections[rows.db]
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
            [connection.ops.quote_name(rows.model._meta.db_table)],
        )
        return int(cursor.fetchone()[0])
