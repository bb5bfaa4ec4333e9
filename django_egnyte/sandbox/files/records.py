"""How files and folders are written in JSON and in headers."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from ..tree import Node, Version


def identity(version: Version) -> list[tuple[str, str]]:
    """The headers that tell a version."""
    return [
        ("ETag", f'"{version.entry_id}"'),
        ("X-Sha512-Checksum", version.content.checksum),
        ("Last-Modified", formatdate(version.modified, usegmt=True)),
    ]


def version_record(version: Version) -> dict[str, Any]:
    """A version in the list of a file's older ones."""
    return {
        "is_folder": False,
        "entry_id": version.entry_id,
        "checksum": version.content.checksum,
        "size": version.content.size,
        "last_modified": formatdate(version.modified, usegmt=True),
        "uploaded": int(version.modified * 1000),
        "uploaded_by": version.uploaded_by,
    }


def folder_record(path: str, node: Node) -> dict[str, Any]:
    """A folder, without what is in it."""
    return {
        "name": node.name,
        "path": path,
        "folder_id": node.id,
        "is_folder": True,
        "lastModified": int(node.modified * 1000),
    }


def file_record(path: str, node: Node) -> dict[str, Any]:
    """A file, by its newest version."""
    version = node.versions[-1]
    return {
        "name": node.name,
        "path": path,
        "checksum": version.content.checksum,
        "size": version.content.size,
        "entry_id": version.entry_id,
        "group_id": node.id,
        "last_modified": formatdate(version.modified, usegmt=True),
        "uploaded_by": version.uploaded_by,
        "num_versions": len(node.versions),
        "is_folder": False,
    }
