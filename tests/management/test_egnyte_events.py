from __future__ import annotations

from django_egnyte.models import EventCursor
from django_egnyte.services.disconnect import revoke


def test_an_account_is_followed_listed_and_left(run, accounts) -> None:
    account = accounts[0]
    at = f"--account={account.pk}"
    assert run("egnyte_events", "follow", at).out == f"{account}: followed\n"
    row = EventCursor.objects.get()
    assert row.position == account.client.events.cursor().latest_event_id
    listed = run("egnyte_events", "list").out
    assert listed.startswith(f"{account.pk}: {account}, after event {row.position}, next poll at ")
    assert run("egnyte_events", "unfollow", at).out == f"{account}: no longer followed\n"
    assert run("egnyte_events", "unfollow", at).out == f"{account}: was not followed\n"
    assert run("egnyte_events", "list").out == ""


def test_an_account_is_followed_from_an_event(run, accounts) -> None:
    options = ["--user", str(accounts[2].user), "--domain", "globex", "--after", "17"]
    ran = run("egnyte_events", "follow", *options)
    assert ran.code == 0, ran.error
    assert EventCursor.objects.get().position == 17


def test_trouble_is_listed(run, accounts) -> None:
    run("egnyte_events", "follow", f"--account={accounts[0].pk}")
    EventCursor.objects.update(last_error="ForbiddenError")
    assert "last error ForbiddenError" in run("egnyte_events", "list").out


def test_a_revoked_account_is_not_followed_but_may_be_left(run, accounts) -> None:
    at = f"--account={accounts[0].pk}"
    run("egnyte_events", "follow", at)
    revoke(accounts[0], actor="test", reason="a test")
    assert run("egnyte_events", "follow", at).code == 1
    assert "no longer followed" in run("egnyte_events", "unfollow", at).out


def test_what_egnyte_refuses_is_said(run, accounts, egnyte_sandbox) -> None:
    egnyte_sandbox.faults.add(path="/events/cursor", times=None, status=403)
    ran = run("egnyte_events", "follow", f"--account={accounts[0].pk}")
    assert ran.code == 1
    assert "Egnyte.filesystem" in ran.error
    assert not EventCursor.objects.exists()
