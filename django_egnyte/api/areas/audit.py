"""Audit: reports that Egnyte prepares in the background, and a stream of audit events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from django_egnyte.api.areas.base import iso, operation, present, segment, twin
from django_egnyte.api.areas.paging import Batch, Listing, Paged, Paging, Stream
from django_egnyte.exceptions import ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

AUDIT = "/pubapi/v1/audit"
STREAM = "/pubapi/v2/audit/stream"
REPORT = Paging("events", size=100, largest=1000, total="totalCount")

Kind = Literal[
    "logins", "files", "permissions", "users", "groups", "workgroup-settings", "workflows"
]
Entry = Mapping[str, Any]
"""A line of a report or of the stream, as Egnyte sends it. Its members depend on its kind."""


class Audit(Paged):
    """`client.audit`, for administrators and for users who may run reports."""

    __slots__ = ()
    scope = "Egnyte.audit"

    @operation
    def create(
        self,
        kind: Kind,
        start: date,
        end: date,
        *,
        events: Sequence[str] = (),
        folders: Sequence[str] = (),
        file: str | None = None,
        users: Sequence[str] = (),
        suppress_emails: bool = True,
    ) -> Steps[str]:
        """Request a report of the days from `start` to `end`. Returns the id of the job.

        A report of logins needs `events`, one of files `folders` or a `file`: else ValueError.
        """
        if kind == "logins" and not events:
            raise ValueError("a report of logins needs events")
        if kind == "files" and not folders and file is None:
            raise ValueError("a report of files needs folders or a file")
        body = present(
            format="json",
            date_start=iso(start),
            date_end=iso(end),
            events=[*events] or None,
            folders=[*folders] or None,
            file=file,
            users=[*users] or None,
            suppress_emails=suppress_emails,
        )
        value = yield from self._json("POST", f"{AUDIT}/{segment(kind)}", json=body)
        if not isinstance(value.get("id"), str):
            raise ResponseError("Egnyte accepted a report but sent no id for it.")
        return str(value["id"])

    acreate = twin(create)

    @operation
    def is_ready(self, job_id: str) -> Steps[bool]:
        """Whether the report is ready. Do not ask Egnyte more often than every 2 minutes."""
        response = yield from self._see_other("GET", f"{AUDIT}/jobs/{segment(job_id)}")
        return response.status_code == 303

    ais_ready = twin(is_ready)

    def report(self, kind: Kind, job_id: str, *, page_size: int | None = None) -> Listing[Entry]:
        """The lines of a report that is ready."""
        where = f"{AUDIT}/{segment(kind)}/{segment(job_id)}"
        return self._listing(where, REPORT, _entry, present(page_size=page_size))

    @operation
    def delete(self, kind: Kind, job_id: str) -> Steps[None]:
        """Delete a report."""
        yield from self._send("DELETE", f"{AUDIT}/{segment(kind)}/{segment(job_id)}")

    adelete = twin(delete)

    def stream(
        self,
        *,
        start: datetime | None = None,
        cursor: str | None = None,
        kinds: Sequence[str] = (),
    ) -> Stream[Entry]:
        """The events since `start`, at most 7 days ago, or after a stream's `position`.

        A position is that of a part of up to 5,000 lines. If you stop in the middle of a part, you
        get the whole part again. For a position that is too old Egnyte answers 400, a
        BadRequestError.
        """
        if (start is None) == (cursor is None):
            raise ValueError("a stream takes either start or cursor")
        begins = present(startDate=iso(start), auditType="|".join(kinds) or None)
        return Stream(self, cursor or "", lambda position: self._batch(position, begins))

    def _batch(self, position: str, begins: dict[str, Any]) -> Steps[Batch[Entry]]:
        params = {"nextCursor": position} if position else begins
        value = yield from self._json("GET", STREAM, params=params)
        found, following = value.get("events") or [], value.get("nextCursor")
        if not isinstance(found, list):
            raise ResponseError("Egnyte sent its audit stream in a form that is not known.")
        items = tuple((_entry(each), position) for each in found)
        if not isinstance(following, str) or not following:
            return Batch(items, position, has_more=False)
        return Batch(items, following, has_more=value.get("moreEvents") is True)


def _entry(value: Any) -> Entry:
    if not isinstance(value, dict):
        raise ResponseError("Egnyte described an audit event in a form that is not known.")
    return value
