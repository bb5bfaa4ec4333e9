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
from django.core.serializers.base import DeserializationError
from django.db import models, transaction
from django.db.models import F, Value
from django.forms.models import model_to_dict, modelform_factory

from django_egnyte.ciphers import FernetCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.fields import Sealed, needs_reseal, seal, unseal
from django_egnyte.models import EgnyteAccount, PendingRevocation
from django_egnyte.services.outbox import put_held

pytestmark = pytest.mark.django_db

SECRETS = ("the access token", "the refresh token")
OTHER_KEY = "quite another key, of thirty-two characters or more"


class CountingCipher(FernetCipher):
    opened: list[str] = []
    sealed: list[str] = []

    def seal(self, plaintext: str, context: str) -> str:
        self.sealed.append(context)
        return super().seal(plaintext, context)

    def open(self, sealed: str, context: str) -> str:
        self.opened.append(context)
        return super().open(sealed, context)


class ReversingCipher:
    """Another form, as a site's own cipher would have."""

    def __init__(self, keys: Sequence[str]) -> None:
        pass

    def seal(self, plaintext: str, context: str) -> str:
        return f"reversed:{plaintext[::-1]}"

    def open(self, sealed: str, context: str) -> str:
        self.needs_reseal(sealed)
        return sealed.removeprefix("reversed:")[::-1]

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
def account(egnyte_user: Any) -> EgnyteAccount:
    return make(egnyte_user)


def make(user: Any, **values: Any) -> EgnyteAccount:
    values = {
        "user": user,
        "domain": "acme.egnyte.com",
        "egnyte_user_id": 121,
        "access_token": SECRETS[0],
        "refresh_token": SECRETS[1],
    } | values
    return EgnyteAccount.objects.create(**values)


def stored(name: str = "access_token") -> str:
    return str(EgnyteAccount.objects.values_list(name, flat=True).get())


def lose_the_key(settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [OTHER_KEY]


def test_only_the_attribute_shows_the_text(account: EgnyteAccount) -> None:
    found = EgnyteAccount.objects.get()

    assert (found.access_token, found.refresh_token) == SECRETS
    assert (account.access_token, account.refresh_token) == SECRETS
    shown = [
        f"{found!r} {found}",
        repr(vars(found)),
        repr(vars(account)),
        str(EgnyteAccount.objects.values()),
        json.dumps(list(EgnyteAccount.objects.values("access_token", "refresh_token"))),
        str(EgnyteAccount.objects.values_list()),
        str(model_to_dict(found)),
        serializers.serialize("json", [found]),
        serializers.serialize("xml", [found]),
    ]
    for text in shown:
        assert not any(secret in text for secret in SECRETS)


def test_the_repr_of_a_sealed_value_is_dull(account: EgnyteAccount) -> None:
    assert repr(EgnyteAccount.objects.values("access_token").get()) == "{'access_token': <sealed>}"


def test_a_list_of_accounts_opens_nothing(counted: type[CountingCipher], egnyte_user: Any) -> None:
    make(egnyte_user)
    counted.opened.clear()

    rows = list(EgnyteAccount.objects.all())
    assert [str(row) for row in rows] == ["121 @ acme.egnyte.com"]
    assert counted.opened == []

    assert rows[0].access_token == SECRETS[0]
    assert len(counted.opened) == 1


def test_saving_seals_once_and_opens_nothing(
    counted: type[CountingCipher], egnyte_user: Any
) -> None:
    account = make(egnyte_user)
    assert (len(counted.sealed), counted.opened) == (2, [])

    account.first_name = "Jane"
    account.save()
    account.refresh_from_db()
    found = EgnyteAccount.objects.get()
    found.save()
    found.full_clean()
    found.delete()

    assert (len(counted.sealed), counted.opened) == (2, [])


@pytest.mark.parametrize("fields", [None, ["access_token"], ["first_name"]])
def test_refreshing_an_instance_opens_nothing(
    counted: type[CountingCipher], egnyte_user: Any, fields: list[str] | None
) -> None:
    account = make(egnyte_user)

    account.refresh_from_db(fields=fields)
    assert counted.opened == []
    assert account.access_token == SECRETS[0]


def test_deferred_tokens_are_read_when_asked_for(
    counted: type[CountingCipher], account: EgnyteAccount, django_assert_num_queries: Any
) -> None:
    for rows in (
        EgnyteAccount.objects.only("domain", "seal_id", "user"),
        EgnyteAccount.objects.defer("access_token"),
    ):
        found = rows.get()
        assert counted.opened == []
        with django_assert_num_queries(1):
            assert found.access_token == SECRETS[0]
        with django_assert_num_queries(0):
            assert found.access_token == SECRETS[0]
        counted.opened.clear()


def test_the_context_may_be_deferred_too(account: EgnyteAccount) -> None:
    assert EgnyteAccount.objects.only("access_token").get().access_token == SECRETS[0]


@pytest.mark.skipif(not hasattr(models, "FETCH_PEERS"), reason="fetch modes came with Django 6.1")
def test_deferred_tokens_of_peers_stay_sealed(egnyte_user: Any) -> None:
    make(egnyte_user)
    make(egnyte_user, egnyte_user_id=2)

    first, second = EgnyteAccount.objects.defer("access_token").fetch_mode(models.FETCH_PEERS)
    assert first.access_token == SECRETS[0]
    assert isinstance(vars(second)["access_token"], Sealed)


def test_a_row_that_no_key_opens_can_be_listed_saved_and_deleted(
    account: EgnyteAccount, settings: Any
) -> None:
    before = stored()
    lose_the_key(settings)

    (found,) = EgnyteAccount.objects.all()
    found.first_name = "Jane"
    found.save()
    found.refresh_from_db()
    assert found.first_name == "Jane"
    assert stored() == before
    with pytest.raises(DecryptionError) as caught:
        _ = found.access_token
    assert before not in str(caught.value)

    found.delete()
    row = PendingRevocation.objects.get()
    assert str(PendingRevocation.objects.values_list("access_token", flat=True).get()) == before
    settings.EGNYTE_ENCRYPTION_KEYS = None
    assert row.access_token == SECRETS[0]


def test_the_empty_text_stays_empty(egnyte_user: Any) -> None:
    make(egnyte_user, refresh_token="")

    assert stored("refresh_token") == ""
    assert EgnyteAccount.objects.filter(refresh_token="").get().refresh_token == ""


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
        EgnyteAccount.objects.filter(**{f"access_token__{lookup}": ["x", "y"]})


def test_isnull_and_exact_with_a_sealed_value_work(account: EgnyteAccount) -> None:
    sealed = EgnyteAccount.objects.values_list("access_token", flat=True).get()

    assert EgnyteAccount.objects.filter(access_token=sealed).get() == account
    assert EgnyteAccount.objects.filter(access_token__exact=sealed).count() == 1
    assert EgnyteAccount.objects.filter(access_token__isnull=False).count() == 1
    assert not EgnyteAccount.objects.filter(access_token=F("refresh_token")).exists()
    with pytest.raises(FieldError, match="plain text"):
        EgnyteAccount.objects.filter(access_token="the access token").count()


@pytest.mark.parametrize("value", [Value("x"), F("refresh_token")])
def test_an_expression_is_not_stored(egnyte_user: Any, value: Any) -> None:
    with pytest.raises(FieldError, match="expression"), transaction.atomic():
        make(egnyte_user, access_token=value)

    assert not EgnyteAccount.objects.exists()


def test_a_text_moved_elsewhere_does_not_open(egnyte_user: Any) -> None:
    other_user = type(egnyte_user).objects.create(
        **{egnyte_user.USERNAME_FIELD: "other@example.com"}
    )
    first = make(egnyte_user)
    second = make(egnyte_user, egnyte_user_id=122)
    rows = EgnyteAccount.objects.filter(pk=second.pk)
    ours, theirs = (vars(each)["access_token"] for each in (first, second))

    for moved in (
        {"refresh_token": theirs, "access_token": ""},
        {"access_token": ours},
        {"access_token": theirs, "domain": "globex.egnyte.com"},
        {"access_token": theirs, "domain": "acme.egnyte.com", "user": other_user},
    ):
        rows.write(**moved)
        found = rows.get()
        with pytest.raises(DecryptionError):
            _ = found.access_token or found.refresh_token
    rows.write(user=egnyte_user)
    assert rows.get().access_token == SECRETS[0]


def test_the_outbox_opens_what_an_account_held(account: EgnyteAccount, settings: Any) -> None:
    before = stored(), stored("refresh_token")
    lose_the_key(settings)
    found = EgnyteAccount.objects.get()
    row = put_held(found, using="default", reason="test")

    assert row is not None
    values = PendingRevocation.objects.values_list("access_token", "refresh_token").get()
    assert tuple(map(str, values)) == before
    settings.EGNYTE_ENCRYPTION_KEYS = None
    found = PendingRevocation.objects.get()
    assert (found.access_token, found.refresh_token) == SECRETS


def test_secret_key_fallbacks_open(account: EgnyteAccount, settings: Any) -> None:
    old = settings.SECRET_KEY
    settings.SECRET_KEY = OTHER_KEY
    with pytest.raises(DecryptionError):
        _ = EgnyteAccount.objects.get().access_token

    settings.SECRET_KEY_FALLBACKS = [old]
    assert EgnyteAccount.objects.get().access_token == SECRETS[0]
    assert needs_reseal(stored())


def test_the_list_of_keys_rules_when_it_is_there(account: EgnyteAccount, settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [OTHER_KEY, settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret of the site, which seals no token any more"

    assert EgnyteAccount.objects.get().access_token == SECRETS[0]
    assert needs_reseal(stored())
    assert not needs_reseal(seal("x", "context"))


def test_a_site_may_change_its_cipher(account: EgnyteAccount, settings: Any) -> None:
    settings.EGNYTE_CIPHER = [
        f"{__name__}.ReversingCipher",
        "django_egnyte.ciphers.FernetCipher",
    ]

    assert EgnyteAccount.objects.get().access_token == SECRETS[0]
    assert needs_reseal(stored())
    sealed = seal("abc", "context")
    assert sealed == "reversed:cba"
    assert not needs_reseal(sealed)
    assert unseal(sealed, "context") == "abc"

    settings.EGNYTE_CIPHER = f"{__name__}.ReversingCipher"
    with pytest.raises(DecryptionError, match="No configured cipher"):
        _ = EgnyteAccount.objects.get().access_token


@pytest.mark.parametrize(
    ("cipher", "keys"),
    [
        ("no.such.Cipher", None),
        ("django_egnyte.ciphers.FernetCipher", ["short"]),
        ("django_egnyte.ciphers.FernetCipher", []),
    ],
)
def test_a_cipher_that_cannot_be_made_is_a_misconfiguration(
    settings: Any, cipher: str, keys: list[str] | None
) -> None:
    settings.EGNYTE_CIPHER, settings.EGNYTE_ENCRYPTION_KEYS = cipher, keys

    with pytest.raises(ImproperlyConfigured, match="EGNYTE_CIPHER"):
        seal("x", "context")


@pytest.mark.parametrize("form", ["json", "xml", "jsonl"])
def test_a_fixture_goes_there_and_back_without_a_second_seal(
    account: EgnyteAccount, tmp_path: Path, form: str, settings: Any
) -> None:
    before = stored()
    out = io.StringIO()
    if form != "xml":  # whose serializer reads every attribute
        lose_the_key(settings)
    call_command("dumpdata", "django_egnyte.egnyteaccount", format=form, stdout=out)
    assert before in out.getvalue()
    settings.EGNYTE_ENCRYPTION_KEYS = None
    fixture = tmp_path / f"accounts.{form}"
    fixture.write_text(out.getvalue())
    account.delete()

    call_command("loaddata", str(fixture), verbosity=0)
    assert stored() == before
    assert EgnyteAccount.objects.get().access_token == SECRETS[0]


def test_a_fixture_with_plain_text_is_refused(account: EgnyteAccount, tmp_path: Path) -> None:
    (row,) = json.loads(serializers.serialize("json", [account]))
    row["fields"]["access_token"] = "a plain token"
    fixture = tmp_path / "accounts.json"
    fixture.write_text(json.dumps([row]))

    with pytest.raises(DeserializationError) as caught, transaction.atomic():
        call_command("loaddata", str(fixture), verbosity=0)

    assert "sealed value" in str(caught.value)
    assert "a plain token" not in str(caught.value)
    assert EgnyteAccount.objects.get().access_token == SECRETS[0]


def test_no_form_shows_a_token(account: EgnyteAccount) -> None:
    form = modelform_factory(EgnyteAccount, exclude=[])(instance=account)

    assert not {"access_token", "refresh_token"} & set(form.fields)


def test_scopes_are_a_list_here_and_words_there(egnyte_user: Any) -> None:
    make(egnyte_user, scopes=["Egnyte.filesystem", "Egnyte.link"])

    found = EgnyteAccount.objects.get()
    assert found.scopes == ["Egnyte.filesystem", "Egnyte.link"]
    assert EgnyteAccount.objects.filter(scopes="Egnyte.filesystem Egnyte.link").exists()
    (copy,) = serializers.deserialize("json", serializers.serialize("json", [found]))
    assert copy.object.scopes == found.scopes
    (copy,) = serializers.deserialize("xml", serializers.serialize("xml", [found]))
    assert copy.object.scopes == found.scopes
    assert make(egnyte_user, egnyte_user_id=2).scopes == []
