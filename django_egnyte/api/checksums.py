"""Egnyte's checksums: a file's SHA-512, or a composite for a file that was uploaded in chunks.

The composite is `2-{chunks}-{bytes of a chunk}-{digest}`. The digest is the SHA-512 of all chunks'
SHA-512s, joined in hexadecimal. A live domain refuses the plain SHA-512 for such an upload, and
afterwards reports the composite for the file (Egnyte's Go SDK).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[0-9a-f]{128}", re.ASCII).fullmatch
_COMPOSITE = re.compile(r"2-[0-9]{1,9}-([1-9][0-9]{0,11})-[0-9a-f]{128}", re.ASCII).fullmatch


def known(text: str | None) -> str | None:
    """The checksum in `text`, in lower case. None if it is of neither kind."""
    text = (text or "").strip().lower()
    return text if _PLAIN(text) or _COMPOSITE(text) else None


def composite(chunk: int, digests: Iterable[str]) -> str:
    """The composite checksum of a file that is uploaded in chunks of this size in bytes."""
    joined = "".join(digests)
    return f"2-{len(joined) // 128}-{chunk}-{sha512(joined.encode())}"


def sha512(data: bytes) -> str:
    return hashlib.sha512(data, usedforsecurity=False).hexdigest()


class Digest:
    """Computes a checksum piece by piece: a composite if `like` is one, otherwise a SHA-512."""

    def __init__(self, like: str | None = None) -> None:
        found = _COMPOSITE(like or "")
        self._chunk = int(found[1]) if found else 0
        self._done: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self._hash = hashlib.sha512(usedforsecurity=False)
        self._left = self._chunk

    def update(self, piece: bytes) -> None:
        if not self._chunk:
            self._hash.update(piece)
            return
        view = memoryview(piece)
        while view:
            if not self._left:
                self._done.append(self._hash.hexdigest())
                self._begin()
            part = view[: self._left]
            self._hash.update(part)
            self._left -= len(part)
            view = view[len(part) :]

    def text(self) -> str:
        last = self._hash.hexdigest()
        return composite(self._chunk, [*self._done, last]) if self._chunk else last
