"""Files and folders: what is below `/pubapi/v1/fs`, `fs-content` and `fs-content-chunked`."""

from __future__ import annotations

from ..routing import Route
from . import changes, chunks, downloads, listing, uploads

ROUTES: list[Route] = [
    *listing.ROUTES,
    *changes.ROUTES,
    *downloads.ROUTES,
    *uploads.ROUTES,
    *chunks.ROUTES,
]

__all__ = ["ROUTES"]
