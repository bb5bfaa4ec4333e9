"""All routes of the sandbox: those without a bearer token, and those of the API."""

from __future__ import annotations

from typing import NamedTuple

from . import areas, consent, files, oauth
from .areas import session
from .authorization import AUTHORIZE, AUTHORIZE_TOO
from .routing import Door, Route

API = "/pubapi/"

DOORS = (
    Door("GET", AUTHORIZE, "authorize", consent.authorize),
    Door("GET", AUTHORIZE_TOO, "authorize", consent.authorize),
    Door("POST", AUTHORIZE, "token", oauth.token),
    Door("GET", consent.DECISION, "authorize", consent.decision),
    Door("POST", consent.DECISION, "authorize", consent.decision),
    Door("POST", oauth.REVOKE, "revoke", oauth.revoke_by_secret),
    Door("GET", session.ADDRESS, "web_session", session.arrive),
)
# The first match counts. Files and folders come last, because their paths match anything.
ROUTES: tuple[Route, ...] = (*oauth.ROUTES, *areas.ROUTES, *files.ROUTES)


class Found(NamedTuple):
    """A route of the API, and the parts that its `*` and `**` matched."""

    route: Route
    parts: tuple[str, ...]


def door_of(method: str, path: str) -> Door | None:
    """The route for a request without a bearer token."""
    return next((door for door in DOORS if door.matches(method, path)), None)


def route_of(method: str, path: str) -> Found | None:
    """The route for a request to the API."""
    for route in _BY_AREA.get((method, _area(path.removeprefix("/pubapi"))), ()):
        if match := route.pattern.fullmatch(path):
            return Found(route, match.groups())
    return None


def endpoint_of(method: str, path: str) -> str:
    """The name of the endpoint by method and path. The handler may set a more exact one."""
    if found := route_of(method, path):
        return found.route.endpoint
    door = door_of(method, path)
    return door.endpoint if door else "other"


def _area(path: str) -> str:
    return "/".join(path.split("/", 3)[1:3])


_BY_AREA: dict[tuple[str, str], list[Route]] = {}
for _route in ROUTES:
    _BY_AREA.setdefault((_route.method, _area(_route.path)), []).append(_route)
