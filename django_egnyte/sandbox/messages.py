"""Requests and answers between the server, the WSGI adapter and the endpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

FORM = "application/x-www-form-urlencoded"
FORM_LIMIT = 1024 * 1024


class BodyReader(Protocol):
    """The body of a request, read at most once."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes. Empty at the end."""
        ...


class BodyTooLargeError(Exception):
    """A form or JSON body over `FORM_LIMIT` bytes."""


class BrokenBodyError(Exception):
    """The peer closed the connection, or sent an invalid body."""


@dataclass(slots=True)
class Request:
    """A request after addressing.

    `path` is percent-decoded and has no domain prefix. `label` is the domain (empty for the
    sandbox's own pages). `prefix` is the prefix of this domain's URLs. Header names are in lower
    case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: BodyReader
    host: str
    peer: str
    label: str = ""
    prefix: str = ""
    endpoint: str = "other"
    token_id: int | None = None
    _form: dict[str, str] | None = field(default=None, repr=False)

    @property
    def args(self) -> dict[str, str]:
        """The parameters of the query. Of equal names, the last one counts."""
        return dict(parse_qsl(self.query, keep_blank_values=True)) if self.query else {}

    def content(self, limit: int = FORM_LIMIT) -> bytes:
        """The whole body. Raises BodyTooLargeError over `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while part := self.body.read(65_536):
            size += len(part)
            if size > limit:
                raise BodyTooLargeError
            parts.append(part)
        return b"".join(parts)

    @property
    def is_form(self) -> bool:
        """Whether the content type is that of a form, which Egnyte's token endpoint requires."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM

    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body. Empty for another content type."""
        if self._form is None:
            raw = self.content()
            text = raw.decode("utf-8", "replace") if self.is_form else ""
            self._form = dict(parse_qsl(text, keep_blank_values=True))
        return self._form

    def json(self) -> dict[str, Any]:
        """The JSON object in the body. Empty for anything else."""
        try:
            value = json.loads(self.content() or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(slots=True)
class Trickle:
    """Send a part of the answer `size` bytes at a time, `interval` seconds apart."""

    size: int = 1
    interval: float = 0.1
    part: str = "both"


@dataclass(slots=True)
class Wire:
    """The faults of the connection while the answer is sent."""

    delay: float = 0.0
    reset: bool = False
    hang: float | None = None
    truncate: int | None = None
    trickle: Trickle | None = None


@dataclass(slots=True)
class Response:
    """An answer. `body` is bytes, or an iterator of `length` bytes in total."""

    status: int
    body: bytes | Iterator[bytes] = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    length: int | None = None
    wire: Wire | None = None

    @property
    def size(self) -> int | None:
        """The size of the body in bytes. None if it is not known before it is sent."""
        return len(self.body) if isinstance(self.body, bytes) else self.length


def json_answer(value: Any, status: int = 200, *headers: tuple[str, str]) -> Response:
    """A JSON answer."""
    body = json.dumps(value).encode()
    return Response(status, body, [("Content-Type", "application/json"), *headers])


def html_answer(text: str, status: int = 200, *headers: tuple[str, str]) -> Response:
    """An HTML page that must not be cached."""
    fixed = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
    return Response(status, text.encode(), [*fixed, *headers])


def redirect(location: str, *headers: tuple[str, str]) -> Response:
    """A 302 without a body."""
    return Response(302, b"", [("Location", location), ("Cache-Control", "no-store"), *headers])
