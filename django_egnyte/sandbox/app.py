"""From a request to its answer: addressing, faults, authentication, routing and the log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from wsgiref.types import StartResponse, WSGIEnvironment

from . import areas, consent, control, files, limits, oauth, pages, refusals
from .addressing import SERVICES, locate
from .authorization import AUTHORIZE, ENHANCED
from .faults import Rule
from .messages import (
    BodyTooLargeError,
    BrokenBodyError,
    Request,
    Response,
    html_answer,
    json_answer,
)
from .state import LoggedRequest, Token, User
from .tree import TreeError

if TYPE_CHECKING:
    from .sandbox import Sandbox

API = "/pubapi/"
FS = "/pubapi/v1/fs"
CONTENT = "/pubapi/v1/fs-content"
CHUNKED = "/pubapi/v1/fs-content-chunked"
REVOKE = "/pubapi/v1/tokens/revoke"
USERINFO = "/pubapi/v1/userinfo"
FILESYSTEM = "Egnyte.filesystem"
ENDPOINTS = {
    consent.DECISION: "authorize",
    ENHANCED: "enhanced",
    REVOKE: "revoke",
    USERINFO: "userinfo",
}
_REASONS = {int(status): status.phrase for status in HTTPStatus}


class App:
    """Answers requests with a sandbox.

    As a WSGI application it cannot break connections: a fault that resets or hangs is an
    empty 502 then, and one that truncates or trickles does nothing.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self.connections: Callable[[], dict[str, int]] = dict

    def respond(self, request: Request) -> Response:
        """The answer to a request whose path is as it was sent."""
        address = locate(request.host, request.path)
        request.label, request.prefix = address.label, address.prefix
        request.path = resolve(address.path)
        if request.path.startswith(control.PREFIX):
            return control.respond(self, request)
        request.endpoint = endpoint_of(request.method, request.path)
        sandbox = self.sandbox
        rule: Rule | None = None
        try:
            rule = sandbox.faults.take(request)
            response = self._faulty(rule, request) if rule else self._egnyte(request)
        except BodyTooLargeError:
            response = refusals.failure(413, "Body too large")
        status = response.status
        if response.wire is not None and (response.wire.reset or response.wire.hang is not None):
            status = 0
        sandbox.record(
            LoggedRequest(
                request.method,
                request.path,
                request.label,
                request.endpoint,
                status,
                request.token_id,
                sandbox.now(),
                rule.id if rule else None,
            )
        )
        return response

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
        if path.startswith(API):
            return self._api(request)
        if path == AUTHORIZE:
            if request.method == "POST":
                return oauth.token(sandbox, request)
            return consent.authorize(sandbox, request)
        if path.startswith(areas.ADDRESS):
            return areas.arrive(sandbox, request.label, path.removeprefix(areas.ADDRESS))
        if path == consent.DECISION:
            return consent.decision(sandbox, request)
        return html_answer(pages.error("There is nothing at this address"), 404)

    def _api(self, request: Request) -> Response:
        sandbox, path = self.sandbox, request.path
        sent = request.headers.get("authorization")
        if sent is None:
            if path == REVOKE and request.method == "POST":
                return oauth.revoke(sandbox, request, None)
            return refusals.unauthorized()
        scheme, _, value = sent.partition(" ")
        with sandbox.lock:
            token = sandbox.grants.find(value.strip()) if scheme.lower() == "bearer" else None
            if token is None or token.kind != "access" or token.grant.domain != request.label:
                if sandbox.settings.unknown_token_status == 403:
                    return refusals.inactive()
                return refusals.unauthorized()
            request.token_id = token.id
            now = sandbox.now()
            if not token.alive(now) or self._suspended(token):
                return refusals.unauthorized()
            response = limits.count_call(token, sandbox.settings, now)
            rate = limits.rate_headers(token, sandbox.settings)
        if response is None:
            try:
                response = self._call(request, token)
            except TreeError as error:
                response = refusals.failure(error.status, error.message)
        response.headers += rate
        return response

    def _call(self, request: Request, token: Token) -> Response:
        sandbox, path = self.sandbox, request.path
        user = self._acting(request, token)
        if user is None:
            return refusals.failure(403, "You may not act as this user")
        if path == USERINFO and request.method == "GET":
            return oauth.userinfo(sandbox, user)
        if path == REVOKE and request.method == "POST":
            return oauth.revoke(sandbox, request, token)
        answer = areas.respond(sandbox, request, user, token)
        if answer is not None:
            return answer
        for start, endpoint in ((FS, files.fs), (CONTENT, files.content), (CHUNKED, files.chunked)):
            if path == start or path.startswith(f"{start}/"):
                if not self._covers(token):
                    return Response(403)
                return endpoint(sandbox, request, user, path[len(start) :] or "/")
        return json_answer({"errorCode": "NOT_FOUND", "message": "No such resource"}, 404)

    def _suspended(self, token: Token) -> bool:
        key = self.sandbox.key(token.grant.client_id)
        return key is None or key.suspended

    @staticmethod
    def _covers(token: Token) -> bool:
        # No scope at all means every API.
        return not token.grant.scopes or FILESYSTEM in token.grant.scopes

    def _acting(self, request: Request, token: Token) -> User | None:
        users = self.sandbox.domains[request.label].users
        owner = users[token.grant.username]
        name = request.headers.get("x-egnyte-act-as")
        address = request.headers.get("x-egnyte-act-as-email")
        if name is None and address is None:
            return owner
        if not owner.admin:
            return None
        if name is not None:
            return users.get(name)
        return next((user for user in users.values() if user.email == address), None)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
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
    """A path decoded, its dot segments followed: a client that lets them pass reaches elsewhere."""
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


def endpoint_of(method: str, path: str) -> str:
    """What a request is for, as far as its path tells; the endpoint refines it if it gets there."""
    if path.startswith(f"{CHUNKED}/"):
        return "fs-content-chunked"
    if path.startswith(f"{CONTENT}/"):
        return "fs-content:upload" if method == "POST" else "fs-content:download"
    if (found := areas.route_of(method, path)) is not None:
        return found[0].endpoint
    if path == FS or path.startswith(f"{FS}/"):
        return {"GET": "fs:list", "DELETE": "fs:delete"}.get(method, "fs")
    if path == AUTHORIZE:
        return "token" if method == "POST" else "authorize"
    return ENDPOINTS.get(path, "other")


def reason(status: int) -> str:
    """The words beside a status."""
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
    """WSGI input does not end by itself."""

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
