"""``dumpdata`` and ``loaddata`` move a site's users and accounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command

from django_egnyte.exceptions import DecryptionError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.status import overview

MODELS = ("django_egnyte.EgnyteGrant", "django_egnyte.EgnyteToken", "django_egnyte.EgnyteAccount")
NATURAL = {"use_natural_foreign_keys": True, "use_natural_primary_keys": True}


@pytest.fixture
def dumped(
    egnyte_sandbox: Any, make_user: Callable[[str], Any], tmp_path: Path
) -> tuple[Path, dict[str, str]]:
    """A fixture of two users' accounts, and the tokens by username. Nothing is left here."""
    path = tmp_path / "accounts.json"
    users = [make_user("one"), make_user("two")]
    accounts = [
        link_account(egnyte_sandbox, users[0]),
        link_account(egnyte_sandbox, users[1], domain="globex", username="mmiller"),
    ]
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(
        is_default=True, default_of=str(users[0].pk)
    )
    EgnyteAccount.objects.filter(pk=accounts[1].pk).write(
        is_default=True, default_of=str(users[1].pk)
    )
    tokens = {each.username: each.open_token() for each in accounts}
    call_command("dumpdata", *MODELS, output=str(path), verbosity=0, **NATURAL)
    rows = json.loads(path.read_text())
    for model in reversed(MODELS):
        rows_of = apps.get_model(model).objects.all()
        rows_of._raw_delete(rows_of.db)
    # The users exist again, with other primary keys.
    names = [user.get_username() for user in users]
    for user in users:
        user.delete()
    model: Any = get_user_model()
    for name in reversed(names):
        model._default_manager.create(**{model.USERNAME_FIELD: name})
    assert not any(row["fields"].get("user") in ([], None) for row in rows if "user" in row)
    return path, tokens


def load(path: Path) -> list[EgnyteAccount]:
    call_command("loaddata", str(path), verbosity=0)
    return list(EgnyteAccount.objects.with_token().order_by("pk"))


@pytest.mark.parametrize("order", ["as dumped", "reversed"])
def test_accounts_work_where_their_users_have_other_keys(
    dumped: tuple[Path, dict[str, str]], egnyte_sandbox: Any, order: str
) -> None:
    path, tokens = dumped
    if order == "reversed":
        path.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    accounts = load(path)
    names = {each.username: each.user.get_username().partition("@")[0] for each in accounts}
    assert names == {"jsmith": "one", "mmiller": "two"}
    for account in accounts:
        assert account.open_token() == tokens[account.username]
        assert account.client.userinfo()["username"] == account.username
        assert account.default_of == str(account.user_id)
        assert account.token is not None and account.token.user_ref == str(account.user_id)
        refresh(account, actor="test")
        fresh = EgnyteAccount.objects.with_token().get(pk=account.pk)
        assert fresh.open_token() != tokens[account.username]
    assert overview().tokens_unreadable == 0
    disconnect(accounts[0].pk, actor="test")
    assert process_revocations() == {"revoked": 1}
    assert {token.domain for token in egnyte_sandbox.live_tokens()} == {"globex"}


def test_a_grant_names_the_user_that_this_database_has(
    dumped: tuple[Path, dict[str, str]],
) -> None:
    accounts = load(dumped[0])
    for account in accounts:
        assert account.token is not None
        assert account.token.grant.user_ref == str(account.user_id)


def test_a_fixture_whose_tokens_no_key_opens_is_loaded_and_told_of(
    dumped: tuple[Path, dict[str, str]], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["a key of another site, of thirty-two characters"]
    accounts = load(dumped[0])
    assert len(accounts) == 2
    told = [each for each in caplog.records if each.name == "django_egnyte.fixtures"]
    assert {each.event for each in told} == {"fixture_unreadable"}  # type: ignore[attr-defined]
    assert len(told) == 2
    assert overview().tokens_unreadable == 2
    rows = [row["fields"] for row in json.loads(dumped[0].read_text())]
    written = {(row["user_ref"], row["access_token"]) for row in rows if "access_token" in row}
    assert set(EgnyteToken.objects.values_list("user_ref", "access_token")) == written


def test_a_fixture_loaded_where_it_came_from_changes_nothing(
    egnyte_account: EgnyteAccount, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.json"
    call_command("dumpdata", *MODELS, output=str(path), verbosity=0, **NATURAL)
    columns = ("pk", "user_ref", "access_token", "refresh_token", "grant__user_ref")
    before = list(EgnyteToken.objects.values(*columns))
    (account,) = load(path)
    assert list(EgnyteToken.objects.values(*columns)) == before
    assert account.open_token() == egnyte_account.open_token()
    assert EgnyteGrant.objects.count() == 1


def change(path: Path, model: str, **fields: Any) -> None:
    """Give the fixture's rows of this model other fields; ``pk`` is one of them."""
    rows = json.loads(path.read_text())
    for row in rows:
        if row["model"] == f"django_egnyte.{model}":
            row["pk"] = fields.get("pk", row["pk"])
            row["fields"] |= {name: value for name, value in fields.items() if name != "pk"}
    path.write_text(json.dumps(rows, default=str))


def opens(account: EgnyteAccount) -> bool:
    try:
        return bool(EgnyteAccount.objects.with_token().get(pk=account.pk).open_token())
    except DecryptionError:
        return False


@pytest.mark.parametrize("where", ["beside the owner", "over the owner", "after the owner"])
def test_an_account_alone_gets_no_token_of_another_user(
    egnyte_account: EgnyteAccount,
    make_user: Callable[[str], Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    path = tmp_path / "accounts.json"
    call_command("dumpdata", MODELS[-1], output=str(path), verbosity=0)
    stranger = make_user("stranger")
    pk = egnyte_account.pk + (0 if where == "over the owner" else 1)
    values = {"pk": pk, "user": stranger.pk, "is_default": False}
    change(path, "egnyteaccount", **values)
    if where == "after the owner":
        disconnect(egnyte_account.pk, actor="test")
    before = list(EgnyteToken.objects.values())
    load(path)
    assert not opens(EgnyteAccount.objects.get(pk=pk))
    assert list(EgnyteToken.objects.values()) == before
    if where == "beside the owner":
        assert opens(egnyte_account)
    events = {getattr(each, "event", "") for each in caplog.records}
    assert "fixture_token_of_another" in events


def test_an_account_of_another_domain_gets_no_token(
    dumped: tuple[Path, dict[str, str]],
) -> None:
    change(dumped[0], "egnyteaccount", domain="elsewhere.egnyte.com")
    rows = [row["fields"] for row in json.loads(dumped[0].read_text())]
    sealed = {row["access_token"] for row in rows if "access_token" in row}
    for order in (1, -1):
        dumped[0].write_text(json.dumps(json.loads(dumped[0].read_text())[::order]))
        assert [opens(each) for each in load(dumped[0])] == [False, False]
        assert set(EgnyteToken.objects.values_list("access_token", flat=True)) == sealed


@pytest.mark.parametrize("order", [1, -1])
def test_a_token_that_replaces_another_serves_no_account_of_that_one(
    egnyte_sandbox: Any, make_user: Callable[[str], Any], tmp_path: Path, order: int
) -> None:
    path = tmp_path / "accounts.json"
    brought = link_account(egnyte_sandbox, make_user("brought"), username="bdoe")
    assert brought.token is not None
    call_command("dumpdata", *MODELS, output=str(path), verbosity=0, **NATURAL)
    for model in reversed(MODELS):
        rows_of = apps.get_model(model).objects.all()
        rows_of._raw_delete(rows_of.db)
    here = link_account(egnyte_sandbox, make_user("here"))
    # The fixture's rows, except the account, have the primary keys of existing rows.
    change(path, "egnytegrant", pk=here.token.grant_id)
    change(path, "egnytetoken", pk=here.token_id, grant=here.token.grant_id)
    change(path, "egnyteaccount", pk=here.pk + 1, token=here.token_id, is_default=False)
    path.write_text(json.dumps(json.loads(path.read_text())[::order]))
    for _ in range(2):
        load(path)
        assert not opens(here)
