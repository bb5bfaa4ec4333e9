"""`/pubapi/v1/events`. Each change of files and each comment writes an event."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, iso, number, routes
from ..state import User
from ..tree import Change, TreeError, may
from ..world import World
from . import webhooks

FIRST = 1_000


def note(
    sandbox: World, label: str, user: User | None, kind: str, action: str, data: dict[str, Any]
) -> None:
    """Write an event, and notify the webhooks."""
    shelf = sandbox.shelf(label, "events")
    number = FIRST + 1 + sandbox.shelf(label, "last").setdefault("event", {"n": 0})["n"]
    sandbox.shelf(label, "last")["event"]["n"] += 1
    shelf[str(number)] = {
        "id": number,
        "timestamp": iso(sandbox.now()),
        "actor": user.id if user else 0,
        "type": kind,
        "action": action,
        "action_source": "PublicAPI",
        "object_detail": f"https://{label}.egnyte.com/",
        "data": data,
    }
    webhooks.notify(sandbox, label, user, kind, action, data)


def watch(sandbox: World, label: str, change: Change) -> None:
    """Write the event for a change of the files."""
    node = change.node
    data: dict[str, Any] = {
        "target_path": change.path,
        "target_group_id": node.id,
        "is_folder": node.is_folder,
    }
    if node.versions:
        data["target_id"] = node.versions[-1].entry_id
    if change.source is not None:
        data |= {"source_path": change.source, "source_group_id": node.id}
    note(sandbox, label, change.user, "file_system", change.action, data)


def cursor(call: Call) -> Response:
    ids = _ids(call)
    last = FIRST + call.shelf("last").get("event", {"n": 0})["n"]
    answer = {"latest_event_id": last, "oldest_event_id": (ids or [last])[0]}
    return json_answer({**answer, "timestamp": iso(call.now)})


def listed(call: Call) -> Response:
    args, ids = call.args, _ids(call)
    if "id" not in args:
        raise TreeError(400, "Missing required parameter: id")
    after, count = number(args, "id", 0, 10**15), number(args, "count", 50, 100)
    oldest = (ids or [FIRST + 1])[0]
    if after < oldest - 1:
        raise TreeError(404, "The event id is too old")
    kinds = args["type"].split("|") if args.get("type") else None
    folder = args.get("folder", "").rstrip("/").casefold()
    seen = [event for event in call.shelf("events").values() if event["id"] > after]
    shown = [
        event
        for event in seen
        if may(event["data"].get("target_path", "/"), call.user)
        and (kinds is None or event["type"] in kinds)
        and (not folder or event["data"]["target_path"].casefold().startswith(f"{folder}/"))
    ][:count]
    if not shown:
        return Response(204)
    latest = shown[-1]["id"] if len(shown) == count else seen[-1]["id"]
    answer = {"latest_id": latest, "oldest_id": shown[0]["id"], "count": len(shown)}
    return json_answer({**answer, "events": shown})


def forget(sandbox: World, label: str, before: int) -> None:
    """Expire the events before this id. At Egnyte they expire after 30 days."""
    shelf = sandbox.shelf(label, "events")
    for key in [key for key in shelf if int(key) < before]:
        del shelf[key]


def _ids(call: Call) -> list[int]:
    return [event["id"] for event in call.shelf("events").values()]


ROUTES = routes(
    "Egnyte.filesystem",
    ("GET", "/v1/events/cursor", "events:cursor", cursor),
    ("GET", "/v1/events", "events:list", listed),
)
