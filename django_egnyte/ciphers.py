"""How tokens are sealed: the interface a site may implement, and the default.

A cipher is made with the site's keys, newest first. It seals a text, opens a sealed one, and says
whether one should be sealed again. Keys and plain texts are ``Secret``, so no error report shows
them. ``context`` names the one place (field, token, host, user) of a sealed text. A text that was
moved to another place must not open.

A process that opens no token does not load ``cryptography``: it is imported on first use.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from .exceptions import DecryptionError
from .secret import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

SHORTEST_KEY = 32


class Cipher(Protocol):
    """What ``EGNYTE_CIPHER`` names: called with the keys, newest first.

    ``ValueError`` from the constructor means that the keys cannot be used.
    """

    def __init__(self, keys: Sequence[Secret]) -> None: ...

    def seal(self, plaintext: Secret, context: str) -> str:
        """Seal with the newest key."""
        ...

    def open(self, sealed: str, context: str) -> Secret:
        """Open with the key that sealed it. ``DecryptionError`` if no key can."""
        ...

    def needs_reseal(self, sealed: str) -> bool:
        """Whether an older key sealed this. ``DecryptionError`` if this cipher did not seal it."""
        ...


class FernetCipher:
    """Standard Fernet text, followed by a dot and the id of its key.

    Each context has a Fernet key of its own, derived with HKDF (RFC 5869) from the site's key.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        if not keys or not all(keys):
            raise ValueError("FernetCipher needs at least one key, and none of them empty.")
        if len(keys[0].reveal()) < SHORTEST_KEY:
            raise ValueError(f"The newest key is shorter than {SHORTEST_KEY} characters.")
        self._keys = {_key_id(key): key for key in reversed(keys)}
        self._newest = _key_id(keys[0])

    def seal(self, plaintext: Secret, context: str) -> str:
        """Seal with the newest key."""
        fernet = _fernet(self._keys[self._newest], context)
        return f"{fernet.encrypt(plaintext.reveal().encode()).decode()}.{self._newest}"

    def open(self, sealed: str, context: str) -> Secret:
        """Open with the key that sealed it.

        ``DecryptionError`` if no such key is configured, or if the text was changed or moved.
        """
        from cryptography.fernet import InvalidToken

        token, key_id = _split(sealed)
        key = self._keys.get(key_id)
        if key is None:
            raise DecryptionError("No configured key has the id that this value names.")
        try:
            return Secret(_fernet(key, context).decrypt(token.encode()).decode())
        except (InvalidToken, ValueError):
            raise DecryptionError(
                "This value cannot be decrypted: it was changed, or copied from another row.",
                hint="Restore the row, or let its user reconnect.",
            ) from None

    def needs_reseal(self, sealed: str) -> bool:
        """Whether an older key sealed this. ``DecryptionError`` if it is not Fernet text."""
        return _split(sealed)[1] != self._newest


def _split(sealed: str) -> tuple[str, str]:
    token, dot, key_id = sealed.rpartition(".")
    # Fernet's version byte 0x80 and the leading zero bytes of its 64-bit timestamp.
    if not dot or not token.startswith("gAAAAA"):
        raise DecryptionError("This value is not in the format of FernetCipher.")
    return token, key_id


@functools.lru_cache(maxsize=64)
def _key_id(key: Secret) -> str:
    return _derive(key, b"django-egnyte key id", 4).hex()


@functools.lru_cache(maxsize=1024)
def _fernet(key: Secret, context: str) -> Fernet:
    from cryptography.fernet import Fernet

    # Keep the derived key in no variable: an error report may read this frame.
    return Fernet(
        base64.urlsafe_b64encode(_derive(key, b"django-egnyte token\x00" + context.encode(), 32))
    )


def _derive(key: Secret, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt=None, info=info).derive(key.reveal().encode())
