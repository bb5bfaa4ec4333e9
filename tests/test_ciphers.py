from __future__ import annotations

import pytest

from django_egnyte import ciphers
from django_egnyte.ciphers import FernetCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.secret import Secret

OLD = Secret("an old key of thirty-two characters or more")
NEW = Secret("a new key of thirty-two characters or more")
TOKEN = Secret("a token")
CONTEXT = "access_token|seal|acme.egnyte.com|1"


def test_what_is_sealed_opens_in_its_context_only() -> None:
    cipher = FernetCipher([NEW])
    sealed = cipher.seal(TOKEN, CONTEXT)

    assert "token" not in sealed
    assert cipher.open(sealed, CONTEXT) == TOKEN
    with pytest.raises(DecryptionError):
        cipher.open(sealed, CONTEXT.replace("access", "refresh"))


def test_sealing_twice_gives_two_texts() -> None:
    cipher = FernetCipher([NEW])

    assert cipher.seal(TOKEN, CONTEXT) != cipher.seal(TOKEN, CONTEXT)


def test_any_text_can_be_sealed() -> None:
    cipher = FernetCipher([NEW])

    for text in ("ünïcödé", "x" * 100_000, "a|b.c"):
        secret = Secret(text)
        assert cipher.open(cipher.seal(secret, CONTEXT), CONTEXT) == secret


def test_the_newest_key_seals_and_every_key_opens() -> None:
    old, both, new = FernetCipher([OLD]), FernetCipher([NEW, OLD]), FernetCipher([NEW])
    sealed = old.seal(TOKEN, CONTEXT)

    assert both.open(sealed, CONTEXT) == TOKEN
    assert both.needs_reseal(sealed)
    resealed = both.seal(both.open(sealed, CONTEXT), CONTEXT)
    assert not both.needs_reseal(resealed)
    assert new.open(resealed, CONTEXT) == TOKEN


def test_no_key_opens_after_its_removal() -> None:
    sealed = FernetCipher([OLD]).seal(TOKEN, CONTEXT)

    with pytest.raises(DecryptionError, match="No configured key"):
        FernetCipher([NEW]).open(sealed, CONTEXT)


@pytest.mark.parametrize(
    "damage",
    [
        lambda sealed: sealed[:-20] + sealed[-9:],
        lambda sealed: sealed.replace(sealed[20], "A" if sealed[20] != "A" else "B", 1),
        lambda sealed: "gAAAAA." + sealed.rpartition(".")[2],
        lambda sealed: "gAAAAA\N{SNOWMAN}." + sealed.rpartition(".")[2],
        lambda sealed: "gAAAAA\ud800." + sealed.rpartition(".")[2],
    ],
)
def test_a_changed_text_does_not_open(damage: object) -> None:
    cipher = FernetCipher([NEW])
    sealed = cipher.seal(TOKEN, CONTEXT)

    with pytest.raises(DecryptionError) as caught:
        cipher.open(damage(sealed), CONTEXT)  # type: ignore[operator]

    assert sealed not in str(caught.value)


@pytest.mark.parametrize("foreign", ["", "plain", "gAAAAAnodot", "Z0FBQUFB.cafe0000", "."])
def test_text_of_another_form_is_not_taken_for_its_own(foreign: str) -> None:
    cipher = FernetCipher([NEW])

    with pytest.raises(DecryptionError):
        cipher.needs_reseal(foreign)
    with pytest.raises(DecryptionError):
        cipher.open(foreign, CONTEXT)


@pytest.mark.parametrize("keys", [[], [Secret()], [NEW, Secret()], [Secret("short")]])
def test_keys_that_cannot_be_used_are_refused(keys: list[Secret]) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        FernetCipher(keys)

    assert NEW.reveal() not in str(caught.value)


def test_an_old_key_may_be_short() -> None:
    sealed = FernetCipher([NEW]).seal(TOKEN, "place")
    assert FernetCipher([NEW, Secret("short")]).open(sealed, "place") == TOKEN


def test_what_an_earlier_release_sealed_still_opens() -> None:
    stored = (
        "gAAAAABrB3DUGXTOHlrUAxmllqpCeSuGrFy5Ok9XdONxh2Rauz6BUGuajUgyKGuIaEzumOXGkF8SUr_ri4RNkzjHB"
        "HtRFEbgVg==.4e165069"
    )
    cipher = FernetCipher([NEW])
    assert cipher.open(stored, CONTEXT) == TOKEN
    assert not cipher.needs_reseal(stored)


def test_the_newest_key_has_thirty_two_characters_at_least() -> None:
    FernetCipher([Secret("x" * 32)])
    with pytest.raises(ValueError, match="shorter than 32"):
        FernetCipher([Secret("x" * 31)])


def test_keys_are_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that lists many accounts opens their tokens again and again."""
    derived: list[bytes] = []

    def counting(key: Secret, info: bytes, length: int) -> bytes:
        derived.append(info)
        return derive(key, info, length)

    derive = ciphers._derive
    monkeypatch.setattr(ciphers, "_derive", counting)
    key = Secret("a key of this test's own, of thirty-two characters or more")
    for _ in range(3):
        cipher = FernetCipher([key])
        assert cipher.open(cipher.seal(TOKEN, CONTEXT), CONTEXT) == TOKEN
    assert derived == [b"django-egnyte key id", b"django-egnyte token\x00" + CONTEXT.encode()]
