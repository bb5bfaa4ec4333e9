from __future__ import annotations

import builtins
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, HostState
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import revoke as revoker

from .conftest import listing


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The typed answer, and the list of the command's questions."""
    asked: list[str] = []

    def set_answer(text: str | None) -> list[str]:
        def read(prompt: str = "") -> str:
            asked.append(prompt)
            if text is None:
                raise EOFError
            return text

        monkeypatch.setattr(builtins, "input", read)
        return asked

    return set_answer


@pytest.fixture(autouse=True)
def _nobody_is_asked(answer: Any) -> None:
    answer(None)


def test_it_asks_before_it_acts(run, accounts, egnyte_sandbox, answer) -> None:
    asked = answer("yes")
    ran = run("egnyte_revoke", "--domain", "acme")
    assert ran.code == 0
    assert asked == ["2 accounts will be revoked. Type 'yes' to continue: "]
    assert ran.out == "2 accounts revoked. Grants: 2 revoked.\n"
    found = dict(EgnyteAccount.objects.values_list("username", "status"))
    assert found == {"jsmith": "revoked", "bdoe": "revoked", "mmiller": "active"}
    assert {token.domain for token in egnyte_sandbox.live_tokens()} == {"globex"}
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()


@pytest.mark.parametrize("text", ["", "y", "no", "YES", None])
def test_anything_but_yes_changes_nothing(run, accounts, egnyte_sandbox, answer, text) -> None:
    answer(text)
    ran = run("egnyte_revoke", "--all")
    assert (ran.code, ran.error) == (1, "Cancelled: nothing was changed.")
    assert EgnyteAccount.objects.live().count() == 3
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert egnyte_sandbox.counts["revoke"] == 0


def test_no_input_does_not_ask(run, accounts, answer) -> None:
    asked = answer("no")
    ran = run("egnyte_revoke", "--all", "--no-input")
    assert ran.out == "3 accounts revoked. Grants: 3 revoked.\n"
    assert asked == []
    assert EgnyteAccount.objects.filter(status="revoked").count() == 3


def test_a_dry_run_only_names_the_accounts(run, accounts, answer, egnyte_sandbox) -> None:
    asked = answer("yes")
    ran = run("egnyte_revoke", "--all", "--dry-run")
    assert ran.out == listing(*accounts) + "3 accounts would be revoked.\n"
    ran = run("egnyte_revoke", "--domain", "globex", "--delete", "--dry-run")
    assert ran.out == listing(accounts[2]) + "1 account would be deleted.\n"
    assert asked == []
    assert EgnyteAccount.objects.live().count() == 3
    assert egnyte_sandbox.counts["revoke"] == 0


def test_the_accounts_can_be_deleted_too(run, accounts, egnyte_sandbox, answer) -> None:
    asked = answer("yes")
    ran = run("egnyte_revoke", "--user", accounts[0].user.get_username(), "--delete")
    assert "2 accounts will be deleted" in asked[0]
    assert ran.out == "2 accounts deleted. Grants: 2 revoked.\n"
    assert [each.username for each in EgnyteAccount.objects.all()] == ["mmiller"]
    assert {token.domain for token in egnyte_sandbox.live_tokens()} == {"globex"}
    gone = AccountEvent.objects.filter(kind="disconnected")
    assert sorted(gone.values_list("username", "actor")) == [
        ("bdoe", "command"), ("jsmith", "command"),
    ]  # fmt: skip


def test_dead_accounts_can_be_deleted_too(run, accounts, egnyte_sandbox) -> None:
    one = str(accounts[0].pk)
    assert run("egnyte_revoke", "--account", one, "--noinput").code == 0
    again = run("egnyte_revoke", "--account", one, "--noinput")
    assert (again.code, again.out) == (0, "0 accounts to be revoked.\n")
    ran = run("egnyte_revoke", "--account", one, "--delete", "--noinput", "--reason", "left us")
    assert (ran.code, ran.out) == (0, "1 account deleted. Grants: nothing to revoke.\n")
    assert not EgnyteAccount.objects.filter(pk=one).exists()
    event = AccountEvent.objects.get(kind="disconnected")
    assert (event.actor, event.reason) == ("command", "left us")


def test_the_reason_is_in_the_history(run, accounts) -> None:
    run("egnyte_revoke", "--account", str(accounts[0].pk), "--no-input", "--reason", "left us")
    event = AccountEvent.objects.filter(kind="revoked").get()
    assert (event.username, event.actor, event.reason) == ("jsmith", "command", "left us")
    assert EgnyteAccount.objects.get(pk=accounts[0].pk).status_reason == "left us"


def test_nobody_selected_is_nothing_to_do(run, egnyte_sandbox) -> None:
    ran = run("egnyte_revoke", "--all")
    assert (ran.code, ran.out) == (0, "0 accounts to be revoked.\n")


@pytest.mark.parametrize("delete", [True, False])
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}])
def test_grants_that_egnyte_would_not_end_stay(
    run, accounts, egnyte_sandbox, fault, delete
) -> None:
    egnyte_sandbox.faults.add(path="/tokens/revoke", domain="globex", times=None, **fault)
    ran = run("egnyte_revoke", "--all", "--no-input", *(["--delete"] if delete else []))
    assert ran.code == 1
    assert "Grants that could not be revoked yet: 1." in ran.error
    assert "1 failed, 2 revoked" in ran.out
    assert not EgnyteAccount.objects.live().exists()
    assert EgnyteGrant.objects.exclude(release_at=None).get().domain == "globex.egnyte.com"
    assert {token.domain for token in egnyte_sandbox.live_tokens()} == {"globex"}


def test_a_host_that_is_held_off_is_a_failure_too(run, accounts) -> None:
    """The host is not called, so nothing fails, but the tokens stay valid."""
    HostState.objects.create(
        host="globex.egnyte.com", failures=9, held_off_until=timezone.now() + timedelta(hours=1)
    )
    ran = run("egnyte_revoke", "--all", "--no-input")
    assert ran.code == 1
    assert "Grants that could not be revoked yet: 1." in ran.error


def test_a_large_domain_takes_more_than_one_pass(
    run, accounts, egnyte_sandbox, make_user, monkeypatch
) -> None:
    for number in range(4):
        link_account(egnyte_sandbox, make_user(f"more-{number}"))
    monkeypatch.setattr(revoker, "PER_DOMAIN", 1)
    ran = run("egnyte_revoke", "--domain", "acme", "--no-input")
    assert (ran.code, ran.out) == (0, "6 accounts revoked. Grants: 6 revoked.\n")
    assert egnyte_sandbox.live_tokens("acme") == []


def test_what_waited_for_other_accounts_is_no_failure(run, accounts, egnyte_sandbox) -> None:
    egnyte_sandbox.faults.add(path="/tokens/revoke", domain="globex", times=None, status=503)
    run("egnyte_revoke", "--domain", "globex", "--no-input")
    assert EgnyteGrant.objects.exclude(release_at=None).count() == 1
    assert run("egnyte_revoke", "--domain", "acme", "--no-input").code == 0


def test_no_token_is_written_to_the_terminal(run, accounts, egnyte_sandbox) -> None:
    egnyte_sandbox.faults.add(path="/tokens/revoke", domain="globex", times=None, status=503)
    ran = run("egnyte_revoke", "--all", "--no-input")
    for account in accounts:
        for token in (account.open_token(), account.opened_token().refresh_token.reveal()):
            assert token not in ran.out + ran.err + ran.error


def test_the_shell_learns_how_it_ended(exit_code, accounts, egnyte_sandbox, capsys) -> None:
    assert exit_code("egnyte_revoke", "--domain", "acme", "--no-input") == 0
    egnyte_sandbox.faults.add(path="/tokens/revoke", times=None, status=503)
    assert exit_code("egnyte_revoke", "--all", "--no-input") == 1
    assert "manage.py egnyte_status" in capsys.readouterr().err
