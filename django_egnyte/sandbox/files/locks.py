"""Locks on files."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call
from ..tree import Node, TreeError, permit

SHELF = "locks"
SECONDS = 3_600
TAKEN = "The file is locked by another user"


def lock(call: Call, path: str) -> Response:
    """Lock a file, or renew a lock."""
    node = _file(call, path)
    before = held(call, node)
    if before is not None and before["username"] != call.user.username:
        raise TreeError(call.settings.locked_status, TAKEN)
    try:
        seconds = int(call.body.get("lock_timeout") or SECONDS)
    except (TypeError, ValueError):
        raise TreeError(400, "Invalid lock_timeout") from None
    token = str(call.body.get("lock_token") or secrets.token_hex(16))
    until = call.now + seconds
    kept = {"token": token, "until": until, "username": call.user.username}
    call.shelf(SHELF)[node.id] = kept
    # Egnyte answers with the remaining time, which is less than requested.
    return json_answer({"lock_token": token, "timeout": seconds - 1, "path": path})


def unlock(call: Call, path: str) -> Response:
    """Unlock a file. The owner needs no token; with the token, any user may do it."""
    node = _file(call, path)
    kept, token = held(call, node), call.body.get("lock_token")
    owner = kept is not None and kept["username"] == call.user.username
    if kept is None or not ((token is None and owner) or _same(token, kept["token"])):
        raise TreeError(404, "There is no lock with this token")
    del call.shelf(SHELF)[node.id]
    return Response(200)


def held(call: Call, node: Node) -> dict[str, Any] | None:
    """The lock on a file. None without one, or if it has expired."""
    kept = call.shelf(SHELF).get(node.id)
    return kept if kept is not None and call.now < kept["until"] else None


def info(call: Call, node: Node) -> dict[str, Any] | None:
    """The owner of the lock on a file, in the form of `include_locks`."""
    kept = held(call, node)
    owner = call.users.get(kept["username"]) if kept is not None else None
    if owner is None:
        return None
    return {
        "owner_id": owner.id,
        "first_name": owner.first_name,
        "last_name": owner.last_name,
        "email": owner.email,
    }


def require_unlocked(call: Call, path: str) -> None:
    """Raise TreeError if another user has locked the file.

    Egnyte's status is not known: `locked_status` is 403, 409 or 423.
    """
    node = call.tree.find(path)
    kept = held(call, node) if node is not None else None
    if kept is not None and kept["username"] != call.user.username:
        raise TreeError(call.settings.locked_status, TAKEN)


def _file(call: Call, path: str) -> Node:
    permit(path, call.user, write=True)
    node = call.tree.get(path, call.user)
    if node.is_folder:
        raise TreeError(400, "Folders cannot be locked")
    return node


def _same(token: Any, right: str) -> bool:
    return isinstance(token, str) and hmac.compare_digest(token.encode(), right.encode())
