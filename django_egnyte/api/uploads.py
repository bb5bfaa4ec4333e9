"""The content of an upload, from bytes, a file or an iterable."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from django_egnyte import http
from django_egnyte.api.checksums import Digest, sha512
from django_egnyte.api.downloads import position_of
from django_egnyte.exceptions import EgnyteError

Content = bytes | bytearray | memoryview | IO[bytes] | Iterable[bytes]

SIMPLE_LIMIT = 100_000_000
"""The most bytes that are uploaded in one request. Egnyte takes 100 MB."""
SMALLEST_CHUNK = 10 * 1024 * 1024
"""Egnyte's limits for a chunk, in bytes. Content of unknown size is sent in the smallest chunks, of
which one is in memory at a time."""
LARGEST_CHUNK = 1_000_000_000
CHUNKS = 100
"""The number of chunks for content of known size: a token has 1,000 calls per day."""


class Part(NamedTuple):
    """The content of one request. It can be sent again. `last` marks the end of the upload."""

    body: bytes | Reader
    size: int
    checksum: str
    last: bool


@dataclass(slots=True)
class UploadState:
    """The state of an upload in chunks, with which to resume it after an error.

    Egnyte keeps the chunks for 24 hours. Store `as_json()` to resume in another process. With
    it and the user's token, anybody can add to the upload.
    """

    upload_id: str = ""
    chunk: int = 0
    """Bytes in a chunk. 0 before the upload has begun."""
    digests: list[str] = field(default_factory=list)
    """The SHA-512 of each chunk that Egnyte took."""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> UploadState:
        """The state from what `as_json` returned. ValueError for anything else."""
        match value:
            case {"upload_id": str(upload_id), "chunk": int(chunk), "digests": list(digests)} if (
                0 <= chunk <= LARGEST_CHUNK and all(isinstance(each, str) for each in digests)
            ):
                return cls(upload_id, chunk, [*digests])
        raise ValueError("that is not the state of an upload")

    def clear(self) -> None:
        """Forget the upload, which is complete."""
        self.upload_id, self.chunk, self.digests = "", 0, []


class Source:
    """The content to upload: bytes, a binary file (from its current position), or pieces of bytes.

    `take` returns it part by part. If the size is known, no part is kept in memory.

    Raises TypeError for text, and for anything else.
    """

    __slots__ = ("_ahead", "_done", "_file", "_left", "_next", "_progress", "chunk", "size")

    def __init__(
        self,
        content: Content,
        chunk: int = 0,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        """`chunk` is the size of chunks, if known. `progress` is called with the bytes sent."""
        if isinstance(content, bytes | bytearray | memoryview):
            self._file: Any = io.BytesIO(content)
        elif hasattr(content, "read"):
            self._file = content
        else:
            self._file = _Pieces(iter(content))
        self._ahead = b""
        self._next = 0
        # Bytes until the end. None if only reading can tell.
        self._left: int | None = None
        start = position_of(self._file)
        if start is not None:
            self._next = start
            self._left = max(0, self._file.seek(0, io.SEEK_END) - start)
        self.size = self._left
        """The total number of bytes, or None."""
        self._done = 0
        self._progress = progress
        self.chunk = chunk or chunk_for(self._left)

    def take(self) -> Part:
        """The next part. Every part has `chunk` bytes, except that the last may have fewer."""
        if self._left is None:
            return self._take_unsized()
        self._file.seek(self._next)
        size = min(self.chunk, self._left)
        digest = Digest()
        missing = size
        while missing and (piece := self._read(min(missing, http.CHUNK_SIZE))):
            digest.update(piece)
            missing -= len(piece)
        if missing:
            raise EgnyteError("The content became shorter while it was being read.")
        reader = Reader(self._file, self._next, size, self._told(self._done))
        reader.seek(0)
        self._next += size
        self._done += size
        self._left -= size
        return Part(reader if size else b"", size, digest.text(), last=not self._left)

    def _told(self, before: int) -> Callable[[int], object] | None:
        progress = self._progress
        return None if progress is None else lambda sent: progress(before + sent, self.size)

    def _take_unsized(self) -> Part:
        pieces = [self._ahead]
        missing = self.chunk - len(self._ahead)
        while missing and (piece := self._read(min(missing, 1024 * 1024))):
            pieces.append(piece)
            missing -= len(piece)
        taken = b"".join(pieces)
        pieces.clear()
        # Only another read can tell whether this is the end.
        self._ahead = b"" if missing else self._read(1)
        return Part(taken, len(taken), sha512(taken), last=not self._ahead)

    def _read(self, size: int) -> bytes:
        piece = self._file.read(size)
        if not isinstance(piece, bytes):
            raise TypeError("upload() takes a binary file: this one's read() gives no bytes")
        return piece


def chunk_for(size: int | None) -> int:
    """The bytes in a chunk for content of this size. Small content is one chunk."""
    if size is not None and size <= SIMPLE_LIMIT:
        return SIMPLE_LIMIT
    return min(max(SMALLEST_CHUNK, -(-(size or 0) // CHUNKS)), LARGEST_CHUNK)


class Reader:
    """A part of a file as a request's body. It always has the announced length."""

    def __init__(
        self, file: Any, start: int, size: int, told: Callable[[int], object] | None = None
    ) -> None:
        self._told = told
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
            # An OSError would look like one of the network, and the call would be repeated.
            problem = f"The content cannot be read any more ({type(error).__name__})."
        if not problem and not piece:
            problem = "The content became shorter while it was being sent."
        if problem:
            raise EgnyteError(problem)
        self._done += len(piece)
        if self._told is not None:
            self._told(self._done)
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
