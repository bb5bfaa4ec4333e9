"""The one door to HTTP: see `django_egnyte.http.door`."""

from django_egnyte.http.door import (
    CHUNK_SIZE,
    MAX_BYTES,
    TOKEN_MAX_BYTES,
    close_pools,
    iter_body,
    read,
    send,
)
from django_egnyte.http.opaque import opaque

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
