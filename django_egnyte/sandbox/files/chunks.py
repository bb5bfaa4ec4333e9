"""Uploads in chunks."""

from __future__ import annotations

import secrets

from ..content import Content, ContentTooLargeError, ContentWriter
from ..messages import Response
from ..routing import Call, routes
from ..state import ChunkedUpload
from ..tree import TreeError
from .places import by_file_id, by_path, require_writable
from .uploads import require_checksum, store


def chunked(call: Call, path: str) -> Response:
    """One chunk of an upload. The one that is marked as the last stores the file.

    Chunks have equal sizes from `chunk_minimum` to `chunk_limit` bytes. The last may be smaller.
    """
    with call.sandbox.lock:
        require_writable(call, path)
        upload_id, upload = _upload(call, path)
    number = _number(call, first=upload is None)
    writer = ContentWriter(call.settings.chunk_limit)
    try:
        writer.drain(call.request.body)
    except ContentTooLargeError:
        raise TreeError(413, "The chunk is too large") from None
    part = writer.finish()
    headers = call.request.headers
    require_checksum(headers.get("x-egnyte-chunk-sha512-checksum"), part)
    last = headers.get("x-egnyte-last-chunk", "").lower() == "true"
    with call.sandbox.lock:
        _require_size(call, upload, number, part, last=last)
        if upload is None:
            until = call.now + call.settings.upload_lifetime
            upload = ChunkedUpload(call.label, path, call.user.username, until)
            call.sandbox.uploads[upload_id] = upload
        upload.chunks[number] = part
    response = _finish(call, path, upload_id, upload, number) if last else Response(200)
    response.headers += [
        ("X-Egnyte-Upload-Id", upload_id),
        ("X-Egnyte-Chunk-Num", str(number)),
        ("X-Egnyte-Chunk-Sha512-Checksum", part.checksum),
    ]
    return response


def _upload(call: Call, path: str) -> tuple[str, ChunkedUpload | None]:
    """The id and the upload of a chunk. For a first chunk: a new id and None."""
    upload_id = call.request.headers.get("x-egnyte-upload-id")
    if upload_id is None:
        return secrets.token_hex(12), None
    upload = call.sandbox.uploads.get(upload_id)
    if upload is not None and call.now >= upload.expires_at:
        del call.sandbox.uploads[upload_id]
        upload = None
    mine = (call.label, path, call.user.username)
    if upload is None or (upload.domain, upload.path, upload.username) != mine:
        raise TreeError(400, "Unknown X-Egnyte-Upload-Id")
    return upload_id, upload


def _number(call: Call, *, first: bool) -> int:
    # Two of Egnyte's clients omit the number of the first chunk.
    text = call.request.headers.get("x-egnyte-chunk-num", "1" if first else "")
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise TreeError(400, "Bad X-Egnyte-Chunk-Num")
    if first and int(text) != 1:
        raise TreeError(400, "The first chunk is number 1")
    return int(text)


def _require_size(
    call: Call, upload: ChunkedUpload | None, number: int, part: Content, *, last: bool
) -> None:
    if upload is None and last and not call.settings.single_chunk:
        raise TreeError(400, "A file of one chunk is not uploaded in chunks")
    if not last and part.size < call.settings.chunk_minimum:
        raise TreeError(400, "The chunk is too small")
    others = [chunk for key, chunk in (upload.chunks if upload else {}).items() if key < number]
    size = others[0].size if others else part.size
    if part.size > size or (part.size < size and not last):
        raise TreeError(400, "The chunks are not of equal size")


def _finish(call: Call, path: str, upload_id: str, upload: ChunkedUpload, number: int) -> Response:
    if sorted(upload.chunks) != list(range(1, number + 1)):
        raise TreeError(400, "Chunks are missing")
    made = Content.joined([upload.chunks[each] for each in range(1, number + 1)])
    require_checksum(call.request.headers.get("x-sha512-checksum"), made)
    with call.sandbox.lock:
        call.sandbox.uploads.pop(upload_id, None)
    return store(call, path, made)


SCOPE = "Egnyte.filesystem"
BY_ID = routes(
    SCOPE,
    ("POST", "/v1/fs-content-chunked/ids/file/*", "fs-content-chunked", by_file_id(chunked)),
    streams=True,
)
BY_PATH = routes(
    SCOPE,
    ("POST", "/v1/fs-content-chunked/**", "fs-content-chunked", by_path(chunked)),
    streams=True,
)
