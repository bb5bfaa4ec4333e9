from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.fields import seal
from django_egnyte.models import EgnyteAccount, EgnyteGrant, HostState, KeyState
from django_egnyte.services.disconnect import disconnect


@pytest.fixture
def seen(run: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
    """What monitoring reads."""
    return lambda: json.loads(run("egnyte_status", "--json").out)


def table_of(text: str) -> dict[str, str]:
    pairs = [line.rsplit("  ", 1) for line in text.splitlines()]
    return {name.strip(): value.strip() for name, value in pairs}


def test_an_empty_site_is_well(run, egnyte_sandbox) -> None:
    ran = run("egnyte_status")
    assert ran.code == 0
    table = table_of(ran.out)
    assert table["accounts active"] == "0"
    assert table["token requests this hour"] == "0 of 100"
    assert table["verdicts"] == "passed"


def test_the_table_counts_what_there_is(run, accounts) -> None:
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(status="suspect")
    disconnect(accounts[2].pk, actor="test")
    KeyState.objects.create(
        key_digest=gateway.key_digest(), hour_started_at=timezone.now(), token_requests=17
    )
    table = table_of(run("egnyte_status").out)
    assert table["accounts active"] == "1"
    assert table["accounts suspect"] == "1"
    assert table["accounts revoked"] == "0"
    assert table["tokens to revoke"] == "1"
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
    assert found["outbox"] == 0
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
    EgnyteAccount.objects.filter(pk=accounts[2].pk).update(next_refresh_at=now)
    found = seen()
    assert (found["validations_due"], found["validations_late"]) == (2, 1)
    assert found["refreshes_due"] == 1
    assert found["refreshes_in_horizon"] >= 1
    ran = run("egnyte_status")
    assert ran.code == 1
    assert "1 validations are over an hour late" in ran.error


def test_paused_verdicts_need_someone(run, accounts, seen) -> None:
    KeyState.objects.create(key_digest=gateway.key_digest(), verdicts_paused_at=timezone.now())
    ran = run("egnyte_status")
    assert (ran.code, table_of(ran.out)["verdicts"]) == (1, "paused")
    assert "Is the API key suspended?" in ran.error
    assert seen()["verdicts_paused"] is True
    assert len(seen()["problems"]) == 1


def test_tokens_that_stay_alive_for_a_day_need_someone(run, accounts, seen) -> None:
    disconnect(accounts[0].pk, actor="test")
    long_ago = timezone.now() - timedelta(hours=30)
    EgnyteGrant.objects.exclude(release_at=None).update(created_at=long_ago)
    # It was not tried yet: nothing is wrong with it but the sweeps.
    assert run("egnyte_status").code == 0
    EgnyteGrant.objects.exclude(release_at=None).update(attempts=4)
    ran = run("egnyte_status")
    assert ran.code == 1
    assert "1 tokens could not be revoked for over a day" in ran.error
    assert 29 * 3600 < seen()["outbox_oldest_seconds"] < 31 * 3600
    assert table_of(ran.out)["the oldest, hours"] == "30.0"


def test_superseded_tokens_that_wait_for_their_grant_are_no_trouble(run, accounts, seen) -> None:
    disconnect(accounts[0].pk, actor="test")
    EgnyteGrant.objects.exclude(release_at=None).update(
        reason="superseded", attempts=1, created_at=timezone.now() - timedelta(days=9)
    )
    assert run("egnyte_status").code == 0
    found = seen()
    assert (found["outbox"], found["outbox_superseded"], found["outbox_stuck"]) == (0, 1, 0)


def test_a_budget_that_does_not_reach_needs_someone(run, accounts, settings) -> None:
    settings.EGNYTE_REFRESH_BEFORE = timedelta(hours=1)
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    EgnyteAccount.objects.update(next_refresh_at=timezone.now())
    ran = run("egnyte_status")
    assert ran.code == 1
    assert "3 accounts are to be refreshed in time" in ran.error
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 3
    assert run("egnyte_status").code == 0


def test_an_hour_that_is_over_counts_no_more(seen, accounts) -> None:
    KeyState.objects.create(
        key_digest=gateway.key_digest(),
        hour_started_at=timezone.now() - timedelta(hours=2),
        token_requests=99,
    )
    assert seen()["token_requests_this_hour"] == 0


def test_tokens_that_no_key_opens_need_someone(run, accounts, seen, settings) -> None:
    assert (seen()["tokens_tried"], seen()["tokens_unreadable"]) == (3, 0)
    settings.EGNYTE_ENCRYPTION_KEYS = ["a key that opens nothing here, not a single row"]
    sealed = seal("a token", accounts[2].seal_context("access_token"))
    EgnyteAccount.objects.filter(pk=accounts[2].pk).write(access_token=sealed)
    ran = run("egnyte_status")
    assert (ran.code, table_of(ran.out)["unreadable, of the 3 oldest"]) == (1, "2")
    assert ran.error == (
        "2 of the 3 oldest accounts have tokens that no key opens: "
        "does EGNYTE_ENCRYPTION_KEYS lack an older one?"
    )
    # A dead account holds no token, and needs no key.
    EgnyteAccount.objects.filter(pk=accounts[0].pk).write(status="revoked")
    assert (seen()["tokens_tried"], seen()["tokens_unreadable"]) == (2, 1)


def test_the_shell_learns_how_it_ended(exit_code, accounts, capsys) -> None:
    assert exit_code("egnyte_status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []
    KeyState.objects.create(key_digest=gateway.key_digest(), verdicts_paused_at=timezone.now())
    assert exit_code("egnyte_status", "--json") == 1
    written = capsys.readouterr()
    assert len(json.loads(written.out)["problems"]) == 1
    assert "Verdicts are paused" in written.err
