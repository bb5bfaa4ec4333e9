from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.choices import Purpose
from django_egnyte.fields import seal
from django_egnyte.models import (
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    HostState,
    KeyState,
    SweepState,
    TokenRequest,
)
from django_egnyte.secret import Secret
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.ledger import SEVERAL_HOSTS


@pytest.fixture
def seen(run: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
    """The output for monitoring."""
    return lambda: json.loads(run("egnyte_status", "--json").out)


def table_of(text: str) -> dict[str, str]:
    pairs = [line.rsplit("  ", 1) for line in text.splitlines()]
    return {name.strip(): value.strip() for name, value in pairs}


@pytest.fixture(autouse=True)
def _a_sweep_has_run(db: None) -> None:
    SweepState.objects.create(name="validations", ran_at=timezone.now())


def test_an_empty_site_is_well(run, egnyte_sandbox) -> None:
    ran = run("egnyte_status")
    assert ran.code == 0
    table = table_of(ran.out)
    assert table["accounts active"] == "0"
    assert table["token requests this hour"] == "0 of 100"
    assert table["API key"] == "as usual"


def requests(count: int, hours_ago: int = 0) -> None:
    """Insert this number of token requests."""
    at = timezone.now() - timedelta(hours=hours_ago)
    TokenRequest.objects.bulk_create(
        TokenRequest(
            key_digest=gateway.key_digest(), host="h", purpose=Purpose.REFRESH, created_at=at
        )
        for _ in range(count)
    )


def test_the_table_counts_what_there_is(run, accounts) -> None:
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(status="suspect")
    disconnect(accounts[2].pk, actor="test")
    requests(17)
    table = table_of(run("egnyte_status").out)
    assert table["accounts active"] == "1"
    assert table["accounts suspect"] == "1"
    assert table["accounts revoked"] == "0"
    assert table["grants to revoke"] == "1"
    assert table["token requests this hour"] == "17 of 100"


def test_the_columns_of_the_table_line_up(run, accounts) -> None:
    HostState.objects.create(
        host="a-very-long-name-of-a-company-for-sure.egnyte.com",
        failures=3,
        held_off_until=timezone.now() + timedelta(hours=1),
    )
    lines = run("egnyte_status").out.splitlines()
    starts = {len(line) - len(line.rsplit("  ", 1)[1]) for line in lines if line}
    assert "held off: a-very-long-name-of-a-company-for-sure.egnyte.com" in "\n".join(lines)
    assert "3 failures" in lines[-1]
    assert len(starts) == 1


def test_json_holds_the_same_and_no_secret(run, accounts, seen) -> None:
    found = seen()
    assert found["accounts"] == {"active": 3, "suspect": 0, "revoked": 0}
    assert found["validations_due"] == 0
    assert found["revocations"] == 0
    assert found["token_requests_per_hour"] == 100
    assert found["verdicts_paused"] is False
    assert found["hosts_held_off"] == []
    assert found["problems"] == []
    assert accounts[0].open_token() not in run("egnyte_status", "--json").out


def test_what_is_due_and_late_is_told(run, accounts, seen) -> None:
    now = timezone.now()
    EgnyteAccount.objects.filter(pk=accounts[0].pk).update(
        next_validation_at=now - timedelta(hours=2)
    )
    EgnyteAccount.objects.filter(pk=accounts[1].pk).update(next_validation_at=now)
    EgnyteGrant.objects.filter(pk=accounts[2].token.grant_id).write(next_refresh_at=now)
    found = seen()
    assert (found["validations_due"], found["validations_late"]) == (2, 1)
    assert found["refreshes_due"] == 1
    assert found["refreshes_in_horizon"] >= 1
    ran = run("egnyte_status")
    assert ran.code == 1
    assert "Validations over an hour late: 1" in ran.error


def doubt() -> None:
    KeyState.objects.create(key_digest=gateway.key_digest(), host="h", doubted_at=timezone.now())


def test_a_key_in_doubt_needs_someone(run, accounts, seen) -> None:
    doubt()
    ran = run("egnyte_status")
    assert (ran.code, table_of(ran.out)["API key"]) == (1, "in doubt")
    assert "Is the key suspended?" in ran.error
    assert seen()["verdicts_paused"] is True
    assert len(seen()["problems"]) == 1


def test_a_host_that_takes_no_token_requests_is_told_of(run, accounts, seen) -> None:
    KeyState.objects.create(
        key_digest=gateway.key_digest(),
        host="globex.egnyte.com",
        held_off_until=timezone.now() + timedelta(hours=1),
    )
    assert "no token requests at globex.egnyte.com" in run("egnyte_status").out
    assert [held["host"] for held in seen()["key_held_off_at"]] == ["globex.egnyte.com"]


def test_a_key_that_no_host_takes_token_requests_of_needs_someone(run, accounts) -> None:
    for count, host in enumerate(("acme", "globex", "initech"), start=1):
        KeyState.objects.create(
            key_digest=gateway.key_digest(),
            host=f"{host}.egnyte.com",
            held_off_until=timezone.now() + timedelta(hours=1),
        )
        ran = run("egnyte_status")
        assert ran.code == (count == SEVERAL_HOSTS)
    assert "no token requests for this API key at 3 hosts" in ran.error


def test_a_host_that_is_down_for_an_hour_needs_someone(run, accounts, seen) -> None:
    host = HostState.objects.create(
        host="acme.egnyte.com", failures=6, held_off_until=timezone.now() + timedelta(hours=1)
    )
    assert run("egnyte_status").code == 0
    assert seen()["hosts_held_off"][0]["failures"] == 6
    HostState.objects.filter(pk=host.pk).update(failures=7)
    ran = run("egnyte_status")
    assert (ran.code, ran.error) == (
        1, "Hosts that have not answered for about an hour: acme.egnyte.com.",
    )  # fmt: skip
    HostState.objects.update(held_off_until=timezone.now())  # over
    assert run("egnyte_status").code == 0


def test_grants_that_stay_alive_for_a_day_need_someone(run, accounts, seen) -> None:
    disconnect(accounts[0].pk, actor="test")
    long_ago = timezone.now() - timedelta(hours=30)
    released = EgnyteGrant.objects.exclude(release_at=None)
    released.update(created_at=long_ago)
    # It was not tried yet, so only the sweeps are a problem.
    assert run("egnyte_status").code == 0
    released.update(revoke_attempts=11)
    assert run("egnyte_status").code == 0
    released.update(revoke_attempts=12)
    ran = run("egnyte_status")
    assert ran.code == 1
    assert "Grants that could not be revoked for over a day: 1" in ran.error
    assert 29 * 3600 < seen()["revocations_oldest_seconds"] < 31 * 3600
    assert table_of(ran.out)["the oldest, hours"] == "30.0"


def test_sweeps_that_do_not_run_need_someone(run, accounts, seen) -> None:
    SweepState.objects.update(ran_at=timezone.now() - timedelta(hours=2))
    ran = run("egnyte_status")
    assert (ran.code, ran.error) == (1, "No sweep has run for 120 minutes.")
    SweepState.objects.all().delete()
    assert run("egnyte_status").code == 0  # the site is as old as its first account
    EgnyteAccount.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert "No sweep has ever run" in run("egnyte_status").error
    assert seen()["last_sweep_seconds"] is None


def test_refreshes_that_are_late_need_someone(run, accounts) -> None:
    late = timezone.now() - timedelta(hours=2)
    EgnyteGrant.objects.filter(pk=accounts[0].token.grant_id).write(next_refresh_at=late)
    ran = run("egnyte_status")
    assert (ran.code, "Refreshes over an hour late: 1" in ran.error) == (1, True)


def test_accounts_of_another_key_need_their_users(run, accounts, settings) -> None:
    settings.EGNYTE_CLIENT_ID = "another-key"
    ran = run("egnyte_status")
    assert (ran.code, table_of(ran.out)["linked with another API key"]) == (1, "3")
    assert "must reconnect" in ran.error


def test_a_site_without_a_key_is_told_so(run, accounts, settings) -> None:
    settings.EGNYTE_CLIENT_ID = ""
    ran = run("egnyte_status")
    assert (ran.code, "EGNYTE_CLIENT_ID is not set" in ran.error) == (1, True)


def test_a_budget_that_does_not_reach_needs_someone(run, accounts, settings) -> None:
    settings.EGNYTE_REFRESH_BEFORE = timedelta(hours=1)
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    EgnyteGrant.objects.write(next_refresh_at=timezone.now())
    ran = run("egnyte_status")
    assert ran.code == 1
    assert "3 tokens must be refreshed soon" in ran.error
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 3
    assert run("egnyte_status").code == 0


def test_an_hour_that_is_over_counts_no_more(seen, accounts) -> None:
    requests(99, hours_ago=2)
    assert seen()["token_requests_this_hour"] == 0


def test_tokens_that_no_key_opens_need_someone(run, accounts, seen, settings) -> None:
    assert (seen()["tokens_tried"], seen()["tokens_unreadable"]) == (3, 0)
    settings.EGNYTE_ENCRYPTION_KEYS = ["a key that opens nothing here, not a single row"]
    token = accounts[2].token
    sealed = seal(Secret("a token"), token.seal_context("access_token"))
    EgnyteToken.objects.filter(pk=token.pk).write(access_token=sealed, refresh_token="")
    ran = run("egnyte_status")
    assert (ran.code, table_of(ran.out)["unreadable, of the 3 oldest"]) == (1, "2")
    assert ran.error == (
        "No key decrypts the tokens of 2 of the 3 oldest accounts: "
        "does EGNYTE_ENCRYPTION_KEYS or SECRET_KEY_FALLBACKS lack an older key?"
    )
    # A revoked account has no token, and needs no key.
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(status="revoked")
    assert (seen()["tokens_tried"], seen()["tokens_unreadable"]) == (2, 1)


def test_the_shell_learns_how_it_ended(exit_code, accounts, capsys) -> None:
    assert exit_code("egnyte_status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    doubt()
    assert exit_code("egnyte_status", "--json") == 1
    written = capsys.readouterr()
    assert len(json.loads(written.out)["problems"]) == 1
    assert "nothing proves that it accepts the API key" in written.err
