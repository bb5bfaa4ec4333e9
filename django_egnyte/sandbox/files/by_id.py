"""`/pubapi/v1/fs/ids` and `/pubapi/v1/fs-content/ids`: as by path, and what only ids have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..messages import Response, json_answer
from ..routing import Call, Handler, by_id, routes
from ..tree import Node, TreeError, segments
from . import attributes, changes, chunks, downloads, listing, uploads


def stats(call: Call) -> Response:
    """How much is below a folder."""
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
    """The folders above a folder, from the nearest on."""
    path, node = by_id(call, call.parts[0], folder=True)
    names = segments(path)
    above = []
    for depth in range(len(names) - 1, 0, -1):
        where = "/" + "/".join(names[:depth])
        parent = call.tree.get(where, call.user)
        above.append({"name": parent.name, "path": where, "folder_id": parent.id})
    return json_answer({"self": {"path": path, "folder_id": node.id}, "parents": above})


def _by_path(handler: Handler) -> Handler:
    """The same for an id."""

    def answer(call: Call) -> Response:
        kind, its_id = call.parts
        if kind not in ("file", "folder"):
            raise TreeError(404, "File or folder not found")
        with call.sandbox.lock:
            path, _ = by_id(call, its_id, folder=kind == "folder")
        return handler(replace(call, parts=(path,)))

    return answer


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
        ("GET", FS, "fs:list", _by_path(listing.describe)),
        ("POST", FS, "fs", _by_path(changes.act)),
        ("DELETE", FS, "fs:delete", _by_path(changes.delete)),
        ("PATCH", FS, "fs:options", _by_path(attributes.change)),
    ),
    *routes(
        "Egnyte.filesystem",
        ("GET", CONTENT, "fs-content:download", _by_path(downloads.download)),
        ("HEAD", CONTENT, "fs-content:download", _by_path(downloads.download)),
        ("POST", CONTENT, "fs-content:upload", _by_path(uploads.upload)),
        ("POST", "/v1/fs-content-chunked/ids/*/*", "fs-content-chunked", _by_path(chunks.chunked)),
        streams=True,
    ),
]
