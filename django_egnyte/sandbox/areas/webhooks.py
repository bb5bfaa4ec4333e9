"""`/pubapi/v1/webhooks`, and the notifications to send."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ..messages import Response, json_answer
from ..routing import Call, found, new_id, required, routes
from ..state import User
from ..world import World

MOST = 10
"""The most webhooks of a key at a domain. Egnyte's limit is not known."""
LIFETIME = 30 * 86_400
TYPES = {
    ("file_system", "create", False): "fs:add_file",
    ("file_system", "create", True): "fs:add_folder",
    ("file_system", "move", False): "fs:move_file",
    ("file_system", "move", True): "fs:move_folder",
    ("file_system", "copy", False): "fs:copy_file",
    ("file_system", "copy", True): "fs:copy_folder",
    ("file_system", "delete", False): "fs:delete_file",
    ("file_system", "delete", True): "fs:delete_folder",
    ("file_system", "restore", False): "fs:restore_from_trash",
    ("file_system", "restore", True): "fs:restore_from_trash",
    ("note", "create", False): "comment:set_comment",
    ("permission_change", "change", False): "permission:permission_change",
}


def register(call: Call) -> Response:
    body = call.body
    required(body, "url")
    address = urlsplit(str(body["url"]))
    if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost"):
        return json_answer({"code": "INVALID_URL", "message": "The url must be https"}, 400)
    shelf = call.shelf("webhooks")
    if sum(each["client_id"] == call.client_id for each in shelf.values()) >= MOST:
        return json_answer({"code": "QUOTA_EXCEEDED", "message": "Too many webhooks"}, 409)
    webhook_id = new_id()
    shelf[webhook_id] = {
        "webhookId": webhook_id,
        "url": body["url"],
        "eventType": body.get("eventType") or [],
        "path": body.get("path") or "",
        "expires": int(call.now) + LIFETIME,
        "status": "enabled",
        "client_id": call.client_id,
        "authHeader": body.get("authHeader"),
        "authHeaderValue": body.get("authHeaderValue"),
    }
    return json_answer(_shown(shelf[webhook_id]), 201)


def listed(call: Call) -> Response:
    mine = [each for each in call.shelf("webhooks").values() if each["client_id"] == call.client_id]
    return json_answer([_shown(each) for each in mine])


def details(call: Call) -> Response:
    return json_answer(_shown(_one(call)))


def status(call: Call) -> Response:
    webhook = _one(call)
    if call.request.method == "POST":
        wanted = call.body.get("status")
        if wanted not in ("enabled", "disabled"):
            return json_answer({"code": "INVALID_STATUS", "message": "Unknown status"}, 400)
        webhook["status"] = wanted
    return json_answer({"status": webhook["status"]})


def update(call: Call) -> Response:
    webhook, body = _one(call), call.body
    required(body, "url")
    webhook |= {n: body[n] for n in ("url", "eventType", "path", "status") if n in body}
    return json_answer(_shown(webhook))


def delete(call: Call) -> Response:
    del call.shelf("webhooks")[_one(call)["webhookId"]]
    return Response(204)


def notify(
    sandbox: World, label: str, user: User | None, kind: str, action: str, data: dict[str, Any]
) -> None:
    """Store a notification for `Sandbox.notifications`, for each webhook that subscribes to it."""
    event_type = TYPES.get((kind, action, bool(data.get("is_folder"))))
    if event_type is None:
        return
    for webhook in sandbox.shelf(label, "webhooks").values():
        wanted, paths = webhook["eventType"], [p for p in webhook["path"].split(",") if p]
        prefix = event_type.partition(":")[0] + ":*"
        if wanted and event_type not in wanted and prefix not in wanted:
            continue
        if paths and not any(str(data.get("target_path", "")).startswith(path) for path in paths):
            continue
        if webhook["status"] == "enabled":
            sandbox.shelf(label, "notifications")[new_id()] = {
                "webhook": webhook["webhookId"],
                "url": webhook["url"],
                "headers": {webhook["authHeader"]: webhook["authHeaderValue"]}
                if webhook["authHeader"]
                else {},
                "event": _event(sandbox, label, user, webhook["webhookId"], event_type, data),
            }


def _event(
    sandbox: World,
    label: str,
    user: User | None,
    webhook_id: str,
    event_type: str,
    data: dict[str, Any],
) -> dict[str, Any]:
    who = {"id": user.id, "username": user.username, "email": user.email} if user else {}
    return {
        "eventId": new_id(),
        "domain": label,
        "timestamp": int(sandbox.now() * 1000),
        "user": who,
        "actionSource": "PublicAPI",
        "eventType": event_type,
        "webhookId": webhook_id,
        "customProperties": {},
        "data": data,
    }


def _one(call: Call) -> dict[str, Any]:
    return found(call.shelf("webhooks"), call.parts[0], "Webhook")


def _shown(webhook: dict[str, Any]) -> dict[str, Any]:
    hidden = ("client_id", "authHeader", "authHeaderValue")
    return {name: value for name, value in webhook.items() if name not in hidden}


ROUTES = routes(
    "Egnyte.webhooks",
    ("POST", "/v1/webhooks", "webhooks:register", register),
    ("GET", "/v1/webhooks", "webhooks:list", listed),
    ("GET", "/v1/webhooks/*/details", "webhooks:get", details),
    ("GET", "/v1/webhooks/*/status", "webhooks:status", status),
    ("POST", "/v1/webhooks/*/status", "webhooks:status", status),
    ("PUT", "/v1/webhooks/*", "webhooks:update", update),
    ("DELETE", "/v1/webhooks/*", "webhooks:delete", delete),
    admin=True,
)
