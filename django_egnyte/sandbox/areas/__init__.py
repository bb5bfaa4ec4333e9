"""The areas of the API beside files and folders: a table of routes, and what answers them."""

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
    """What follows from a change of a domain's files."""
    trash.watch(sandbox, label, change)
    events.watch(sandbox, label, change)


__all__ = ["ROUTES", "forget", "watch"]
