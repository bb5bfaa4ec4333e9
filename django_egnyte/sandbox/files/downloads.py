"""Downloads, whole and in part."""

from __future__ import annotations

import re

from ..messages import Response
from ..refusals import failure
from ..routing import Call, routes
from .records import identity

RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def download(call: Call) -> Response:
    """The bytes of a version, the newest if none is named, or a range of them."""
    with call.sandbox.lock:
        node = call.tree.get(call.parts[0], call.user)
        if node.is_folder:
            return failure(400, "This is a folder")
        entry_id = call.args.get("entry_id")
        versions = [v for v in node.versions if entry_id in (None, v.entry_id)]
    if not versions:
        return failure(404, "Version not found")
    version = versions[-1]
    made = version.content
    headers = [*identity(version), ("Content-Type", "application/octet-stream")]
    start, stop, status = 0, made.size, 200
    if asked := RANGE.match(call.request.headers.get("range", "")):
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


ROUTES = routes(
    "Egnyte.filesystem",
    ("GET", "/v1/fs-content/**", "fs-content:download", download),
    ("HEAD", "/v1/fs-content/**", "fs-content:download", download),
    streams=True,
)
