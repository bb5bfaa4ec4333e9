"""Read the file in a `multipart/form-data` body as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message

from .messages import BodyReader

BLOCK = 65_536
HEAD_LIMIT = 16_384
FILE = "file"


class MultipartError(Exception):
    """The body is not multipart, or has no file."""


def read_file(body: BodyReader, content_type: str, write: Callable[[bytes], object]) -> None:
    """Pass the bytes of the part named `file` to `write`. Raises MultipartError."""
    boundary = _parameter(content_type, "content-type", "boundary")
    if not boundary:
        raise MultipartError("The boundary is missing")
    reader = _Reader(body, boundary.encode())
    reader.pass_part(lambda data: None)
    while (head := reader.head()) is not None:
        if _parameter(head.get("content-disposition", ""), "content-disposition", "name") == FILE:
            reader.pass_part(write)
            while body.read(BLOCK):
                pass
            return
        reader.pass_part(lambda data: None)
    raise MultipartError("There is no part named file")


class _Reader:
    """Reads a body up to each delimiter."""

    def __init__(self, body: BodyReader, boundary: bytes) -> None:
        self._body = body
        self._mark = b"\r\n--" + boundary
        # The body may start with the first delimiter.
        self._buffer = b"\r\n"

    def pass_part(self, write: Callable[[bytes], object]) -> None:
        """Write the bytes before the next delimiter, and skip the delimiter."""
        keep = len(self._mark) - 1
        while (end := self._buffer.find(self._mark)) < 0:
            if len(self._buffer) > keep:
                write(self._buffer[:-keep])
                self._buffer = self._buffer[-keep:]
            self._more()
        write(self._buffer[:end])
        self._buffer = self._buffer[end + len(self._mark) :]

    def head(self) -> dict[str, str] | None:
        """The headers of the next part. None at the end of the body."""
        while len(self._buffer) < 2:
            self._more()
        if self._buffer.startswith(b"--"):
            return None
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise MultipartError("The headers of a part are too long")
            self._more()
        lines = self._buffer[:end].decode("utf-8", "replace").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        pairs = [line.partition(":")[::2] for line in lines]
        return {name.strip().lower(): value.strip() for name, value in pairs}

    def _more(self) -> None:
        data = self._body.read(BLOCK)
        if not data:
            raise MultipartError("The body ends in the middle of a part")
        self._buffer += data


def _parameter(value: str, header: str, name: str) -> str:
    message = Message()
    message[header] = value
    found = message.get_param(name, header=header)
    return found if isinstance(found, str) else ""
