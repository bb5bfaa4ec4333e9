"""The one door to HTTP: see `django_egnyte.http.door`."""

from django_egnyte.http.door import (
    CHUNK_SIZE,
    MAX_BYTES,
    TOKEN_MAX_BYTES,
    close_pools,
    iter_body,
    send,
)

__all__ = ["CHUNK_SIZE", "MAX_BYTES", "TOKEN_MAX_BYTES", "close_pools", "iter_body", "send"]
