"""Bytes of a file: in memory, in a temporary file when big, or made up as they are read."""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from collections.abc import Iterator
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


class Content:
    """Immutable bytes with their size and SHA-512.

    `store` holds them, or is None: then the content repeats one block up to `size`.
    """

    __slots__ = ("_store", "checksum", "size")

    def __init__(self, store: _Store | None, size: int, checksum: str) -> None:
        self._store = store
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

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Blocks of the bytes from `start` to before `stop`; many readers may be at work."""
        stop = self.size if stop is None else min(stop, self.size)
        if self._store is None:
            yield from _repeat(start, stop)
            return
        while start < stop:
            with self._store.lock:
                self._store.file.seek(start)
                block = self._store.file.read(min(BLOCK, stop - start))
            if not block:
                return
            start += len(block)
            yield block


class ContentWriter:
    """Takes bytes as they arrive; memory stays flat. Not thread-safe."""

    def __init__(self) -> None:
        self._store = _Store()
        self._digest = hashlib.sha512()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._store.write(data)
        self._digest.update(data)
        self.size += len(data)

    def drain(self, body: BodyReader, limit: int) -> None:
        """Append a request's body. Raises ContentTooLargeError over `limit` bytes in all."""
        while block := body.read(BLOCK):
            if self.size + len(block) > limit:
                raise ContentTooLargeError
            self.write(block)

    def append(self, other: Content) -> None:
        """Append what another writer took."""
        for block in other.read():
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
