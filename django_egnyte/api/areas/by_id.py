"""Files and folders by ids that stay when they are renamed or moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import operation, segment, twin
from django_egnyte.api.areas.locks import Lock, LockInfo
from django_egnyte.api.areas.paging import Listing, Page
from django_egnyte.api.areas.tools import FS, FolderStats, Tools, Version
from django_egnyte.api.entries import Entry, Folder, entry_of, page_of
from django_egnyte.api.paths import clean_path
from django_egnyte.exceptions import ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.flows import Flow


class ById(Tools):
    """A file or a folder by its id. Making one asks nothing, so it may be of nothing."""

    __slots__ = ("_where",)

    def __init__(self, files: Tools, kind: str, its_id: str) -> None:
        super().__init__(files._client)
        self._where = f"/ids/{kind}/{segment(its_id)}"

    @operation
    def info(self) -> Flow[Entry]:
        """What it is, and where it is now."""
        return entry_of((yield from self._described(self._where)))

    ainfo = twin(info)

    @operation
    def move(self, destination: str) -> Flow[None]:
        """Move or rename; `destination` is the new path, name included. The id stays."""
        yield from self._act("move", destination)

    amove = twin(move)

    @operation
    def copy(self, destination: str) -> Flow[None]:
        """Copy; `destination` is the path of the copy, name included."""
        yield from self._act("copy", destination)

    acopy = twin(copy)

    @operation
    def delete(self) -> Flow[None]:
        """Delete it, to the trash."""
        yield from self._send("DELETE", FS + self._where)

    adelete = twin(delete)

    def _act(self, action: str, destination: str) -> Flow[None]:
        asked = {"action": action, "destination": clean_path(destination)}
        yield from self._send("POST", FS + self._where, json=asked)


class FileById(ById):
    """`client.files.by_id(group_id)`."""

    __slots__ = ()

    @operation
    def versions(self) -> Flow[tuple[Version, ...]]:
        """The versions of the file, the newest first."""
        return (yield from self._versions(self._where))

    aversions = twin(versions)

    @operation
    def lock(self, *, seconds: int | None = None, token: str | None = None) -> Flow[Lock]:
        """As `files.lock`."""
        return (yield from self._lock(self._where, seconds, token))

    alock = twin(lock)

    @operation
    def unlock(self, token: str | None = None) -> Flow[None]:
        """As `files.unlock`."""
        yield from self._unlock(self._where, token)

    aunlock = twin(unlock)

    @operation
    def lock_info(self) -> Flow[LockInfo | None]:
        """As `files.lock_info`."""
        return (yield from self._lock_info(self._where))

    alock_info = twin(lock_info)


class FolderById(ById):
    """`client.files.folder_by_id(folder_id)`."""

    __slots__ = ()

    def list(self, *, page_size: int = 100) -> Listing[Entry]:
        """What is in the folder."""
        if not 1 <= page_size <= 1000:
            raise ValueError("page_size must be from 1 to 1000")

        def fetch(offset: int) -> Flow[Page[Entry]]:
            params = {"list_content": "true", "count": page_size, "offset": offset}
            value = yield from self._json("GET", FS + self._where, params=params)
            page = page_of(value, str(value.get("path") or "/"))
            total, size = page.total_count, len(page.entries)
            more = size > 0 and (size >= page_size if total is None else offset + size < total)
            return Page(page.entries, offset, total, more)

        return Listing(self, fetch)

    @operation
    def stats(self) -> Flow[FolderStats]:
        """How much is below the folder."""
        return FolderStats.of((yield from self._json("GET", f"{FS}{self._where}/stats")))

    astats = twin(stats)

    @operation
    def parents(self) -> Flow[tuple[Folder, ...]]:
        """The folders above it, as Egnyte orders them."""
        value = yield from self._json("GET", f"{FS}{self._where}/parents")
        found = value.get("parents")
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise ResponseError("Egnyte listed parents in a form that is not known.")
        folders = [entry_of({**each, "is_folder": True}) for each in found]
        return tuple(folder for folder in folders if isinstance(folder, Folder))

    aparents = twin(parents)
