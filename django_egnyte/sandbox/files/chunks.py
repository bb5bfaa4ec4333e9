"""Uploads in chunks."""

from __future__ import annotations

import secrets

from ..content import ContentTooLargeError, ContentWriter
from ..messages import Response
from ..refusals import failure
from ..routing import Call, routes
from ..state import ChunkedUpload
from ..tree import permit
from .uploads import same, store


def chunked(call: Call) -> Response:
    """One chunk of an upload; the one marked last makes the file."""
    path, sandbox = call.parts[0], call.sandbox
    permit(path, call.user, write=True)
    headers = call.request.headers
    number = headers.get("x-egnyte-chunk-num", "")
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        return failure(400, "Bad X-Egnyte-Chunk-Num")
    upload_id = headers.get("x-egnyte-upload-id")
    upload = None
    if upload_id is not None:
        with sandbox.lock:
            upload = sandbox.uploads.get(upload_id)
        if upload is None or (upload.domain, upload.path, upload.username) != (
            call.label,
            path,
            call.user.username,
        ):
            return failure(400, "Unknown X-Egnyte-Upload-Id")
    elif int(number) != 1:
        return failure(400, "The first chunk is number 1")
    writer = ContentWriter()
    try:
        writer.drain(call.request.body, call.settings.upload_limit)
    except ContentTooLargeError:
        return failure(413, "Chunk is too large")
    part = writer.finish()
    if not same(headers.get("x-egnyte-chunk-sha512-checksum"), part.checksum):
        return failure(400, "Chunk checksum mismatch")
    with sandbox.lock:
        if upload is None or upload_id is None:
            upload_id = secrets.token_hex(12)
            upload = sandbox.uploads[upload_id] = ChunkedUpload(
                call.label, path, call.user.username
            )
        upload.chunks[int(number)] = part
    answered = [
        ("X-Egnyte-Upload-Id", upload_id),
        ("X-Egnyte-Chunk-Num", number),
        ("X-Egnyte-Chunk-Sha512-Checksum", part.checksum),
    ]
    if headers.get("x-egnyte-last-chunk", "").lower() != "true":
        return Response(200, b"", answered)
    if sorted(upload.chunks) != list(range(1, int(number) + 1)):
        return failure(400, "Chunks are missing")
    whole = ContentWriter()
    for index in sorted(upload.chunks):
        whole.append(upload.chunks[index])
    made = whole.finish()
    if not same(headers.get("x-sha512-checksum"), made.checksum):
        return failure(400, "Checksum mismatch")
    with sandbox.lock:
        sandbox.uploads.pop(upload_id, None)
    response = store(call, path, made)
    response.headers += answered
    return response


ROUTES = routes(
    "Egnyte.filesystem",
    ("POST", "/v1/fs-content-chunked/**", "fs-content-chunked", chunked),
    streams=True,
)
