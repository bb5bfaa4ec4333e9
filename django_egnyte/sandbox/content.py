"""Bytes of a file: in memory, in a temporary file when big, or made up as they are read."""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO

from .messages import BodyReader

BLOCK = 65_536
IN_MEMORY = 1024 * 1024


class ContentTooLargeError(Exception):
    """An upload over the limit."""


class _Store:
    """Bytes in memory, moved to a temporary file when they are many; closes itself."""

    __slots__ = ("file", "lock")

    def __init__(self) -> None:
        self.file: IO[bytes] = io.BytesIO()
        self.lock = threading.Lock()

    def __del__(self) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        if isinstance(self.file, io.BytesIO) and self.file.tell() + len(data) > IN_MEMORY:
            memory, self.file = self.file, tempfile.TemporaryFile()  # noqa: SIM115
            self.file.write(memory.getbuffer())
        self.file.write(data)

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            with self.lock:
                self.file.seek(start)
                block = self.file.read(min(BLOCK, stop - start))
            if not block:
                return
            start += len(block)
            yield block


class Content:
    """Immutable bytes with their size and checksum.

    The checksum is the SHA-512 of the bytes, or the composite of a file that came in chunks.
    `source` holds the bytes, or names other contents in a row, or is None: then the content
    repeats one block up to `size`.
    """

    __slots__ = ("_source", "checksum", "size")

    def __init__(
        self, source: _Store | tuple[Content, ...] | None, size: int, checksum: str
    ) -> None:
        self._source = source
        self.size = size
        self.checksum = checksum

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Content from bytes."""
        writer = ContentWriter()
        writer.write(data)
        return writer.finish()

    @classmethod
    def synthetic(cls, size: int) -> Content:
        """`size` bytes that take no memory; hashing them takes about 2 s per GB, here."""
        digest = hashlib.sha512()
        for block in _repeat(0, size):
            digest.update(block)
        return cls(None, size, digest.hexdigest())

    @classmethod
    def joined(cls, chunks: Sequence[Content]) -> Content:
        """The file that came in these chunks, with Egnyte's composite checksum.

        `2-{chunks}-{bytes of a chunk}-{SHA-512 of the chunks' hex digests in a row}`, asserted by
        the live tests of Egnyte's Go SDK.
        """
        digests = "".join(chunk.checksum for chunk in chunks).encode()
        checksum = f"2-{len(chunks)}-{chunks[0].size}-{hashlib.sha512(digests).hexdigest()}"
        return cls(tuple(chunks), sum(chunk.size for chunk in chunks), checksum)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Blocks of the bytes from `start` to before `stop`; many readers may be at work."""
        stop = self.size if stop is None else min(stop, self.size)
        if self._source is None:
            yield from _repeat(start, stop)
        elif isinstance(self._source, tuple):
            for part in self._source:
                if start < part.size and stop > 0:
                    yield from part.read(max(start, 0), stop)
                start, stop = start - part.size, stop - part.size
        else:
            yield from self._source.read(start, stop)


class ContentWriter:
    """Takes up to `limit` bytes as they arrive; memory stays flat. Not thread-safe."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._store = _Store()
        self._digest = hashlib.sha512()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes. Raises ContentTooLargeError when they are too many."""
        if self._limit is not None and self.size + len(data) > self._limit:
            raise ContentTooLargeError
        self._store.write(data)
        self._digest.update(data)
        self.size += len(data)

    def drain(self, body: BodyReader) -> None:
        """Append a request's body."""
        while block := body.read(BLOCK):
            self.write(block)

    def finish(self) -> Content:
        """The content. Nothing may be written afterwards."""
        return Content(self._store, self.size, self._digest.hexdigest())


def _repeat(start: int, stop: int) -> Iterator[bytes]:
    pattern = bytes(range(256)) * (BLOCK // 256)
    while start < stop:
        offset = start % BLOCK
        block = pattern[offset : offset + min(BLOCK - offset, stop - start)]
        start += len(block)
        yield block
