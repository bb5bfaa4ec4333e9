from __future__ import annotations

import base64
import importlib.util
import pickle
import subprocess
import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from django_egnyte import checks, fields
from django_egnyte.ciphers import FernetCipher
from django_egnyte.django_cryptography import DjangoCryptographyCipher, _fernet
from django_egnyte.exceptions import DecryptionError
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.sandbox import Sandbox
from django_egnyte.secret import Secret

# Import it here: at import, it writes its defaults into the active settings.
pytest.importorskip("django_cryptography.conf")

PATH = "django_egnyte.django_cryptography.DjangoCryptographyCipher"
KEY = Secret("a key of thirty-two characters or more")
TOKEN = Secret("a token")
CONTEXT = "access_token|seal|acme.egnyte.com|1"


@pytest.fixture
def cipher() -> DjangoCryptographyCipher:
    return DjangoCryptographyCipher([KEY])


def test_what_is_sealed_opens_in_its_context_only(cipher: DjangoCryptographyCipher) -> None:
    sealed = cipher.seal(TOKEN, CONTEXT)
    assert sealed.isascii()
    assert "token" not in sealed
    assert cipher.open(sealed, CONTEXT) == TOKEN
    for context in (CONTEXT.replace("access", "refresh"), CONTEXT + "1", ""):
        with pytest.raises(DecryptionError):
            cipher.open(sealed, context)


def test_sealing_twice_gives_two_texts(cipher: DjangoCryptographyCipher) -> None:
    assert cipher.seal(TOKEN, CONTEXT) != cipher.seal(TOKEN, CONTEXT)


@pytest.mark.parametrize("text", ["ünïcödé", "x" * 100_000, "a.b|c", "", "\x00"])
def test_any_text_can_be_sealed(cipher: DjangoCryptographyCipher, text: str) -> None:
    secret = Secret(text)
    assert cipher.open(cipher.seal(secret, CONTEXT), CONTEXT) == secret


@pytest.mark.parametrize(
    "damage",
    [
        lambda form, key_id, text: text[:-8],
        lambda form, key_id, text: text[8:],
        lambda form, key_id, text: ("A" if text[0] != "A" else "B") + text[1:],
        lambda form, key_id, text: text[:40] + ("A" if text[40] != "A" else "B") + text[41:],
        lambda form, key_id, text: "",
        lambda form, key_id, text: "A",
        lambda form, key_id, text: "AAAA",
        lambda form, key_id, text: "A" * 200,
        lambda form, key_id, text: "ünïcödé",
        lambda form, key_id, text: "\ud800",
    ],
)
def test_a_changed_text_does_not_open(cipher: DjangoCryptographyCipher, damage: Any) -> None:
    form, key_id, text = cipher.seal(TOKEN, CONTEXT).split(".")
    changed = f"{form}.{key_id}.{damage(form, key_id, text)}"
    with pytest.raises(DecryptionError) as caught:
        cipher.open(changed, CONTEXT)
    assert caught.value.__cause__ is None
    assert text not in str(caught.value)


@pytest.mark.parametrize("foreign", ["", ".", "dc1", "dc1.", "dc1.cafe", "dc2.cafe0000.AAAA"])
def test_text_of_another_form_is_not_taken_for_its_own(
    cipher: DjangoCryptographyCipher, foreign: str
) -> None:
    with pytest.raises(DecryptionError):
        cipher.needs_reseal(foreign)
    with pytest.raises(DecryptionError):
        cipher.open(foreign, CONTEXT)


def test_the_two_ciphers_do_not_take_each_others_texts(cipher: DjangoCryptographyCipher) -> None:
    fernet = FernetCipher([KEY])
    with pytest.raises(DecryptionError):
        fernet.needs_reseal(cipher.seal(TOKEN, CONTEXT))
    with pytest.raises(DecryptionError):
        cipher.needs_reseal(fernet.seal(TOKEN, CONTEXT))


def test_a_value_is_named_by_the_id_of_its_key(cipher: DjangoCryptographyCipher) -> None:
    sealed = cipher.seal(TOKEN, CONTEXT)
    assert not cipher.needs_reseal(sealed)
    form, _, text = sealed.split(".")
    stranger = f"{form}.0badc0de.{text}"
    assert cipher.needs_reseal(stranger)
    with pytest.raises(DecryptionError, match="No configured key"):
        cipher.open(stranger, CONTEXT)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, ("a pickle was loaded",)


def test_a_pickle_is_never_loaded(cipher: DjangoCryptographyCipher) -> None:
    """The field of django-cryptography unpickles, so anybody with the key could run code."""
    forged = _fernet(cipher._keys[cipher._newest], CONTEXT).encrypt(pickle.dumps(Bomb()))
    sealed = f"dc1.{cipher._newest}.{base64.urlsafe_b64encode(forged).decode()}"
    with pytest.raises(DecryptionError):
        cipher.open(sealed, CONTEXT)


def test_what_is_sealed_is_the_text_and_nothing_around_it(cipher: DjangoCryptographyCipher) -> None:
    _, key_id, text = cipher.seal(TOKEN, CONTEXT).split(".")
    sealed = base64.urlsafe_b64decode(text)
    assert _fernet(cipher._keys[key_id], CONTEXT).decrypt(sealed) == b"a token"


def test_the_key_itself_seals_nothing(cipher: DjangoCryptographyCipher) -> None:
    """The site seals other things under ``CRYPTOGRAPHY_KEY``; none of them opens here."""
    from django_cryptography.utils.crypto import FernetBytes

    theirs = FernetBytes().encrypt(b"a value of the site's own")
    sealed = f"dc1.{cipher._newest}.{base64.urlsafe_b64encode(theirs).decode()}"
    with pytest.raises(DecryptionError):
        cipher.open(sealed, CONTEXT)


def test_without_the_extra_the_setting_is_a_misconfiguration(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "django_cryptography.conf", None)
    fields._ciphers.cache_clear()
    settings.EGNYTE_CIPHER = PATH
    with pytest.raises(ImproperlyConfigured, match=r"django-egnyte\[django-cryptography\]"):
        fields.ciphers()


def test_an_account_is_stored_and_read(
    settings: Any, egnyte_account: EgnyteAccount, egnyte_sandbox: Sandbox
) -> None:
    settings.EGNYTE_CIPHER = PATH
    account = link_account(egnyte_sandbox, egnyte_account.user, domain="globex", username="mmiller")
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token FROM django_egnyte_egnytetoken ORDER BY id")
        values = [row[0] for row in cursor.fetchall()]
    assert [value[:4] for value in values] == ["gAAA", "dc1."]
    token = EgnyteAccount.objects.get(pk=account.pk).open_token()
    assert egnyte_sandbox.is_alive(token)
    assert token not in values[1]


def test_what_an_earlier_release_sealed_still_opens() -> None:
    stored = (
        "dc1.8ea5c6fe.gAAAAABrB3DVK6rnSUXmrvPoRRnWVQWQ35LSK3vg-JymeFMzBMlzCR0P1H5jF8QrZmR-7YKhazZV"
        "5-TKCEh13pkdEgBkYlbNtQ=="
    )
    cipher = DjangoCryptographyCipher([])
    assert cipher.open(stored, CONTEXT) == TOKEN
    assert not cipher.needs_reseal(stored)


def test_the_sites_own_key_seals_whatever_others_there_are(
    cipher: DjangoCryptographyCipher,
) -> None:
    sealed = cipher.seal(TOKEN, CONTEXT)
    assert DjangoCryptographyCipher([]).open(sealed, CONTEXT) == TOKEN
    assert not DjangoCryptographyCipher(
        [KEY, Secret("another key, of thirty-two characters or more")]
    ).needs_reseal(sealed)


def test_without_the_extra_the_module_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("django_cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.find_spec(DjangoCryptographyCipher.__module__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FORM == "dc1"


SITE = """
import sys
from django.conf import settings
_, key, keys, work, text = sys.argv
options = {"CRYPTOGRAPHY_KEY": key} if key else {}
settings.configure(SECRET_KEY="the site's own secret, of fifty characters or more", **options)
from django_egnyte.django_cryptography import DjangoCryptographyCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.secret import Secret
cipher = DjangoCryptographyCipher([Secret(each) for each in keys.split(",")] if keys else [])
if work == "seal":
    print(cipher.seal(Secret(text), "context"))
else:
    try:
        print(cipher.open(text, "context").reveal(), cipher.needs_reseal(text))
    except DecryptionError as error:
        print("refused:", error)
"""


def site(key: str, keys: str, work: str, text: str) -> str:
    """A process of a site with this ``CRYPTOGRAPHY_KEY``, which is read once a process."""
    command = [sys.executable, "-c", SITE, key, keys, work, text]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_cryptography_key_is_rotated_by_way_of_the_encryption_keys() -> None:
    sealed = site("the first key", "", "seal", "a token")
    assert site("the first key", "", "open", sealed) == "a token False"
    assert site("the second key", "the first key", "open", sealed) == "a token True"
    assert site("the second key", "another,the first key", "open", sealed) == "a token True"
    assert site("the second key", "", "open", sealed).startswith("refused:")


def test_without_cryptography_key_the_secret_key_seals() -> None:
    sealed = site("", "", "seal", "a token")
    assert site("", "", "open", sealed) == "a token False"
    secret = "the site's own secret, of fifty characters or more"
    assert site(secret, "", "open", sealed) == "a token False"
    assert site("now a key of its own", "", "open", sealed).startswith("refused:")


@pytest.mark.parametrize(
    ("cipher", "key", "found"),
    [
        ("django_egnyte.django_cryptography.DjangoCryptographyCipher", "a" * 31, ["egnyte.W011"]),
        ("django_egnyte.django_cryptography.DjangoCryptographyCipher", "a" * 32, []),
        ("django_egnyte.ciphers.FernetCipher", "a" * 31, []),
    ],
)
def test_a_short_cryptography_key_is_warned_of(
    settings: Any, cipher: str, key: str, found: list[str]
) -> None:
    """The key derivation is fast and has a fixed salt, so a short key can be guessed."""
    settings.CRYPTOGRAPHY_KEY = key
    settings.EGNYTE_CIPHER = cipher
    assert [each.id for each in checks.check_encryption()] == found
