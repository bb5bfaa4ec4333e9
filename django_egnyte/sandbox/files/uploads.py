"""Uploads in one piece."""

from __future__ import annotations

import hmac

from ..content import Content, ContentTooLargeError, ContentWriter
from ..messages import Response, json_answer
from ..refusals import failure
from ..routing import Call, routes
from ..tree import permit
from .attributes import require_unlocked
from .records import identity


def upload(call: Call) -> Response:
    """A new file, or a new version of one."""
    path = call.parts[0]
    permit(path, call.user, write=True)
    limit = call.settings.upload_limit
    if int(call.request.headers.get("content-length") or 0) > limit:
        return failure(413, "File is too large: use fs-content-chunked")
    writer = ContentWriter()
    try:
        writer.drain(call.request.body, limit)
    except ContentTooLargeError:
        return failure(413, "File is too large: use fs-content-chunked")
    made = writer.finish()
    if not same(call.request.headers.get("x-sha512-checksum"), made.checksum):
        return failure(400, "Checksum mismatch")
    return store(call, path, made)


def store(call: Call, path: str, made: Content) -> Response:
    """Put content at a path; the answer to who sent it."""
    with call.sandbox.lock:
        require_unlocked(call, path)
        node, version = call.tree.put(path, made, call.user, call.now)
    answer = {"checksum": made.checksum, "group_id": node.id, "entry_id": version.entry_id}
    return json_answer(answer, 200, *identity(version))


def same(claimed: str | None, checksum: str) -> bool:
    """Whether a checksum that was sent, if any, is right."""
    return claimed is None or hmac.compare_digest(claimed.lower().encode(), checksum.encode())


ROUTES = routes(
    "Egnyte.filesystem",
    ("POST", "/v1/fs-content/**", "fs-content:upload", upload),
    streams=True,
)
