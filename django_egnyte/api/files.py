"""Files and folders of an Egnyte domain.

Paths are as people write them, "/Shared/50% off.txt": nothing encoded. Every method raises for
every error: an APIError for a refusal, UnavailableError, RateLimitedError, ResponseError, and
InvalidPathError before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import IO, TYPE_CHECKING, Any, overload

from django_egnyte import answers, http
from django_egnyte.api import checksums, flows
from django_egnyte.api.areas.base import Caller, segment
from django_egnyte.api.areas.by_id import FileById
from django_egnyte.api.areas.places import Places
from django_egnyte.api.downloads import AsyncDownload, Download, require_binary
from django_egnyte.api.entries import Entry, File, Folder, FolderListing, Page, entry_of, page_of
from django_egnyte.api.paths import clean_path, fs_path, refuse_bad_names
from django_egnyte.api.uploads import Content, Part, Source
from django_egnyte.exceptions import (
    ConflictError,
    EgnyteError,
    ForbiddenError,
    InvalidPathError,
    NotFoundError,
    ResponseError,
)

if TYPE_CHECKING:
    import requests

    from django_egnyte.api.flows import Flow

PAGE_SIZE = 100
_LARGEST_PAGE = 1000
# What a walk goes on past: a folder that vanished, became a file, or is not the user's to read.
_UNREADABLE = (ForbiddenError, NotFoundError, InvalidPathError)


class Files(Places):
    """`client.files`. Each method has an asynchronous twin: `alist` for `list`."""

    __slots__ = ()

    def list(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> FolderListing:
        """What is in a folder. The first page is fetched now, the others as you come to them.

        Egnyte gives at most 1,000 entries in a page; ValueError for a `page_size` over that.
        """
        first = flows.run(self._page(path, 0, page_size))

        def fetch(offset: int) -> Page:
            return flows.run(self._page(path, offset, page_size))

        return FolderListing(first, fetch)

    def walk(
        self,
        path: str = "/",
        *,
        page_size: int = PAGE_SIZE,
        onerror: Callable[[EgnyteError], object] | None = None,
    ) -> Iterator[Entry]:
        """Every file and folder below `path`, a folder before what is in it; pages as needed.

        A folder below `path` that vanished, or that the user may not read, is passed over, after a
        call of `onerror` with the exception, which may raise it.
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
        return flows.run(self._info(path))

    def open(self, path: str, *, entry_id: str | None = None) -> Download:
        """Begin to download: a binary file to read from. Close it, or read to the end.

        `entry_id` asks for a certain version of the file.
        """
        return flows.run(self._open(path, entry_id))

    @overload
    def download(self, path: str, to: IO[bytes], *, entry_id: str | None = None) -> File: ...
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
    ) -> File | bytes:
        """Download a file and check it against the checksum that Egnyte has.

        With `to`, a binary file, any size is written to it piece by piece, and the file's entry is
        returned; after an error a `to` that can seek ends where this began. TypeError for a `to`
        that is no such file. Without it the bytes are returned, `max_bytes` (16 MiB) at most:
        ResponseError for more.
        """
        return flows.run(self._download(path, to, entry_id, max_bytes))

    def upload(self, path: str, content: Content, *, last_modified: datetime | None = None) -> File:
        """Store `content` at `path`, as a new version if there is a file.

        `content` is bytes, a binary file of any size (from where it stands) or an iterable of
        bytes. More than 100 MB goes in chunks, each with its checksum; memory does not grow with
        the size. `last_modified` is an aware time, to be kept as the file's. The returned file has
        path, size, checksum, entry_id and group_id.
        """
        return flows.run(self._upload(path, content, last_modified))

    def by_id(self, group_id: str) -> FileById:
        """A file by its group id, which stays when it is renamed, moved or changed."""
        return FileById(_FilesById(self._client, group_id), group_id)

    def create_folder(self, path: str, *, exist_ok: bool = False) -> Folder:
        """Make a folder, and missing parents. ConflictError if there is something of that name;
        with `exist_ok`, only if it is a file."""
        return flows.run(self._create_folder(path, exist_ok))

    def move(self, path: str, destination: str) -> None:
        """Move or rename; `destination` is the new path, name included."""
        flows.run(self._act("move", path, destination))

    def copy(self, path: str, destination: str) -> None:
        """Copy; `destination` is the path of the copy, name included."""
        flows.run(self._act("copy", path, destination))

    def delete(self, path: str, *, entry_id: str | None = None) -> None:
        """Delete a file, a folder with all that is in it, or one version of a file."""
        flows.run(self._delete(path, entry_id))

    async def alist(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> FolderListing:
        """As `list`, but complete: every page is fetched before it returns."""
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
        """As `walk`; `onerror` is a plain function."""
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
        """As `open`, for `async for` and Django's StreamingHttpResponse under ASGI."""
        return AsyncDownload(await self._client._arun(self._open(path, entry_id)))

    @overload
    async def adownload(self, path: str, to: IO[bytes], *, entry_id: str | None = None) -> File: ...
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
    ) -> File | bytes:
        """As `download`; `to` is written to from another thread."""
        return await self._client._arun(self._download(path, to, entry_id, max_bytes))

    async def aupload(
        self, path: str, content: Content, *, last_modified: datetime | None = None
    ) -> File:
        """As `upload`; `content` is read from another thread."""
        return await self._client._arun(self._upload(path, content, last_modified))

    async def acreate_folder(self, path: str, *, exist_ok: bool = False) -> Folder:
        return await self._client._arun(self._create_folder(path, exist_ok))

    async def amove(self, path: str, destination: str) -> None:
        await self._client._arun(self._act("move", path, destination))

    async def acopy(self, path: str, destination: str) -> None:
        await self._client._arun(self._act("copy", path, destination))

    async def adelete(self, path: str, *, entry_id: str | None = None) -> None:
        await self._client._arun(self._delete(path, entry_id))

    def _call(self, method: str, area: str, path: str, **kw: Any) -> Flow[requests.Response]:
        """Call an area of the API about a path. Raises for every answer that is no success."""
        where = fs_path(path, under=f"/pubapi/v1/{area}")
        return self._send(method, where, about=clean_path(path), **kw)

    def _describe(self, path: str, params: dict[str, Any]) -> Flow[dict[str, Any]]:
        response = yield from self._call("GET", "fs", path, params=params)
        return answers.json_of(response)

    def _page(self, path: str, offset: int, count: int) -> Flow[Page]:
        if not 1 <= count <= _LARGEST_PAGE:
            raise ValueError(f"page_size must be from 1 to {_LARGEST_PAGE:,}")
        params = {"list_content": "true", "count": count, "offset": offset}
        return page_of((yield from self._describe(path, params)), clean_path(path), offset)

    def _info(self, path: str) -> Flow[Entry]:
        value = yield from self._describe(path, {"list_content": "false"})
        plain = clean_path(path)
        return entry_of({"path": plain, "name": plain.rpartition("/")[2], **value})

    def _open(self, path: str, entry_id: str | None) -> Flow[Download]:
        params = {"entry_id": entry_id} if entry_id else None
        _refuse_root(path)
        response = yield from self._call("GET", "fs-content", path, params=params, stream=True)
        return Download(clean_path(path), response)

    def _download(
        self, path: str, to: IO[bytes] | None, entry_id: str | None, max_bytes: int
    ) -> Flow[File | bytes]:
        if to is not None:
            require_binary(to)
        download = yield from self._open(path, entry_id)
        result: File | bytes
        if to is None:
            result = yield flows.Step("io", download.read_all, max_bytes)
        else:
            result = yield flows.Step("io", download.write_to, to)
        return result

    def _upload(self, path: str, content: Content, modified: datetime | None) -> Flow[File]:
        _refuse_root(path)
        refuse_bad_names(path)
        headers = {"Content-Type": "application/octet-stream"}
        ends: dict[str, str] = {}
        if modified is not None:
            if modified.tzinfo is None:
                raise ValueError("last_modified must be aware: it has no time zone")
            ends["Last-Modified"] = format_datetime(modified.astimezone(UTC), usegmt=True)
        source: Source = yield flows.Step("io", Source, content)
        part: Part = yield flows.Step("io", source.take)
        if not part.last:
            return (yield from self._upload_chunks(path, source, part, headers, ends))
        headers |= {"X-Sha512-Checksum": part.checksum, **ends}
        response = yield from self._call(
            "POST", "fs-content", path, data=part.body, headers=headers
        )
        return _stored(path, part.size, part.checksum, response)

    def _upload_chunks(
        self,
        path: str,
        source: Source,
        part: Part,
        headers: dict[str, str],
        ends: dict[str, str],
    ) -> Flow[File]:
        """Send part after part; `ends` are headers for the last."""
        digests: list[str] = []
        size = 0
        while True:
            digests.append(part.checksum)
            size += part.size
            headers["X-Egnyte-Chunk-Num"] = str(len(digests))
            headers["X-Egnyte-Chunk-Sha512-Checksum"] = part.checksum
            whole = checksums.composite(source.chunk, digests) if part.last else ""
            if part.last:
                headers |= {"X-Egnyte-Last-Chunk": "true", "X-Sha512-Checksum": whole, **ends}
            response = yield from self._call(
                "POST",
                "fs-content-chunked",
                path,
                data=part.body,
                headers=headers,
                # A chunk may be sent again; the last one makes a version of the file.
                retry=not part.last,
            )
            _agree(response.headers.get("X-Egnyte-Chunk-Sha512-Checksum"), part.checksum)
            if part.last:
                return _stored(path, size, whole, response)
            if len(digests) == 1:
                upload_id = response.headers.get("X-Egnyte-Upload-Id", "")
                if not upload_id:
                    raise ResponseError("Egnyte gave no id for an upload in chunks.")
                headers["X-Egnyte-Upload-Id"] = upload_id
            del part  # or two would be in memory while the next is read
            part = yield flows.Step("io", source.take)

    def _create_folder(self, path: str, exist_ok: bool) -> Flow[Folder]:
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
        described = {"path": plain, **_details(response), "name": plain.rpartition("/")[2]}
        folder = entry_of({**described, "is_folder": True})
        assert isinstance(folder, Folder)
        return folder

    def _act(self, action: str, path: str, destination: str) -> Flow[None]:
        _refuse_root(path)
        _refuse_root(destination)
        refuse_bad_names(destination)
        act = {"action": action, "destination": clean_path(destination)}
        yield from self._call("POST", "fs", path, json=act)

    def _delete(self, path: str, entry_id: str | None) -> Flow[None]:
        _refuse_root(path)
        params = {"entry_id": entry_id} if entry_id else None
        yield from self._call("DELETE", "fs", path, params=params)


class _FilesById(Files):
    """Files of which all calls about content are about one file, whatever its path."""

    __slots__ = ("_group_id",)

    def __init__(self, client: Caller, group_id: str) -> None:
        super().__init__(client)
        self._group_id = segment(group_id)

    def _call(self, method: str, area: str, path: str, **kw: Any) -> Flow[requests.Response]:
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


def _stored(path: str, size: int, checksum: str, response: requests.Response) -> File:
    value = _details(response)
    said = value.get("checksum") or response.headers.get("X-Sha512-Checksum")
    _agree(said if isinstance(said, str) else None, checksum)
    plain = clean_path(path)
    known = {"path": plain, "name": plain.rpartition("/")[2], "size": size, "checksum": checksum}
    file = entry_of({**value, **known, "is_folder": False})
    assert isinstance(file, File)
    return file


def _details(response: requests.Response) -> dict[str, Any]:
    """What a success says of itself. It may say nothing, and succeeded all the same."""
    try:
        return answers.json_of(response)
    except ResponseError:
        return {}


def _agree(said: str | None, checksum: str) -> None:
    if said and said.strip().lower() != checksum:
        raise ResponseError("Egnyte stored other bytes than were sent: the checksum differs.")
