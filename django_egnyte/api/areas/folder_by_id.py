"""Folders by id, which stays the same when they are renamed or moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import operation, segment, twin
from django_egnyte.api.areas.by_id import ById
from django_egnyte.api.areas.paging import Listing, Page
from django_egnyte.api.areas.tools import FS, FolderStats, Tools
from django_egnyte.api.entries import Entry, Folder, entry_of, page_of
from django_egnyte.exceptions import ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


class FolderById(ById):
    """`client.files.folder_by_id(folder_id)`."""

    __slots__ = ()

    def __init__(self, files: Tools, folder_id: str) -> None:
        super().__init__(files._client, f"{FS}/ids/folder/{segment(folder_id)}")

    def list(self, *, page_size: int = 100) -> Listing[Entry]:
        """The files and folders in the folder."""
        if not 1 <= page_size <= 1000:
            raise ValueError("page_size must be from 1 to 1000")

        def fetch(offset: int) -> Steps[Page[Entry]]:
            params = {"list_content": "true", "count": page_size, "offset": offset}
            value = yield from self._json("GET", self._where, params=params)
            page = page_of(value, str(value.get("path") or "/"), offset)
            total, following = page.total_count, page.following
            more = following >= offset + page_size if total is None else following < total
            more = more and bool(page.entries)
            return Page(page.entries, offset, total, more, following)

        return Listing(self, fetch)

    @operation
    def stats(self) -> Steps[FolderStats]:
        """The size and the numbers of files and folders below the folder."""
        return FolderStats.of((yield from self._json("GET", f"{self._where}/stats")))

    astats = twin(stats)

    @operation
    def parents(self) -> Steps[tuple[Folder, ...]]:
        """The folders above it, in the order of Egnyte's answer."""
        value = yield from self._json("GET", f"{self._where}/parents")
        found = value.get("parents")
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise ResponseError("Egnyte listed parents in a form that is not known.")
        folders = [entry_of({**each, "is_folder": True}) for each in found]
        return tuple(folder for folder in folders if isinstance(folder, Folder))

    aparents = twin(parents)
