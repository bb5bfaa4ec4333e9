"""For the site's own code: what it may do to accounts besides calling Egnyte."""

from __future__ import annotations

from .services.polls import follow, unfollow
from .services.reassign import reassign

__all__ = ["follow", "reassign", "unfollow"]
