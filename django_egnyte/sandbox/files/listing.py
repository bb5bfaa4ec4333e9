"""Describing files and folders, and listing what is in a folder."""

from __future__ import annotations

from ..messages import Response, json_answer
from ..routing import Call, number, routes
from ..tree import may
from .attributes import described
from .records import file_record, folder_record

LARGEST = 10**9


def describe(call: Call) -> Response:
    """A file, or a folder with a page of what is in it."""
    path = call.parts[0]
    node = call.tree.get(path, call.user)
    shown = path.rstrip("/") or "/"
    if not node.is_folder:
        return json_answer(file_record(shown, node) | described(call, node))
    answer = folder_record(shown, node) | described(call, node)
    if call.args.get("list_content", "true").lower() != "false":
        base = "" if shown == "/" else shown
        children = sorted(
            (c for c in node.children.values() if may(f"{base}/{c.name}", call.user)),
            key=lambda c: (not c.is_folder, c.name.casefold()),
        )
        offset = number(call.args, "offset", 0, LARGEST)
        count = number(call.args, "count", len(children), LARGEST)
        page = children[offset : offset + count]
        answer |= {
            "count": len(page),
            "offset": offset,
            "total_count": len(children),
            "folders": [folder_record(f"{base}/{c.name}", c) for c in page if c.is_folder],
            "files": [file_record(f"{base}/{c.name}", c) for c in page if not c.is_folder],
        }
    return json_answer(answer)


ROUTES = routes("Egnyte.filesystem", ("GET", "/v1/fs/**", "fs:list", describe))
