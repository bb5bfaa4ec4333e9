"""Comments on files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import iso, operation, present, segment, twin
from django_egnyte.api.areas.paging import Listing, Paged, Paging
from django_egnyte.api.areas.records import Record
from django_egnyte.api.paths import clean_path

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

NOTES = "/pubapi/v1/notes"
LIST = Paging("notes", size=25, largest=100, total="total_results")


@dataclass(frozen=True, slots=True)
class Comment(Record):
    """A comment. `formatted_name` is the full name of its author."""

    id: str
    message: str | None = None
    username: str | None = None
    formatted_name: str | None = None
    can_delete: bool | None = None
    creation_time: datetime | None = None
    file_path: str | None = None
    group_id: str | None = None


class Comments(Paged):
    """`client.comments`."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    @operation
    def add(self, path: str, text: str) -> Steps[Comment]:
        """Write a comment on a file. ValueError for an empty one."""
        if not text.strip():
            raise ValueError("a comment needs a text")
        body = {"path": clean_path(path), "body": text}
        return Comment.of((yield from self._json("POST", NOTES, json=body)))

    aadd = twin(add)

    def list(
        self,
        *,
        file: str | None = None,
        folder: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        page_size: int | None = None,
    ) -> Listing[Comment]:
        """The comments on a file, or on all files below a folder. ValueError for both.

        Without either, the comments of the domain, which only administrators may read.
        """
        if file is not None and folder is not None:
            raise ValueError("comments are those of a file or of a folder, not of both")
        params = present(
            file=None if file is None else clean_path(file),
            folder=None if folder is None else clean_path(folder),
            start_time=iso(after),
            end_time=iso(before),
            page_size=page_size,
        )
        return self._listing(NOTES, LIST, Comment.of, params)

    @operation
    def get(self, comment_id: str) -> Steps[Comment]:
        """The comment with this id."""
        return Comment.of((yield from self._json("GET", f"{NOTES}/{segment(comment_id)}")))

    aget = twin(get)

    @operation
    def delete(self, comment_id: str) -> Steps[None]:
        """Delete a comment. `comment.can_delete` says whether the user may."""
        yield from self._send("DELETE", f"{NOTES}/{segment(comment_id)}")

    adelete = twin(delete)
