"""Files and folders of an Egnyte domain.

Write paths as people do, "/Shared/50% off.txt", without any encoding. Every method raises an
exception for every error: APIError for a refusal, UnavailableError, RateLimitedError,
ResponseError, and InvalidPathError before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING, Any, overload

from django_egnyte import answers, http
from django_egnyte.api import steps, transfers
from django_egnyte.api.areas.base import Caller, segment
from django_egnyte.api.areas.file_by_id import FileById
from django_egnyte.api.areas.places import Places
from django_egnyte.api.downloads import AsyncDownload, Download, require_binary
from django_egnyte.api.entries import Entry, File, Folder, FolderListing, Page, entry_of, page_of
from django_egnyte.api.paths import clean_path, fs_path, refuse_bad_names
from django_egnyte.api.transfers import Progress, http_date
from django_egnyte.api.uploads import Content, UploadState
from django_egnyte.exceptions import (
    ConflictError,
    EgnyteError,
    ForbiddenError,
    InvalidPathError,
    NotFoundError,
)

if TYPE_CHECKING:
    import requests

    from django_egnyte.api.steps import Steps

PAGE_SIZE = 100
_LARGEST_PAGE = 1000
# A walk continues after these: the folder is gone, became a file, or the user may not read it.
_UNREADABLE = (ForbiddenError, NotFoundError, InvalidPathError)


class Files(Places):
    """`client.files`. Each method has an asynchronous twin: `alist` for `list`."""

    __slots__ = ()

    def list(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> FolderListing:
        """The entries of a folder. The first page is fetched now, the others when you reach them.

        A page has at most 1,000 entries. ValueError for a larger `page_size`.
        """
        first = steps.run(self._page(path, 0, page_size))

        def fetch(offset: int) -> Page:
            return steps.run(self._page(path, offset, page_size))

        return FolderListing(first, fetch)

    def walk(
        self,
        path: str = "/",
        *,
        page_size: int = PAGE_SIZE,
        onerror: Callable[[EgnyteError], object] | None = None,
    ) -> Iterator[Entry]:
        """Every file and folder below `path`, each folder before its content, page by page.

        If a folder below `path` is gone, or the user may not read it, the walk calls `onerror` with
        the exception and continues. `onerror` may raise it.
        """
        waiting = [path]
        while waiting:
            current = waiting.pop()
            below: list[str] = []
            try:
                for entry in self.list(current, page_size=page_size):
                    yield entry
                    if isinstance(entry, Folder):
                        below.append(entry.path)
            except _UNREADABLE as error:
                _pass_over(error, current is path, onerror)
            waiting.extend(reversed(below))

    def info(self, path: str) -> Entry:
        """The file or folder at `path`."""
        return steps.run(self._info(path))

    def open(self, path: str, *, entry_id: str | None = None) -> Download:
        """Start a download: a binary file to read from. Close it, or read to the end.

        `entry_id` selects a version of the file.
        """
        return steps.run(self._open(path, entry_id))

    @overload
    def download(
        self,
        path: str,
        to: IO[bytes],
        *,
        entry_id: str | None = None,
        progress: Progress | None = None,
    ) -> File: ...
    @overload
    def download(
        self, path: str, to: None = None, *, entry_id: str | None = None, max_bytes: int = ...
    ) -> bytes: ...
    def download(
        self,
        path: str,
        to: IO[bytes] | None = None,
        *,
        entry_id: str | None = None,
        max_bytes: int = http.MAX_BYTES,
        progress: Progress | None = None,
    ) -> File | bytes:
        """Download a file and check it against the checksum that Egnyte has.

        With `to`, a binary file, it writes a file of any size piece by piece and returns the file's
        entry. After an error a `to` that can seek is cut off where this call began to write.
        TypeError for a `to` that is not a binary file. Without `to` it returns the bytes, at most
        `max_bytes` (16 MiB): ResponseError for more.

        With `to`, it replaces a broken connection and continues with the same version of the file.
        It calls `progress(done, total)` after each piece, with numbers of bytes. `total` is None if
        Egnyte did not say. In asynchronous code another thread makes that call.
        """
        return steps.run(self._download(path, to, entry_id, max_bytes, progress))

    def upload(
        self,
        path: str,
        content: Content,
        *,
        last_modified: datetime | None = None,
        progress: Progress | None = None,
        resume: UploadState | None = None,
    ) -> File:
        """Store `content` at `path`, as a new version if the file exists.

        `content` is bytes, a binary file of any size (from its current position) or an iterable of
        bytes. Content of more than 100 MB is sent in chunks, each with its checksum. Memory does
        not grow with the size. `last_modified` is an aware time that Egnyte keeps for the file. The
        returned file has path, size, checksum, entry_id and group_id.

        `progress(done, total)` is called with numbers of bytes. `done` may go back if a request is
        repeated. `resume`, an `UploadState`, remembers the chunks that Egnyte took. After an error,
        or in another process, pass it again with the same content: chunks that Egnyte has are not
        sent again. ValueError for other content.
        """
        return steps.run(self._upload(path, content, last_modified, progress, resume))

    def by_id(self, group_id: str) -> FileById:
        """A file by its group id, which stays when the file is renamed, moved or edited."""
        return FileById(_FilesById(self._client, group_id), group_id)

    def create_folder(self, path: str, *, exist_ok: bool = False) -> Folder:
        """Make a folder, and missing parents.

        ConflictError if the name is taken; with `exist_ok`, only if it is a file's.
        """
        return steps.run(self._create_folder(path, exist_ok))

    def move(self, path: str, destination: str) -> None:
        """Move or rename. `destination` is the new path, including the name."""
        steps.run(self._act("move", path, destination))

    def copy(self, path: str, destination: str) -> None:
        """Copy. `destination` is the path of the copy, including the name."""
        steps.run(self._act("copy", path, destination))

    def delete(self, path: str, *, entry_id: str | None = None) -> None:
        """Delete a file, a folder with all that is in it, or one version of a file."""
        steps.run(self._delete(path, entry_id))

    async def alist(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> FolderListing:
        """Like `list`, but fetches every page before it returns."""
        first = await self._client._arun(self._page(path, 0, page_size))
        listing = FolderListing(first, None)
        while not listing.complete:
            page = self._page(path, listing.next_offset, page_size)
            listing.take(await self._client._arun(page))
        return listing

    async def awalk(
        self,
        path: str = "/",
        *,
        page_size: int = PAGE_SIZE,
        onerror: Callable[[EgnyteError], object] | None = None,
    ) -> AsyncIterator[Entry]:
        """Like `walk`. `onerror` is a plain function."""
        waiting = [path]
        while waiting:
            current = waiting.pop()
            try:
                listing = await self.alist(current, page_size=page_size)
            except _UNREADABLE as error:
                _pass_over(error, current is path, onerror)
                continue
            for entry in listing:
                yield entry
            waiting.extend(reversed([folder.path for folder in listing.folders]))

    async def ainfo(self, path: str) -> Entry:
        return await self._client._arun(self._info(path))

    async def aopen(self, path: str, *, entry_id: str | None = None) -> AsyncDownload:
        """Like `open`, for `async for` and for Django's StreamingHttpResponse under ASGI."""
        opened = await self._client._arun(self._open(path, entry_id))
        return AsyncDownload(opened, self._client._host)

    @overload
    async def adownload(
        self,
        path: str,
        to: IO[bytes],
        *,
        entry_id: str | None = None,
        progress: Progress | None = None,
    ) -> File: ...
    @overload
    async def adownload(
        self, path: str, to: None = None, *, entry_id: str | None = None, max_bytes: int = ...
    ) -> bytes: ...
    async def adownload(
        self,
        path: str,
        to: IO[bytes] | None = None,
        *,
        entry_id: str | None = None,
        max_bytes: int = http.MAX_BYTES,
        progress: Progress | None = None,
    ) -> File | bytes:
        """Like `download`. Another thread writes to `to`."""
        work = self._download(path, to, entry_id, max_bytes, progress)
        return await self._client._arun(work)

    async def aupload(
        self,
        path: str,
        content: Content,
        *,
        last_modified: datetime | None = None,
        progress: Progress | None = None,
        resume: UploadState | None = None,
    ) -> File:
        """Like `upload`. Another thread reads `content`."""
        work = self._upload(path, content, last_modified, progress, resume)
        return await self._client._arun(work)

    async def acreate_folder(self, path: str, *, exist_ok: bool = False) -> Folder:
        return await self._client._arun(self._create_folder(path, exist_ok))

    async def amove(self, path: str, destination: str) -> None:
        await self._client._arun(self._act("move", path, destination))

    async def acopy(self, path: str, destination: str) -> None:
        await self._client._arun(self._act("copy", path, destination))

    async def adelete(self, path: str, *, entry_id: str | None = None) -> None:
        await self._client._arun(self._delete(path, entry_id))

    def _call(self, method: str, area: str, path: str, **kw: Any) -> Steps[requests.Response]:
        """Call the API about a path. Raises an exception for every answer that is not a success."""
        where = fs_path(path, under=f"/pubapi/v1/{area}")
        return self._send(method, where, about=clean_path(path), **kw)

    def _describe(self, path: str, params: dict[str, Any]) -> Steps[dict[str, Any]]:
        response = yield from self._call("GET", "fs", path, params=params)
        return answers.json_of(response)

    def _page(self, path: str, offset: int, count: int) -> Steps[Page]:
        if not 1 <= count <= _LARGEST_PAGE:
            raise ValueError(f"page_size must be from 1 to {_LARGEST_PAGE:,}")
        params = {"list_content": "true", "count": count, "offset": offset}
        return page_of((yield from self._describe(path, params)), clean_path(path), offset)

    def _info(self, path: str) -> Steps[Entry]:
        value = yield from self._describe(path, {"list_content": "false"})
        plain = clean_path(path)
        return entry_of({"path": plain, "name": plain.rpartition("/")[2], **value})

    def _open(self, path: str, entry_id: str | None) -> Steps[Download]:
        params = {"entry_id": entry_id} if entry_id else None
        _refuse_root(path)
        response = yield from self._call("GET", "fs-content", path, params=params, stream=True)
        return Download(clean_path(path), response)

    def _download(
        self,
        path: str,
        to: IO[bytes] | None,
        entry_id: str | None,
        max_bytes: int,
        progress: Progress | None = None,
    ) -> Steps[File | bytes]:
        if to is None:
            download = yield from self._open(path, entry_id)
            content: bytes = yield steps.Step("io", download.read_all, max_bytes)
            return content
        require_binary(to)
        download = yield from self._open(path, entry_id)
        call = partial(self._call, "GET", "fs-content", path)
        return (yield from transfers.write(download, to, call, progress))

    def _upload(
        self,
        path: str,
        content: Content,
        modified: datetime | None,
        progress: Progress | None = None,
        resume: UploadState | None = None,
    ) -> Steps[File]:
        _refuse_root(path)
        refuse_bad_names(path)
        ends = {} if modified is None else {"Last-Modified": http_date(modified)}
        call = partial(self._call, "POST", path=path)
        upload = transfers.Upload(call, clean_path(path), ends, progress, resume)
        return (yield from upload.send(content))

    def _create_folder(self, path: str, exist_ok: bool) -> Steps[Folder]:
        _refuse_root(path)
        refuse_bad_names(path)
        try:
            response = yield from self._call("POST", "fs", path, json={"action": "add_folder"})
        except ConflictError:
            if not exist_ok:
                raise
            found = yield from self._info(path)
            if not isinstance(found, Folder):
                raise
            return found
        plain = clean_path(path)
        described = {"path": plain, **transfers.details(response), "name": plain.rpartition("/")[2]}
        folder = entry_of({**described, "is_folder": True})
        assert isinstance(folder, Folder)
        return folder

    def _act(self, action: str, path: str, destination: str) -> Steps[None]:
        _refuse_root(path)
        _refuse_root(destination)
        refuse_bad_names(destination)
        act = {"action": action, "destination": clean_path(destination)}
        yield from self._call("POST", "fs", path, json=act)

    def _delete(self, path: str, entry_id: str | None) -> Steps[None]:
        _refuse_root(path)
        params = {"entry_id": entry_id} if entry_id else None
        yield from self._call("DELETE", "fs", path, params=params)


class _FilesById(Files):
    """The calls about content for one file, which is known by its id."""

    __slots__ = ("_group_id",)

    def __init__(self, client: Caller, group_id: str) -> None:
        super().__init__(client)
        self._group_id = segment(group_id)

    def _call(self, method: str, area: str, path: str, **kw: Any) -> Steps[requests.Response]:
        where = f"/pubapi/v1/{area}/ids/file/{self._group_id}"
        return self._send(method, where, about=clean_path(path), **kw)


def _refuse_root(path: str) -> None:
    if clean_path(path) == "/":
        raise InvalidPathError("The path names no file or folder.")


def _pass_over(
    error: EgnyteError, is_root: bool, onerror: Callable[[EgnyteError], object] | None
) -> None:
    if is_root:
        raise error
    if onerror is not None:
        onerror(error)
