from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from django_egnyte.accounts import follow
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    HostState,
    ReceivedEvent,
    SpentState,
)
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.link import spend_state


def test_nothing_due_is_nothing_done(run, accounts, egnyte_sandbox) -> None:
    before = egnyte_sandbox.counts
    ran = run("egnyte_sweep")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "refreshes: nothing to do", "validations: nothing to do", "revocations: nothing to do",
        "polls: nothing to do", "events: nothing to do", "forgotten grants: 0",
    ]  # fmt: skip
    assert egnyte_sandbox.counts == before


def test_one_pass_does_everything_that_is_due(run, accounts, egnyte_sandbox) -> None:
    now = timezone.now()
    EgnyteGrant.objects.filter(pk=accounts[0].token.grant_id).write(next_refresh_at=now)
    EgnyteAccount.objects.filter(pk=accounts[1].pk).update(
        next_validation_at=now, last_validated_at=None
    )
    disconnect(accounts[2].pk, actor="test")
    follow(accounts[0])
    egnyte_sandbox.add_file("acme", "/Shared/new.txt", b"x")
    ran = run("egnyte_sweep")
    assert ran.out.splitlines() == [
        "refreshes: 1 refreshed", "validations: 1 alive", "revocations: 1 revoked",
        "polls: 1 polled", "events: 1 handled", "forgotten grants: 0",
    ]  # fmt: skip
    assert EgnyteAccount.objects.get(pk=accounts[0].pk).token_id != accounts[0].token_id
    assert EgnyteAccount.objects.get(pk=accounts[1].pk).last_validated_at is not None
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert {token.domain for token in egnyte_sandbox.live_tokens()} == {"acme"}
    assert AccountEvent.objects.filter(kind="refreshed").get().actor == "command"


def test_an_expired_token_is_refreshed_before_it_is_validated(
    run, accounts, egnyte_sandbox
) -> None:
    egnyte_sandbox.expire_token(accounts[0].open_token())
    past = timezone.now() - timedelta(seconds=1)
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(next_validation_at=past)
    EgnyteToken.objects.filter(pk=accounts[0].token_id).write(expires_at=past)
    EgnyteGrant.objects.filter(pk=accounts[0].token.grant_id).write(next_refresh_at=past)
    ran = run("egnyte_sweep")
    assert ran.out.startswith("refreshes: 1 refreshed\n")
    account = EgnyteAccount.objects.get(pk=accounts[0].pk)
    assert account.status == "active" and account.token_id != accounts[0].token_id
    assert egnyte_sandbox.is_alive(account.open_token())


def test_states_that_could_not_be_used_any_more_are_forgotten(run, accounts) -> None:
    spend_state("old")
    SpentState.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    spend_state("young")
    run("egnyte_sweep")
    assert SpentState.objects.count() == 1


@pytest.mark.parametrize("trouble", ["down", "throttled", "held off", "suspended"])
def test_a_pass_that_could_do_nothing_is_a_failure(
    run, accounts, egnyte_sandbox, trouble: str
) -> None:
    now = timezone.now()
    EgnyteAccount.objects.update(next_validation_at=now)
    EgnyteGrant.objects.write(next_refresh_at=now)
    if trouble == "down":
        egnyte_sandbox.faults.add(times=None, status=503)
    elif trouble == "throttled":
        EgnyteAccount.objects.update(next_validation_at=now + timedelta(days=1))
        egnyte_sandbox.faults.add(
            path="^/puboauth/token", times=None, status=429, headers={"Retry-After": "60"}
        )
    elif trouble == "held off":
        for host in {each.domain for each in accounts}:
            HostState.objects.create(host=host, failures=1, held_off_until=now + timedelta(hours=1))
    else:
        EgnyteGrant.objects.write(next_refresh_at=now + timedelta(days=1))
        egnyte_sandbox.faults.add(times=None, status=403, body="Developer Inactive")
    ran = run("egnyte_sweep")
    assert ran.code == 1
    assert ran.error.startswith("Work is due, and none of it succeeded (")
    assert ("hosts are held off" in ran.error) is (trouble == "held off")


def test_a_site_without_a_key_can_do_nothing(run, accounts, settings) -> None:
    settings.EGNYTE_CLIENT_ID = ""
    ran = run("egnyte_sweep")
    assert (ran.code, "EGNYTE_CLIENT_ID" in ran.error) == (1, True)


def test_a_pass_inside_a_transaction_can_do_nothing(run, accounts) -> None:
    with transaction.atomic():
        ran = run("egnyte_sweep")
    assert (ran.code, "inside a transaction" in ran.error) == (1, True)


def test_events_of_long_ago_are_forgotten(run, accounts, egnyte_sandbox) -> None:
    follow(accounts[0])
    egnyte_sandbox.add_file("acme", "/Shared/new.txt", b"x")
    run("egnyte_sweep")
    assert ReceivedEvent.objects.count() == 1
    ReceivedEvent.objects.update(received_at=timezone.now() - timedelta(days=8))
    run("egnyte_sweep")
    assert not ReceivedEvent.objects.exists()


def test_a_host_in_trouble_is_told_and_no_failure_of_the_pass(
    run, accounts, egnyte_sandbox
) -> None:
    egnyte_sandbox.faults.add(domain="globex", times=None, status=503)
    EgnyteAccount.objects.update(next_validation_at=timezone.now())
    ran = run("egnyte_sweep")
    assert ran.code == 0
    assert "validations: 2 alive, 1 failed" in ran.out
    assert set(EgnyteAccount.objects.values_list("status", flat=True)) == {"active"}


@pytest.mark.parametrize("name", ["refresh_due", "validate_due"])
def test_the_time_of_a_pass_can_be_limited(run, accounts, monkeypatch, name) -> None:
    from django_egnyte.services import sweep

    given: list[float] = []
    real = getattr(sweep, name)

    def limited(**options):
        given.append(options["seconds"])
        return real(**options)

    monkeypatch.setattr(sweep, name, limited)
    run("egnyte_sweep", "--seconds", "2.5")
    run("egnyte_sweep")
    assert given == [2.5, sweep.SLICE]


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf"])
def test_a_pass_without_any_time_is_refused(run, accounts, seconds) -> None:
    ran = run("egnyte_sweep", f"--seconds={seconds}")
    assert ran.code != 0
    assert ran.out == ""
    assert "--seconds takes a finite number above 0." in ran.error


def test_the_shell_learns_how_it_ended(exit_code, accounts, capsys) -> None:
    assert exit_code("egnyte_sweep") == 0
    assert "revocations: nothing to do" in capsys.readouterr().out
