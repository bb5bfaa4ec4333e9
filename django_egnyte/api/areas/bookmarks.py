"""Bookmarks of folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import operation, present, segment, twin
from django_egnyte.api.areas.paging import Listing, Paged, Paging
from django_egnyte.api.areas.records import Record
from django_egnyte.api.paths import clean_path

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

BOOKMARKS = "/pubapi/v1/bookmarks"
LIST = Paging("bookmarks", size=50, largest=100)


@dataclass(frozen=True, slots=True)
class Bookmark(Record):
    """A bookmark of a folder."""

    id: str
    path: str | None = None
    folder_id: str | None = None
    creation_date: datetime | None = None


class Bookmarks(Paged):
    """`client.bookmarks`."""

    __slots__ = ()
    scope = "Egnyte.bookmark"

    @operation
    def create(self, path: str | None = None, *, folder_id: str | None = None) -> Steps[Bookmark]:
        """Bookmark a folder, by its path or by its id: give exactly one."""
        if (path is None) == (folder_id is None):
            raise ValueError("a bookmark takes either a path or a folder_id")
        body = {"folder_id": folder_id} if path is None else {"path": clean_path(path)}
        return Bookmark.of((yield from self._json("POST", BOOKMARKS, json=body)))

    acreate = twin(create)

    def list(self, *, page_size: int | None = None) -> Listing[Bookmark]:
        """The user's bookmarks."""
        return self._listing(BOOKMARKS, LIST, Bookmark.of, present(page_size=page_size))

    @operation
    def get(self, bookmark_id: str) -> Steps[Bookmark]:
        """The bookmark with this id."""
        return Bookmark.of((yield from self._json("GET", f"{BOOKMARKS}/{segment(bookmark_id)}")))

    aget = twin(get)

    @operation
    def delete(self, bookmark_id: str) -> Steps[None]:
        """Delete a bookmark. The folder stays."""
        yield from self._send("DELETE", f"{BOOKMARKS}/{segment(bookmark_id)}")

    adelete = twin(delete)
