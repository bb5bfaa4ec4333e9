"""What files and folders have beside content: versions, locks, and the options of folders."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Protocol

from .messages import Request, Response, json_answer
from .refusals import failure
from .state import Domain, User
from .tree import Node, Tree, TreeError, permit

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


class World(Protocol):
    """What is needed of the sandbox."""

    domains: dict[str, Domain]

    def now(self) -> float: ...
    def tree(self, domain: str) -> Tree: ...
    def shelf(self, domain: str, name: str) -> dict[str, dict[str, Any]]: ...


def described(sandbox: World, request: Request, node: Node) -> dict[str, Any]:
    """What a description of a node says besides."""
    args = request.args
    if node.is_folder:
        return dict(sandbox.shelf(request.label, "options").get(node.id, {}))
    held = _held(sandbox, request.label, node)
    more: dict[str, Any] = {"locked": held is not None}
    if held is not None and args.get("include_locks") == "true":
        owner = sandbox.domains[request.label].users.get(held["username"])
        if owner is not None:
            more["lock_info"] = {
                "owner_id": owner.id,
                "first_name": owner.first_name,
                "last_name": owner.last_name,
                "email": owner.email,
            }
    if len(node.versions) > 1 and args.get("list_content", "true") != "false":
        # The newest is not among them.
        more["versions"] = [_version(version) for version in reversed(node.versions[:-1])]
    return more


def lock(
    sandbox: World, request: Request, user: User, path: str, body: Mapping[str, Any]
) -> Response:
    """Lock or unlock a file."""
    permit(path, user, write=True)
    node = sandbox.tree(request.label).get(path, user)
    if node.is_folder:
        raise TreeError(400, "Folders cannot be locked")
    locks, held = sandbox.shelf(request.label, "locks"), _held(sandbox, request.label, node)
    token = body.get("lock_token")
    if body["action"] == "unlock":
        owner = held is not None and held["username"] == user.username
        if held is None or not ((token is None and owner) or _same(token, held["token"])):
            return failure(404, "No lock with this token")
        del locks[node.id]
        return Response(200)
    if held is not None and held["username"] != user.username:
        return failure(403, "The file is locked by another user")
    seconds = int(body.get("lock_timeout") or LOCK_SECONDS)
    token = token or secrets.token_hex(16)
    locks[node.id] = {
        "token": token,
        "until": sandbox.now() + seconds,
        "username": user.username,
    }
    return json_answer({"lock_token": token, "timeout": seconds - 1, "path": path})


def require_unlocked(sandbox: World, label: str, user: User, path: str) -> None:
    """Raise TreeError for a file that another user has locked.

    Which status Egnyte answers is not known: 403, 409 and 423 are thinkable.
    """
    node = sandbox.tree(label).find(path)
    held = _held(sandbox, label, node) if node is not None else None
    if held is not None and held["username"] != user.username:
        raise TreeError(423, "The file is locked by another user")


def change(
    sandbox: World, request: Request, user: User, path: str, body: Mapping[str, Any]
) -> Response:
    """Change the options of a folder."""
    node = sandbox.tree(request.label).get(path, user)
    if not node.is_folder:
        return failure(400, "Only folders have options")
    if unknown := body.keys() - set(OPTIONS):
        return failure(400, f"Unknown option: {min(unknown)}")
    if len(str(body.get("folder_description", ""))) > LONGEST_DESCRIPTION:
        return failure(400, "The description is too long")
    kept = sandbox.shelf(request.label, "options").setdefault(node.id, {})
    kept.update(body)
    return json_answer({"path": path, **kept})


def _held(sandbox: World, label: str, node: Node) -> dict[str, Any] | None:
    held = sandbox.shelf(label, "locks").get(node.id)
    return held if held is not None and sandbox.now() < held["until"] else None


def _same(token: Any, right: str) -> bool:
    return isinstance(token, str) and hmac.compare_digest(token.encode(), right.encode())


def _version(version: Any) -> dict[str, Any]:
    return {
        "is_folder": False,
        "entry_id": version.entry_id,
        "checksum": version.content.checksum,
        "size": version.content.size,
        "last_modified": formatdate(version.modified, usegmt=True),
        "uploaded": int(version.modified * 1000),
        "uploaded_by": version.uploaded_by,
    }
