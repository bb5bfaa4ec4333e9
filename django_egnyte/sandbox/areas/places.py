"""`/pubapi/v1/fs/ids` and `/pubapi/v1/fs-content/ids`: as by path, and what only ids have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .. import files
from ..messages import Response, json_answer
from ..tree import Node, TreeError, segments
from .routing import Call, by_id, routes


def place(call: Call) -> Response:
    return _delegate(call, files.fs)


def content(call: Call) -> Response:
    return _delegate(call, files.content)


def chunked(call: Call) -> Response:
    return _delegate(call, files.chunked)


def stats(call: Call) -> Response:
    _, node = by_id(call, call.parts[0], folder=True)
    inside = list(_below(node))
    kept = [each for each in inside if not each.is_folder]
    newest = sum(each.versions[-1].content.size for each in kept)
    every = sum(version.content.size for each in kept for version in each.versions)
    answer = {
        "filesCount": len(kept),
        "foldersCount": len(inside) - len(kept),
        "fileVersionsCount": sum(len(each.versions) for each in kept),
        "allFilesSize": newest,
        "allVersionsSize": every,
        "allFilesSizeInKB": newest // 1024,
        "allVersionsSizeInKB": every // 1024,
    }
    return json_answer(answer)


def parents(call: Call) -> Response:
    path, node = by_id(call, call.parts[0], folder=True)
    names = segments(path)
    above = []
    for depth in range(len(names) - 1, 0, -1):
        where = "/" + "/".join(names[:depth])
        parent = call.tree.get(where, call.user)
        above.append({"name": parent.name, "path": where, "folder_id": parent.id})
    return json_answer({"self": {"path": path, "folder_id": node.id}, "parents": above})


def _delegate(call: Call, endpoint: Callable[..., Response]) -> Response:
    kind, its_id = call.parts
    if kind not in ("file", "folder"):
        raise TreeError(404, "File or folder not found")
    with call.sandbox.lock:
        path, _ = by_id(call, its_id, folder=kind == "folder")
    return endpoint(call.sandbox, call.request, call.user, path)


def _below(node: Node) -> Iterator[Node]:
    for child in node.children.values():
        yield child
        yield from _below(child)


FS = "/v1/fs/ids/*/*"
CONTENT = "/v1/fs-content/ids/*/*"
ROUTES = [
    *routes(
        "Egnyte.filesystem",
        ("GET", "/v1/fs/ids/folder/*/stats", "fs:stats", stats),
        ("GET", "/v1/fs/ids/folder/*/parents", "fs:parents", parents),
    ),
    *routes(
        "Egnyte.filesystem",
        ("GET", FS, "fs:list", place),
        ("POST", FS, "fs", place),
        ("DELETE", FS, "fs:delete", place),
        ("PATCH", FS, "fs", place),
        ("GET", CONTENT, "fs-content:download", content),
        ("HEAD", CONTENT, "fs-content:download", content),
        ("POST", CONTENT, "fs-content:upload", content),
        ("POST", "/v1/fs-content-chunked/ids/*/*", "fs-content-chunked", chunked),
        raw=True,
    ),
]
