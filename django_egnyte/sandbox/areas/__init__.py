"""The areas of the API other than files and folders: their routes and handlers."""

from __future__ import annotations

from ..routing import Route
from ..tree import Change
from ..world import World
from . import (
    audit,
    bookmarks,
    events,
    links,
    notes,
    permissions,
    properties,
    search,
    session,
    small,
    trash,
    users,
    webhooks,
)
from .events import forget

ROUTES: list[Route] = [
    *audit.ROUTES,
    *bookmarks.ROUTES,
    *events.ROUTES,
    *links.ROUTES,
    *notes.ROUTES,
    *permissions.ROUTES,
    *properties.ROUTES,
    *search.ROUTES,
    *session.ROUTES,
    *small.ROUTES,
    *trash.ROUTES,
    *users.ROUTES,
    *webhooks.ROUTES,
]


def watch(sandbox: World, label: str, change: Change) -> None:
    """React to a change of a domain's files: record events, fill the trash."""
    trash.watch(sandbox, label, change)
    events.watch(sandbox, label, change)


__all__ = ["ROUTES", "forget", "watch"]
