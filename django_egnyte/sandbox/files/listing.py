"""Metadata of files and folders, lists of folders, and calls that need an id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, page_of, routes
from ..tree import Node, TreeError, Version, may, segments
from .places import by_file_id, by_folder_id, by_path, parent_of
from .records import file_record, folder_record, record_answer, version_record

COUNT = 100
# Egnyte's Go SDK and its pages document different sets.
ORDERS: dict[str, Callable[[Node], Any]] = {
    "name": lambda node: node.name.casefold(),
    "path": lambda node: node.name.casefold(),
    "size": lambda node: node.versions[-1].content.size if node.versions else 0,
    "last_modified": lambda node: node.modified,
    "created_time": lambda node: node.versions[0].uploaded if node.versions else node.modified,
    "uploaded_by": lambda node: node.versions[-1].uploaded_by if node.versions else "",
    "custom_metadata": lambda node: node.name.casefold(),
}


def describe(call: Call, path: str) -> Response:
    """A file with its older versions, or a folder with a page of its content."""
    node, parent = call.tree.get(path, call.user), parent_of(call, path)
    if not node.is_folder:
        version = _version(call, node)
        answer = file_record(call, path, node, parent, version)
        if version is node.versions[-1] and len(node.versions) > 1:
            # The list excludes the newest version, and is missing if there is no other.
            answer["versions"] = [version_record(each) for each in reversed(node.versions[:-1])]
        return record_answer(call, answer)
    answer = folder_record(call, path, node, parent)
    if call.args.get("list_content", "true").lower() != "false":
        answer |= _content(call, path, node)
    return record_answer(call, answer)


def stats(call: Call, path: str) -> Response:
    """The number and size of all files and folders below a folder."""
    inside = list(_below(call.tree.get(path, call.user)))
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


def parents(call: Call, path: str) -> Response:
    """A folder and its parents, nearest first. Undocumented, but in the JavaScript SDK."""
    names, above = segments(path), []
    for depth in range(len(names) - 1, 0, -1):
        where = "/" + "/".join(names[:depth])
        parent = call.tree.get(where, call.user)
        above.append({"name": parent.name, "path": where, "folder_id": parent.id})
    node = call.tree.get(path, call.user)
    return json_answer({"self": {"path": path, "folder_id": node.id}, "parents": above})


def _version(call: Call, node: Node) -> Version:
    entry_id = call.args.get("entry_id") or call.args.get("key")
    for version in reversed(node.versions):
        if entry_id in (None, version.entry_id):
            return version
    raise TreeError(404, "Version not found")


def _content(call: Call, path: str, node: Node) -> dict[str, Any]:
    base = "" if path == "/" else path
    children = [(f"{base}/{child.name}", child) for child in _ordered(call, node)]
    if not call.settings.filters_pages:
        children = [pair for pair in children if may(pair[0], call.user)]
    offset, count = page_of(call.args, call.settings, COUNT, call.settings.list_limit)
    span = children[offset : offset + count]
    page = [pair for pair in span if may(pair[0], call.user)]
    return {
        # The position in the unfiltered list: with `filters_pages`, a page has fewer entries.
        "count": len(span),
        "offset": offset,
        "total_count": len(children),
        "folders": [folder_record(call, *pair, node) for pair in page if pair[1].is_folder],
        "files": [
            file_record(call, *pair, node, pair[1].versions[-1])
            for pair in page
            if not pair[1].is_folder
        ],
    }


def _ordered(call: Call, node: Node) -> list[Node]:
    by, direction = call.args.get("sort_by", "name"), call.args.get("sort_direction", "ascending")
    if by not in ORDERS or direction not in ("ascending", "descending"):
        raise TreeError(400, "Unknown sort_by or sort_direction")
    children = sorted(node.children.values(), key=ORDERS[by], reverse=direction == "descending")
    return sorted(children, key=lambda child: not child.is_folder)


def _below(node: Node) -> Iterator[Node]:
    for child in node.children.values():
        yield child
        yield from _below(child)


SCOPE = "Egnyte.filesystem"
BY_ID = routes(
    SCOPE,
    ("GET", "/v1/fs/ids/file/*", "fs:list", by_file_id(describe)),
    ("GET", "/v1/fs/ids/folder/*", "fs:list", by_folder_id(describe)),
    ("GET", "/v1/fs/ids/folder/*/parents", "fs:parents", by_folder_id(parents)),
    ("GET", "/v1/fs/ids/folder/*/stats", "fs:stats", by_folder_id(stats)),
)
BY_PATH = routes(
    SCOPE,
    ("GET", "/v1/fs/**", "fs:list", by_path(describe)),
    ("GET", "/v2/fs/**", "fs:list", by_path(describe)),
)
