"""Functions that a site's own code may call to change accounts."""

from __future__ import annotations

from .services.polls import follow, unfollow
from .services.reassign import reassign

__all__ = ["follow", "reassign", "unfollow"]
