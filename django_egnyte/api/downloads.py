"""Downloads: read a file and check it against Egnyte's checksum."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from django_egnyte import http
from django_egnyte.api import checksums, steps
from django_egnyte.api.entries import File, moment_of
from django_egnyte.exceptions import EgnyteError, ResponseError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import requests


_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(?:\d{1,18}|\*)", re.ASCII).fullmatch


class Download(io.RawIOBase):
    """A file that is being read from Egnyte: a binary file for reading, which cannot seek.

    Give it to Django's `FileResponse` or `File`, to `shutil.copyfileobj`, or read it yourself.
    Iteration yields pieces of bytes as they arrive, not lines. It is a context manager; `close`
    ends it early. `file` describes the file, from the answer's headers. `content_type` is its media
    type, `name` its path at Egnyte.

    Reading raises ResponseError if the file is cut off or has another checksum than Egnyte said.
    The last piece is held back until that is checked, so a wrong file never looks complete.
    """

    def __init__(self, path: str, response: requests.Response) -> None:
        self._response = response
        self._source = http.iter_body(response)
        self._rest = memoryview(b"")
        self._held = b""
        self._received = 0
        """The bytes received, including a piece that is held back."""
        self._is_broken = False
        """Whether the connection broke and has not been replaced."""
        headers = response.headers
        length = headers.get("Content-Length", "")
        plain = headers.get("Content-Encoding", "identity").strip().lower() == "identity"
        self.name = path
        self.content_type: str = headers.get("Content-Type", "application/octet-stream")
        self.file = File(
            name=path.rpartition("/")[2],
            path=path,
            size=int(length) if plain and length.isdecimal() and len(length) < 19 else None,
            checksum=checksums.known(headers.get("X-Sha512-Checksum")),
            entry_id=_entry_id(response),
            last_modified=moment_of(headers.get("Last-Modified")),
        )
        self._digest = checksums.Digest(self.file.checksum)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.file.path!r}>"

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Stop reading and close the connection."""
        if not self.closed:
            self._response.close()
        super().close()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read1():
            yield piece

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer only at the end. Without a size, all remaining bytes."""
        pieces: list[bytes] = []
        missing = -1 if size is None else size
        while missing and (piece := self.read1(missing)):
            pieces.append(piece)
            missing -= len(piece) if missing > 0 else 0
        return b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """At most `size` bytes, as they arrive. Empty at the end."""
        if self.closed:
            raise ValueError("The download is closed.")
        if not self._rest and size:
            self._rest = memoryview(self._following())
        taken = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return bytes(taken)

    def readinto(self, buffer: Any) -> int:
        piece = self.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _following(self) -> bytes:
        """The next piece. The last one is returned only after the checksum was checked."""
        if self._is_broken:
            raise ResponseError("The connection broke before the file was complete.")
        self._is_broken = True
        for piece in self._source:
            self._digest.update(piece)
            self._received += len(piece)
            ready, self._held = self._held, piece
            if ready:
                self._is_broken = False
                return ready
        self._is_broken = False
        last, self._held = self._held, b""
        if self.file.checksum not in (None, self._digest.text()):
            raise ResponseError(
                "The downloaded file differs from the file at Egnyte: the checksums are not equal."
            )
        return last

    @property
    def _can_resume(self) -> bool:
        """Whether the rest of the same version can be requested."""
        return self.file.entry_id is not None and self._received < (self.file.size or 0)

    def _resume(self, response: requests.Response) -> None:
        """Continue with the answer to a request for the remaining bytes.

        ResponseError if that is another version, or another range.
        """
        found = _RANGE(response.headers.get("Content-Range", ""))
        version = _entry_id(response)
        if (
            found is None
            or int(found[1]) != self._received
            or version
            not in (
                None,
                self.file.entry_id,
            )
        ):
            response.close()
            raise ResponseError("Egnyte did not continue with the same version of the file.")
        self._response.close()
        self._response, self._source = response, http.iter_body(response)
        self._is_broken = False

    def write_to(self, to: IO[bytes]) -> File:
        """Write everything to a binary file. Returns the file with the size and checksum written.

        After an error a file that can seek is cut off at the position where the writing began, so
        that a mixture of old and new bytes cannot look complete.
        """
        try:
            with undone_on_failure(to):
                self._pump(to)
        finally:
            self.close()
        return self._written()

    def _pump(
        self, to: IO[bytes], progress: Callable[[int, int | None], object] | None = None
    ) -> None:
        """Write to a binary file and report the progress."""
        for piece in self:
            _write(to, piece)
            if progress is not None:
                progress(self._received - len(self._held), self.file.size)

    def _written(self) -> File:
        """The file, with the size and the checksum of the bytes received."""
        return dataclasses.replace(self.file, size=self._received, checksum=self._digest.text())

    def read_all(self, max_bytes: int) -> bytes:
        """The whole content. ResponseError if it has more than `max_bytes`."""
        with self:
            known = self.file.size or 0
            content = self.read(max_bytes + 1) if known <= max_bytes else b""
        if max(known, len(content)) > max_bytes:
            raise ResponseError(
                f"The file has more than {max_bytes:,} bytes.",
                hint="Give download() a file to write to, or use open().",
            )
        return content


class AsyncDownload:
    """A `Download` for `async for` and `async with`. Another thread reads its pieces."""

    __slots__ = ("_download", "_host")

    def __init__(self, download: Download, host: str) -> None:
        self._download = download
        self._host = host

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.file.path!r}>"

    @property
    def file(self) -> File:
        return self._download.file

    @property
    def content_type(self) -> str:
        return self._download.content_type

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await steps.in_pool(self._host, self._download.close)

    def close(self) -> None:
        """For Django, which closes the content of a streamed response. It does not block."""
        self._download.close()

    async def read(self, size: int = -1) -> bytes:
        """As `Download.read`."""
        return await steps.in_pool(self._host, self._download.read, size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await steps.in_pool(self._host, self._download.read1):
            yield piece


def require_binary(to: Any) -> None:
    """Raise TypeError for a path, or for a file that takes text."""
    if not hasattr(to, "write") or isinstance(to, io.TextIOBase):
        raise TypeError(
            f'download() writes to a binary file, and not to {type(to).__name__}: open(..., "wb")'
        )


def position_of(file: Any) -> int | None:
    """The position of a file. None if it cannot seek."""
    try:
        if hasattr(file, "seekable") and not file.seekable():
            return None
        position: int = file.tell()
        file.seek(position)
        return position
    except (OSError, AttributeError, ValueError):
        return None


@contextlib.contextmanager
def undone_on_failure(to: IO[bytes]) -> Iterator[None]:
    """If the block raises, remove what it has written to the file, if the file can seek."""
    start = position_of(to)
    try:
        yield
    except BaseException:
        if start is not None:
            with contextlib.suppress(OSError, ValueError):
                to.seek(start)
                to.truncate()
        raise


def _entry_id(response: requests.Response) -> str | None:
    """The ETag, which is the version. Egnyte sends it without the quotes that HTTP requires."""
    return response.headers.get("ETag", "").removeprefix("W/").strip('"') or None


def _write(to: Any, piece: bytes) -> None:
    """Write all bytes. A file without a buffer, such as a pipe, may take fewer at a time."""
    view = memoryview(piece)
    while view:
        written = to.write(view)
        if written is None and not isinstance(to, io.RawIOBase):
            return  # the write() of many objects returns nothing
        if not written:
            raise EgnyteError("The file to which the download is written accepts no more data.")
        view = view[written:]
