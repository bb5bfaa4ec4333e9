"""Files and folders as JSON and as headers."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call
from ..tree import Node, Version
from . import locks

METADATA = "properties"
"""The name of the shelf with the metadata of files and folders."""


def identity(version: Version) -> list[tuple[str, str]]:
    """The headers of a version. The ETag has no quotes, as in recordings of Egnyte."""
    return [
        ("ETag", version.entry_id),
        ("X-Sha512-Checksum", version.content.checksum),
        ("Last-Modified", formatdate(version.modified, usegmt=True)),
    ]


def folder_record(call: Call, path: str, node: Node, parent: Node | None) -> dict[str, Any]:
    """A folder without its content."""
    record: dict[str, Any] = {
        "name": node.name,
        "path": path,
        "folder_id": node.id,
        "is_folder": True,
        "lastModified": int(node.modified * 1000),
        "uploaded": int(node.modified * 1000),
    }
    if parent is not None:
        record["parent_id"] = parent.id
    return record | call.shelf("options").get(node.id, {}) | _asked_for(call, node)


def file_record(
    call: Call, path: str, node: Node, parent: Node | None, version: Version
) -> dict[str, Any]:
    """A file in one of its versions."""
    record = version_record(version) | {
        "name": node.name,
        "path": path,
        "group_id": node.id,
        "locked": locks.held(call, node) is not None,
        "num_versions": len(node.versions),
    }
    if parent is not None:
        record["parent_id"] = parent.id
    if _flag(call, "include_locks") and (info := locks.info(call, node)) is not None:
        record["lock_info"] = info
    return record | _asked_for(call, node)


def version_record(version: Version) -> dict[str, Any]:
    """A version without its file."""
    return {
        "checksum": version.content.checksum,
        "size": version.content.size,
        "entry_id": version.entry_id,
        "is_folder": False,
        "last_modified": formatdate(version.modified, usegmt=True),
        "uploaded": int(version.uploaded * 1000),
        "uploaded_by": version.uploaded_by,
        "custom_metadata": [],
    }


def record_answer(call: Call, record: dict[str, Any]) -> Response:
    """A record as JSON. With `values_as_text`, numbers and booleans become strings."""
    return json_answer(_texts(record) if call.settings.values_as_text else record)


def _asked_for(call: Call, node: Node) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if _flag(call, "include_perm"):
        more["permission"] = "Owner" if call.user.admin else "Full"
    if _flag(call, "list_custom_metadata"):
        more["custom_metadata"] = [
            {"scope": "public", "namespace": key.partition("/")[2], "key": name, "value": value}
            for key, values in call.shelf(METADATA).items()
            if key.partition("/")[0] == node.id
            for name, value in values.items()
        ]
    return more


def _flag(call: Call, name: str) -> bool:
    return call.args.get(name, "").lower() == "true"


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value
