"""Sizes of what comes in and goes out, in bytes."""

from __future__ import annotations

from typing import Final

MAX_BYTES: Final = 16 * 1024 * 1024
"""The most that an API answer may hold, unpacked."""
TOKEN_MAX_BYTES: Final = 64 * 1024
"""The same for an answer of the token endpoint."""
CHUNK_SIZE: Final = 64 * 1024
"""The most that is read or sent at once."""
