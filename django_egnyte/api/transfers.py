"""The content of files on its way: down in pieces that are checked, up from whatever holds it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from django_egnyte import http
from django_egnyte.api.entries import File, moment_of
from django_egnyte.exceptions import EgnyteError, ResponseError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import requests

Content = bytes | bytearray | memoryview | IO[bytes] | Iterable[bytes]

_SHA512 = re.compile(r"[0-9a-f]{128}", re.ASCII).fullmatch


class Download:
    """A file that is being read from Egnyte: iterate once over its bytes, or hand it to Django's
    `StreamingHttpResponse`. It is a context manager, and `close` ends it early.

    `file` is what the answer's headers say of the file, `content_type` its media type. Iteration
    raises ResponseError for a file cut off or one whose SHA-512 is not what Egnyte said; the last
    piece is held back until that is known, so that a wrong file never looks complete.
    """

    __slots__ = ("_response", "_started", "content_type", "file")

    def __init__(self, path: str, response: requests.Response) -> None:
        self._response = response
        self._started = False
        headers = response.headers
        checksum = headers.get("X-Sha512-Checksum", "").strip().lower()
        length = headers.get("Content-Length", "")
        plain = headers.get("Content-Encoding", "identity").strip().lower() == "identity"
        self.content_type: str = headers.get("Content-Type", "application/octet-stream")
        self.file = File(
            name=path.rpartition("/")[2],
            path=path,
            size=int(length) if plain and length.isdecimal() and len(length) < 19 else None,
            checksum=checksum if _SHA512(checksum) else None,
            entry_id=headers.get("ETag", "").removeprefix("W/").strip('"') or None,
            last_modified=moment_of(headers.get("Last-Modified")),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.file.path!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading. What did not come yet is lost; the connection is given up."""
        self._started = True
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        if self._started:
            raise EgnyteError("A download can be read only once.")
        self._started = True
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        digest = hashlib.sha512(usedforsecurity=False)
        held = b""
        for piece in http.iter_body(self._response):
            digest.update(piece)
            if held:
                yield held
            held = piece
        if self.file.checksum is not None and digest.hexdigest() != self.file.checksum:
            raise ResponseError(
                "The file that came is not the one that Egnyte has: its SHA-512 differs."
            )
        if held:
            yield held

    def write_to(self, to: IO[bytes]) -> File:
        """Write everything to a binary file. Returns the file with the size and the checksum of
        what was written. After an error a file that can seek ends where it stood before: what
        was behind that is gone, too, or old and new together could look complete."""
        start = _position(to)
        digest = hashlib.sha512(usedforsecurity=False)
        size = 0
        try:
            for piece in self:
                to.write(piece)
                digest.update(piece)
                size += len(piece)
        except BaseException:
            if start is not None:
                with contextlib.suppress(OSError, ValueError):
                    to.seek(start)
                    to.truncate()
            raise
        finally:
            self.close()
        return _with(self.file, size, digest.hexdigest())

    def read(self, max_bytes: int) -> bytes:
        """All of it. ResponseError if it has more than `max_bytes`."""
        pieces: list[bytes] = []
        size = self.file.size or 0
        with self:
            if size <= max_bytes:
                size = 0
                for piece in self:
                    pieces.append(piece)
                    size += len(piece)
                    if size > max_bytes:
                        break
        if size > max_bytes:
            raise ResponseError(
                f"The file has more than {max_bytes:,} bytes.",
                hint="Give download() a file to write to, or use open().",
            )
        return b"".join(pieces)


class Source:
    """What is to be uploaded: bytes, a binary file (from where it stands), or pieces of bytes.

    Raises TypeError for text and for what is none of these.
    """

    __slots__ = ("_file", "_start", "_whole", "size")

    def __init__(self, content: Content) -> None:
        if isinstance(content, bytes | bytearray | memoryview):
            self._file: Any = io.BytesIO(content)
        elif hasattr(content, "read"):
            self._file = content
        else:
            self._file = _Pieces(iter(content))
        self._whole = hashlib.sha512(usedforsecurity=False)
        self._start = _position(self._file)
        self.size: int | None = None
        """Bytes from here to the end; None if only reading can tell."""
        if self._start is not None:
            self.size = max(0, self._file.seek(0, io.SEEK_END) - self._start)
            self._file.seek(self._start)

    @property
    def checksum(self) -> str:
        """SHA-512 of all that `take` has given."""
        return self._whole.hexdigest()

    def digest(self) -> str:
        """SHA-512 of the whole of a source whose size is known; it is read, and rewound."""
        digest = hashlib.sha512(usedforsecurity=False)
        while piece := self._read(http.CHUNK_SIZE):
            digest.update(piece)
        self._file.seek(self._start)
        return digest.hexdigest()

    def reader(self) -> Reader:
        """A body for one request, of a source whose size is known."""
        assert self._start is not None
        assert self.size is not None
        return Reader(self._file, self._start, self.size)

    def take(self, size: int) -> tuple[bytes, str]:
        """The next `size` bytes, fewer only at the end, and their SHA-512."""
        pieces: list[bytes] = []
        missing = size
        while missing and (piece := self._read(min(missing, 1024 * 1024))):
            pieces.append(piece)
            missing -= len(piece)
        taken = b"".join(pieces)
        self._whole.update(taken)
        return taken, hashlib.sha512(taken, usedforsecurity=False).hexdigest()

    def _read(self, size: int) -> bytes:
        piece = self._file.read(size)
        if not isinstance(piece, bytes):
            raise TypeError("upload() takes a binary file: this one's read() gives no bytes")
        return piece


class Reader:
    """A part of a file as a request's body. Its length never differs from what was announced."""

    def __init__(self, file: Any, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._done = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(http.CHUNK_SIZE):
            yield piece

    def tell(self) -> int:
        return self._done

    def seek(self, position: int) -> int:
        self._file.seek(self._start + position)
        self._done = position
        return position

    def read(self, size: int = -1) -> bytes:
        missing = self._size - self._done
        wanted = missing if size < 0 else min(size, missing)
        if not wanted:
            return b""
        problem = ""
        piece = b""
        try:
            piece = self._file.read(wanted)
        except Exception as error:
            # An OSError would be taken for one of the network, and the call be repeated.
            problem = f"The content cannot be read any more ({type(error).__name__})."
        if not problem and not piece:
            problem = "The content became shorter while it was being sent."
        if problem:
            raise EgnyteError(problem)
        self._done += len(piece)
        return piece


class _Pieces:
    """An iterable of bytes, read like a file that cannot seek."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            if not isinstance(piece, bytes | bytearray | memoryview):
                raise TypeError("upload() takes an iterable of bytes")
            self._rest = bytes(piece)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def require_binary(to: Any) -> None:
    """Raise TypeError for what cannot take a download: a path, or a file that takes text."""
    if not hasattr(to, "write") or isinstance(to, io.TextIOBase):
        raise TypeError(
            f'download() writes to a binary file, and not to {type(to).__name__}: open(..., "wb")'
        )


def _position(file: Any) -> int | None:
    """Where a file stands; None if it cannot come back there."""
    try:
        if hasattr(file, "seekable") and not file.seekable():
            return None
        position: int = file.tell()
        file.seek(position)
        return position
    except (OSError, AttributeError, ValueError):
        return None


def _with(file: File, size: int, checksum: str) -> File:
    return File(
        name=file.name,
        path=file.path,
        size=size,
        checksum=checksum,
        entry_id=file.entry_id,
        last_modified=file.last_modified,
    )
