"""`/pubapi/v1/audit` and `/pubapi/v2/audit/stream`: reports made from the events."""

from __future__ import annotations

from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, found, iso, new_id, number, required, routes
from ..tree import TreeError

KINDS = ("logins", "files", "permissions", "users", "groups", "workgroup-settings", "workflows")
TAKES = 60.0
"""The seconds until a report is ready."""
WEEK = 7 * 86_400
PART = 5_000


def create(call: Call) -> Response:
    kind, body = call.parts[0], call.body
    if kind not in KINDS:
        raise TreeError(404, "No such report")
    required(body, "format", "date_start", "date_end")
    if body["date_start"] > body["date_end"]:
        errors = [{"code": "INVALID_DATE_RANGE", "msg": "date_start is after date_end"}]
        return json_answer({"errors": errors}, 400)
    if kind == "logins":
        required(body, "events")
    if kind == "files" and not body.get("folders") and not body.get("file"):
        raise TreeError(400, "folders or file is required")
    job_id = new_id()
    call.shelf("reports")[job_id] = {"kind": kind, "ready": call.now + TAKES}
    return json_answer({"id": job_id}, 202)


def job(call: Call) -> Response:
    kept = found(call.shelf("reports"), call.parts[0], "Job")
    if call.now < kept["ready"]:
        return json_answer({"status": "running"})
    where = f"/pubapi/v1/audit/{kept['kind']}/{call.parts[0]}"
    return Response(303, b"", [("Location", where)])


def report(call: Call) -> Response:
    _ready(call)
    lines = [_line(event) for event in call.shelf("events").values()]
    offset, count = number(call.args, "offset", 0, 10**9), number(call.args, "count", 100, 1000)
    page = lines[offset : offset + count]
    return json_answer({"events": page, "totalCount": len(lines)})


def delete(call: Call) -> Response:
    _ready(call)
    del call.shelf("reports")[call.parts[1]]
    return Response(204)


def stream(call: Call) -> Response:
    asked = call.body if call.request.method == "POST" else call.args
    cursor = asked.get("nextCursor")
    if cursor is None:
        if not asked.get("startDate"):
            raise TreeError(400, "startDate or nextCursor is required")
        if asked["startDate"] < iso(call.now - WEEK):
            raise TreeError(400, "startDate is more than 7 days ago")
        position = 0
    elif cursor.startswith("c") and cursor[1:].isdecimal():
        position = int(cursor[1:])
    else:
        raise TreeError(400, "The cursor is not valid any more")
    events = [event for event in call.shelf("events").values() if event["id"] > position]
    page = events[:PART]
    following = f"c{page[-1]['id'] if page else position}"
    answer: dict[str, Any] = {"events": [_line(event) for event in page], "nextCursor": following}
    return json_answer({**answer, "moreEvents": len(events) > len(page)})


def _ready(call: Call) -> None:
    kind, job_id = call.parts
    kept = found(call.shelf("reports"), job_id, "Report")
    if kept["kind"] != kind or call.now < kept["ready"]:
        raise TreeError(404, "Report not found")


def _line(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": event["timestamp"],
        "user": event["actor"],
        "action": event["action"],
        "target": event["data"].get("target_path"),
    }


ROUTES = routes(
    "Egnyte.audit",
    ("GET", "/v2/audit/stream", "audit:stream", stream),
    ("POST", "/v2/audit/stream", "audit:stream", stream),
    ("GET", "/v1/audit/jobs/*", "audit:job", job),
    ("POST", "/v1/audit/*", "audit:create", create),
    ("GET", "/v1/audit/*/*", "audit:report", report),
    ("DELETE", "/v1/audit/*/*", "audit:delete", delete),
    admin=True,
)
