"""`/pubapi/v2/users` and `/pubapi/v2/groups`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, found, iso, new_id, number, required, routes
from ..state import User
from ..tree import TreeError

FILTER = re.compile(r'(\w+) (eq|sw|co) "([^"]*)"', re.IGNORECASE)
FLAT = ("email", "role", "language", "externalId", "authType", "userType", "active")
NEEDED = ("userName", "email", "name", "authType", "userType")


def users(call: Call) -> Response:
    return _page(call, [_user(call, user) for user in call.users.values()])


def user(call: Call) -> Response:
    return json_answer(_user(call, _one(call)))


def create_user(call: Call) -> Response:
    body = call.body
    if missing := [name for name in NEEDED if not body.get(name)]:
        errors = {name: [{"code": "MISSING_REQUIRED_FIELD", "msg": "Required"}] for name in missing}
        return json_answer({"inputErrors": errors}, 400)
    taken = {each.username for each in call.users.values()}
    if body["userName"] in taken or any(body["email"] == u.email for u in call.users.values()):
        return _scim_error(409, "userName or email is taken")
    kind = body["userType"]
    made = call.sandbox.add_user(
        call.request.label,
        body["userName"],
        first_name=body["name"].get("givenName", ""),
        last_name=body["name"].get("familyName", ""),
        email=body["email"],
        admin=kind == "admin",
        user_type=kind,
    )
    _more(call, made).update({n: body[n] for n in FLAT if n in body})
    return json_answer(_user(call, made), 201)


def change_user(call: Call) -> Response:
    body, changed = call.body, _one(call)
    unknown = body.keys() - {*FLAT, "givenName", "familyName", "sendInvite"}
    if unknown:
        errors = {name: [{"code": "UNKNOWN_FIELD", "msg": "Unknown"}] for name in sorted(unknown)}
        return json_answer({"inputErrors": errors}, 400)
    changed.first_name = body.get("givenName", changed.first_name)
    changed.last_name = body.get("familyName", changed.last_name)
    changed.email = body.get("email", changed.email)
    if "userType" in body:
        changed.user_type, changed.admin = body["userType"], body["userType"] == "admin"
    _more(call, changed).update({n: body[n] for n in FLAT if n in body})
    return json_answer(_user(call, changed))


def delete_user(call: Call) -> Response:
    call.sandbox.remove_user(call.request.label, _one(call).username)
    return Response(204 if call.settings.statuses == "mocks" else 200)


def groups(call: Call) -> Response:
    shown = [{"id": g["id"], "displayName": g["displayName"]} for g in _groups(call).values()]
    return _page(call, shown)


def group(call: Call) -> Response:
    return json_answer(_one_group(call))


def create_group(call: Call) -> Response:
    body = call.body
    required(body, "displayName")
    if any(each["displayName"] == body["displayName"] for each in _groups(call).values()):
        return _scim_error(409, "A group of this name exists")
    made = {"id": new_id(), "displayName": body["displayName"], "members": _members(call, body)}
    _groups(call)[made["id"]] = made
    return json_answer(made, 201)


def replace_group(call: Call) -> Response:
    body, changed = call.body, _one_group(call)
    required(body, "displayName")
    changed |= {"displayName": body["displayName"], "members": _members(call, body)}
    return json_answer(changed)


def patch_group(call: Call) -> Response:
    body, changed = call.body, _one_group(call)
    for operation in body.get("Operations", []):
        op, path, value = operation.get("op"), operation.get("path"), operation.get("value")
        if path == "displayName" and op == "replace":
            changed["displayName"] = value
            continue
        if path != "members" or op not in ("add", "remove", "replace"):
            return _scim_error(400, "Unknown operation")
        named = _members(call, {"members": value})
        ids = {member["value"] for member in named}
        kept = [] if op == "replace" else [m for m in changed["members"] if m["value"] not in ids]
        changed["members"] = kept if op == "remove" else kept + named
    # The plain form, which Egnyte's servers also accept.
    changed["displayName"] = body.get("displayName", changed["displayName"])
    if "members" in body:
        changed["members"] = _members(call, body)
    return json_answer(changed)


def delete_group(call: Call) -> Response:
    del _groups(call)[_one_group(call)["id"]]
    return Response(200)


def _page(call: Call, items: list[dict[str, Any]]) -> Response:
    args = call.args
    if text := args.get("filter"):
        parsed = FILTER.fullmatch(text)
        if parsed is None:
            return _scim_error(400, "Unknown filter")
        items = [item for item in items if _passes(item, *parsed.groups())]
    start, count = number(args, "startIndex", 1, 10**9), number(args, "count", 100, 100)
    page = items[max(start, 1) - 1 :][:count]
    answer = {"totalResults": len(items), "itemsPerPage": len(page), "startIndex": start}
    return json_answer({**answer, "resources": page})


def _passes(item: Mapping[str, Any], name: str, test: str, value: str) -> bool:
    has = str(item.get(name) or "").casefold()
    value = value.casefold()
    return {"eq": has == value, "sw": has.startswith(value), "co": value in has}[test.lower()]


def _one(call: Call) -> User:
    for each in call.users.values():
        if str(each.id) == call.parts[0]:
            return each
    raise TreeError(404, "User not found")


def _more(call: Call, user: User) -> dict[str, Any]:
    return call.shelf("users").setdefault(str(user.id), {})


def _user(call: Call, user: User) -> dict[str, Any]:
    full = f"{user.first_name} {user.last_name}".strip()
    created = iso(call.sandbox.started)
    shown = {
        "id": user.id,
        "userName": user.username,
        "externalId": None,
        "email": user.email,
        "name": {
            "formatted": full,
            "familyName": user.last_name,
            "givenName": user.first_name,
        },
        "active": True,
        "locked": False,
        "authType": "egnyte",
        "userType": user.user_type,
        "role": None,
        "language": "en",
        "createdDate": created,
        "lastModificationDate": created,
        "deleteOnExpiry": "false",
        "groups": [
            {"displayName": each["displayName"], "value": each["id"]}
            for each in _groups(call).values()
            if any(member["value"] == str(user.id) for member in each["members"])
        ],
    }
    return shown | _more(call, user)


def _groups(call: Call) -> dict[str, dict[str, Any]]:
    return call.shelf("groups")


def _one_group(call: Call) -> dict[str, Any]:
    return found(_groups(call), call.parts[0], "Group")


def _members(call: Call, body: Mapping[str, Any]) -> list[dict[str, str]]:
    names = {str(user.id): user.username for user in call.users.values()}
    # Egnyte's SDKs send members as {"value": id} and as bare ids.
    ids = [str(m["value"] if isinstance(m, dict) else m) for m in body.get("members") or []]
    if unknown := [each for each in ids if each not in names]:
        raise TreeError(400, f"Unknown member: {unknown[0]}")
    return [{"value": each, "display": names[each]} for each in ids]


def _scim_error(status: int, message: str) -> Response:
    return json_answer({"Errors": [{"code": str(status), "description": message}]}, status)


ROUTES = [
    *routes(
        "Egnyte.user",
        ("GET", "/v2/users", "users:list", users),
        # Egnyte's JavaScript SDK finds a user by name here.
        ("GET", "/v2/users/", "users:list", users),
        ("POST", "/v2/users", "users:create", create_user),
        ("GET", "/v2/users/*", "users:get", user),
        ("PATCH", "/v2/users/*", "users:change", change_user),
        ("DELETE", "/v2/users/*", "users:delete", delete_user),
        admin=True,
    ),
    *routes(
        "Egnyte.group",
        ("GET", "/v2/groups", "groups:list", groups),
        ("POST", "/v2/groups", "groups:create", create_group),
        ("GET", "/v2/groups/*", "groups:get", group),
        ("PUT", "/v2/groups/*", "groups:replace", replace_group),
        ("PATCH", "/v2/groups/*", "groups:change", patch_group),
        ("DELETE", "/v2/groups/*", "groups:delete", delete_group),
        admin=True,
    ),
]
