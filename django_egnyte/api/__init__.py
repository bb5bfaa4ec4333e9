"""Egnyte's API, called with a user's token. Nothing here uses Django, a database or settings.

Most processes use a small part of it, so each name is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_egnyte.api.client import EgnyteClient
    from django_egnyte.api.connection import Connection, Credentials, Source
    from django_egnyte.api.downloads import AsyncDownload, Download
    from django_egnyte.api.entries import Entry, File, Folder, FolderListing
    from django_egnyte.api.files import Files
    from django_egnyte.api.rate import Rate
    from django_egnyte.api.uploads import UploadState

__all__ = [
    "AsyncDownload",
    "Connection",
    "Credentials",
    "Download",
    "EgnyteClient",
    "Entry",
    "File",
    "Files",
    "Folder",
    "FolderListing",
    "Rate",
    "Source",
    "UploadState",
]
_MODULES = {
    "client": ("EgnyteClient",),
    "connection": ("Connection", "Credentials", "Source"),
    "downloads": ("AsyncDownload", "Download"),
    "entries": ("Entry", "File", "Folder", "FolderListing"),
    "files": ("Files",),
    "rate": ("Rate",),
    "uploads": ("UploadState",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
