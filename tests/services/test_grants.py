"""One grant known under several names, and what waits for it: found by ``tests.conservation``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_egnyte.exceptions import UnavailableError
from django_egnyte.fields import as_stored
from django_egnyte.managers import EgnyteAccountQuerySet
from django_egnyte.models import EgnyteAccount, PendingRevocation
from django_egnyte.oauth import fingerprint
from django_egnyte.services import leases
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.obtain import obtain
from django_egnyte.services.outbox import SUPERSEDED
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import abandon, process_revocations

from .conftest import HOST


def work_off() -> None:
    """Passes over what is due by itself: nothing is made due here."""
    for _ in range(4):
        process_revocations()


def copy_of(row: PendingRevocation, **values: Any) -> PendingRevocation:
    with as_stored():
        stored = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
    made = PendingRevocation(**stored | {"id": None} | values)
    made.save()
    return made


@pytest.fixture
def failed_twin(egnyte_sandbox, egnyte_account, link, make_user):
    """A callback of another user that was given the account's own token, and failed."""
    egnyte_sandbox.policy.same_token = True
    egnyte_sandbox.faults.add(path="/userinfo", status=503)
    with pytest.raises(UnavailableError):
        link(make_user("twin"))
    row = PendingRevocation.objects.get()
    assert row.fingerprint == egnyte_account.token_fingerprint
    assert row.grant_id != egnyte_account.grant_id
    return row


def test_a_relink_releases_what_was_superseded_in_the_old_grant(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    refresh(egnyte_account, actor="task")
    assert PendingRevocation.objects.get().reason == SUPERSEDED
    again = link(egnyte_user)
    work_off()
    assert not PendingRevocation.objects.exists()
    assert {token.value for token in egnyte_sandbox.live_tokens()} == {
        again.open_token(), again.opened_token().refresh_token.reveal()
    }  # fmt: skip


@pytest.mark.parametrize("rotates", [False, True])
def test_a_failed_twin_of_a_token_that_was_refreshed_meanwhile_kills_no_grant(
    egnyte_sandbox, egnyte_account, failed_twin, rotates
):
    egnyte_sandbox.policy.refresh_rotates = rotates
    new = refresh(egnyte_account, actor="task")
    work_off()
    assert egnyte_sandbox.is_alive(new.open_token())
    assert egnyte_sandbox.is_alive(new.opened_token().refresh_token.reveal())
    disconnect(new.pk, actor="user:1")
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_names_of_one_grant_are_joined_for_all_rows(egnyte_sandbox, egnyte_account, failed_twin):
    older = copy_of(
        failed_twin, fingerprint="older", refresh_fingerprint="", refresh_token="",
        reason=SUPERSEDED, not_before=timezone.now() + timedelta(days=20),
    )  # fmt: skip
    assert process_revocations() == {"held": 1}
    older.refresh_from_db()
    assert older.grant_id == egnyte_account.grant_id


def test_a_relink_with_what_a_killed_refresh_brought_is_the_same_grant(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    egnyte_sandbox.policy.refresh_rotates = egnyte_sandbox.policy.same_token = True
    old = egnyte_account.opened_token().refresh_token.reveal()
    obtain(
        lambda client: client.refresh(old),
        host=HOST,
        user_ref=str(egnyte_user.pk),
        reason="refresh",
        account_ref=egnyte_account.pk,
        grant_id=egnyte_account.grant_id,
        refresh=True,
    )  # and here the worker was killed
    again = link(egnyte_user)
    assert again.grant_id == egnyte_account.grant_id
    work_off()
    assert egnyte_sandbox.is_alive(again.open_token())
    assert egnyte_sandbox.is_alive(again.opened_token().refresh_token.reveal())


def test_what_waits_for_its_grant_does_not_hold_up_the_same_token(egnyte_sandbox, egnyte_account):
    egnyte_account.delete()
    copy_of(
        PendingRevocation.objects.get(), grant_id="another", refresh_fingerprint="",
        refresh_token="", reason=SUPERSEDED, not_before=timezone.now() + timedelta(days=20),
    )  # fmt: skip
    assert process_revocations()["revoked"] == 1
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_all_names_of_a_grant_that_ends_are_released(egnyte_sandbox, egnyte_account, failed_twin):
    """The twin's end is that of the account's token, too, and of what waits under either name."""
    other = failed_twin.grant_id
    for name, grant_id in (("older", other), ("oldest", egnyte_account.grant_id)):
        copy_of(
            failed_twin, fingerprint=name, refresh_fingerprint="", refresh_token="",
            grant_id=grant_id, reason=SUPERSEDED, not_before=timezone.now() + timedelta(days=20),
        )  # fmt: skip
    egnyte_account.delete()
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def two_accounts_of_one_grant(egnyte_sandbox, account, link, make_user):
    """Each knows the grant by a name of its own, as after a lost answer."""
    egnyte_sandbox.policy.same_token = True
    other = link(make_user("other"))
    assert other.grant_id == account.grant_id
    EgnyteAccount.objects.filter(pk=other.pk).write(grant_id="another")
    other.refresh_from_db()
    return other


@pytest.mark.parametrize("how", ["link", "refresh", "revoker"])
def test_accounts_of_one_grant_come_to_know_it_by_one_name(
    egnyte_sandbox, egnyte_account, link, make_user, how
):
    other = two_accounts_of_one_grant(egnyte_sandbox, egnyte_account, link, make_user)
    if how == "link":
        other = link(other.user)
    elif how == "refresh":
        refresh(other, actor="task")
    else:
        twin = link(make_user("third"))
        EgnyteAccount.objects.filter(pk=other.pk).write(grant_id="another")
        twin.delete()
        work_off()
    assert len(set(EgnyteAccount.objects.values_list("grant_id", flat=True))) == 1
    # The first to leave ends nothing, the last ends all of it, with what was superseded.
    refresh(EgnyteAccount.objects.get(pk=other.pk), actor="task")
    egnyte_account.refresh_from_db()
    egnyte_account.delete()
    work_off()
    held = EgnyteAccount.objects.get()
    assert egnyte_sandbox.is_alive(held.access_token)
    assert egnyte_sandbox.is_alive(held.refresh_token)
    held.delete()
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_a_row_that_was_given_up_holds_up_nothing_of_its_grant(egnyte_sandbox, egnyte_account):
    refresh(egnyte_account, actor="task")
    disconnect(egnyte_account.pk, actor="user:1")
    last = PendingRevocation.objects.exclude(reason=SUPERSEDED).get()
    assert abandon(last, actor="admin:1")
    assert process_revocations()["revoked"] == 1
    assert not PendingRevocation.objects.exists()


def test_a_refresh_token_that_no_account_holds_is_not_forgotten_with_a_held_access_token(
    egnyte_sandbox, egnyte_account, egnyte_user
):
    other = egnyte_sandbox.issue("acme", "jsmith")
    row = PendingRevocation(
        user_ref=str(egnyte_user.pk),
        domain=HOST,
        seal_id=egnyte_account.seal_id,
        access_token=egnyte_account.open_token(),
        refresh_token=other.opened_token().refresh_token.reveal(),
        fingerprint=egnyte_account.token_fingerprint,
        refresh_fingerprint=fingerprint(HOST, other.opened_token().refresh_token.reveal()),
        grant_id=egnyte_account.grant_id,
        expires_at=egnyte_account.expires_at,
    )
    row.save()
    assert process_revocations() == {"waiting": 1}
    for dead in (
        egnyte_account.open_token(),
        egnyte_account.opened_token().refresh_token.reveal(),
        other.open_token(),
    ):
        egnyte_sandbox.expire_token(dead)
    disconnect(egnyte_account.pk, actor="user:1")
    work_off()
    assert egnyte_sandbox.live_tokens() == []
    assert not PendingRevocation.objects.exists()


def test_a_refresh_token_beside_an_expired_token_of_a_held_grant_is_kept(
    egnyte_sandbox, egnyte_account, egnyte_user
):
    issued = egnyte_sandbox.issue("acme", "jsmith")
    row = PendingRevocation(
        user_ref=str(egnyte_user.pk),
        domain=HOST,
        seal_id="s",
        access_token=issued.access_token,
        refresh_token=issued.refresh_token,
        fingerprint=fingerprint(HOST, issued.access_token),
        refresh_fingerprint=fingerprint(HOST, issued.refresh_token),
        grant_id=egnyte_account.grant_id,
        expires_at=timezone.now() - timedelta(hours=1),
        reason="refresh",
    )
    row.save()
    assert process_revocations() == {"waiting": 1}
    assert process_revocations() == {}
    disconnect(egnyte_account.pk, actor="user:1")
    work_off()
    assert not egnyte_sandbox.is_alive(issued.refresh_token)
    assert not PendingRevocation.objects.exists()


def test_twins_that_are_refreshed_leave_one_row(egnyte_sandbox, egnyte_account, link, make_user):
    egnyte_sandbox.policy.same_token = True
    link(make_user("twin"))
    refresh(egnyte_account, actor="task")
    assert PendingRevocation.objects.count() == 1
    assert set(EgnyteAccount.objects.values_list("token_id", flat=True)) == {2}


def test_a_lease_is_given_back_after_a_deadlock_and_without_reading_the_whole_table(
    egnyte_account, monkeypatch
):
    write, failures = EgnyteAccountQuerySet.write, []

    def deadlocked(self: Any, **values: Any) -> int:
        if values.get("lease") == "" and not failures:
            failures.append(1)
            raise OperationalError("deadlock detected")
        return write(self, **values)

    monkeypatch.setattr(EgnyteAccountQuerySet, "write", deadlocked)
    with leases.hold(egnyte_account, patience=0):
        pass
    assert failures
    assert EgnyteAccount.objects.get().lease == ""
    with leases.hold(egnyte_account, patience=0):
        queries = CaptureQueriesContext(connection)
        queries.__enter__()
    queries.__exit__(None, None, None)
    touching = [q["sql"] for q in queries if "lease" in q["sql"]]
    assert touching and all(f"{connection.ops.quote_name('id')} IN" in sql for sql in touching)
