"""The file or folder of a request, by path or by id."""

from __future__ import annotations

from collections.abc import Callable

from ..messages import Response
from ..routing import Call, Handler, entries
from ..tree import Node, TreeError, permit, plain, require_names, segments
from . import locks

Endpoint = Callable[[Call, str], Response]


def by_path(endpoint: Endpoint) -> Handler:
    """A handler for routes that end with a path, `/**`."""

    def handle(call: Call) -> Response:
        return endpoint(call, plain(call.parts[-1]))

    return handle


def by_file_id(endpoint: Endpoint) -> Handler:
    """A handler for routes with the id of a file."""
    return _by_id(endpoint, folder=False)


def by_folder_id(endpoint: Endpoint) -> Handler:
    """A handler for routes with the id of a folder."""
    return _by_id(endpoint, folder=True)


def _by_id(endpoint: Endpoint, *, folder: bool) -> Handler:
    def handle(call: Call) -> Response:
        with call.sandbox.lock:
            path = path_of(call, call.parts[0], folder=folder)
        return endpoint(call, path)

    return handle


def path_of(call: Call, its_id: str, *, folder: bool) -> str:
    """The current path of an id. TreeError 404 if this user may not see it."""
    for path, node in entries(call.tree, call.user):
        if node.id == its_id and node.is_folder == folder:
            return path
    raise TreeError(404, "File or folder not found")


def parent_of(call: Call, path: str) -> Node | None:
    """The parent folder. None for the root."""
    names = segments(path)
    return call.tree.find("/".join(names[:-1])) if names else None


def require_writable(call: Call, path: str) -> None:
    """Raise TreeError if the name, the place or a lock does not let the user write there."""
    permit(path, call.user, write=True)
    require_names(path)
    if parent_of(call, path) is None and not call.settings.makes_parents:
        raise TreeError(404, "The parent folder does not exist")
    locks.require_unlocked(call, path)
