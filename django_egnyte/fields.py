"""Model fields: text that is sealed in the database, and a list of scopes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, cast

from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.serializers.base import DeserializationError
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.module_loading import import_string
from django.views.decorators.debug import sensitive_variables

from .ciphers import Cipher
from .conf import conf
from .exceptions import DecryptionError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    SealedTextField = models.TextField[str, str]
    WordsField = models.TextField[Iterable[str], list[str]]
else:
    SealedTextField = WordsField = models.TextField


class Sealed(str):
    """A value as it stands in the database: what ``values()`` and ``dumpdata`` show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<sealed>"


class HasSealContext(Protocol):
    """A model with encrypted fields names the one place that each of its values belongs to."""

    def seal_context(self, field: str) -> str: ...


@functools.lru_cache(maxsize=8)
@sensitive_variables()
def _ciphers(paths: tuple[str, ...], keys: tuple[str, ...]) -> tuple[Cipher, ...]:
    try:
        # No generator: its frame would hide from Django that what it calls is sensitive.
        return tuple([import_string(path)(keys) for path in paths])
    except (ImportError, ValueError) as error:
        raise ImproperlyConfigured(f"EGNYTE_CIPHER or its keys cannot be used: {error}") from error


@sensitive_variables()
def ciphers() -> tuple[Cipher, ...]:
    """The configured ciphers; the first one seals. ``ImproperlyConfigured`` if one cannot."""
    return _ciphers(tuple(conf.ciphers), tuple(conf.encryption_keys))


@sensitive_variables()
def seal(plaintext: str, context: str) -> Sealed:
    """Seal with the first cipher; nothing stays nothing."""
    return Sealed(ciphers()[0].seal(plaintext, context)) if plaintext else Sealed("")


@sensitive_variables()
def unseal(sealed: str, context: str) -> str:
    """Open with the cipher that sealed; ``DecryptionError`` when that is not possible."""
    return cipher_of(sealed).open(sealed, context) if sealed else ""


def cipher_of(sealed: str) -> Cipher:
    """The configured cipher whose form this is; ``DecryptionError`` if there is none."""
    for cipher in ciphers():
        try:
            cipher.needs_reseal(sealed)
        except DecryptionError:
            continue
        return cipher
    raise DecryptionError("No configured cipher knows this value's form.")


def needs_reseal(sealed: str) -> bool:
    """Whether another cipher or an older key sealed this; ``DecryptionError`` if none did."""
    cipher = cipher_of(sealed)
    return cipher is not ciphers()[0] or cipher.needs_reseal(sealed)


_as_stored: ContextVar[bool] = ContextVar("egnyte_as_stored", default=False)


@contextmanager
def as_stored() -> Iterator[None]:
    """Within, reading an encrypted attribute gives what is stored and decrypts nothing."""
    token = _as_stored.set(True)
    try:
        yield
    finally:
        _as_stored.reset(token)


class _SealedAttribute(DeferredAttribute):
    """Opens on attribute access, not when a row is loaded: one bad row breaks no list."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, Sealed) and not _as_stored.get():
            return unseal(value, instance.seal_context(self.field.attname))
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class EncryptedTextField(SealedTextField):
    """Text that only the attribute shows in clear; everything else sees it sealed.

    The model, a ``SealedModel``, tells where a value belongs by ``seal_context``. The empty string
    stays empty.
    """

    descriptor_class = _SealedAttribute
    description = "Encrypted text"

    def stored(self, instance: models.Model) -> Sealed:
        """What the database holds, or will hold, for this instance. Opens nothing."""
        with as_stored():
            value = getattr(instance, self.attname)
        if isinstance(value, Sealed):
            return value
        if hasattr(value, "resolve_expression"):
            raise FieldError(f"'{self.name}' is encrypted: an expression cannot be sealed.")
        return seal(value, cast("HasSealContext", instance).seal_context(self.attname))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def get_prep_value(self, value: Any) -> Any:
        if value is None or value == "" or hasattr(value, "resolve_expression"):
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
        """For deserializers only: a fixture holds sealed values, which must not be sealed twice.

        Plain text passes here and is refused when it is saved: Django would put a value refused
        here into its message.
        """
        if value in (None, "") or isinstance(value, Sealed):
            return value
        try:
            cipher_of(value)
        except DecryptionError:
            return value
        return Sealed(value)

    def value_from_object(self, obj: models.Model) -> Any:
        return self.stored(obj)

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.stored(obj))

    def formfield(self, *args: Any, **kwargs: Any) -> None:
        return None


class SealedModel(models.Model):
    """A model with encrypted fields, whose own machinery never opens them."""

    class Meta:
        abstract = True

    @classmethod
    def sealed_fields(cls) -> list[EncryptedTextField]:
        fields = cls._meta.concrete_fields
        return [field for field in fields if isinstance(field, EncryptedTextField)]

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        with as_stored():
            super().refresh_from_db(*args, **kwargs)

    def seal_values(self) -> None:
        """Replace plain text in encrypted fields by what is to be stored."""
        for field in self.sealed_fields():
            if field.attname in self.__dict__:
                vars(self)[field.attname] = field.stored(self)

    def _refuse_plain_text(self) -> None:
        for field in self.sealed_fields():
            value = self.__dict__.get(field.attname)
            if value and not isinstance(value, Sealed):
                raise DeserializationError(f"'{field.name}' must be a sealed value.")

    # Not around save_base(), whose signals reach receivers that may use the token.
    def _save_table(self, raw: bool = False, *args: Any, **kwargs: Any) -> bool:
        if raw:
            self._refuse_plain_text()
        self.seal_values()
        with as_stored():
            return bool(super()._save_table(raw, *args, **kwargs))  # type: ignore[misc]

    def clean_fields(self, exclude: Iterable[str] | None = None) -> None:
        sealed = {field.name for field in self.sealed_fields()}
        super().clean_fields(exclude=sealed | set(exclude or ()))


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
