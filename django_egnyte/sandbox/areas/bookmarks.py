"""`/pubapi/v1/bookmarks`: each user has their own."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, by_id, found, iso, new_id, number, routes
from ..tree import TreeError


def create(call: Call) -> Response:
    body = call.body
    if body.get("folder_id"):
        path, node = by_id(call, body["folder_id"], folder=True)
    elif body.get("path"):
        path, node = body["path"], call.tree.get(body["path"], call.user)
    else:
        raise TreeError(400, "path or folder_id is required")
    if not node.is_folder:
        raise TreeError(400, "Bookmarks are for folders")
    bookmark = {
        "id": new_id(),
        "path": path,
        "folder_id": node.id,
        "creation_date": iso(call.now),
        "owner": call.user.username,
    }
    call.shelf("bookmarks")[bookmark["id"]] = bookmark
    return json_answer(_shown(bookmark), 201)


def listed(call: Call) -> Response:
    mine = [b for b in call.shelf("bookmarks").values() if b["owner"] == call.user.username]
    offset, count = number(call.args, "offset", 0, 10**9), number(call.args, "count", 100, 100)
    page = [_shown(bookmark) for bookmark in mine[offset : offset + count]]
    return json_answer({"bookmarks": page, "offset": offset, "count": len(page)})


def get(call: Call) -> Response:
    return json_answer(_shown(_mine(call)))


def delete(call: Call) -> Response:
    del call.shelf("bookmarks")[_mine(call)["id"]]
    return Response(200)


def _mine(call: Call) -> dict[str, Any]:
    bookmark = found(call.shelf("bookmarks"), call.parts[0], "Bookmark")
    if bookmark["owner"] != call.user.username:
        raise TreeError(404, "Bookmark not found")
    return bookmark


def _shown(bookmark: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in bookmark.items() if name != "owner"}


ROUTES = routes(
    "Egnyte.bookmark",
    ("POST", "/v1/bookmarks", "bookmarks:create", create),
    ("GET", "/v1/bookmarks", "bookmarks:list", listed),
    ("GET", "/v1/bookmarks/*", "bookmarks:get", get),
    ("DELETE", "/v1/bookmarks/*", "bookmarks:delete", delete),
)
