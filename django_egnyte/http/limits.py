"""Size limits, in bytes."""

from __future__ import annotations

from typing import Final

MAX_BYTES: Final = 16 * 1024 * 1024
"""The largest answer of the API, unpacked."""
TOKEN_MAX_BYTES: Final = 64 * 1024
"""The largest answer of the token endpoint, unpacked."""
CHUNK_SIZE: Final = 64 * 1024
"""The largest piece that is read or sent at once."""
