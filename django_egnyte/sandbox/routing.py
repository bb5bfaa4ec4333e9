"""The building blocks of the sandbox's API: routes, the calls that they handle, and helpers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .messages import Request, Response
from .state import Settings, Shelf, Token, User
from .tree import Node, Tree, TreeError, may
from .world import World


@dataclass(slots=True)
class Call:
    """An API request: its user, token and JSON `body`, and what `*` and `**` matched."""

    sandbox: World
    request: Request
    user: User
    token: Token
    body: dict[str, Any]
    parts: tuple[str, ...]

    @property
    def args(self) -> dict[str, str]:
        """The parameters of the query."""
        return self.request.args

    @property
    def label(self) -> str:
        """The label of the domain."""
        return self.request.label

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of the token. Empty means every API."""
        return self.token.grant.scopes

    @property
    def client_id(self) -> str:
        """The API key of the token."""
        return self.token.grant.client_id

    @property
    def settings(self) -> Settings:
        """The current settings of the sandbox."""
        return self.sandbox.settings

    @property
    def tree(self) -> Tree:
        """The files of the domain. Hold the sandbox's lock while you use it."""
        return self.sandbox.tree(self.request.label)

    @property
    def users(self) -> dict[str, User]:
        """The users of the domain, by name."""
        return self.sandbox.domains[self.request.label].users

    @property
    def now(self) -> float:
        """Seconds since the epoch, by the sandbox's clock."""
        return self.sandbox.now()

    def shelf(self, name: str) -> Shelf:
        """The stored objects of an area for this domain."""
        return self.sandbox.shelf(self.request.label, name)


FAR = 10**9
Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the API. `pattern` matches a whole path below the host.

    `handler` is called with the sandbox's lock held and the JSON body read. If `streams` is set,
    the handler itself reads the body and takes the lock.
    """

    method: str
    path: str
    pattern: re.Pattern[str]
    endpoint: str
    scope: str
    handler: Handler
    admin: bool = False
    streams: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """A route without a bearer token. A `path` with a slash at its end matches paths below it."""

    method: str
    path: str
    endpoint: str
    handler: Callable[[World, Request], Response]

    def matches(self, method: str, path: str) -> bool:
        """Whether the route matches a request."""
        if method != self.method:
            return False
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


def routes(
    scope: str,
    *rows: tuple[str, str, str, Handler],
    admin: bool = False,
    streams: bool = False,
) -> list[Route]:
    """Routes that need the same scope ("": none).

    A row has a method, a path below /pubapi with `*` for one segment and `**` for the rest, the
    name of the endpoint in `Sandbox.counts`, and a handler.
    """
    return [
        Route(method, path, _pattern(path), endpoint, scope, handler, admin, streams)
        for method, path, endpoint, handler in rows
    ]


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.escape(path).replace(r"/\*\*", "(|/.*)").replace(r"\*", "([^/]+)")
    return re.compile(f"/pubapi{escaped}", re.DOTALL)


def new_id() -> str:
    """A new id in the form of Egnyte's."""
    return str(uuid.uuid4())


def iso(moment: float) -> str:
    """A time in the format of most of Egnyte's newer services."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def number(args: Mapping[str, str], name: str, default: int, largest: int) -> int:
    """A number in a query. Raises TreeError 400 if it is not a number or over the limit."""
    text = args.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or int(text) > largest:
        raise TreeError(400, f"Invalid value for {name}")
    return int(text)


def page_of(
    args: Mapping[str, str], settings: Settings, default: int, largest: int
) -> tuple[int, int]:
    """`offset` and `count` of a query. `count_over_limit` decides about a count over the limit.

    Raises TreeError 400.
    """
    limit = FAR if settings.count_over_limit == "cut" else largest
    count = number(args, "count", default, limit)
    return number(args, "offset", 0, FAR), min(count, largest)


def found(shelf: Shelf, key: str, what: str) -> dict[str, Any]:
    """A stored object. Raises TreeError 404 if there is none."""
    if key not in shelf:
        raise TreeError(404, f"{what} not found")
    return shelf[key]


def required(body: Mapping[str, Any], *names: str) -> None:
    """Raise TreeError 400 if one of these fields is missing in a body."""
    for name in names:
        if body.get(name) in (None, ""):
            raise TreeError(400, f"Missing required field: {name}")


def entries(tree: Tree, user: User | None) -> Iterator[tuple[str, Node]]:
    """All files and folders that a user may see, with their paths, folders before their content."""
    root = tree.find("/")
    assert root is not None
    waiting = [("", root)]
    while waiting:
        path, node = waiting.pop(0)
        if path:
            yield path, node
        inside = [(f"{path}/{child.name}", child) for child in node.children.values()]
        waiting += [(where, child) for where, child in inside if may(where, user)]


def by_id(call: Call, its_id: str, *, folder: bool | None = None) -> tuple[str, Node]:
    """The path and the node of the id of a folder, a file or a version. TreeError 404."""
    for path, node in entries(call.tree, call.user):
        ids = {node.id, *(version.entry_id for version in node.versions)}
        if its_id in ids and folder in (None, node.is_folder):
            return path, node
    raise TreeError(404, "File or folder not found")
