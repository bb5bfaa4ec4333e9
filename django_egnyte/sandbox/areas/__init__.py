"""The areas of the API beside files and folders: a table of routes, and what answers them."""

from __future__ import annotations

from ..messages import Request, Response
from ..refusals import failure
from ..state import Token, User
from ..tree import Change
from . import (
    audit,
    bookmarks,
    events,
    links,
    notes,
    permissions,
    places,
    properties,
    search,
    session,
    small,
    trash,
    users,
    webhooks,
)
from .events import forget
from .routing import Call, Route, Shelf, World
from .session import ADDRESS, arrive

ROUTES: list[Route] = [
    *audit.ROUTES,
    *bookmarks.ROUTES,
    *events.ROUTES,
    *links.ROUTES,
    *notes.ROUTES,
    *permissions.ROUTES,
    *places.ROUTES,
    *properties.ROUTES,
    *search.ROUTES,
    *session.ROUTES,
    *small.ROUTES,
    *trash.ROUTES,
    *users.ROUTES,
    *webhooks.ROUTES,
]


def route_of(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The row for a request, and the parts of its path."""
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groups()
    return None


def respond(sandbox: World, request: Request, user: User, token: Token) -> Response | None:
    """The answer of an area; None if the path is none's. Raises TreeError."""
    found = route_of(request.method, request.path)
    if found is None:
        return None
    route, parts = found
    request.endpoint = route.endpoint
    scopes = token.grant.scopes
    if scopes and route.scope and route.scope not in scopes:
        return Response(403)
    if route.admin and not user.admin:
        return failure(403, "You do not have permission to do this")
    # Read before the lock is taken: a body may be slow.
    body = {} if route.raw else request.json()
    call = Call(sandbox, request, user, scopes, token.grant.client_id, body, parts)
    if route.raw:
        return route.handler(call)
    with sandbox.lock:
        return route.handler(call)


def watch(sandbox: World, label: str, change: Change) -> None:
    """What follows from a change of a domain's files."""
    trash.watch(sandbox, label, change)
    events.watch(sandbox, label, change)


__all__ = ["ADDRESS", "ROUTES", "Shelf", "arrive", "forget", "respond", "route_of", "watch"]
