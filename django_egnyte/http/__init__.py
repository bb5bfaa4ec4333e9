"""The one door to HTTP: see `django_egnyte.http.door`.

Import the door only where something is sent: it loads requests and urllib3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_egnyte.http.limits import CHUNK_SIZE, MAX_BYTES, TOKEN_MAX_BYTES
from django_egnyte.http.opaque import opaque

if TYPE_CHECKING:
    from django_egnyte.http.door import close_pools, iter_body, read, send

__all__ = [
    "CHUNK_SIZE",
    "MAX_BYTES",
    "TOKEN_MAX_BYTES",
    "close_pools",
    "iter_body",
    "opaque",
    "read",
    "send",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from django_egnyte.http import door

    value = globals()[name] = getattr(door, name)
    return value
