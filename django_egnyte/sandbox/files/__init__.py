"""Files and folders: the routes below `/pubapi/v1/fs`, `fs-content` and `fs-content-chunked`."""

from __future__ import annotations

from ..routing import Route
from . import changes, chunks, downloads, listing, locks, options, uploads

# Ids come before paths, because a path can match anything.
ROUTES: list[Route] = [
    *listing.BY_ID,
    *changes.BY_ID,
    *options.BY_ID,
    *downloads.BY_ID,
    *uploads.BY_ID,
    *chunks.BY_ID,
    *listing.BY_PATH,
    *changes.BY_PATH,
    *options.BY_PATH,
    *downloads.BY_PATH,
    *uploads.BY_PATH,
    *chunks.BY_PATH,
]

__all__ = ["ROUTES", "locks"]
