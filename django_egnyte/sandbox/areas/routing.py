"""How an area of the sandbox is written: rows of a table, and a function for each."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from ..messages import Request, Response
from ..state import Domain, User
from ..tree import Node, Tree, TreeError, may

Shelf = dict[str, dict[str, Any]]
"""What an area keeps for a domain: JSON by id, in the order in which it was made."""


class World(Protocol):
    """What the areas need of the sandbox."""

    domains: dict[str, Domain]
    started: float
    """When it began, in seconds."""

    @property
    def lock(self) -> AbstractContextManager[Any]: ...
    def now(self) -> float: ...
    def shelf(self, domain: str, name: str) -> Shelf: ...
    def tree(self, domain: str) -> Tree: ...
    def add_user(
        self,
        domain: str,
        username: str,
        *,
        first_name: str,
        last_name: str,
        email: str | None,
        admin: bool,
        user_type: str,
    ) -> User: ...
    def remove_user(self, domain: str, username: str) -> int: ...


@dataclass(slots=True)
class Call:
    """A request to an area, its JSON `body`, and the `parts` that the row leaves open."""

    sandbox: World
    request: Request
    user: User
    scopes: tuple[str, ...]
    client_id: str
    body: dict[str, Any]
    parts: tuple[str, ...]

    @property
    def args(self) -> dict[str, str]:
        return self.request.args

    @property
    def tree(self) -> Tree:
        return self.sandbox.tree(self.request.label)

    @property
    def users(self) -> dict[str, User]:
        return self.sandbox.domains[self.request.label].users

    @property
    def now(self) -> float:
        return self.sandbox.now()

    def shelf(self, name: str) -> Shelf:
        return self.sandbox.shelf(self.request.label, name)


Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A row: `pattern` matches a whole path; the sandbox is locked while `handler` runs."""

    method: str
    pattern: re.Pattern[str]
    endpoint: str
    scope: str
    handler: Handler
    admin: bool = False
    raw: bool = False
    """The handler reads the body and locks the sandbox itself."""


def routes(
    scope: str,
    *rows: tuple[str, str, str, Handler],
    admin: bool = False,
    raw: bool = False,
) -> list[Route]:
    """Rows of one scope: method, path below /pubapi with `*` for a segment and `**` for more,
    endpoint, handler."""
    return [
        Route(method, _pattern(path), endpoint, scope, handler, admin, raw)
        for method, path, endpoint, handler in rows
    ]


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.escape(path).replace(r"\*\*", "(.*)").replace(r"\*", "([^/]+)")
    return re.compile(f"/pubapi{escaped}")


def new_id() -> str:
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
