"""Uploads in one piece."""

from __future__ import annotations

import hmac
from email.utils import parsedate_to_datetime

from ..content import Content, ContentTooLargeError, ContentWriter
from ..messages import Response, json_answer
from ..multipart import MultipartError, read_file
from ..routing import Call, routes
from ..tree import TreeError
from .places import by_file_id, by_path, require_writable
from .records import identity

TOO_LARGE = "File is too large: use fs-content-chunked"


def upload(call: Call, path: str) -> Response:
    """Upload a file or a new version, as a raw body or as the part `file` of a form."""
    with call.sandbox.lock:
        require_writable(call, path)
    headers, limit = call.request.headers, call.settings.upload_limit
    kind = headers.get("content-type", "")
    form = kind.lower().startswith("multipart/form-data")
    writer = ContentWriter(limit)
    try:
        if form:
            read_file(call.request.body, kind, writer.write)
        elif int(headers.get("content-length") or 0) > limit:
            raise ContentTooLargeError
        else:
            writer.drain(call.request.body)
    except ContentTooLargeError:
        raise TreeError(413, TOO_LARGE) from None
    except MultipartError as error:
        raise TreeError(400, str(error)) from None
    made = writer.finish()
    require_checksum(headers.get("x-sha512-checksum"), made)
    return store(call, path, made)


def store(call: Call, path: str, made: Content) -> Response:
    """Store content at a path, and return the answer for the client."""
    if made.size == 0 and not call.settings.stores_empty_files:
        raise TreeError(400, "Empty files cannot be stored")
    modified = _modified(call)
    with call.sandbox.lock:
        require_writable(call, path)
        node, version = call.tree.put(path, made, call.user, call.now, modified)
    answer = {
        "checksum": made.checksum,
        "path": path,
        "group_id": node.id,
        "entry_id": version.entry_id,
    }
    status = 201 if call.settings.statuses == "mocks" else 200
    return json_answer(answer, status, *identity(version))


def require_checksum(claimed: str | None, made: Content) -> None:
    """Raise TreeError if the client sent a wrong checksum."""
    if claimed is None:
        return
    if not hmac.compare_digest(claimed.lower().encode(), made.checksum.encode()):
        raise TreeError(400, "Checksum mismatch")


def _modified(call: Call) -> float | None:
    sent = call.request.headers.get("last-modified")
    if sent is None:
        return None
    try:
        return parsedate_to_datetime(sent).timestamp()
    except ValueError:
        raise TreeError(400, "Last-Modified is not a date") from None


SCOPE = "Egnyte.filesystem"
BY_ID = routes(
    SCOPE,
    ("POST", "/v1/fs-content/ids/file/*", "fs-content:upload", by_file_id(upload)),
    streams=True,
)
BY_PATH = routes(
    SCOPE,
    ("POST", "/v1/fs-content/**", "fs-content:upload", by_path(upload)),
    streams=True,
)
