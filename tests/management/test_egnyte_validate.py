from __future__ import annotations

import pytest
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.fields import Sealed
from django_egnyte.management.commands import egnyte_validate
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteToken, KeyState

from .conftest import listing


def statuses() -> dict[str, str]:
    return dict(EgnyteAccount.objects.values_list("username", "status"))


def test_living_accounts_are_counted_and_dated(run, accounts, egnyte_sandbox) -> None:
    EgnyteAccount.objects.update(last_validated_at=None)
    before = egnyte_sandbox.counts["userinfo"]
    ran = run("egnyte_validate", "--all")
    assert (ran.code, ran.out) == (0, "3 alive\n")
    assert egnyte_sandbox.counts["userinfo"] - before == 3
    assert not EgnyteAccount.objects.filter(last_validated_at=None).exists()


def test_only_the_selected_are_asked_about(run, accounts, egnyte_sandbox) -> None:
    EgnyteAccount.objects.update(last_validated_at=None)
    assert run("egnyte_validate", "--domain", "globex").out == "1 alive\n"
    validated = EgnyteAccount.objects.exclude(last_validated_at=None)
    assert [each.username for each in validated] == ["mmiller"]
    assert run("egnyte_validate", "--account", str(accounts[0].pk)).out == "1 alive\n"
    assert run("egnyte_validate", "--user", accounts[0].user.get_username()).out == "2 alive\n"


def test_a_dead_token_is_a_verdict_and_no_failure(run, accounts, egnyte_sandbox) -> None:
    egnyte_sandbox.set_password("acme", "jsmith", "another password")
    EgnyteAccount.objects.filter(pk=accounts[1].pk).write(status="suspect")
    ran = run("egnyte_validate", "--all")
    assert (ran.code, ran.out) == (0, "2 alive, 1 dead\n")
    assert statuses() == {"jsmith": "revoked", "bdoe": "active", "mmiller": "active"}
    event = AccountEvent.objects.filter(kind="revoked").get()
    assert (event.actor, event.username) == ("command", "jsmith")


def test_an_expired_token_is_refreshed(run, accounts, egnyte_sandbox) -> None:
    egnyte_sandbox.expire_token(accounts[0].open_token())
    ran = run("egnyte_validate", "--account", str(accounts[0].pk))
    assert (ran.code, ran.out) == (0, "1 refreshed\n")
    assert EgnyteAccount.objects.get(pk=accounts[0].pk).token_id != accounts[0].token_id


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"malformed": True}])
def test_no_answer_is_a_failure(run, accounts, egnyte_sandbox, fault) -> None:
    egnyte_sandbox.faults.add(path="/userinfo", domain="globex", times=None, **fault)
    ran = run("egnyte_validate", "--all")
    assert (ran.code, ran.out) == (1, "2 alive, 1 failed\n")
    assert "no answer" in ran.error
    assert set(statuses().values()) == {"active"}


def test_a_row_that_no_key_opens_is_a_failure(run, accounts) -> None:
    EgnyteToken.objects.filter(pk=accounts[0].token_id).write(access_token=Sealed("nonsense"))
    ran = run("egnyte_validate", "--all")
    assert (ran.code, ran.out) == (1, "2 alive, 1 failed\n")
    assert set(statuses().values()) == {"active"}


def test_a_dry_run_asks_nobody(run, accounts, egnyte_sandbox) -> None:
    before = egnyte_sandbox.counts["userinfo"]
    ran = run("egnyte_validate", "--all", "--dry-run")
    assert ran.out == listing(*accounts) + "3 accounts would be validated.\n"
    one = str(accounts[1].pk)
    ran = run("egnyte_validate", "--account", one, "--dry-run")
    assert ran.out == listing(accounts[1]) + "1 account would be validated.\n"
    assert egnyte_sandbox.counts["userinfo"] == before


def test_all_batches_are_reached(run, accounts, monkeypatch) -> None:
    monkeypatch.setattr(egnyte_validate, "BATCH", 2)
    assert run("egnyte_validate", "--all").out == "3 alive\n"
    monkeypatch.setattr(egnyte_validate, "BATCH", 1)
    assert run("egnyte_validate", "--all").out == "3 alive\n"


def test_no_accounts_are_no_failure(run, egnyte_sandbox) -> None:
    ran = run("egnyte_validate", "--all")
    assert (ran.code, ran.out) == (0, "0 accounts\n")


def doubt() -> None:
    """As after a refusal for which nothing proved that the key is good."""
    KeyState.objects.create(
        key_digest=gateway.key_digest(), host="acme.egnyte.com", doubted_at=timezone.now()
    )


def is_doubted() -> bool:
    return KeyState.objects.exclude(doubted_at=None).exists()


def test_a_suspended_key_costs_no_account(run, accounts, egnyte_sandbox) -> None:
    egnyte_sandbox.suspend_key("sandbox-code-key")
    ran = run("egnyte_validate", "--all")
    # The token endpoint itself names the key, so no account becomes suspect.
    assert (ran.code, ran.out) == (1, "3 failed\n")
    assert set(statuses().values()) == {"active"}
    assert is_doubted()


def test_the_key_is_asked_about_again_by_command(run, accounts, egnyte_sandbox) -> None:
    assert run("egnyte_validate", "--resume-verdicts").out == "The API key was not in doubt.\n"
    doubt()
    before = egnyte_sandbox.counts["userinfo"]
    ran = run("egnyte_validate", "--resume-verdicts")
    assert (ran.code, ran.out) == (0, "The API key will be checked again.\n")
    assert not is_doubted()
    assert egnyte_sandbox.counts["userinfo"] == before


def test_the_key_is_asked_about_and_then_accounts_are_judged(run, accounts, egnyte_sandbox) -> None:
    doubt()
    egnyte_sandbox.set_password("acme", "jsmith", "another password")
    ran = run("egnyte_validate", "--resume-verdicts", "--all")
    assert ran.out == "The API key will be checked again.\n2 alive, 1 dead\n"
    assert statuses()["jsmith"] == "revoked"


def test_a_dry_run_resumes_nothing(run, accounts) -> None:
    doubt()
    ran = run("egnyte_validate", "--resume-verdicts", "--all", "--dry-run")
    assert ran.out.endswith("\n3 accounts would be validated.\n")
    assert is_doubted()


def test_the_shell_learns_how_it_ended(exit_code, accounts, egnyte_sandbox, capsys) -> None:
    assert exit_code("egnyte_validate", "--all") == 0
    egnyte_sandbox.faults.add(path="/userinfo", status=503, times=None)
    assert exit_code("egnyte_validate", "--all") == 1
    assert exit_code("egnyte_validate") == 1
    assert "Say which" in capsys.readouterr().err
