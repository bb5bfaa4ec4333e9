"""What files and folders have beside content: versions, locks, and the options of folders."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, routes
from ..tree import Node, TreeError, Version, permit
from .records import version_record

OPTIONS = (
    "folder_description",
    "public_links",
    "allow_links",
    "allow_upload_links",
    "restrict_move_delete",
    "move_delete_folder_restriction",
    "inheritance_rule",
    "email_preferences",
)
LOCK_SECONDS = 3_600
LONGEST_DESCRIPTION = 200


def described(call: Call, node: Node) -> dict[str, Any]:
    """What a description of a node says besides."""
    if node.is_folder:
        return dict(call.shelf("options").get(node.id, {}))
    held = _held(call, node)
    more: dict[str, Any] = {"locked": held is not None}
    if held is not None and call.args.get("include_locks") == "true":
        owner = call.users.get(held["username"])
        if owner is not None:
            more["lock_info"] = {
                "owner_id": owner.id,
                "first_name": owner.first_name,
                "last_name": owner.last_name,
                "email": owner.email,
            }
    if len(node.versions) > 1 and call.args.get("list_content", "true").lower() != "false":
        # The newest is not among them.
        older: list[Version] = node.versions[:-1]
        more["versions"] = [version_record(version) for version in reversed(older)]
    return more


def lock(call: Call) -> Response:
    """Lock or unlock a file."""
    path, body, locks = call.parts[0], call.body, call.shelf("locks")
    call.request.endpoint = f"fs:{body['action']}"
    permit(path, call.user, write=True)
    node = call.tree.get(path, call.user)
    if node.is_folder:
        raise TreeError(400, "Folders cannot be locked")
    held, token = _held(call, node), body.get("lock_token")
    if body["action"] == "unlock":
        owner = held is not None and held["username"] == call.user.username
        if held is None or not ((token is None and owner) or _same(token, held["token"])):
            raise TreeError(404, "No lock with this token")
        del locks[node.id]
        return Response(200)
    if held is not None and held["username"] != call.user.username:
        raise TreeError(403, "The file is locked by another user")
    seconds = int(body.get("lock_timeout") or LOCK_SECONDS)
    token = token or secrets.token_hex(16)
    until = call.now + seconds
    locks[node.id] = {"token": token, "until": until, "username": call.user.username}
    return json_answer({"lock_token": token, "timeout": seconds - 1, "path": path})


def require_unlocked(call: Call, path: str) -> None:
    """Raise TreeError for a file that another user has locked.

    Which status Egnyte answers is not known: 403, 409 and 423 are thinkable.
    """
    node = call.tree.find(path)
    held = _held(call, node) if node is not None else None
    if held is not None and held["username"] != call.user.username:
        raise TreeError(423, "The file is locked by another user")


def change(call: Call) -> Response:
    """Change the options of a folder."""
    path, body = call.parts[0], call.body
    permit(path, call.user, write=True)
    node = call.tree.get(path, call.user)
    if not node.is_folder:
        raise TreeError(400, "Only folders have options")
    if unknown := body.keys() - set(OPTIONS):
        raise TreeError(400, f"Unknown option: {min(unknown)}")
    if len(str(body.get("folder_description", ""))) > LONGEST_DESCRIPTION:
        raise TreeError(400, "The description is too long")
    kept = call.shelf("options").setdefault(node.id, {})
    kept.update(body)
    return json_answer({"path": path, **kept})


def _held(call: Call, node: Node) -> dict[str, Any] | None:
    held = call.shelf("locks").get(node.id)
    return held if held is not None and call.now < held["until"] else None


def _same(token: Any, right: str) -> bool:
    return isinstance(token, str) and hmac.compare_digest(token.encode(), right.encode())


ROUTES = routes("Egnyte.filesystem", ("PATCH", "/v1/fs/**", "fs:options", change))
