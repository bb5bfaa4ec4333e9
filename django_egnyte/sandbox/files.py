"""The file API: `/pubapi/v1/fs`, `fs-content` and `fs-content-chunked`."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from . import attributes
from .content import Content, ContentTooLargeError, ContentWriter
from .messages import Request, Response, json_answer
from .refusals import failure
from .state import User
from .tree import Node, TreeError, Version, may, permit

if TYPE_CHECKING:
    from .sandbox import Sandbox

RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(slots=True)
class ChunkedUpload:
    """An upload in chunks, on its way. Chunks may be sent again, and in any order."""

    domain: str
    path: str
    username: str
    chunks: dict[int, Content] = field(default_factory=dict)


def fs(sandbox: Sandbox, request: Request, user: User, path: str) -> Response:
    """List, describe, make, move, copy and delete."""
    if request.method == "GET":
        return _describe(sandbox, request, user, path)
    if request.method == "DELETE":
        with sandbox.lock:
            attributes.require_unlocked(sandbox, request.label, user, path)
            sandbox.tree(request.label).remove(path, user, request.args.get("entry_id"))
        return json_answer({})
    if request.method == "PATCH":
        body = request.json()
        with sandbox.lock:
            return attributes.change(sandbox, request, user, path, body)
    if request.method != "POST":
        return failure(405, "Method not allowed")
    return _act(sandbox, request, user, path)


def content(sandbox: Sandbox, request: Request, user: User, path: str) -> Response:
    """Download and upload in one piece."""
    if request.method in ("GET", "HEAD"):
        return _download(sandbox, request, user, path)
    if request.method != "POST":
        return failure(405, "Method not allowed")
    permit(path, user, write=True)
    limit = sandbox.settings.upload_limit
    if int(request.headers.get("content-length") or 0) > limit:
        return failure(413, "File is too large: use fs-content-chunked")
    writer = ContentWriter()
    try:
        writer.drain(request.body, limit)
    except ContentTooLargeError:
        return failure(413, "File is too large: use fs-content-chunked")
    made = writer.finish()
    if not _same(request.headers.get("x-sha512-checksum"), made.checksum):
        return failure(400, "Checksum mismatch")
    return _store(sandbox, request, user, path, made)


def chunked(sandbox: Sandbox, request: Request, user: User, path: str) -> Response:
    """One chunk of an upload; the one marked last makes the file."""
    if request.method != "POST":
        return failure(405, "Method not allowed")
    permit(path, user, write=True)
    headers = request.headers
    number = headers.get("x-egnyte-chunk-num", "")
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        return failure(400, "Bad X-Egnyte-Chunk-Num")
    upload_id = headers.get("x-egnyte-upload-id")
    upload = None
    if upload_id is not None:
        with sandbox.lock:
            upload = sandbox.uploads.get(upload_id)
        if upload is None or (upload.domain, upload.path, upload.username) != (
            request.label,
            path,
            user.username,
        ):
            return failure(400, "Unknown X-Egnyte-Upload-Id")
    elif int(number) != 1:
        return failure(400, "The first chunk is number 1")
    writer = ContentWriter()
    try:
        writer.drain(request.body, sandbox.settings.upload_limit)
    except ContentTooLargeError:
        return failure(413, "Chunk is too large")
    part = writer.finish()
    if not _same(headers.get("x-egnyte-chunk-sha512-checksum"), part.checksum):
        return failure(400, "Chunk checksum mismatch")
    with sandbox.lock:
        if upload is None or upload_id is None:
            upload_id = secrets.token_hex(12)
            upload = sandbox.uploads[upload_id] = ChunkedUpload(request.label, path, user.username)
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
    if not _same(headers.get("x-sha512-checksum"), made.checksum):
        return failure(400, "Checksum mismatch")
    with sandbox.lock:
        sandbox.uploads.pop(upload_id, None)
    response = _store(sandbox, request, user, path, made)
    response.headers += answered
    return response


def _describe(sandbox: Sandbox, request: Request, user: User, path: str) -> Response:
    args = request.args
    with sandbox.lock:
        node = sandbox.tree(request.label).get(path, user)
        shown = path.rstrip("/") or "/"
        more = attributes.described(sandbox, request, node)
        if not node.is_folder:
            return json_answer(_file(shown, node) | more)
        answer = _folder(shown, node) | more
        if args.get("list_content", "true").lower() != "false":
            base = "" if shown == "/" else shown
            children = sorted(
                (c for c in node.children.values() if may(f"{base}/{c.name}", user)),
                key=lambda c: (not c.is_folder, c.name.casefold()),
            )
            offset, count = _page(args, len(children))
            page = children[offset : offset + count]
            answer |= {
                "count": len(page),
                "offset": offset,
                "total_count": len(children),
                "folders": [_folder(f"{base}/{c.name}", c) for c in page if c.is_folder],
                "files": [_file(f"{base}/{c.name}", c) for c in page if not c.is_folder],
            }
    return json_answer(answer)


def _act(sandbox: Sandbox, request: Request, user: User, path: str) -> Response:
    body = request.json()
    action = body.get("action")
    now = sandbox.now()
    if action in ("lock", "unlock"):
        request.endpoint = f"fs:{action}"
        with sandbox.lock:
            return attributes.lock(sandbox, request, user, path, body)
    if action == "add_folder":
        request.endpoint = "fs:add_folder"
        with sandbox.lock:
            node = sandbox.tree(request.label).add_folder(path, user, now)
            return json_answer({"path": path.rstrip("/"), "folder_id": node.id}, 201)
    destination = body.get("destination")
    if action not in ("move", "copy") or not isinstance(destination, str):
        return failure(400, "Unknown action, or no destination")
    request.endpoint = f"fs:{action}"
    if not destination.startswith("/"):
        return failure(400, "The destination must be an absolute path")
    with sandbox.lock:
        attributes.require_unlocked(sandbox, request.label, user, path)
        tree = sandbox.tree(request.label)
        node = (tree.move if action == "move" else tree.copy)(path, destination, user, now)
        kind = "folder_id" if node.is_folder else "group_id"
        return json_answer({"path": destination, kind: node.id})


def _download(sandbox: Sandbox, request: Request, user: User, path: str) -> Response:
    with sandbox.lock:
        node = sandbox.tree(request.label).get(path, user)
        if node.is_folder:
            return failure(400, "This is a folder")
        entry_id = request.args.get("entry_id")
        versions = [v for v in node.versions if entry_id in (None, v.entry_id)]
    if not versions:
        return failure(404, "Version not found")
    version = versions[-1]
    made = version.content
    headers = [*_identity(version), ("Content-Type", "application/octet-stream")]
    start, stop, status = 0, made.size, 200
    if asked := RANGE.match(request.headers.get("range", "")):
        first, last = asked.groups()
        if first:
            start, stop = int(first), min(int(last) + 1 if last else made.size, made.size)
        elif last:
            start = max(0, made.size - int(last))
        if start >= stop:
            refused = failure(416, "Range not satisfiable")
            refused.headers.append(("Content-Range", f"bytes */{made.size}"))
            return refused
        status = 206
        headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{made.size}"))
    return Response(status, made.read(start, stop), headers, stop - start)


def _store(sandbox: Sandbox, request: Request, user: User, path: str, made: Content) -> Response:
    with sandbox.lock:
        attributes.require_unlocked(sandbox, request.label, user, path)
        node, version = sandbox.tree(request.label).put(path, made, user, sandbox.now())
    answer = {"checksum": made.checksum, "group_id": node.id, "entry_id": version.entry_id}
    return json_answer(answer, 200, *_identity(version))


def _identity(version: Version) -> list[tuple[str, str]]:
    return [
        ("ETag", f'"{version.entry_id}"'),
        ("X-Sha512-Checksum", version.content.checksum),
        ("Last-Modified", formatdate(version.modified, usegmt=True)),
    ]


def _folder(path: str, node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "path": path,
        "folder_id": node.id,
        "is_folder": True,
        "lastModified": int(node.modified * 1000),
    }


def _file(path: str, node: Node) -> dict[str, Any]:
    version = node.versions[-1]
    return {
        "name": node.name,
        "path": path,
        "checksum": version.content.checksum,
        "size": version.content.size,
        "entry_id": version.entry_id,
        "group_id": node.id,
        "last_modified": formatdate(version.modified, usegmt=True),
        "uploaded_by": version.uploaded_by,
        "num_versions": len(node.versions),
        "is_folder": False,
    }


def _page(args: dict[str, str], everything: int) -> tuple[int, int]:
    def number(name: str, default: int) -> int:
        text = args.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit():
            raise TreeError(400, f"Bad {name}")
        return int(text)

    return number("offset", 0), number("count", everything)


def _same(claimed: str | None, checksum: str) -> bool:
    return claimed is None or hmac.compare_digest(claimed.lower().encode(), checksum.encode())
