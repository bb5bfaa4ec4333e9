"""`/pubapi/v1/whoami`, `/pubapi/v2/navigate` and the URL of a web session."""

from __future__ import annotations

import secrets

from ..messages import Request, Response, html_answer, json_answer
from ..routing import Call, routes
from ..world import World

ADDRESS = "/sandbox/web-session/"
SHORT = {"Egnyte.filesystem": "fs"}
LIFETIME = 60.0


def whoami(call: Call) -> Response:
    # A token without scopes has all of them.
    names = call.scopes or ("Egnyte.filesystem", *OTHERS)
    answer = {
        "clientId": call.client_id,
        "username": call.user.username,
        "domain": call.request.label,
        "scopes": [SHORT.get(name, name.removeprefix("Egnyte.")) for name in names],
    }
    return json_answer(answer)


def navigate(call: Call) -> Response:
    body = call.body
    path = body.get("path") or "/Shared"
    call.tree.get(path, call.user)
    key = secrets.token_urlsafe(24)
    call.shelf("web_sessions")[key] = {"path": path, "username": call.user.username, "at": call.now}
    return json_answer({"redirect": f"{call.request.prefix}{ADDRESS}{key}"})


def arrive(sandbox: World, request: Request) -> Response:
    """The page at the URL of a web session, which works once."""
    key = request.path.removeprefix(ADDRESS)
    with sandbox.lock:
        kept = sandbox.shelf(request.label, "web_sessions").pop(key, None)
    if kept is None or sandbox.now() - kept["at"] > LIFETIME:
        return Response(404)
    name = kept["username"].encode("ascii", "xmlcharrefreplace").decode()
    return html_answer(f"<!doctype html><title>Egnyte</title><p>Signed in as {name}.")


OTHERS = tuple(
    f"Egnyte.{name}"
    for name in (
        "audit",
        "bookmark",
        "group",
        "launchwebsession",
        "link",
        "permission",
        "salesforce",
        "user",
        "webhooks",
    )
)
ROUTES = [
    *routes("", ("GET", "/v1/whoami", "whoami", whoami)),
    *routes("Egnyte.launchwebsession", ("POST", "/v2/navigate", "navigate", navigate)),
]
