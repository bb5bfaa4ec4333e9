"""Downloads of files and of byte ranges."""

from __future__ import annotations

import re

from ..messages import Response
from ..refusals import failure
from ..routing import Call, routes
from ..tree import TreeError, Version
from .places import by_file_id, by_path
from .records import identity

RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def download(call: Call, path: str) -> Response:
    """The bytes of a version, by default the newest, or a range of them."""
    made = (version := _version(call, path)).content
    headers = [*identity(version), ("Content-Type", "application/octet-stream")]
    span = _range(call.request.headers.get("range", ""), made.size)
    if span is None:
        return Response(200, made.read(), headers, made.size)
    start, stop = span
    if start >= stop:
        refused = failure(416, "Range not satisfiable")
        refused.headers.append(("Content-Range", f"bytes */{made.size}"))
        return refused
    headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{made.size}"))
    return Response(206, made.read(start, stop), headers, stop - start)


def _version(call: Call, path: str) -> Version:
    entry_id = call.args.get("entry_id")
    with call.sandbox.lock:
        node = call.tree.get(path, call.user)
        if node.is_folder:
            raise TreeError(400, "This is a folder")
        versions = [v for v in node.versions if entry_id in (None, v.entry_id)]
    if not versions:
        raise TreeError(404, "Version not found")
    return versions[-1]


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Start and stop (exclusive) of the requested range. None for the whole file."""
    asked = RANGE.match(text)
    if asked is None or not any(asked.groups()):
        return None
    first, last = asked.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1 if last else size, size)


SCOPE = "Egnyte.filesystem"
BY_ID = routes(
    SCOPE,
    ("GET", "/v1/fs-content/ids/file/*", "fs-content:download", by_file_id(download)),
    ("HEAD", "/v1/fs-content/ids/file/*", "fs-content:download", by_file_id(download)),
    streams=True,
)
BY_PATH = routes(
    SCOPE,
    ("GET", "/v1/fs-content/**", "fs-content:download", by_path(download)),
    ("HEAD", "/v1/fs-content/**", "fs-content:download", by_path(download)),
    streams=True,
)
