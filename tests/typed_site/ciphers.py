"""A site's own cipher for ``EGNYTE_CIPHER``."""

from __future__ import annotations

from collections.abc import Sequence

from django_egnyte.ciphers import Cipher, FernetCipher
from django_egnyte.django_cryptography import DjangoCryptographyCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.secret import Secret

PREFIX = "site."


class PrefixedCipher:
    """Fernet, with a prefix that identifies its values."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        self._fernet = FernetCipher(keys)

    def seal(self, plaintext: Secret, context: str) -> str:
        return PREFIX + self._fernet.seal(plaintext, context)

    def open(self, sealed: str, context: str) -> Secret:
        return self._fernet.open(self._bare(sealed), context)

    def needs_reseal(self, sealed: str) -> bool:
        return self._fernet.needs_reseal(self._bare(sealed))

    def _bare(self, sealed: str) -> str:
        if not sealed.startswith(PREFIX):
            raise DecryptionError("Not sealed by this cipher.")
        return sealed.removeprefix(PREFIX)


CIPHERS: list[type[Cipher]] = [PrefixedCipher, DjangoCryptographyCipher, FernetCipher]


def moved(sealed: str, context: str, old: Cipher, new: Cipher) -> str:
    return new.seal(old.open(sealed, context), context) if new.needs_reseal(sealed) else sealed
