"""The trash, for administrators, and for power users with permission for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from django_egnyte import answers
from django_egnyte.api.areas.base import iso, operation, partial_failures, present, twin
from django_egnyte.api.areas.paging import Listing, Paged, Paging
from django_egnyte.api.areas.records import Record
from django_egnyte.exceptions import PartialFailureError, ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

LIST = Paging("items", size=50, largest=50, total="total_count", more="has_more")
AT_ONCE = 10

SortBy = Literal[
    "date_deleted", "name", "deleted_by", "purge_date", "orig_location", "owner", "type"
]


@dataclass(frozen=True, slots=True)
class Trashed(Record):
    """An item in the trash. `path` is its old path. `type` is file, folder or version."""

    id: str
    type: str | None = None
    path: str | None = None
    name: str | None = None
    size: int | None = None
    deleted_by: str | None = None
    delete_date: datetime | None = None
    purge_date: datetime | None = None
    last_modified: datetime | None = None


class Trash(Paged):
    """`client.trash`."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    def list(
        self,
        *,
        deleted_by: str | None = None,
        start: date | None = None,
        end: date | None = None,
        sort_by: SortBy | None = None,
        descending: bool | None = None,
        page_size: int | None = None,
    ) -> Listing[Trashed]:
        """The items in the trash. Egnyte takes `deleted_by`, `start` and `end` only together."""
        given = [deleted_by is not None, start is not None, end is not None]
        if any(given) and not all(given):
            raise ValueError("give deleted_by, start and end together, or none of them")
        params = present(
            deletedBy=deleted_by,
            startDate=iso(start),
            endDate=iso(end),
            sort_by=sort_by,
            sort_direction=None if descending is None else ("desc" if descending else "asc"),
            page_size=page_size,
        )
        return self._listing("/pubapi/v2/fs/trash", LIST, Trashed.of, params)

    @operation
    def count(self) -> Steps[int]:
        """The number of items in the trash."""
        value = yield from self._json("GET", "/pubapi/v2/fs/trash/totalcount")
        total = value.get("totalCount")
        if not isinstance(total, int):
            raise ResponseError("Egnyte did not say how much is in the trash.")
        return total

    acount = twin(count)

    @operation
    def restore(self, ids: Sequence[str]) -> Steps[None]:
        """Restore items at their old paths. PartialFailureError if some could not be restored."""
        yield from self._act("RESTORE", ids)

    arestore = twin(restore)

    @operation
    def purge(self, ids: Sequence[str]) -> Steps[None]:
        """Delete items permanently. PartialFailureError if some could not be deleted."""
        yield from self._act("PURGE", ids)

    apurge = twin(purge)

    def _act(self, action: str, ids: Sequence[str]) -> Steps[None]:
        if isinstance(ids, str) or not ids:
            raise ValueError("ids must be a sequence of one or more ids")
        failures: dict[str, str] = {}
        for start in range(0, len(ids), AT_ONCE):
            body: dict[str, Any] = {"action": action, "ids": [*ids[start : start + AT_ONCE]]}
            response = yield from self._send("POST", "/pubapi/v1/fs/trash", json=body)
            if response.status_code == 207:
                failures.update(partial_failures(answers.json_of(response)))
        if failures:
            raise PartialFailureError(
                f"Egnyte could not do this for {len(failures)} of {len(ids)}.", failures=failures
            )
