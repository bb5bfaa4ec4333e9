"""How an API of the sandbox is written: rows of a table, and a function for each."""

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
    """An API request: who asks, with what token, its JSON `body`, and what `*` and `**` matched."""

    sandbox: World
    request: Request
    user: User
    token: Token
    body: dict[str, Any]
    parts: tuple[str, ...]

    @property
    def args(self) -> dict[str, str]:
        """The query's parameters."""
        return self.request.args

    @property
    def label(self) -> str:
        """The domain."""
        return self.request.label

    @property
    def scopes(self) -> tuple[str, ...]:
        """The token's; none means every API."""
        return self.token.grant.scopes

    @property
    def client_id(self) -> str:
        """The key that the token belongs to."""
        return self.token.grant.client_id

    @property
    def settings(self) -> Settings:
        """The sandbox's, of this moment."""
        return self.sandbox.settings

    @property
    def tree(self) -> Tree:
        """The domain's files; hold the sandbox's lock while using it."""
        return self.sandbox.tree(self.request.label)

    @property
    def users(self) -> dict[str, User]:
        """The domain's users by name."""
        return self.sandbox.domains[self.request.label].users

    @property
    def now(self) -> float:
        """Seconds since the epoch, by the sandbox's clock."""
        return self.sandbox.now()

    def shelf(self, name: str) -> Shelf:
        """What an area keeps for this domain."""
        return self.sandbox.shelf(self.request.label, name)


FAR = 10**9
Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the API: `pattern` matches a whole path below the host.

    The sandbox is locked while `handler` runs, and the JSON body has been read before. A handler
    that `streams` reads the body and takes the lock by itself.
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
    """A row of what needs no bearer. A `path` that ends with a slash matches what is below it."""

    method: str
    path: str
    endpoint: str
    handler: Callable[[World, Request], Response]

    def matches(self, method: str, path: str) -> bool:
        """Whether it answers such a request."""
        if method != self.method:
            return False
        return path.startswith(self.path) if self.path.endswith("/") else path == self.path


def routes(
    scope: str,
    *rows: tuple[str, str, str, Handler],
    admin: bool = False,
    streams: bool = False,
) -> list[Route]:
    """Rows that need the same scope ("": none).

    A row is a method, a path below /pubapi with `*` for one segment and `**` for what is left, the
    endpoint's name in `Sandbox.counts`, and a handler.
    """
    return [
        Route(method, path, _pattern(path), endpoint, scope, handler, admin, streams)
        for method, path, endpoint, handler in rows
    ]


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.escape(path).replace(r"/\*\*", "(|/.*)").replace(r"\*", "([^/]+)")
    return re.compile(f"/pubapi{escaped}", re.DOTALL)


def new_id() -> str:
    """An id as Egnyte makes them."""
    return str(uuid.uuid4())


def iso(moment: float) -> str:
    """A time as most of Egnyte's newer services write it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def number(args: Mapping[str, str], name: str, default: int, largest: int) -> int:
    """A number in a query. Raises TreeError 400 for text, and for one over the limit."""
    text = args.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or int(text) > largest:
        raise TreeError(400, f"Invalid value for {name}")
    return int(text)


def page_of(
    args: Mapping[str, str], settings: Settings, default: int, largest: int
) -> tuple[int, int]:
    """`offset` and `count` of a query; `count_over_limit` says what becomes of a count too large.

    Raises TreeError 400.
    """
    limit = FAR if settings.count_over_limit == "cut" else largest
    count = number(args, "count", default, limit)
    return number(args, "offset", 0, FAR), min(count, largest)


def found(shelf: Shelf, key: str, what: str) -> dict[str, Any]:
    """Something that was kept. Raises TreeError 404."""
    if key not in shelf:
        raise TreeError(404, f"{what} not found")
    return shelf[key]


def required(body: Mapping[str, Any], *names: str) -> None:
    """Raise TreeError 400 unless all are in a body."""
    for name in names:
        if body.get(name) in (None, ""):
            raise TreeError(400, f"Missing required field: {name}")


def entries(tree: Tree, user: User | None) -> Iterator[tuple[str, Node]]:
    """All files and folders that a user may see, with their paths; a folder before its own."""
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
    """The path and the node of an id: a folder's, a file's, or a version's. TreeError 404."""
    for path, node in entries(call.tree, call.user):
        ids = {node.id, *(version.entry_id for version in node.versions)}
        if its_id in ids and folder in (None, node.is_folder):
            return path, node
    raise TreeError(404, "File or folder not found")
