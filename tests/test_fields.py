from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.management import call_command
from django.db import transaction
from django.db.models import F, Value
from django.forms.models import model_to_dict, modelform_factory

from django_egnyte.ciphers import FernetCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.fields import Sealed, needs_reseal, seal, unseal
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.secret import Secret

pytestmark = pytest.mark.django_db

SECRETS = ("the access token", "the refresh token")
OTHER_KEY = "quite another key, of thirty-two characters or more"


class CountingCipher(FernetCipher):
    opened: list[str] = []
    sealed: list[str] = []

    def seal(self, plaintext: Secret, context: str) -> str:
        self.sealed.append(context)
        return super().seal(plaintext, context)

    def open(self, sealed: str, context: str) -> Secret:
        self.opened.append(context)
        return super().open(sealed, context)


class ReversingCipher:
    """Another form, as a site's own cipher would have."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        pass

    def seal(self, plaintext: Secret, context: str) -> str:
        return f"reversed:{plaintext.reveal()[::-1]}"

    def open(self, sealed: str, context: str) -> Secret:
        self.needs_reseal(sealed)
        return Secret(sealed.removeprefix("reversed:")[::-1])

    def needs_reseal(self, sealed: str) -> bool:
        if not sealed.startswith("reversed:"):
            raise DecryptionError("Not in my form.")
        return False


@pytest.fixture
def counted(settings: Any) -> type[CountingCipher]:
    settings.EGNYTE_CIPHER = f"{__name__}.CountingCipher"
    CountingCipher.opened.clear()
    CountingCipher.sealed.clear()
    return CountingCipher


@pytest.fixture
def token(egnyte_user: Any) -> EgnyteToken:
    return make(egnyte_user)


def make(user: Any, number: int = 1, **values: Any) -> EgnyteToken:
    grant = EgnyteGrant.objects.create(
        domain="acme.egnyte.com", fingerprint=f"fingerprint {number}", user_ref=str(user.pk)
    )
    token = EgnyteToken(
        grant=grant, domain=grant.domain, user_ref=str(user.pk), fingerprint=grant.fingerprint
    )
    for name, text in zip(("access_token", "refresh_token"), SECRETS, strict=True):
        setattr(token, name, values.get(name, seal(Secret(text), token.seal_context(name))))
    token.save()
    return token


def texts(token: EgnyteToken) -> tuple[str, ...]:
    return tuple(secret.reveal() for secret in token.open())


def stored(name: str = "access_token") -> str:
    return str(EgnyteToken.objects.values_list(name, flat=True).get())


def lose_the_key(settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [OTHER_KEY]


def test_nothing_but_open_shows_the_text(token: EgnyteToken) -> None:
    found = EgnyteToken.objects.get()
    assert texts(found) == texts(token) == SECRETS
    shown = [
        f"{found!r} {found}",
        f"{found.access_token} {found.refresh_token!r}",
        repr(found.open()),
        repr(vars(found)),
        repr(vars(token)),
        str(EgnyteToken.objects.values()),
        json.dumps(list(EgnyteToken.objects.values("access_token", "refresh_token"))),
        str(EgnyteToken.objects.values_list()),
        str(model_to_dict(found)),
        serializers.serialize("json", [found]),
        serializers.serialize("xml", [found]),
    ]
    for text in shown:
        assert not any(secret in text for secret in SECRETS)


def test_the_repr_of_a_sealed_value_is_dull(token: EgnyteToken) -> None:
    assert repr(EgnyteToken.objects.values("access_token").get()) == "{'access_token': <sealed>}"


def test_only_open_decrypts(counted: type[CountingCipher], egnyte_user: Any) -> None:
    make(egnyte_user)
    assert (len(counted.sealed), counted.opened) == (2, [])
    (found,) = EgnyteToken.objects.all()
    str(found.access_token)
    found.refresh_from_db()
    found.save()
    found.full_clean()
    assert (len(counted.sealed), counted.opened) == (2, [])
    assert texts(found) == SECRETS
    assert len(counted.opened) == 2
    found.delete()
    assert (len(counted.sealed), len(counted.opened)) == (2, 2)


@pytest.mark.parametrize("deferred", [["access_token"], ["seal_id", "domain"], ["user_ref"]])
def test_what_opening_needs_may_be_deferred(token: EgnyteToken, deferred: list[str]) -> None:
    assert texts(EgnyteToken.objects.defer(*deferred).get()) == SECRETS


def test_a_row_that_no_key_opens_can_be_listed_saved_and_deleted(
    token: EgnyteToken, settings: Any
) -> None:
    before = stored()
    lose_the_key(settings)
    (found,) = EgnyteToken.objects.all()
    found.save()
    found.refresh_from_db()
    assert stored() == before
    with pytest.raises(DecryptionError) as caught:
        found.open()
    assert before not in str(caught.value)
    found.delete()


def test_the_empty_text_stays_empty(egnyte_user: Any) -> None:
    make(egnyte_user, refresh_token="")
    assert stored("refresh_token") == ""
    assert not EgnyteToken.objects.filter(refresh_token="").get().open().refresh_token


@pytest.mark.parametrize(
    "lookup",
    [
        "in",
        "iexact",
        "contains",
        "icontains",
        "startswith",
        "endswith",
        "regex",
        "gt",
        "lt",
        "range",
    ],
)
def test_other_lookups_are_refused_with_the_reason(lookup: str) -> None:
    with pytest.raises(FieldError, match="encrypted: sealing the same text twice"):
        EgnyteToken.objects.filter(**{f"access_token__{lookup}": ["x", "y"]})


def test_isnull_and_exact_with_a_sealed_value_work(token: EgnyteToken) -> None:
    sealed = EgnyteToken.objects.values_list("access_token", flat=True).get()
    assert EgnyteToken.objects.filter(access_token=sealed).get() == token
    assert EgnyteToken.objects.filter(access_token__exact=sealed).count() == 1
    assert EgnyteToken.objects.filter(access_token__isnull=False).count() == 1
    with pytest.raises(FieldError, match="plain text"):
        EgnyteToken.objects.filter(access_token="the access token").count()


@pytest.mark.parametrize("value", ["a plain token", Value("x"), F("refresh_token")])
def test_nothing_but_sealed_text_is_stored(egnyte_user: Any, value: Any) -> None:
    with pytest.raises(FieldError, match="encrypted") as caught, transaction.atomic():
        make(egnyte_user, access_token=value)
    assert "a plain token" not in str(caught.value)
    assert not EgnyteToken.objects.exists()


def test_a_text_moved_elsewhere_does_not_open(egnyte_user: Any) -> None:
    first, second = make(egnyte_user), make(egnyte_user, 2)
    rows = EgnyteToken.objects.filter(pk=second.pk)
    ours, theirs = first.access_token, second.access_token
    for moved in (
        {"refresh_token": theirs, "access_token": ""},
        {"access_token": ours},
        {"access_token": theirs, "refresh_token": "", "domain": "globex.egnyte.com"},
        {"access_token": theirs, "domain": "acme.egnyte.com", "user_ref": "another"},
    ):
        rows.write(**moved)
        with pytest.raises(DecryptionError):
            rows.get().open()
    rows.write(user_ref=str(egnyte_user.pk))
    assert rows.get().open().access_token == Secret(SECRETS[0])


def test_an_account_opens_no_token_of_another_user_or_domain(
    token: EgnyteToken, egnyte_user: Any
) -> None:
    """Write access to the database must not give an account another user's token."""
    account = EgnyteAccount.objects.create(
        user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=1, token=token
    )
    assert account.open_token() == SECRETS[0]
    for values in ({"user_ref": "another"}, {"domain": "globex.egnyte.com"}):
        EgnyteToken.objects.filter(pk=token.pk).write(**values)
        with pytest.raises(DecryptionError):
            EgnyteAccount.objects.get().open_token()
    EgnyteAccount.objects.write(token=None)
    with pytest.raises(DecryptionError):
        EgnyteAccount.objects.get().open_token()


def test_secret_key_fallbacks_open(token: EgnyteToken, settings: Any) -> None:
    old = settings.SECRET_KEY
    settings.SECRET_KEY = OTHER_KEY
    with pytest.raises(DecryptionError) as missing:
        EgnyteToken.objects.get().open()
    assert "SECRET_KEY into SECRET_KEY_FALLBACKS" in missing.value.hint
    settings.SECRET_KEY_FALLBACKS = [old]
    assert texts(EgnyteToken.objects.get()) == SECRETS
    assert needs_reseal(stored())


def test_the_list_of_keys_rules_when_it_is_there(token: EgnyteToken, settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [OTHER_KEY, settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret of the site, which seals no token any more"
    assert texts(EgnyteToken.objects.get()) == SECRETS
    assert needs_reseal(stored())
    assert not needs_reseal(seal(Secret("x"), "context"))


def test_a_site_may_change_its_cipher(token: EgnyteToken, settings: Any) -> None:
    settings.EGNYTE_CIPHER = [
        f"{__name__}.ReversingCipher",
        "django_egnyte.ciphers.FernetCipher",
    ]
    assert texts(EgnyteToken.objects.get()) == SECRETS
    assert needs_reseal(stored())
    sealed = seal(Secret("abc"), "context")
    assert sealed == "reversed:cba"
    assert not needs_reseal(sealed)
    assert unseal(sealed, "context") == Secret("abc")
    settings.EGNYTE_CIPHER = f"{__name__}.ReversingCipher"
    with pytest.raises(DecryptionError, match="No configured cipher"):
        EgnyteToken.objects.get().open()


@pytest.mark.parametrize(
    ("cipher", "keys"),
    [
        ("no.such.Cipher", None),
        ("django_egnyte.ciphers.FernetCipher", ["short"]),
        ("django_egnyte.ciphers.FernetCipher", []),
        ("django_egnyte.ciphers.FernetCipher", [OTHER_KEY, None]),
        ("django_egnyte.ciphers.FernetCipher", [b"bytes" * 10]),
    ],
)
def test_a_cipher_that_cannot_be_made_is_a_misconfiguration(
    settings: Any, cipher: str, keys: list[Any] | None
) -> None:
    settings.EGNYTE_CIPHER, settings.EGNYTE_ENCRYPTION_KEYS = cipher, keys
    with pytest.raises(ImproperlyConfigured, match="EGNYTE_CIPHER"):
        seal(Secret("x"), "context")


@pytest.mark.parametrize("form", ["json", "xml", "jsonl"])
def test_a_fixture_goes_there_and_back_without_a_second_seal(
    token: EgnyteToken, tmp_path: Path, form: str, settings: Any
) -> None:
    before = stored()
    out = io.StringIO()
    lose_the_key(settings)
    call_command("dumpdata", "django_egnyte", format=form, stdout=out)
    assert before in out.getvalue()
    settings.EGNYTE_ENCRYPTION_KEYS = None
    fixture = tmp_path / f"tokens.{form}"
    fixture.write_text(out.getvalue())
    token.delete()
    call_command("loaddata", str(fixture), verbosity=0)
    assert stored() == before
    assert texts(EgnyteToken.objects.get()) == SECRETS


def test_a_fixture_with_plain_text_is_refused(token: EgnyteToken, tmp_path: Path) -> None:
    (row,) = json.loads(serializers.serialize("json", [token]))
    row["fields"]["access_token"] = "a plain token"
    fixture = tmp_path / "tokens.json"
    fixture.write_text(json.dumps([row]))
    with pytest.raises(FieldError, match="encrypted") as caught, transaction.atomic():
        call_command("loaddata", str(fixture), verbosity=0)
    assert "a plain token" not in str(caught.value)
    assert texts(EgnyteToken.objects.get()) == SECRETS


def test_a_value_is_read_as_sealed() -> None:
    field = EgnyteToken._meta.get_field("access_token")
    sealed = seal(Secret("x"), "context")
    assert isinstance(field.to_python(str(sealed)), Sealed)
    assert field.to_python(None) is None


def test_no_form_shows_a_token(token: EgnyteToken) -> None:
    form = modelform_factory(EgnyteToken, exclude=[])(instance=token)
    assert not {"access_token", "refresh_token"} & set(form.fields)


def test_scopes_are_a_list_here_and_words_there(egnyte_user: Any) -> None:
    def account(number: int, **values: Any) -> EgnyteAccount:
        return EgnyteAccount.objects.create(
            user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=number, **values
        )

    account(1, scopes=["Egnyte.filesystem", "Egnyte.link"])
    found = EgnyteAccount.objects.get()
    assert found.scopes == ["Egnyte.filesystem", "Egnyte.link"]
    assert EgnyteAccount.objects.filter(scopes="Egnyte.filesystem Egnyte.link").exists()
    (copy,) = serializers.deserialize("json", serializers.serialize("json", [found]))
    assert copy.object.scopes == found.scopes
    (copy,) = serializers.deserialize("xml", serializers.serialize("xml", [found]))
    assert copy.object.scopes == found.scopes
    assert account(2).scopes == []
