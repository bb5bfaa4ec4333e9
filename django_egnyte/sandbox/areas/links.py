"""`/pubapi/v1/links` and `/pubapi/v2/links`."""

from __future__ import annotations

import re
import secrets
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, iso, number, routes

KINDS = ("file", "folder", "upload")
ACCESSIBILITIES = ("anyone", "password", "domain", "recipients")
LISTED = ("path", "type", "accessibility")


def create(call: Call) -> Response:
    body = call.body
    if (refusal := _refusal(body)) is not None:
        return refusal
    node = call.tree.get(body["path"], call.user)
    if node.is_folder == (body["type"] == "file"):
        return _invalid("type does not match the file or folder at the path")
    shared: dict[str, Any] = {
        "path": body["path"],
        "type": body["type"],
        "accessibility": body["accessibility"],
        "notify": bool(body.get("notify")),
        "link_to_current": bool(body.get("link_to_current")),
        "creation_date": iso(call.now)[:10],
        "created_by": call.user.username,
    }
    shared |= {n: body[n] for n in ("expiry_date", "expiry_clicks", "protection") if body.get(n)}
    made = []
    for recipients in [[each] for each in body.get("recipients") or []] or [[]]:
        link_id = secrets.token_urlsafe(8)
        url = f"https://{call.label}.egnyte.com/dl/{link_id}"
        made.append({"id": link_id, "url": url, "recipients": recipients})
        call.shelf("links")[link_id] = {**shared, **made[-1], "resource_id": node.id}
    if body["accessibility"] == "password":
        shared["password"] = body.get("password") or secrets.token_urlsafe(6)
    return json_answer({"links": made, **shared})


def _refusal(body: dict[str, Any]) -> Response | None:
    """Egnyte's message about an invalid link, or None."""
    if missing := [name for name in ("path", "type", "accessibility") if not body.get(name)]:
        errors = {name: [{"code": "MISSING_REQUIRED_FIELD", "msg": "Required"}] for name in missing}
        return json_answer({"inputErrors": errors}, 400)
    if body["type"] not in KINDS or body["accessibility"] not in ACCESSIBILITIES:
        return _invalid("type or accessibility is not known")
    date, clicks = body.get("expiry_date"), body.get("expiry_clicks")
    if date is not None and clicks is not None:
        return _invalid("expiry_date and expiry_clicks cannot be used together")
    if date is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", str(date)):
        return _invalid("expiry_date is not a date")
    if clicks is not None and clicks not in range(1, 11):
        return _invalid("expiry_clicks must be between 1 and 10")
    return None


def ids(call: Call) -> Response:
    listed = _listed(call)
    offset, count = _page(call)
    page = [link["id"] for link in listed[offset : offset + count]]
    answer = {"ids": page, "offset": offset, "count": len(page), "total_count": len(listed)}
    return json_answer(answer)


def links(call: Call) -> Response:
    offset, count = _page(call)
    page = _listed(call)[offset : offset + count]
    return json_answer({"links": page, "count": len(page)})


def get(call: Call) -> Response:
    link = call.shelf("links").get(call.parts[0])
    if link is None or not _mine(call, link):
        return _missing()
    return json_answer(link)


def delete(call: Call) -> Response:
    link = call.shelf("links").get(call.parts[0])
    if link is None or not _mine(call, link):
        return _missing()
    del call.shelf("links")[call.parts[0]]
    return Response(200)


def _listed(call: Call) -> list[dict[str, Any]]:
    args = call.args
    wanted = {name: args[name] for name in LISTED if args.get(name)}
    if args.get("username"):
        wanted["created_by"] = args["username"]
    before, after = args.get("created_before", "9999"), args.get("created_after", "")
    return [
        link
        for link in call.shelf("links").values()
        if _mine(call, link)
        and all(link[name] == value for name, value in wanted.items())
        and after[:10] <= link["creation_date"] <= before[:10]
    ]


def _page(call: Call) -> tuple[int, int]:
    return number(call.args, "offset", 0, 10**9), number(call.args, "count", 500, 500)


def _mine(call: Call, link: dict[str, Any]) -> bool:
    return call.user.admin or link["created_by"] == call.user.username


def _invalid(message: str) -> Response:
    return json_answer({"formErrors": [{"code": "INVALID_VALUE", "msg": message}]}, 400)


def _missing() -> Response:
    error = {"description": "Link not found", "code": "NOT_FOUND"}
    return json_answer({"Errors": [error]}, 404)


ROUTES = routes(
    "Egnyte.link",
    ("POST", "/v1/links", "links:create", create),
    ("POST", "/v2/links", "links:create", create),
    ("GET", "/v1/links", "links:list", ids),
    ("GET", "/v2/links", "links:list", links),
    ("GET", "/v1/links/*", "links:get", get),
    ("DELETE", "/v1/links/*", "links:delete", delete),
)
