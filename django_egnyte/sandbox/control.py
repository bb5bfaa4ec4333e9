"""`/_sandbox/`: the control API for other processes. Tokens never appear in its answers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, Protocol

from . import authorization, pages
from .messages import Request, Response, json_answer
from .state import Settings, Token, TokenPolicy
from .world import World

PREFIX = "/_sandbox/"
HOST = re.compile(r"(127(\.\d+){3}|\[::1\]|([a-z0-9-]+\.)*localhost|testserver)(:\d+)?$", re.I)


class Controlled(Protocol):
    """The objects that the control API uses: a world, and the server's connection counts."""

    sandbox: World
    connections: Callable[[], dict[str, int]]


def respond(app: Controlled, request: Request) -> Response:
    """A JSON answer to a loopback peer.

    Web pages of other origins cannot call it: the Host must be loopback, and a change needs a JSON
    content type, which a form cannot send.
    """
    request.endpoint = "control"
    if request.path == pages.STYLE_PATH:
        kind = ("Content-Type", "text/css; charset=utf-8")
        return Response(200, pages.STYLE.encode(), [kind, ("Cache-Control", "max-age=300")])
    if not _loopback(request.peer) or not HOST.match(request.host):
        return _error(403, "loopback only")
    handler = HANDLERS.get((request.method, request.path.removeprefix(PREFIX)))
    if handler is None:
        return _error(404, "no such control endpoint")
    if request.method != "GET":
        kind_sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind_sent != "application/json":
            return _error(415, "send application/json")
    body = request.args if request.method == "GET" else request.json()
    try:
        return json_answer(handler(app, body))
    except KeyError as error:
        return _error(404, f"missing or unknown: {error.args[0]}")
    except (TypeError, ValueError, re.error) as error:
        return _error(400, str(error))


def _stats(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    sandbox = app.sandbox
    return {
        "counts": sandbox.counts,
        "live_tokens": len(sandbox.live_tokens()),
        "live_grants": len(sandbox.live_grants()),
        "clock": sandbox.now(),
        **app.connections(),
    }


def _log(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    return {"requests": [asdict(entry) for entry in app.sandbox.requests_log]}


def _tokens(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    tokens = app.sandbox.live_tokens(body.get("domain"))
    return {
        "live": len(tokens),
        "grants": len({token.grant_id for token in tokens}),
        "fingerprints": [token.fingerprint for token in tokens],
        "tokens": [
            {name: getattr(token, name) for name in ("fingerprint", "kind", "grant_id", "username")}
            for token in tokens
        ],
    }


def _token(app: Controlled, body: dict[str, Any]) -> Token:
    token = app.sandbox.grants.find_fingerprint(str(body["fingerprint"]))
    if token is None:
        raise KeyError("fingerprint")
    return token


def _alive(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    token = app.sandbox.grants.find_fingerprint(str(body["fingerprint"]))
    return {"alive": token is not None and app.sandbox.is_alive(token.value)}


def _revoke(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.revoke(_token(app, body).value)
    return {}


def _expire(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.expire_token(_token(app, body).value)
    return {}


def _password(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    killed = app.sandbox.set_password(body["domain"], body["username"], body["password"])
    return {"killed": killed}


def _add_fault(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": app.sandbox.faults.add(**body)}


def _faults(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    rules = app.sandbox.faults.rules
    return {"faults": [{"id": r.id, "path": r.path, "hits": r.hits} for r in rules]}


def _clear_faults(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.faults.clear()
    return {}


def _clock(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.advance(float(body["advance"]))
    return {"now": app.sandbox.now()}


def _suspend(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.suspend_key(body["client_id"])
    return {}


def _resume(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.resume_key(body["client_id"])
    return {}


def _authorize(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    url, domain = body["url"], body.get("domain")
    try:
        _, _, args = authorization.target(app.sandbox, url, domain)
    except authorization.AuthorizationError as error:
        raise ValueError(error.message) from None
    if args.get("response_type") == "token":
        raise ValueError("an implicit answer would show a token here")
    allow = body.get("allow", True) is not False
    sandbox, username = app.sandbox, body["username"]
    location = authorization.location(sandbox, url, username, allow=allow, domain=domain)
    return {"location": location, "referer": authorization.referer(sandbox, url, domain)}


def _settings(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    return _assign(app.sandbox.settings, body)


def _policy(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    return _assign(app.sandbox.policy, body)


def _reset(app: Controlled, body: dict[str, Any]) -> dict[str, Any]:
    app.sandbox.reset()
    return {}


Handler = Callable[["Controlled", dict[str, Any]], dict[str, Any]]
HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "stats"): _stats,
    ("GET", "log"): _log,
    ("GET", "tokens"): _tokens,
    ("GET", "alive"): _alive,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "revoke"): _revoke,
    ("POST", "expire"): _expire,
    ("POST", "password"): _password,
    ("POST", "clock"): _clock,
    ("POST", "suspend"): _suspend,
    ("POST", "resume"): _resume,
    ("POST", "authorize"): _authorize,
    ("POST", "settings"): _settings,
    ("POST", "policy"): _policy,
    ("POST", "reset"): _reset,
}


def _assign(target: Settings | TokenPolicy, body: dict[str, Any]) -> dict[str, Any]:
    if unknown := set(body) - {f.name for f in fields(target)}:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    for name, value in body.items():
        setattr(target, name, value)
    return asdict(target)


def _loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _error(status: int, message: str) -> Response:
    return json_answer({"error": message}, status)
