"""`/pubapi/v2/perms` and `/pubapi/v1/perms`: stores and shows levels, but does not enforce them."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, by_id, routes
from ..tree import TreeError, segments
from . import events

LEVELS = ("None", "Nav", "Viewer Only", "Viewer", "Editor", "Full", "Owner")


def get(call: Call) -> Response:
    return json_answer(_kept(call, _folder(call, call.parts[0])))


def change(call: Call) -> Response:
    path, body = _folder(call, call.parts[0]), call.body
    if not call.user.admin:
        raise TreeError(403, "Only an owner may change permissions")
    levels = [
        level for name in ("userPerms", "groupPerms") for level in body.get(name, {}).values()
    ]
    if any(level not in LEVELS for level in levels):
        return json_answer({"formErrors": [{"code": "INVALID", "msg": "Unknown permission"}]}, 400)
    if "keepParentPermissions" in body and body.get("inheritsPermissions") is not False:
        return json_answer({"formErrors": [{"code": "INVALID", "msg": "Still inherits"}]}, 400)
    kept = _kept(call, path)
    for name in ("userPerms", "groupPerms"):
        merged = {**kept[name], **body.get(name, {})}
        kept[name] = {who: level for who, level in merged.items() if level != "None"}
    if "inheritsPermissions" in body:
        kept["inheritsPermissions"] = bool(body["inheritsPermissions"])
    call.shelf("permissions")[path.casefold()] = kept
    data = {"target_path": path, "is_folder": False}
    events.note(call.sandbox, call.request.label, call.user, "permission_change", "change", data)
    return Response(200)


def get_v1(call: Call) -> Response:
    """The older form: lists of the requested subjects."""
    kept = _kept(call, _folder(call, call.parts[0]))
    answer = {}
    for name, levels in (("users", kept["userPerms"]), ("groups", kept["groupPerms"])):
        asked = call.args[name].split("|") if call.args.get(name) else list(levels)
        answer[name] = [
            {"subject": who, "permission": level} for who, level in levels.items() if who in asked
        ]
    return json_answer(answer)


def change_v1(call: Call) -> Response:
    """The older form: one level for several subjects. Unknown names are ignored."""
    level = call.body.get("permission")
    names = {"userPerms": call.body.get("users"), "groupPerms": call.body.get("groups")}
    call.body = {name: dict.fromkeys(whom or [], level) for name, whom in names.items()}
    return change(call)


def effective(call: Call) -> Response:
    named = call.args.get("folder", "")
    if "folder_id" in call.args:
        named, _ = by_id(call, call.args["folder_id"], folder=True)
    path = _folder(call, named)
    name = call.parts[0] if call.parts else call.user.username
    user = call.users.get(name)
    if user is None:
        raise TreeError(404, "User not found")
    if user.admin:
        return json_answer({"permission": "Owner"})
    names = segments(path)
    for depth in range(len(names), 0, -1):
        kept = call.shelf("permissions").get("/" + "/".join(names[:depth]).casefold(), {})
        if name in kept.get("userPerms", {}):
            return json_answer({"permission": kept["userPerms"][name]})
        if kept.get("inheritsPermissions") is False:
            return json_answer({"permission": "None"})
    # The level that every user of the sandbox has below /Shared.
    return json_answer({"permission": "Full"})


def _folder(call: Call, path: str) -> str:
    if not segments(path) or segments(path)[0].casefold() != "shared":
        raise TreeError(400, "Permissions exist below /Shared only")
    if not call.tree.get(path, call.user).is_folder:
        raise TreeError(400, "Not a folder")
    return "/" + "/".join(segments(path))


def _kept(call: Call, path: str) -> dict[str, Any]:
    kept = call.shelf("permissions").get(path.casefold(), {})
    return {"userPerms": {}, "groupPerms": {}, "inheritsPermissions": True, **kept}


ROUTES = routes(
    "Egnyte.permission",
    ("GET", "/v2/perms/**", "perms:get", get),
    ("POST", "/v2/perms/**", "perms:set", change),
    ("GET", "/v1/perms/folder/**", "perms:get", get_v1),
    ("POST", "/v1/perms/folder/**", "perms:set", change_v1),
    ("GET", "/v1/perms/user", "perms:effective", effective),
    ("GET", "/v1/perms/user/*", "perms:effective", effective),
)
