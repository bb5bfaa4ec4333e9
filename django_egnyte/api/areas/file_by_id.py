"""Files by group id, which stays the same when they are renamed, moved or changed."""

from __future__ import annotations

from datetime import datetime
from typing import IO, TYPE_CHECKING, Protocol

from django_egnyte.api import uploads
from django_egnyte.api.areas.base import Caller, at, operation, segment, twin
from django_egnyte.api.areas.by_id import ById, address
from django_egnyte.api.areas.tools import FS, Tools
from django_egnyte.api.downloads import AsyncDownload, Download
from django_egnyte.api.entries import File
from django_egnyte.exceptions import ResponseError
from django_egnyte.http import MAX_BYTES

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


class Content(Protocol):
    """The methods of `client.files` that `FileById` uses, by path."""

    _client: Caller

    def _open(self, path: str, entry_id: str | None) -> Steps[Download]: ...
    def _download(
        self, path: str, to: IO[bytes] | None, entry_id: str | None, max_bytes: int
    ) -> Steps[File | bytes]: ...
    def _upload(
        self, path: str, content: uploads.Content, modified: datetime | None
    ) -> Steps[File]: ...


class FileById(ById):
    """`client.files.by_id(group_id)`. Methods for content first make a call for the path."""

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
        """The content, at most `max_bytes` (16 MiB), as `files.download` without `to`."""
        path = yield from self._path()
        found = yield from self._content._download(path, None, entry_id, max_bytes)
        assert isinstance(found, bytes)
        return found

    aread = twin(read)

    @operation
    def download(self, to: IO[bytes], *, entry_id: str | None = None) -> Steps[File]:
        """Write the content to a binary file, as `files.download` does."""
        path = yield from self._path()
        found = yield from self._content._download(path, to, entry_id, 0)
        assert isinstance(found, File)
        return found

    adownload = twin(download)

    @operation
    def upload(
        self, content: uploads.Content, *, last_modified: datetime | None = None
    ) -> Steps[File]:
        """Store a new version, as `files.upload` does."""
        path = yield from self._path()
        return (yield from self._content._upload(path, content, last_modified))

    aupload = twin(upload)

    versions = at(address, Tools._versions)
    aversions = twin(versions)
    lock = at(address, Tools._lock)
    alock = twin(lock)
    unlock = at(address, Tools._unlock)
    aunlock = twin(unlock)
    lock_info = at(address, Tools._lock_info)
    alock_info = twin(lock_info)

    def _path(self) -> Steps[str]:
        path = (yield from self._described(self._where)).get("path")
        if not isinstance(path, str):
            raise ResponseError("Egnyte described a file without its path.")
        return path
