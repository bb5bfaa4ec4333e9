"""Files and folders by ids that stay when they are renamed or moved."""

from __future__ import annotations

from datetime import datetime
from typing import IO, TYPE_CHECKING, Protocol

from django_egnyte.api import uploads
from django_egnyte.api.areas.base import Caller, operation, segment, twin
from django_egnyte.api.areas.locks import Lock, LockInfo
from django_egnyte.api.areas.paging import Listing, Page
from django_egnyte.api.areas.tools import FS, FolderStats, Tools, Version
from django_egnyte.api.downloads import AsyncDownload, Download
from django_egnyte.api.entries import Entry, File, Folder, entry_of, page_of
from django_egnyte.api.paths import clean_path
from django_egnyte.exceptions import ResponseError
from django_egnyte.http import MAX_BYTES

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


class ById(Tools):
    """A file or a folder by its id. Making one asks nothing, so it may be of nothing."""

    __slots__ = ("_where",)

    def __init__(self, client: Caller, where: str) -> None:
        super().__init__(client)
        self._where = where

    @operation
    def info(self) -> Steps[Entry]:
        """What it is, and where it is now."""
        return entry_of((yield from self._described(self._where)))

    ainfo = twin(info)

    @operation
    def move(self, destination: str) -> Steps[None]:
        """Move or rename; `destination` is the new path, name included. The id stays."""
        yield from self._act("move", destination)

    amove = twin(move)

    @operation
    def copy(self, destination: str) -> Steps[None]:
        """Copy; `destination` is the path of the copy, name included."""
        yield from self._act("copy", destination)

    acopy = twin(copy)

    @operation
    def delete(self) -> Steps[None]:
        """Delete it, to the trash."""
        yield from self._send("DELETE", self._where)

    adelete = twin(delete)

    def _act(self, action: str, destination: str) -> Steps[None]:
        asked = {"action": action, "destination": clean_path(destination)}
        yield from self._send("POST", self._where, json=asked)


class Content(Protocol):
    """What a file by id needs of `client.files`, whose calls go to that file."""

    _client: Caller

    def _open(self, path: str, entry_id: str | None) -> Steps[Download]: ...
    def _download(
        self, path: str, to: IO[bytes] | None, entry_id: str | None, max_bytes: int
    ) -> Steps[File | bytes]: ...
    def _upload(
        self, path: str, content: uploads.Content, modified: datetime | None
    ) -> Steps[File]: ...


class FileById(ById):
    """`client.files.by_id(group_id)`. What is about content asks first for the file's path."""

    __slots__ = ("_content",)

    def __init__(self, content: Content, group_id: str) -> None:
        super().__init__(content._client, f"{FS}/ids/file/{segment(group_id)}")
        self._content = content

    @operation
    def open(self, *, entry_id: str | None = None) -> Steps[Download]:
        """As `files.open`."""
        path = yield from self._path()
        return (yield from self._content._open(path, entry_id))

    async def aopen(self, *, entry_id: str | None = None) -> AsyncDownload:
        """As `files.aopen`."""
        path = await self._arun(self._path())
        opened = await self._arun(self._content._open(path, entry_id))
        return AsyncDownload(opened, self._client._host)

    @operation
    def read(self, *, entry_id: str | None = None, max_bytes: int = MAX_BYTES) -> Steps[bytes]:
        """The content, `max_bytes` (16 MiB) at most: as `files.download` without `to`."""
        path = yield from self._path()
        found = yield from self._content._download(path, None, entry_id, max_bytes)
        assert isinstance(found, bytes)
        return found

    aread = twin(read)

    @operation
    def download(self, to: IO[bytes], *, entry_id: str | None = None) -> Steps[File]:
        """Write the content to a binary file: as `files.download`."""
        path = yield from self._path()
        found = yield from self._content._download(path, to, entry_id, 0)
        assert isinstance(found, File)
        return found

    adownload = twin(download)

    @operation
    def upload(
        self, content: uploads.Content, *, last_modified: datetime | None = None
    ) -> Steps[File]:
        """Store a new version: as `files.upload`."""
        path = yield from self._path()
        return (yield from self._content._upload(path, content, last_modified))

    aupload = twin(upload)

    @operation
    def versions(self) -> Steps[tuple[Version, ...]]:
        """The versions of the file, the newest first."""
        return (yield from self._versions(self._where))

    aversions = twin(versions)

    @operation
    def lock(self, *, seconds: int | None = None, token: str | None = None) -> Steps[Lock]:
        """As `files.lock`."""
        return (yield from self._lock(self._where, seconds, token))

    alock = twin(lock)

    @operation
    def unlock(self, token: str | None = None) -> Steps[None]:
        """As `files.unlock`."""
        yield from self._unlock(self._where, token)

    aunlock = twin(unlock)

    @operation
    def lock_info(self) -> Steps[LockInfo | None]:
        """As `files.lock_info`."""
        return (yield from self._lock_info(self._where))

    alock_info = twin(lock_info)

    def _path(self) -> Steps[str]:
        path = (yield from self._described(self._where)).get("path")
        if not isinstance(path, str):
            raise ResponseError("Egnyte described a file without its path.")
        return path


class FolderById(ById):
    """`client.files.folder_by_id(folder_id)`."""

    __slots__ = ()

    def __init__(self, files: Tools, folder_id: str) -> None:
        super().__init__(files._client, f"{FS}/ids/folder/{segment(folder_id)}")

    def list(self, *, page_size: int = 100) -> Listing[Entry]:
        """What is in the folder."""
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
        """How much is below the folder."""
        return FolderStats.of((yield from self._json("GET", f"{self._where}/stats")))

    astats = twin(stats)

    @operation
    def parents(self) -> Steps[tuple[Folder, ...]]:
        """The folders above it, as Egnyte orders them."""
        value = yield from self._json("GET", f"{self._where}/parents")
        found = value.get("parents")
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise ResponseError("Egnyte listed parents in a form that is not known.")
        folders = [entry_of({**each, "is_folder": True}) for each in found]
        return tuple(folder for folder in folders if isinstance(folder, Folder))

    aparents = twin(parents)
