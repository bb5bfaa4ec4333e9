from __future__ import annotations

from typing import Any

import pytest

from django_egnyte.fields import Sealed
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.services.disconnect import disconnect

OLD = "an old key of thirty-two characters or more"
NEW = "a new key of thirty-two characters or more"


@pytest.fixture(autouse=True)
def _old_key(settings: Any) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]


@pytest.fixture
def rows(accounts: list[EgnyteAccount]) -> list[EgnyteAccount]:
    """Two accounts, and one grant that is to be revoked."""
    disconnect(accounts[2].pk, actor="test")
    return accounts[:2]


def test_everything_is_sealed_anew(run, rows, settings) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    ran = run("egnyte_rotate_keys")
    assert ran.code == 0
    assert ran.out == "3 rows: 6 values re-encrypted, 0 replaced meanwhile, 0 unreadable.\n"
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    for account in EgnyteAccount.objects.all():
        assert account.client.userinfo()["username"] == account.username
    (left,) = EgnyteGrant.objects.exclude(release_at=None).get().tokens.all()
    assert left.open().access_token
    assert run("egnyte_rotate_keys").out.startswith("3 rows: 0 values re-encrypted")


def test_a_dry_run_only_counts(run, rows, settings) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    ran = run("egnyte_rotate_keys", "--dry-run")
    assert (ran.code, ran.out) == (
        0, "3 rows: 6 values to re-encrypt, 0 replaced meanwhile, 0 unreadable.\n",
    )  # fmt: skip
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    assert all(account.open_token() for account in EgnyteAccount.objects.all())


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_what_no_key_opens_is_named_and_a_failure(run, rows, settings, arguments) -> None:
    used = rows[0].token_id
    pending = EgnyteGrant.objects.exclude(release_at=None).get().tokens.get().pk
    EgnyteToken.objects.filter(pk=used).write(refresh_token=Sealed("nonsense"))
    EgnyteToken.objects.filter(pk=pending).write(access_token=Sealed("nonsense"))
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    ran = run("egnyte_rotate_keys", *arguments)
    assert ran.code == 1
    assert "4 values" in ran.out
    assert "2 unreadable" in ran.out
    assert ran.error.startswith(
        f"No key decrypts: egnytetoken:{used}.refresh_token, egnytetoken:{pending}.access_token. "
    )
    assert "SECRET_KEY_FALLBACKS" in ran.error


def test_nothing_to_rotate_is_no_failure(run, db, settings) -> None:
    ran = run("egnyte_rotate_keys")
    assert (ran.code, ran.out[:7]) == (0, "0 rows:")


def test_the_shell_learns_how_it_ended(exit_code, rows, settings, capsys) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert exit_code("egnyte_rotate_keys") == 1
    written = capsys.readouterr()
    assert written.err.count("egnytetoken:") == 6
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    assert exit_code("egnyte_rotate_keys") == 0
