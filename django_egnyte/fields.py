"""Model fields: text that is sealed in the database, and a list of scopes."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models
from django.utils.module_loading import import_string

from .ciphers import Cipher
from .conf import conf
from .exceptions import DecryptionError
from .secret import Secret

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    SealedTextField = models.TextField[str, str]
    WordsField = models.TextField[Iterable[str], list[str]]
else:
    SealedTextField = WordsField = models.TextField


class Sealed(str):
    """Encrypted text as in the database. Attributes, queries and fixtures show this."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<sealed>"


@functools.lru_cache(maxsize=8)
def _ciphers(paths: tuple[str, ...], keys: tuple[Secret, ...]) -> tuple[Cipher, ...]:
    try:
        return tuple([import_string(path)(keys) for path in paths])
    except (ImportError, ValueError) as error:
        raise ImproperlyConfigured(f"EGNYTE_CIPHER or its keys cannot be used: {error}") from error


def ciphers() -> tuple[Cipher, ...]:
    """The configured ciphers. The first one seals. ``ImproperlyConfigured`` if one is unusable."""
    return _ciphers(tuple(conf.ciphers), tuple(conf.encryption_keys))


def seal(plaintext: Secret, context: str) -> Sealed:
    """Seal with the first cipher. An empty secret becomes an empty text."""
    return Sealed(ciphers()[0].seal(plaintext, context)) if plaintext else Sealed("")


def unseal(sealed: str, context: str) -> Secret:
    """Open with the cipher that sealed. ``DecryptionError`` if that is not possible."""
    return cipher_of(sealed).open(sealed, context) if sealed else Secret()


def cipher_of(sealed: str) -> Cipher:
    """The configured cipher that sealed this. ``DecryptionError`` if there is none."""
    for cipher in ciphers():
        try:
            cipher.needs_reseal(sealed)
        except DecryptionError:
            continue
        return cipher
    raise DecryptionError("No configured cipher reads the format of this value.")


def needs_reseal(sealed: str) -> bool:
    """Whether another cipher or an older key sealed this. ``DecryptionError`` if none did."""
    cipher = cipher_of(sealed)
    return cipher is not ciphers()[0] or cipher.needs_reseal(sealed)


class EncryptedTextField(SealedTextField):
    """A column of sealed text. Only ``seal`` and ``unseal`` handle the plain text.

    It refuses anything but sealed or empty text, in queries and in ``save()``.
    """

    description = "Encrypted text"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if hasattr(value, "resolve_expression"):
            raise FieldError(f"'{self.name}' is encrypted: an expression cannot be sealed.")
        return value

    def get_prep_value(self, value: Any) -> Any:
        if value is None or value == "":
            return value
        if not isinstance(value, Sealed):
            raise FieldError(
                f"'{self.name}' is encrypted: plain text is never sent to the database."
            )
        return str(value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        return value if prepared else self.get_prep_value(value)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name not in ("exact", "isnull"):
            raise FieldError(
                f"'{self.name}' is encrypted: sealing the same text twice gives two values, so "
                f"'{lookup_name}' could find nothing. Only 'isnull', and 'exact' with a sealed "
                "value, work."
            )
        return super().get_lookup(lookup_name)

    def to_python(self, value: Any) -> Any:
        """Recognise the sealed values of a fixture.

        Plain text is refused only when it is saved: an error raised here would make Django show
        the value in its message.
        """
        if value in (None, "") or isinstance(value, Sealed):
            return value
        try:
            cipher_of(value)
        except DecryptionError:
            return value
        return Sealed(value)

    def formfield(self, *args: Any, **kwargs: Any) -> None:
        return None


class ScopesField(WordsField):
    """OAuth scopes: a list in Python, and in the database the text of RFC 6749 section 3.3."""

    description = "Space-delimited scopes"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> list[str]:
        return (value or "").split()

    def to_python(self, value: Any) -> list[str]:
        if value is None:
            return []
        return value.split() if isinstance(value, str) else list(value)

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, (list, tuple, set, frozenset)):
            return " ".join(value)
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return " ".join(self.value_from_object(obj))
