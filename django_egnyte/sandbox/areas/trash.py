"""`/pubapi/v2/fs/trash`: deleted files and folders, for administrators."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, new_id, number, routes
from ..tree import Change, TreeError
from ..world import World

KEPT = 30 * 86_400
AT_ONCE = 10
ORDERS = {
    "date_deleted": "delete_date",
    "name": "name",
    "deleted_by": "deleted_by",
    "purge_date": "purge_date",
    "orig_location": "path",
    "type": "type",
}


def watch(sandbox: World, label: str, change: Change) -> None:
    """Move deleted files and folders to the trash."""
    if change.action != "delete":
        return
    node, now = change.node, int(sandbox.now() * 1000)
    item: dict[str, Any] = {
        "id": new_id(),
        "type": "folder" if node.is_folder else "file",
        "path": change.path,
        "name": node.name,
        "size": node.versions[-1].content.size if node.versions else 0,
        "deleted_by": change.user.username if change.user else "",
        "delete_date": now,
        "purge_date": now + KEPT * 1000,
        "last_modified": int(node.modified * 1000),
        "owner": {},
        "data_retention_info": {},
    }
    sandbox.shelf(label, "trash")[item["id"]] = {"item": item, "node": node}


def listed(call: Call) -> Response:
    args = call.args
    together = [args.get(name) for name in ("deletedBy", "startDate", "endDate")]
    if any(together) and not all(together):
        errors = [{"code": "INVALID_DATE_RANGE", "msg": "deletedBy needs a range of dates"}]
        return json_answer({"errors": errors}, 400)
    items = [kept["item"] for kept in call.shelf("trash").values()]
    if together[0]:
        items = [item for item in items if item["deleted_by"] == together[0]]
    order = args.get("sort_by", "date_deleted")
    if order not in ORDERS:
        raise TreeError(400, "Unknown sort_by")
    down = args.get("sort_direction", "desc" if "sort_by" not in args else "asc") == "desc"
    items.sort(key=lambda item: item[ORDERS[order]], reverse=down)
    offset, count = number(args, "offset", 0, 10**9), number(args, "count", 50, 50)
    page = items[offset : offset + count]
    more = offset + len(page) < len(items)
    return json_answer({"items": page, "has_more": more, "offset": offset, "count": len(page)})


def total(call: Call) -> Response:
    return json_answer({"totalCount": len(call.shelf("trash"))})


def act(call: Call) -> Response:
    body = call.body
    action, ids = body.get("action"), body.get("ids")
    if action not in ("RESTORE", "PURGE"):
        raise TreeError(400, "Unknown action")
    if not isinstance(ids, list) or not 1 <= len(ids) <= AT_ONCE:
        raise TreeError(400, "Between 1 and 10 ids are required")
    failed = []
    for each in ids:
        kept = call.shelf("trash").get(str(each))
        if kept is None:
            failed.append({"id": each, "code": "NOT_FOUND", "descriptions": ["Not in the trash"]})
            continue
        try:
            if action == "RESTORE":
                call.tree.put_back(kept["item"]["path"], kept["node"], call.user, call.now)
        except TreeError as error:
            failed.append({"id": each, "code": "CONFLICT", "descriptions": [error.message]})
        else:
            del call.shelf("trash")[each]
    return json_answer({"resources": failed}, 207) if failed else Response(200)


ROUTES = routes(
    "Egnyte.filesystem",
    ("GET", "/v2/fs/trash", "trash:list", listed),
    ("GET", "/v2/fs/trash/totalcount", "trash:count", total),
    ("POST", "/v1/fs/trash", "trash:act", act),
    admin=True,
)
