"""The files of one domain. Names keep their case, but are compared without case."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .content import Content
from .state import User

TOP = ("Shared", "Private")
# Most are in the live tests of Egnyte's JavaScript SDK, the rest in its command-line tool.
FORBIDDEN = re.compile(r'[\\:*?"<>|]')
FORBIDDEN_NAMES = frozenset({"thumbs.db", ".ds_store"})
LONGEST_NAME = 245


class TreeError(Exception):
    """A refusal of the file API: an HTTP status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Version:
    """One version of a file. Times are in seconds; the client may set `modified`."""

    content: Content
    entry_id: str
    modified: float
    uploaded_by: str
    uploaded: float


@dataclass(slots=True)
class Node:
    """A folder (with `children`) or a file (with `versions`, oldest first)."""

    name: str
    id: str
    modified: float
    is_folder: bool
    children: dict[str, Node] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a node: create, delete, move, copy or restore. `source` is the old path."""

    action: str
    path: str
    node: Node
    user: User | None
    source: str | None = None


def _new_id() -> str:
    return str(uuid.uuid4())


class Tree:
    """Files and folders below `/Shared` and `/Private`. Only its owner sees a private folder."""

    def __init__(self, now: float, watch: Callable[[Change], None] = lambda change: None) -> None:
        """`watch` is called after each change."""
        self._watch = watch
        self._root = Node("", _new_id(), now, is_folder=True)
        for name in TOP:
            self._root.children[name.casefold()] = Node(name, _new_id(), now, is_folder=True)

    def find(self, path: str) -> Node | None:
        """The node at a path. None if there is none."""
        node = self._root
        for name in segments(path):
            child = node.children.get(name.casefold())
            if child is None:
                return None
            node = child
        return node

    def get(self, path: str, user: User | None) -> Node:
        """The node at a path. Raises TreeError 403 or 404."""
        permit(path, user)
        node = self.find(path)
        if node is None:
            raise TreeError(404, "File or folder not found")
        return node

    def add_folder(self, path: str, user: User | None, now: float) -> Node:
        """Create a folder and its parents. Raises TreeError."""
        permit(path, user, write=True)
        if self.find(path) is not None:
            raise TreeError(403, "Folder already exists at this location")
        node = self._folder(segments(path), now)
        self._watch(Change("create", plain(path), node, user))
        return node

    def put(
        self, path: str, content: Content, user: User, now: float, modified: float | None = None
    ) -> tuple[Node, Version]:
        """Store a version of a file, and create its parents. Raises TreeError."""
        permit(path, user, write=True)
        *above, name = segments(path)
        parent = self._folder(above, now)
        node = parent.children.get(name.casefold())
        if node is None:
            node = Node(name, _new_id(), now, is_folder=False)
            parent.children[name.casefold()] = node
        elif node.is_folder:
            raise TreeError(403, "A folder exists at this location")
        version = Version(
            content, _new_id(), now if modified is None else modified, user.username, now
        )
        node.versions.append(version)
        node.modified = version.modified
        self._watch(Change("create", plain(path), node, user))
        return node, version

    def remove(self, path: str, user: User, entry_id: str | None = None) -> None:
        """Delete a node, or one version of a file. Raises TreeError."""
        permit(path, user, write=True)
        node = self.get(path, user)
        if entry_id is not None:
            kept = [v for v in node.versions if v.entry_id != entry_id]
            if len(kept) == len(node.versions):
                raise TreeError(404, "Version not found")
            if kept:
                node.versions = kept
                node.modified = kept[-1].modified
                return
        parent, name = self._place(path)
        del parent.children[name.casefold()]
        self._watch(Change("delete", plain(path), node, user))

    def put_back(self, path: str, node: Node, user: User, now: float) -> None:
        """Restore a deleted node at its path. Raises TreeError 409 if the path exists."""
        if self.find(path) is not None:
            raise TreeError(409, "File or folder already exists at this location")
        self._attach(path, node, now)
        self._watch(Change("restore", path, node, user))

    def move(self, path: str, destination: str, user: User, now: float) -> Node:
        """Move a node to another path. If both are folders, they are merged.

        Raises TreeError.
        """
        permit(path, user, write=True)
        node = self._source(path, destination, user)
        parent, name = self._place(path)
        made = self._attach(destination, node, now)
        del parent.children[name.casefold()]
        self._watch(Change("move", plain(destination), made, user, plain(path)))
        return made

    def copy(self, path: str, destination: str, user: User, now: float) -> Node:
        """Copy a node to another path. If both are folders, they are merged.

        Raises TreeError.
        """
        twin = _clone(self._source(path, destination, user), now)
        made = self._attach(destination, twin, now)
        self._watch(Change("copy", plain(destination), made, user, plain(path)))
        return made

    def _source(self, path: str, destination: str, user: User) -> Node:
        permit(destination, user, write=True)
        node = self.get(path, user)
        if not segments(path):
            raise TreeError(403, "Not allowed at this location")
        taken = self.find(destination)
        if taken is not None and not (taken.is_folder and node.is_folder):
            raise TreeError(409, "File or folder already exists at the destination")
        here, there = segments(path.casefold()), segments(destination.casefold())
        if there[: len(here)] == here:
            raise TreeError(400, "The destination is inside the source")
        return node

    def _attach(self, destination: str, node: Node, now: float) -> Node:
        *above, name = segments(destination)
        folder = self._folder(above, now)
        there = folder.children.get(name.casefold())
        if there is not None:
            _pour(node, there)
            return there
        node.name = name
        folder.children[name.casefold()] = node
        return node

    def _place(self, path: str) -> tuple[Node, str]:
        *above, name = segments(path)
        parent = self.find("/".join(above))
        assert parent is not None
        return parent, name

    def _folder(self, names: list[str], now: float) -> Node:
        node = self._root
        for name in names:
            child = node.children.get(name.casefold())
            if child is None:
                child = Node(name, _new_id(), now, is_folder=True)
                node.children[name.casefold()] = child
            elif not child.is_folder:
                raise TreeError(403, "A file exists at this location")
            node = child
        return node


def plain(path: str) -> str:
    """A path without empty segments: `/Shared/a`."""
    return "/" + "/".join(segments(path))


def segments(path: str) -> list[str]:
    """The names in a path."""
    return [name for name in path.split("/") if name]


def may(path: str, user: User | None) -> bool:
    """Whether a user may read there. None is the sandbox itself, which may do everything."""
    names = [name.casefold() for name in segments(path)]
    if user is None or user.admin or len(names) < 2 or names[0] != "private":
        return True
    return names[1] == user.username.casefold()


def permit(path: str, user: User | None, *, write: bool = False) -> None:
    """Raise TreeError 403 unless `may`. Writes must be below a top folder."""
    if not may(path, user) or (write and not _below_top(path)):
        raise TreeError(403, "You do not have permission to do this")


def require_place(path: str) -> None:
    """Raise ValueError for a path at which Egnyte does not store anything."""
    if not _below_top(path):
        places = " or ".join(f"/{name}" for name in TOP)
        raise ValueError(f"{path!r} is not below {places}, where all files and folders are")


def _below_top(path: str) -> bool:
    names = segments(path)
    return len(names) > 1 and names[0].casefold() in {name.casefold() for name in TOP}


def require_names(path: str) -> None:
    """Raise TreeError 400 for a name that Egnyte refuses."""
    for name in segments(path):
        if (
            FORBIDDEN.search(name)
            or name.casefold() in FORBIDDEN_NAMES
            or name.startswith("._")
            or name.casefold().endswith(".tmp")
            or name != name.strip(" ")
            or name.endswith(".")
            or len(name) > LONGEST_NAME
        ):
            raise TreeError(400, "The name of a file or folder is not allowed")


def _pour(source: Node, target: Node) -> None:
    """Merge one folder into another. A file in both gets more versions."""
    for key, child in source.children.items():
        there = target.children.get(key)
        if there is None:
            target.children[key] = child
        elif there.is_folder and child.is_folder:
            _pour(child, there)
        elif not there.is_folder and not child.is_folder:
            there.versions += child.versions
            there.modified = child.modified


def _clone(node: Node, now: float) -> Node:
    twin = Node(node.name, _new_id(), now, node.is_folder)
    twin.children = {key: _clone(child, now) for key, child in node.children.items()}
    twin.versions = [replace(each, entry_id=_new_id()) for each in node.versions[-1:]]
    return twin
