from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from django_egnyte.exceptions import DecryptionError
from django_egnyte.fields import Sealed, ciphers, needs_reseal, seal
from django_egnyte.models import EgnyteAccount, EgnyteToken
from django_egnyte.oauth import fingerprint
from django_egnyte.secret import Secret
from django_egnyte.services import rotate as rotation
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.rotate import Rotation, count, rotate

from .conftest import all_due, orphans, pending
from .rows import expired_now

try:
    # Import it here: at import, it writes its defaults into the active settings.
    import django_cryptography.conf  # noqa: F401
except ImportError:
    HAS_DJANGO_CRYPTOGRAPHY = False
else:
    HAS_DJANGO_CRYPTOGRAPHY = True

OLD = "an old key of thirty-two characters or more"
NEW = "a new key of thirty-two characters or more"
FERNET = "django_egnyte.ciphers.FernetCipher"
DJANGO_CRYPTOGRAPHY = "django_egnyte.django_cryptography.DjangoCryptographyCipher"


def rotated(**options: Any) -> Rotation:
    return list(rotate(**options))[-1]


def sealed_values() -> dict[str, str]:
    """The stored values, by row and column."""
    return {
        f"egnytetoken:{row.pk}.{name}": str(getattr(row, name))
        for row in EgnyteToken.objects.order_by("pk")
        for name in ("access_token", "refresh_token")
        if getattr(row, name)
    }


def assert_readable() -> None:
    """Assert that every row can be decrypted and has the token of its fingerprint."""
    for token in EgnyteToken.objects.all():
        opened = token.open()
        assert fingerprint(token.domain, opened.access_token) == token.fingerprint
        assert fingerprint(token.domain, opened.refresh_token) == token.refresh_fingerprint
    for account in EgnyteAccount.objects.with_token().live():
        assert account.open_token()


@pytest.fixture
def filled(
    settings: Any, link: Callable[..., EgnyteAccount], make_user: Callable[[str], Any]
) -> list[EgnyteAccount]:
    """Three accounts and two grants that wait to be revoked, all sealed with the old key."""
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    accounts = [link(make_user(f"user-{number}")) for number in range(5)]
    for account in accounts[3:]:
        disconnect(account.pk, actor="test")
    assert len(pending()) == 2
    return accounts[:3]


def test_tokens_in_use_and_released_ones_are_sealed_anew_and_the_old_key_can_go(
    filled, settings, egnyte_sandbox
):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    before = sealed_values()
    done = rotated()
    assert (done.looked_at, done.resealed, done.overtaken, done.unreadable) == (5, 10, 0, [])
    assert done.looked_at == count()
    after = sealed_values()
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert_readable()
    process_revocations()
    assert orphans(egnyte_sandbox) == set()
    assert EgnyteAccount.objects.first().client.userinfo()["username"] == "jsmith"


def test_without_rotation_the_old_key_cannot_go(filled, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(DecryptionError):
        assert_readable()


def test_nothing_but_the_ciphertext_changes(filled, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    names = [
        field.attname
        for field in EgnyteToken._meta.concrete_fields
        if field.name not in ("access_token", "refresh_token")
    ]
    accounts = list(EgnyteAccount.objects.order_by("pk").values())
    before = list(EgnyteToken.objects.order_by("pk").values(*names))
    rotated()
    assert list(EgnyteToken.objects.order_by("pk").values(*names)) == before
    assert list(EgnyteAccount.objects.order_by("pk").values()) == accounts


def test_a_second_rotation_finds_nothing_to_do(filled, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    rotated()
    before = sealed_values()
    done = rotated()
    assert (done.looked_at, done.resealed, done.overtaken) == (5, 0, 0)
    assert sealed_values() == before


def test_the_first_row_of_the_table_is_sealed_anew(settings, link, make_user):
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    disconnect(link(make_user("one")).pk, actor="test")
    EgnyteToken.objects.write(id=1)
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    assert rotated().resealed == 2


def test_the_secret_key_is_rotated_by_its_fallbacks(settings, link, make_user):
    settings.EGNYTE_ENCRYPTION_KEYS = None
    settings.SECRET_KEY = OLD
    account = link(make_user("one"))
    disconnect(link(make_user("two")).pk, actor="test")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert_readable()
    assert rotated().resealed == 4
    settings.SECRET_KEY_FALLBACKS = []
    assert_readable()
    account.refresh_from_db()
    assert account.client.userinfo()["username"] == "jsmith"


@pytest.mark.parametrize(
    ("before", "after"), [(FERNET, DJANGO_CRYPTOGRAPHY), (DJANGO_CRYPTOGRAPHY, FERNET)]
)
def test_a_site_moves_from_one_cipher_to_the_other(settings, link, make_user, before, after):
    if not HAS_DJANGO_CRYPTOGRAPHY:
        pytest.skip("the extra django-cryptography is not installed")
    settings.EGNYTE_CIPHER = before
    link(make_user("one"))
    disconnect(link(make_user("two")).pk, actor="test")
    settings.EGNYTE_CIPHER = [after, before]
    assert_readable()
    done = rotated()
    assert (done.resealed, done.unreadable) == (4, [])
    settings.EGNYTE_CIPHER = after
    assert_readable()
    values = sealed_values().values()
    assert {value.startswith("dc1.") for value in values} == {after == DJANGO_CRYPTOGRAPHY}


def meanwhile_once(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> None:
    """Something happens between the reading and the writing of the first value."""
    reseal = rotation.seal
    done: list[bool] = []

    def seal(plain: Secret, context: str) -> Sealed:
        if not done:
            done.append(True)
            work()
        return reseal(plain, context)

    monkeypatch.setattr(rotation, "seal", seal)


def test_an_account_that_is_refreshed_meanwhile_has_its_new_token(
    filled, settings, monkeypatch, egnyte_sandbox
):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    egnyte_sandbox.policy.refresh_rotates = True
    account = EgnyteAccount.objects.with_token().get(pk=filled[0].pk)
    meanwhile_once(monkeypatch, lambda: refresh(account, actor="test"))
    done = rotated()
    # The replaced row is encrypted again. The new row already has the new key.
    assert (done.looked_at, done.resealed, done.overtaken) == (6, 10, 0)
    current = EgnyteAccount.objects.with_token().get(pk=account.pk)
    assert current.token_id != account.token_id
    assert egnyte_sandbox.is_alive(current.open_token())
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert_readable()


def test_a_token_that_is_forgotten_meanwhile_stays_so(
    filled, settings, monkeypatch, egnyte_sandbox
):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    account = EgnyteAccount.objects.get(pk=filled[0].pk)

    def leave() -> None:
        disconnect(account.pk, actor="test")
        expired_now()
        process_revocations()

    meanwhile_once(monkeypatch, leave)
    done = rotated()
    gone = EgnyteToken.objects.filter(pk=account.token_id)
    assert not gone.exists()
    assert done.overtaken >= 1 and done.unreadable == []
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert_readable()


def test_a_value_that_another_rotation_has_sealed_meanwhile_is_left_alone(
    filled, settings, monkeypatch
):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    others: list[Rotation] = []
    meanwhile_once(monkeypatch, lambda: others.append(rotated()))
    done = rotated()
    assert (others[0].resealed, done.resealed, done.overtaken) == (10, 0, 10)
    assert not any(map(needs_reseal, sealed_values().values()))


def test_rows_that_no_key_opens_are_named_and_left_as_they_are(filled, settings):
    token = EgnyteToken.objects.get(accounts=filled[0].pk)
    waits = EgnyteToken.objects.filter(grant=pending()[0].pk).get()
    lost = Sealed(ciphers()[0].seal(Secret("x"), "another context"))
    EgnyteToken.objects.filter(pk=token.pk).write(access_token=lost)
    EgnyteToken.objects.filter(pk=waits.pk).write(refresh_token=Sealed("not sealed"))
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    done = rotated()
    assert done.unreadable == [
        f"egnytetoken:{token.pk}.access_token",
        f"egnytetoken:{waits.pk}.refresh_token",
    ]
    assert (done.looked_at, done.resealed) == (5, 8)
    values = sealed_values()
    assert values[f"egnytetoken:{token.pk}.access_token"] == lost
    assert values[f"egnytetoken:{waits.pk}.refresh_token"] == "not sealed"
    # Their other columns are encrypted again nevertheless.
    assert not needs_reseal(values[f"egnytetoken:{token.pk}.refresh_token"])
    assert not needs_reseal(values[f"egnytetoken:{waits.pk}.access_token"])


def test_a_dry_run_only_counts(filled, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    token = EgnyteToken.objects.get(accounts=filled[0].pk)
    EgnyteToken.objects.filter(pk=token.pk).write(access_token=Sealed("nonsense"))
    before = sealed_values()
    done = rotated(dry_run=True)
    assert (done.looked_at, done.resealed, done.overtaken) == (5, 9, 0)
    assert done.unreadable == [f"egnytetoken:{token.pk}.access_token"]
    assert sealed_values() == before


def test_a_rotation_can_be_stopped_and_started_again(filled, settings, monkeypatch):
    monkeypatch.setattr(rotation, "CHUNK", 2)
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    steps = rotate()
    first = next(steps)
    assert (first.looked_at, first.resealed) == (2, 4)
    steps.close()
    assert sorted(map(needs_reseal, sealed_values().values())) == [False] * 4 + [True] * 6
    assert_readable()
    seen = [done.looked_at for done in rotate()]
    assert seen == [2, 4, 5]
    done = rotated()
    assert done.resealed == 0
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert_readable()


def test_empty_tokens_stay_empty(settings, egnyte_sandbox, link, make_user):
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    egnyte_sandbox.policy.style = "legacy"
    link(make_user("one"))
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    assert rotated().resealed == 1
    assert EgnyteToken.objects.get().refresh_token == ""


@contextmanager
def meanwhile(*works: Callable[[], Any]) -> Iterator[None]:
    """Repeats each function in its own thread until the block ends."""
    over = threading.Event()
    failures: list[BaseException] = []
    turns = [0] * len(works)

    def run(number: int) -> None:
        try:
            while not over.is_set():
                works[number]()
                turns[number] += 1
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    try:
        yield
        while not failures and not all(turns):
            time.sleep(0.01)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.mark.parametrize("kind", ["keys", "ciphers"])
def test_readers_and_writers_go_on_meanwhile(settings, link, make_user, egnyte_sandbox, kind):
    """No reader is ever refused or given another token, and no writer's token is lost."""
    if kind == "ciphers" and not HAS_DJANGO_CRYPTOGRAPHY:
        pytest.skip("the extra django-cryptography is not installed")
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1_000_000
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    egnyte_sandbox.policy.refresh_rotates = True
    accounts = [link(make_user(f"user-{number}")) for number in range(8)]
    pair = [FERNET, DJANGO_CRYPTOGRAPHY]

    def write(account: EgnyteAccount) -> None:
        refresh(EgnyteAccount.objects.with_token().get(pk=account.pk), actor="test")

    with meanwhile(
        assert_readable, assert_readable, lambda: write(accounts[0]), lambda: write(accounts[1])
    ):
        for turn in range(4):
            if kind == "keys":
                key = f"key number {turn} of thirty-two characters or more"
                settings.EGNYTE_ENCRYPTION_KEYS = [key, *settings.EGNYTE_ENCRYPTION_KEYS]
            else:
                settings.EGNYTE_CIPHER = pair if turn % 2 else pair[::-1]
            if turn == 2:
                for account in accounts[6:]:
                    disconnect(account.pk, actor="test")
            done = rotated()
            assert done.unreadable == []
            # Twelve columns that no other thread writes.
            assert done.resealed >= 12
    # Rows of processes with the old settings need one more pass.
    rotated()
    if kind == "keys":
        settings.EGNYTE_ENCRYPTION_KEYS = settings.EGNYTE_ENCRYPTION_KEYS[:1]
    else:
        settings.EGNYTE_CIPHER = settings.EGNYTE_CIPHER[0]
    assert_readable()
    for account in EgnyteAccount.objects.all():
        assert egnyte_sandbox.is_alive(account.open_token())
    newest = EgnyteAccount.objects.with_token().get(pk=accounts[0].pk).token
    assert newest is not None and newest.generation > 1


def test_after_a_busy_rotation_nothing_is_lost(settings, link, make_user, egnyte_sandbox):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1_000_000
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    egnyte_sandbox.policy.refresh_rotates = True
    accounts = [link(make_user(f"user-{number}")) for number in range(6)]
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def together(work: Callable[[], Any]) -> threading.Thread:
        def run() -> None:
            connection.ensure_connection()
            barrier.wait()
            try:
                work()
            except BaseException as error:
                failures.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def refresh_some() -> None:
        for account in accounts[:3] * 2:
            refresh(EgnyteAccount.objects.with_token().get(pk=account.pk), actor="test")

    def leave() -> None:
        for account in accounts[3:5]:
            disconnect(account.pk, actor="test")

    threads = [together(work) for work in (rotated, rotated, refresh_some, leave)]
    for thread in threads:
        thread.join()
    assert failures == []
    rotated()
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert_readable()
    counts = EgnyteAccount.objects.order_by("pk").values_list("token__generation", flat=True)
    assert list(counts) == [3, 3, 3, 1]
    for account in EgnyteAccount.objects.all():
        assert egnyte_sandbox.is_alive(account.open_token())
    all_due()
    process_revocations()
    assert orphans(egnyte_sandbox) == set()


def test_a_row_may_be_half_done(filled, settings):
    """Its access token is empty, or was encrypted again before the process was stopped."""
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    one, two = (EgnyteToken.objects.get(accounts=each.pk) for each in filled[:2])
    sealed = seal(one.open().access_token, one.seal_context("access_token"))
    EgnyteToken.objects.filter(pk=one.pk).write(access_token=sealed)
    EgnyteToken.objects.filter(pk=two.pk).write(access_token="")
    assert rotated().resealed == 8
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    for token in EgnyteToken.objects.filter(pk__in=[one.pk, two.pk]):
        assert token.open().refresh_token
