"""`/pubapi/v1/notes`: comments on files."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, entries, found, iso, new_id, number, required, routes
from ..tree import TreeError
from . import events


def add(call: Call) -> Response:
    body = call.body
    required(body, "path", "body")
    node = call.tree.get(body["path"], call.user)
    if node.is_folder:
        raise TreeError(400, "Comments are for files")
    user = call.user
    note = {
        "id": new_id(),
        "message": body["body"],
        "username": user.username,
        "formatted_name": f"{user.first_name} {user.last_name}".strip(),
        "can_delete": True,
        "creation_time": iso(call.now),
        "file_path": body["path"],
        "group_id": node.id,
    }
    call.shelf("notes")[note["id"]] = note
    data = {"target_path": body["path"], "target_group_id": node.id, "note_id": note["id"]}
    events.note(call.sandbox, call.request.label, user, "note", "create", data)
    return json_answer(note, 201)


def listed(call: Call) -> Response:
    args = call.args
    file, folder = args.get("file"), args.get("folder")
    if not (file or folder) and not call.user.admin:
        raise TreeError(403, "Only administrators may list all comments")
    for path in filter(None, (file, folder)):
        call.tree.get(path, call.user)
    notes = [
        note
        for note in _all(call)
        if (not file or note["file_path"].casefold() == file.casefold())
        and (not folder or note["file_path"].casefold().startswith(f"{folder.casefold()}/"))
    ]
    offset, count = number(args, "offset", 0, 10**9), number(args, "count", 25, 100)
    page = notes[offset : offset + count]
    answer = {"notes": page, "total_results": len(notes), "count": len(page), "offset": offset}
    return json_answer(answer)


def get(call: Call) -> Response:
    return json_answer(_one(call))


def delete(call: Call) -> Response:
    note = _one(call)
    if not note["can_delete"]:
        raise TreeError(403, "You may not delete this comment")
    del call.shelf("notes")[note["id"]]
    return Response(200)


def _all(call: Call) -> list[dict[str, Any]]:
    """The comments on files that exist and that the user may see, with their current paths."""
    places = {node.id: path for path, node in entries(call.tree, call.user)}
    return [
        note
        | {
            "file_path": places[note["group_id"]],
            "can_delete": call.user.admin or note["username"] == call.user.username,
        }
        for note in call.shelf("notes").values()
        if note["group_id"] in places
    ]


def _one(call: Call) -> dict[str, Any]:
    return found({note["id"]: note for note in _all(call)}, call.parts[0], "Note")


ROUTES = routes(
    "Egnyte.filesystem",
    ("POST", "/v1/notes", "notes:add", add),
    ("GET", "/v1/notes", "notes:list", listed),
    ("GET", "/v1/notes/*", "notes:get", get),
    ("DELETE", "/v1/notes/*", "notes:delete", delete),
)
