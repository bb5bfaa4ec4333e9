"""Files and folders: what is below `/pubapi/v1/fs`, `fs-content` and `fs-content-chunked`."""

from __future__ import annotations

from ..routing import Route
from . import attributes, by_id, changes, chunks, downloads, listing, uploads

ROUTES: list[Route] = [
    *by_id.ROUTES,
    *attributes.ROUTES,
    *listing.ROUTES,
    *changes.ROUTES,
    *downloads.ROUTES,
    *uploads.ROUTES,
    *chunks.ROUTES,
]

__all__ = ["ROUTES"]
