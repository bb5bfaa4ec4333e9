"""A paginator that does not count a million rows to number its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.functional import cached_property

if TYPE_CHECKING:
    RowPaginator = Paginator[Any]
else:
    RowPaginator = Paginator

LARGE: Final = 100_000


class EstimatingPaginator(RowPaginator):
    """Counts as PostgreSQL's statistics do, where all rows of a large table are listed."""

    @cached_property
    def count(self) -> int:
        estimate = self._estimate()
        return estimate if estimate > LARGE else int(super().count)

    def _estimate(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet) or rows.query.where:
            return 0
        connection = connections[rows.db]
        if connection.vendor != "postgresql":
            return 0
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
                [connection.ops.quote_name(rows.model._meta.db_table)],
            )
            return int(cursor.fetchone()[0])
