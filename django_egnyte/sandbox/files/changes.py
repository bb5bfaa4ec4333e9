"""Create folders, and move, copy and delete."""

from __future__ import annotations

from collections.abc import Callable

from ..messages import Response, json_answer
from ..routing import Call, routes
from ..tree import Node, TreeError, plain, segments
from . import locks
from .places import by_file_id, by_folder_id, by_path, require_writable

PERMISSIONS = ("keep_original", "inherit_from_parent")


def act(call: Call, path: str) -> Response:
    """`POST` of an `action`. Unknown fields are refused, as Egnyte's servers do."""
    action = call.body.get("action")
    if not isinstance(action, str) or action not in ACTIONS:
        raise TreeError(400, "Unknown action")
    call.request.endpoint = f"fs:{action}"
    handler, known = ACTIONS[action]
    if unknown := call.body.keys() - {"action", *known}:
        raise TreeError(400, f"Unrecognized field: {min(unknown)}")
    return handler(call, path)


def add_folder(call: Call, path: str) -> Response:
    """Create a folder and its parent folders.

    Directly below the root, the answer is always a 409, as the live tests of Egnyte's JavaScript
    SDK assert. Elsewhere, an existing folder is a 403 in the Python SDK and a 409 in newer pages.
    """
    if len(segments(path)) < 2:
        raise TreeError(409, "A folder cannot be added at this location")
    require_writable(call, path)
    if call.tree.find(path) is not None:
        # The Python SDK recognises this error by its message.
        raise TreeError(
            call.settings.existing_folder_status, "Folder already exists at this location"
        )
    node = call.tree.add_folder(path, call.user, call.now)
    return json_answer({"path": path, "folder_id": node.id}, 201)


def move(call: Call, path: str) -> Response:
    """Move or rename. Another user's lock prevents that."""
    locks.require_unlocked(call, path)
    return _transfer(call, path, call.tree.move)


def copy(call: Call, path: str) -> Response:
    """Copy a file, or a folder with its content."""
    return _transfer(call, path, call.tree.copy)


def delete(call: Call, path: str) -> Response:
    """`DELETE` of a file or folder, or of one version by its `entry_id`."""
    node = call.tree.get(path, call.user)
    locks.require_unlocked(call, path)
    if node.children and not call.settings.deletes_full_folders:
        raise TreeError(403, "The folder is not empty")
    call.tree.remove(path, call.user, call.args.get("entry_id"))
    return Response(204) if call.settings.statuses == "mocks" else json_answer({})


def _transfer(call: Call, path: str, change: Callable[..., Node]) -> Response:
    destination = call.body.get("destination")
    if not isinstance(destination, str) or not destination.startswith("/"):
        raise TreeError(400, "The destination must be an absolute path")
    mode = call.body.get("permissions", PERMISSIONS[0])
    if (mode.get("mode") if isinstance(mode, dict) else mode) not in PERMISSIONS:
        raise TreeError(400, "Unknown permissions")
    destination = plain(destination)
    require_writable(call, destination)
    node = call.tree.get(path, call.user)
    taken = call.tree.find(destination)
    if taken is not None:
        status = call.settings.taken_destination_status
        if status != 200 or not (node.is_folder and taken.is_folder):
            status = 409 if status == 200 else status
            raise TreeError(status, "File or folder already exists at the destination")
    made = change(path, destination, call.user, call.now)
    return json_answer(
        {"path": destination, "folder_id" if made.is_folder else "group_id": made.id}
    )


ACTIONS: dict[str, tuple[Callable[[Call, str], Response], tuple[str, ...]]] = {
    "add_folder": (add_folder, ()),
    "copy": (copy, ("destination", "permissions")),
    "lock": (locks.lock, ("lock_token", "lock_timeout")),
    "move": (move, ("destination", "permissions")),
    "unlock": (locks.unlock, ("lock_token",)),
}
SCOPE = "Egnyte.filesystem"
BY_ID = routes(
    SCOPE,
    ("POST", "/v1/fs/ids/file/*", "fs", by_file_id(act)),
    ("POST", "/v1/fs/ids/folder/*", "fs", by_folder_id(act)),
    ("DELETE", "/v1/fs/ids/file/*", "fs:delete", by_file_id(delete)),
    ("DELETE", "/v1/fs/ids/folder/*", "fs:delete", by_folder_id(delete)),
)
BY_PATH = routes(
    SCOPE,
    ("POST", "/v1/fs/**", "fs", by_path(act)),
    ("DELETE", "/v1/fs/**", "fs:delete", by_path(delete)),
)
