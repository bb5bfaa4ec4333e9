"""Making folders, moving, copying and deleting."""

from __future__ import annotations

from ..messages import Response, json_answer
from ..routing import Call, routes
from ..tree import TreeError
from . import attributes


def act(call: Call) -> Response:
    """`POST` of an `action`."""
    path, action, now = call.parts[0], call.body.get("action"), call.now
    if action == "add_folder":
        call.request.endpoint = "fs:add_folder"
        node = call.tree.add_folder(path, call.user, now)
        return json_answer({"path": path.rstrip("/"), "folder_id": node.id}, 201)
    if action in ("lock", "unlock"):
        return attributes.lock(call)
    destination = call.body.get("destination")
    if action not in ("move", "copy") or not isinstance(destination, str):
        raise TreeError(400, "Unknown action, or no destination")
    call.request.endpoint = f"fs:{action}"
    if not destination.startswith("/"):
        raise TreeError(400, "The destination must be an absolute path")
    attributes.require_unlocked(call, path)
    change = call.tree.move if action == "move" else call.tree.copy
    node = change(path, destination, call.user, now)
    kind = "folder_id" if node.is_folder else "group_id"
    return json_answer({"path": destination, kind: node.id})


def delete(call: Call) -> Response:
    """`DELETE` of a file or folder, or of one version."""
    attributes.require_unlocked(call, call.parts[0])
    call.tree.remove(call.parts[0], call.user, call.args.get("entry_id"))
    return json_answer({})


ROUTES = routes(
    "Egnyte.filesystem",
    ("POST", "/v1/fs/**", "fs", act),
    ("DELETE", "/v1/fs/**", "fs:delete", delete),
)
