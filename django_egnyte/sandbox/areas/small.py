"""Areas with one call each: `/pubapi/v1/insights/files` and `/pubapi/v1/sfdc/foldermap`."""

from __future__ import annotations

from ..messages import Response, json_answer
from ..routing import Call, entries, found, routes
from ..tree import TreeError, may

MOST = 10


def recent(call: Call) -> Response:
    folder = call.args.get("folder_path", "").rstrip("/").casefold()
    files = [
        (path, node)
        for path, node in entries(call.tree, call.user)
        if not node.is_folder and path.casefold().startswith(f"{folder}/")
    ]
    files.sort(key=lambda each: -each[1].modified)
    shown = [
        {
            "name": node.name,
            "path": path,
            "size": node.versions[-1].content.size,
            "entry_id": node.versions[-1].entry_id,
            "group_id": node.id,
            "uploaded_by": node.versions[-1].uploaded_by,
            "num_versions": len(node.versions),
            "last_modified": int(node.modified * 1000),
            "last_accessed": int(node.modified * 1000),
            "recommendation_type": "recent",
        }
        for path, node in files[:MOST]
    ]
    return json_answer({"recentFiles": shown})


def folder(call: Call) -> Response:
    if len(call.parts[0]) != 18:
        raise TreeError(400, "The id of a record has 18 characters")
    mapped = found(call.shelf("salesforce"), call.parts[0], "Record")
    if not may(mapped["path"], call.user):
        raise TreeError(404, "Record not found")
    node = call.tree.get(mapped["path"], call.user)
    return json_answer({"path": mapped["path"], "folder_id": node.id})


ROUTES = [
    *routes("Egnyte.filesystem", ("GET", "/v1/insights/files", "insights", recent)),
    *routes("Egnyte.salesforce", ("GET", "/v1/sfdc/foldermap/*", "salesforce", folder)),
]
