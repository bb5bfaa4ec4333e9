"""A file at Egnyte as a Python file that can read and seek."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django_egnyte import http
from django_egnyte.api.areas.base import Area
from django_egnyte.api.entries import moment_of
from django_egnyte.exceptions import ResponseError, UnavailableError

if TYPE_CHECKING:
    from datetime import datetime

    import requests

    from django_egnyte.api.steps import Steps

TRIES = 5
"""How many broken connections in a row are replaced if none of them brought a byte."""

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII).fullmatch


class RemoteFile(io.RawIOBase):
    """One version of a file. A read continues the last answer; after a seek it requests a range.

    After a broken connection it continues at the same position in the same version. ResponseError
    if that version no longer exists, or another one arrives. The SHA-512 is not checked.
    """

    def __init__(self, area: Area, where: str, name: str, entry_id: str | None = None) -> None:
        """`where` is the address of the content. Raises what `files.open` raises."""
        super().__init__()
        self._area = area
        self._url = where
        self._position = 0
        self._response: requests.Response | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")
        self.name = name
        self.entry_id = entry_id
        """The version being read."""
        headers = self._ask().headers
        length = headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 18:
            self._drop()
            raise ResponseError("Egnyte did not say how large the file is.")
        self.size = int(length)
        self.entry_id = entry_id or _entry_id(headers.get("ETag"))
        self.last_modified: datetime | None = moment_of(headers.get("Last-Modified"))
        self.content_type: str = headers.get("Content-Type", "application/octet-stream")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._require_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position. If it has changed, the next read requests the content from there."""
        self._require_open()
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        if whence not in starts:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        position = starts[whence] + offset
        if position < 0:
            raise ValueError("a position in a file is not negative")
        if position != self._position:
            self._drop()
            self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """Read at least one byte, except at the end of the file."""
        self._require_open()
        target = memoryview(buffer).cast("B")
        if not target or self._position >= self.size:
            return 0
        if not self._rest:
            self._rest = memoryview(self._next_piece())
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def close(self) -> None:
        """Stop reading. The connection is closed unless the answer is complete."""
        if not self.closed:
            self._drop()
        super().close()

    def _next_piece(self) -> bytes:
        for left in reversed(range(TRIES)):
            try:
                if self._response is None:
                    self._ask()
                piece = next(self._pieces, b"")
                if piece:
                    return piece
                error: Exception = ResponseError("The file ended before its size.")
            except (ResponseError, UnavailableError) as failure:
                if isinstance(failure, _ReplacedError):
                    raise
                error = failure
            self._drop()
            if not left:
                raise error
        raise AssertionError

    def _ask(self) -> requests.Response:
        response = self._area._run(self._asking())
        if self._position:
            found = _RANGE(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self._position:
                response.close()
                raise _ReplacedError("Egnyte did not send the part of the file that was asked for.")
        if self.entry_id and _entry_id(response.headers.get("ETag")) not in (None, self.entry_id):
            response.close()
            raise _ReplacedError("The file was replaced while it was being read.")
        self._response, self._pieces = response, http.iter_body(response)
        return response

    def _asking(self) -> Steps[requests.Response]:
        headers = {"Range": f"bytes={self._position}-"} if self._position else None
        params = {"entry_id": self.entry_id} if self.entry_id else None
        return (
            yield from self._area._send(
                "GET", self._url, params=params, headers=headers, stream=True
            )
        )

    def _drop(self) -> None:
        self._rest, self._pieces = memoryview(b""), iter(())
        response, self._response = self._response, None
        if response is not None:
            response.close()

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


class _ReplacedError(ResponseError):
    """Egnyte sent another version or part than requested. A further request cannot help."""


def _entry_id(etag: str | None) -> str | None:
    return (etag or "").removeprefix("W/").strip('"') or None
