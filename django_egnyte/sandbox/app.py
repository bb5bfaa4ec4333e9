"""Answer a request: find its address, apply faults, authenticate, call a handler, and log it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import quote, unquote
from wsgiref.types import StartResponse, WSGIEnvironment

from . import consent, control, limits, pages, refusals, table
from .addressing import SERVICES, locate
from .authorization import ENHANCED
from .faults import Rule
from .messages import BodyTooLargeError, BrokenBodyError, Request, Response, html_answer
from .routing import Call, new_id
from .state import LoggedRequest, Token, User
from .tree import TreeError
from .world import World

_REASONS = {int(status): status.phrase for status in HTTPStatus}


class App:
    """Answers requests with a sandbox.

    A WSGI application cannot break connections. Under WSGI, a fault that resets or hangs becomes an
    empty 502, and one that truncates or trickles has no effect.
    """

    def __init__(self, sandbox: World) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self.connections: Callable[[], dict[str, int]] = dict

    def respond(self, request: Request) -> Response:
        """The answer to a request with its original, encoded path."""
        address = locate(request.host, request.path)
        request.label, request.prefix = address.label, address.prefix
        request.path = resolve(address.path)
        if request.path.startswith(control.PREFIX):
            return control.respond(self, request)
        service = request.label in SERVICES and request.path == ENHANCED
        request.endpoint = (
            "enhanced" if service else table.endpoint_of(request.method, request.path)
        )
        rule: Rule | None = None
        try:
            rule = self.sandbox.faults.take(request)
            response = self._faulty(rule, request) if rule else self._egnyte(request)
        except BodyTooLargeError:
            response = refusals.failure(413, "Body too large")
        self._record(request, response, rule)
        return response

    def _record(self, request: Request, response: Response, rule: Rule | None) -> None:
        status, wire = response.status, response.wire
        if wire is not None and (wire.reset or wire.hang is not None):
            status = 0
        self.sandbox.record(
            LoggedRequest(
                request.method,
                request.path,
                request.label,
                request.endpoint,
                status,
                request.token_id,
                self.sandbox.now(),
                rule.id if rule else None,
            )
        )

    def _faulty(self, rule: Rule, request: Request) -> Response:
        if rule.delay:
            self.stopping.wait(rule.delay)
        return rule.answer(self._egnyte(request) if rule.needs_egnyte else None)

    def _egnyte(self, request: Request) -> Response:
        path, sandbox = request.path, self.sandbox
        if request.label in SERVICES and path == ENHANCED:
            return consent.enhanced(sandbox, request)
        if request.label not in sandbox.domains:
            if not request.label and path == "/":
                return html_answer(pages.index(sorted(sandbox.domains)))
            return html_answer(pages.error("There is nothing at this address"), 404)
        if not path.startswith(table.API) or "authorization" not in request.headers:
            door = table.door_of(request.method, path)
            if door is not None:
                return door.handler(sandbox, request)
            if not path.startswith(table.API):
                return html_answer(pages.error(refusals.lacking(request.method, path)), 501)
            return refusals.unauthorized(sandbox.settings)
        return self._api(request)

    def _api(self, request: Request) -> Response:
        sandbox = self.sandbox
        scheme, _, value = request.headers["authorization"].partition(" ")
        with sandbox.lock:
            token = sandbox.grants.find(value.strip()) if scheme.lower() == "bearer" else None
            if token is None or token.kind != "access" or token.grant.domain != request.label:
                if sandbox.settings.unknown_token_status == 403:
                    return refusals.inactive()
                return refusals.unauthorized(sandbox.settings)
            request.token_id = token.id
            now = sandbox.now()
            if not token.alive(now) or self._suspended(token):
                return refusals.unauthorized(sandbox.settings)
            response = limits.count_call(token, sandbox.settings, now)
            rate = limits.rate_headers(token, sandbox.settings)
        if response is None:
            try:
                response = self._call(request, token)
            except TreeError as error:
                shape = sandbox.settings.api_error_shape
                response = refusals.failure(error.status, error.message, shape)
        given = request.headers.get("x-egnyte-request-id")
        response.headers += [*rate, ("X-Egnyte-Request-Id", given or new_id())]
        return response

    def _call(self, request: Request, token: Token) -> Response:
        found = table.route_of(request.method, request.path)
        if found is None:
            return refusals.failure(501, refusals.lacking(request.method, request.path))
        route, parts = found
        sandbox, scopes = self.sandbox, token.grant.scopes
        user = self._acting(request, token)
        # A token without scopes may use every API.
        if scopes and route.scope and route.scope not in scopes:
            return Response(403)
        if route.admin and not user.admin:
            raise TreeError(403, "You do not have permission to do this")
        if route.streams:
            return route.handler(Call(sandbox, request, user, token, {}, parts))
        # Read the body before taking the lock, because the client may send it slowly.
        call = Call(sandbox, request, user, token, request.json(), parts)
        with sandbox.lock:
            return route.handler(call)

    def _suspended(self, token: Token) -> bool:
        key = self.sandbox.key(token.grant.client_id)
        return key is None or key.suspended

    def _acting(self, request: Request, token: Token) -> User:
        """The user on whose behalf the call is made.

        TreeError 403 for a user who may not act as others, and 400 for an unknown user, which
        Egnyte's JavaScript SDK asserts. The username header takes precedence over the other.
        """
        users = self.sandbox.domains[request.label].users
        owner = users[token.grant.username]
        name = request.headers.get("x-egnyte-act-as")
        address = request.headers.get("x-egnyte-act-as-email")
        if name is None and address is None:
            return owner
        if not owner.admin:
            raise TreeError(403, "You may not act as this user")
        if name is not None:
            user = users.get(name)
        else:
            user = next((each for each in users.values() if each.email == address), None)
        if user is None:
            raise TreeError(400, "The user to act as does not exist")
        return user

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        response = self.respond(_from_wsgi(environ))
        wire = response.wire
        if wire is not None:
            self.stopping.wait(wire.delay)
            if wire.reset or wire.hang is not None:
                response = Response(502)
        headers = list(response.headers)
        if all(name != "Content-Type" for name, _ in headers):
            headers.append(("Content-Type", "text/plain"))
        if response.size is not None:
            headers.append(("Content-Length", str(response.size)))
        start_response(f"{response.status} {reason(response.status)}", headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        return [response.body] if isinstance(response.body, bytes) else response.body


def resolve(path: str) -> str:
    """The decoded path, with dot segments resolved: a client that sends them gets another path."""
    if "%" in path:
        path = unquote(path)
    if "/." not in path:
        return path
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            if kept:
                kept.pop()
        elif part != ".":
            kept.append(part)
    return "/" + "/".join(kept)


def reason(status: int) -> str:
    """The reason phrase of a status."""
    return _REASONS.get(status, "Unknown")


def _from_wsgi(environ: dict[str, Any]) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = str(environ[name])
    path = environ.get("PATH_INFO", "")
    return Request(
        method=environ["REQUEST_METHOD"],
        path=quote(path.encode("latin-1")) or "/",
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        body=_Counted(environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0)),
        host=headers.get("host") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
        peer=environ.get("REMOTE_ADDR", ""),
    )


class _Counted:
    """The body of a WSGI request. It stops at Content-Length, because WSGI input may not."""

    def __init__(self, source: IO[bytes], left: int) -> None:
        self._source, self._left = source, left

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            return b""
        data = self._source.read(min(size, self._left))
        if not data:
            raise BrokenBodyError
        self._left -= len(data)
        return data
