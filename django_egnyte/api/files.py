"""Files and folders of an Egnyte domain.

Paths are as people write them, "/Shared/50% off.txt": nothing encoded. Every method raises for
every error: an APIError for a refusal, UnavailableError, RateLimitedError, ResponseError, and
InvalidPathError before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import IO, TYPE_CHECKING, Any, overload

from django_egnyte import answers, http
from django_egnyte.api import flows
from django_egnyte.api.aio import AsyncDownload
from django_egnyte.api.areas.places import Places
from django_egnyte.api.entries import Entry, File, Folder, FolderListing, Page, entry_of, page_of
from django_egnyte.api.paths import clean_path, fs_path
from django_egnyte.api.transfers import Content, Download, Source, require_binary
from django_egnyte.exceptions import InvalidPathError, NotFoundError, ResponseError

if TYPE_CHECKING:
    import requests

    from django_egnyte.api.flows import Flow

PAGE_SIZE = 100
SIMPLE_LIMIT = 100_000_000
"""The most bytes that go up in one request; Egnyte takes 100 MB."""
UPLOAD_CHUNK = 10 * 1024 * 1024
"""Bytes of a chunk of a larger upload. Two of them are in memory at a time."""


class Files(Places):
    """`client.files`. Each method has an asynchronous twin: `alist` for `list`."""

    __slots__ = ()

    def list(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> FolderListing:
        """What is in a folder. The first page is fetched now, the others as you come to them."""
        first = flows.run(self._page(path, 0, page_size))

        def fetch(offset: int) -> Page:
            return flows.run(self._page(path, offset, page_size))

        return FolderListing(first, page_size, fetch)

    def walk(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> Iterator[Entry]:
        """Every file and folder below `path`, a folder before what is in it; pages as needed.

        A folder that vanishes meanwhile is passed over.
        """
        waiting = [path]
        while waiting:
            current = waiting.pop()
            below: list[str] = []
            try:
                listing = self.list(current, page_size=page_size)
            except NotFoundError:
                if current is path:
                    raise
                continue
            for entry in listing:
                yield entry
                if isinstance(entry, Folder):
                    below.append(entry.path)
            waiting.extend(reversed(below))

    def info(self, path: str) -> Entry:
        """The file or folder at `path`."""
        return flows.run(self._info(path))

    def open(self, path: str, *, entry_id: str | None = None) -> Download:
        """Begin to download: gives the file's pieces as they come. Close it, or read to the end.

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
        """Download a file and check its SHA-512.

        With `to`, a binary file, any size is written to it piece by piece, and the file's entry is
        returned; after an error a `to` that can seek ends where this began. TypeError for a `to`
        that is no such file. Without it the bytes are returned, `max_bytes` (16 MiB) at most:
        ResponseError for more.
        """
        return flows.run(self._download(path, to, entry_id, max_bytes))

    def upload(self, path: str, content: Content) -> File:
        """Store `content` at `path`, as a new version if there is a file.

        `content` is bytes, a binary file of any size (from where it stands) or an iterable of
        bytes. More than 100 MB goes in chunks, each with its checksum; memory does not grow with
        the size. The returned file has path, size, checksum, entry_id and group_id.
        """
        return flows.run(self._upload(path, content))

    def create_folder(self, path: str) -> Folder:
        """Make a folder. Egnyte makes missing parents, and refuses one that exists."""
        return flows.run(self._create_folder(path))

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
        first = await flows.arun(self._page(path, 0, page_size), self._client)
        listing = FolderListing(first, page_size, None)
        while not listing.complete:
            page = self._page(path, listing.next_offset, page_size)
            listing.take(await flows.arun(page, self._client))
        return listing

    async def awalk(self, path: str = "/", *, page_size: int = PAGE_SIZE) -> AsyncIterator[Entry]:
        waiting = [path]
        while waiting:
            current = waiting.pop()
            try:
                listing = await self.alist(current, page_size=page_size)
            except NotFoundError:
                if current is path:
                    raise
                continue
            for entry in listing:
                yield entry
            waiting.extend(reversed([folder.path for folder in listing.folders]))

    async def ainfo(self, path: str) -> Entry:
        return await flows.arun(self._info(path), self._client)

    async def aopen(self, path: str, *, entry_id: str | None = None) -> AsyncDownload:
        """As `open`, for `async for` and Django's StreamingHttpResponse under ASGI."""
        return AsyncDownload(await flows.arun(self._open(path, entry_id), self._client))

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
        return await flows.arun(self._download(path, to, entry_id, max_bytes), self._client)

    async def aupload(self, path: str, content: Content) -> File:
        """As `upload`; `content` is read from another thread."""
        return await flows.arun(self._upload(path, content), self._client)

    async def acreate_folder(self, path: str) -> Folder:
        return await flows.arun(self._create_folder(path), self._client)

    async def amove(self, path: str, destination: str) -> None:
        await flows.arun(self._act("move", path, destination), self._client)

    async def acopy(self, path: str, destination: str) -> None:
        await flows.arun(self._act("copy", path, destination), self._client)

    async def adelete(self, path: str, *, entry_id: str | None = None) -> None:
        await flows.arun(self._delete(path, entry_id), self._client)

    def _describe(self, path: str, params: dict[str, Any]) -> Flow[dict[str, Any]]:
        response = yield from self._send("GET", f"/pubapi/v1/fs{fs_path(path)}", params=params)
        return answers.json_of(response)

    def _page(self, path: str, offset: int, count: int) -> Flow[Page]:
        if count < 1:
            raise ValueError("page_size must be at least 1")
        params = {"list_content": "true", "count": count, "offset": offset}
        value = yield from self._describe(path, params)
        if value.get("is_folder") is False:
            raise InvalidPathError("That is a file, not a folder.")
        return page_of(value, clean_path(path))

    def _info(self, path: str) -> Flow[Entry]:
        value = yield from self._describe(path, {"list_content": "false"})
        plain = clean_path(path)
        return entry_of({"path": plain, "name": plain.rpartition("/")[2], **value})

    def _open(self, path: str, entry_id: str | None) -> Flow[Download]:
        response = yield from self._send(
            "GET",
            f"/pubapi/v1/fs-content{_named(path)}",
            params={"entry_id": entry_id} if entry_id else None,
            stream=True,
        )
        return Download(clean_path(path), response)

    def _download(
        self, path: str, to: IO[bytes] | None, entry_id: str | None, max_bytes: int
    ) -> Flow[File | bytes]:
        if to is not None:
            require_binary(to)
        download = yield from self._open(path, entry_id)
        result: File | bytes
        if to is None:
            result = yield flows.Step("io", download.read, max_bytes)
        else:
            result = yield flows.Step("io", download.write_to, to)
        return result

    def _upload(self, path: str, content: Content) -> Flow[File]:
        where = _named(path)
        source: Source = yield flows.Step("io", Source, content)
        if source.size is not None and source.size <= SIMPLE_LIMIT:
            checksum: str = yield flows.Step("io", source.digest)
            body = source.reader() if source.size else b""
            return (yield from self._upload_whole(path, where, body, source.size, checksum))
        piece, checksum = yield flows.Step("io", source.take, UPLOAD_CHUNK)
        if len(piece) < UPLOAD_CHUNK:
            return (yield from self._upload_whole(path, where, piece, len(piece), checksum))
        return (yield from self._upload_chunks(path, where, source, piece, checksum))

    def _upload_whole(
        self, path: str, where: str, body: Any, size: int, checksum: str
    ) -> Flow[File]:
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Sha512-Checksum": checksum,
        }
        response = yield from self._send(
            "POST", f"/pubapi/v1/fs-content{where}", data=body, headers=headers
        )
        return _stored(path, size, checksum, response)

    def _upload_chunks(
        self, path: str, where: str, source: Source, piece: bytes, checksum: str
    ) -> Flow[File]:
        number, size, upload_id = 1, 0, ""
        while True:
            following, its_checksum = yield flows.Step("io", source.take, UPLOAD_CHUNK)
            headers = {
                "Content-Type": "application/octet-stream",
                "X-Egnyte-Chunk-Num": str(number),
                "X-Egnyte-Chunk-Sha512-Checksum": checksum,
            }
            if upload_id:
                headers["X-Egnyte-Upload-Id"] = upload_id
            if not following:
                headers["X-Egnyte-Last-Chunk"] = "true"
                headers["X-Sha512-Checksum"] = source.checksum
            response = yield from self._send(
                "POST",
                f"/pubapi/v1/fs-content-chunked{where}",
                data=piece,
                headers=headers,
                # A chunk may be sent again; the last one makes a version of the file.
                retry=bool(following),
            )
            _agree(response.headers.get("X-Egnyte-Chunk-Sha512-Checksum"), checksum)
            size += len(piece)
            if not following:
                return _stored(path, size, source.checksum, response)
            upload_id = upload_id or response.headers.get("X-Egnyte-Upload-Id", "")
            if not upload_id:
                raise ResponseError("Egnyte gave no id for an upload in chunks.")
            piece, checksum = following, its_checksum
            number += 1

    def _create_folder(self, path: str) -> Flow[Folder]:
        response = yield from self._send(
            "POST", f"/pubapi/v1/fs{_named(path)}", json={"action": "add_folder"}
        )
        plain = clean_path(path)
        described = {"path": plain, **_details(response), "name": plain.rpartition("/")[2]}
        folder = entry_of({**described, "is_folder": True})
        assert isinstance(folder, Folder)
        return folder

    def _act(self, action: str, path: str, destination: str) -> Flow[None]:
        _named(destination)
        yield from self._send(
            "POST",
            f"/pubapi/v1/fs{_named(path)}",
            json={"action": action, "destination": clean_path(destination)},
        )

    def _delete(self, path: str, entry_id: str | None) -> Flow[None]:
        yield from self._send(
            "DELETE",
            f"/pubapi/v1/fs{_named(path)}",
            params={"entry_id": entry_id} if entry_id else None,
        )


def _named(path: str) -> str:
    """As `fs_path`, for what cannot be done to the root."""
    where = fs_path(path)
    if where == "/":
        raise InvalidPathError("The path names no file or folder.")
    return where


def _stored(path: str, size: int, checksum: str, response: requests.Response) -> File:
    value = _details(response)
    said = value.get("checksum") or response.headers.get("X-Sha512-Checksum")
    _agree(said if isinstance(said, str) else None, checksum)
    plain = clean_path(path)
    file = entry_of(
        {
            **value,
            "path": plain,
            "name": plain.rpartition("/")[2],
            "size": size,
            "checksum": checksum,
            "is_folder": False,
        }
    )
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
        raise ResponseError("Egnyte stored other bytes than were sent: the SHA-512 differs.")
