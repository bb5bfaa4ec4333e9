"""A cipher for sites that use django-cryptography and its ``CRYPTOGRAPHY_KEY``.

Needs the extra ``django-egnyte[django-cryptography]``. The original distribution (1.1) cannot be
imported on any supported Django; the extra brings ``django-cryptography-5``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.signing import BadSignature
from django.utils.encoding import force_bytes

from .exceptions import DecryptionError
from .secret import Secret

if TYPE_CHECKING:
    from django_cryptography.utils.crypto import FernetBytes

FORM: Final = "dc1"
# The number of iterations with which django_cryptography.conf derives CRYPTOGRAPHY_KEY.
ITERATIONS: Final = 30_000


class DjangoCryptographyCipher:
    """Encrypts with ``CRYPTOGRAPHY_KEY``. The keys of ``EGNYTE_ENCRYPTION_KEYS`` only decrypt.

    To rotate, put the new key into ``CRYPTOGRAPHY_KEY`` and the old one into
    ``EGNYTE_ENCRYPTION_KEYS``. The cipher uses ``FernetBytes`` and the signer of
    django-cryptography. It does not use the ``encrypt()`` field, which unpickles decrypted values.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        try:
            from django_cryptography.conf import CryptographyConf
            from django_cryptography.utils.crypto import pbkdf2
        except ImportError as error:
            raise ValueError(
                "DjangoCryptographyCipher needs: pip install 'django-egnyte[django-cryptography]'"
            ) from error
        site = CryptographyConf()
        # As a string with one character per byte, because Secret hides strings.
        masters = [Secret(force_bytes(site.KEY).decode("latin-1"))]
        masters += [
            Secret(
                pbkdf2(key.reveal(), site.SALT, ITERATIONS, digest=site.DIGEST).decode("latin-1")
            )
            for key in keys
        ]
        self._keys = {_derive(key, "key id", 4).hex(): key for key in reversed(masters)}
        self._newest = _derive(masters[0], "key id", 4).hex()

    def seal(self, plaintext: Secret, context: str) -> str:
        """Encrypt with ``CRYPTOGRAPHY_KEY``."""
        sealed = _fernet(self._keys[self._newest], context).encrypt(plaintext.reveal().encode())
        return f"{FORM}.{self._newest}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> Secret:
        """Decrypt with the key that encrypted it. ``DecryptionError`` if no key does."""
        from django_cryptography.utils.crypto import InvalidToken

        key_id, text = _split(sealed)
        if key_id not in self._keys:
            raise DecryptionError("No configured key has the id that this value names.")
        try:
            return Secret(
                _fernet(self._keys[key_id], context)
                .decrypt(base64.urlsafe_b64decode(text))
                .decode()
            )
        except (BadSignature, InvalidToken, binascii.Error, ValueError):
            raise DecryptionError(
                "This value cannot be decrypted: it was changed, or copied from another row.",
                hint="Restore the row, or let its user reconnect.",
            ) from None

    def needs_reseal(self, sealed: str) -> bool:
        """Whether an older key encrypted this. ``DecryptionError`` for another format."""
        return _split(sealed)[0] != self._newest


def _split(sealed: str) -> tuple[str, str]:
    form, _, rest = sealed.partition(".")
    key_id, dot, text = rest.partition(".")
    if form != FORM or not dot:
        raise DecryptionError("This value is not in the format of DjangoCryptographyCipher.")
    return key_id, text


def _fernet(master: Secret, context: str) -> FernetBytes:
    from django_cryptography.core.signing import FernetSigner
    from django_cryptography.utils.crypto import FernetBytes

    # Separate keys for signing and encryption, derived for the context of the value.
    purpose = f"token\x00{context}"
    # Keep derived keys out of variables, because an error report may show this frame.
    signer = FernetSigner(_derive(master, purpose, 64)[:32])
    # Its own signer does not fit its annotation.
    return FernetBytes(_derive(master, purpose, 64)[32:], signer)  # pyright: ignore[reportArgumentType]


def _derive(master: Secret, purpose: str, length: int) -> bytes:
    info = f"django-egnyte {purpose}".encode()
    return HKDF(SHA256(), length, salt=None, info=info).derive(master.reveal().encode("latin-1"))
