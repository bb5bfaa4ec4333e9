"""A transaction that waits for a row holds no later row of that table. So no two can deadlock.

Each test locks the earlier of two rows and starts the work, which then waits. The later row must be
free. A storm of links and deletions would find such a fault only by chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction

from django_egnyte.models import EgnyteAccount, EgnyteGrant
from django_egnyte.services import disconnect, grants, sweep

from .conftest import HOST, arrive, grant_of, store_token
from .threads import Threads

PATIENCE = 20.0  # Seconds until the work must wait for the earlier row.
WAITS = {
    "postgresql": """
        SELECT COUNT(*) FROM pg_locks
        WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
    """,
    "mysql": """
        SELECT COUNT(*) FROM information_schema.innodb_lock_waits AS waits
        JOIN information_schema.innodb_trx AS ours ON ours.trx_id = waits.blocking_trx_id
        WHERE ours.trx_mysql_thread_id = CONNECTION_ID()
    """,
}

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_locks_rows")]


@pytest.fixture
def _locks_rows(db: None) -> None:
    if connection.vendor not in WAITS:
        pytest.skip("it locks no rows")


def check(work: Callable[[], object], earlier: models.Model, later: models.Model | None) -> None:
    """Do ``work`` while ``earlier`` is locked. ``None`` for the newest row of the same table."""
    rows: Any = type(earlier)._default_manager
    with Threads() as threads, transaction.atomic():
        rows.select_for_update().get(pk=earlier.pk)
        threads.start(work)
        ends = time.monotonic() + PATIENCE
        while not somebody_waits():
            assert time.monotonic() < ends, "the work does not wait for the earlier row"
            time.sleep(0.15)  # MariaDB's table stays as it is if it is read again within 0.1 s.
        second = later if later is not None else rows.latest("pk")
        assert second.pk > earlier.pk
        free = rows.select_for_update(skip_locked=True).filter(pk=second.pk)
        assert free.exists(), "the work holds the later row"


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(WAITS[connection.vendor])
        return bool(cursor.fetchone()[0])


def accounts_of(*users: Any) -> list[EgnyteAccount]:
    """An account for each of these users. The first account has the last grant."""
    made = [
        EgnyteAccount.objects.create(user=user, domain=HOST, egnyte_user_id=number)
        for number, user in enumerate(users)
    ]
    for account in reversed(made):
        ref = str(account.user_id)
        grant = EgnyteGrant.objects.create(domain=HOST, fingerprint=f"{account.pk}", user_ref=ref)
        token = grant.tokens.create(
            domain=HOST, user_ref=ref, fingerprint=grant.fingerprint, generation=0
        )
        EgnyteAccount.objects.write_to(account, token=token)
    return made


@pytest.mark.parametrize("chunk", [500, 1])
@pytest.mark.parametrize("how", ["user", "users", "accounts", "team", "teams"])
def test_a_deletion(make_user, team_model, monkeypatch, how, chunk):
    monkeypatch.setattr(disconnect, "CHUNK", chunk)
    Team, Member = team_model
    user, other = make_user("ann"), make_user("bob")
    first, last = accounts_of(user, user if how == "user" else other)
    team = Team.objects.create()
    for each in (user, other) if how.startswith("team") else ():
        Member(user_ptr_id=each.pk, team=team).save_base(raw=True)
    origin = {
        "user": user,
        "users": get_user_model()._default_manager.filter(pk__in=[user.pk, other.pk]),
        "accounts": EgnyteAccount.objects.order_by("pk"),
        "team": team,
        "teams": Team.objects.all(),
    }[how]
    check(origin.delete, grant_of(last), grant_of(first))
    assert EgnyteGrant.objects.exclude(release_at=None).count() == 2
    assert not EgnyteAccount.objects.exists()


def test_a_deletion_locks_the_accounts_in_order_too(make_user):
    first, last = accounts_of(make_user("ann"), make_user("bob"))
    check(EgnyteAccount.objects.order_by("-pk").delete, first, last)


def test_a_new_default_account(make_user):
    user = make_user("ann")
    first, last = accounts_of(user, user)
    EgnyteAccount.objects.write_to(last, is_default=True, default_of=str(user.pk))
    check(lambda: disconnect.make_default(user, first), first, last)
    first.refresh_from_db()
    assert first.is_default


def test_a_link_that_leaves_an_older_grant(egnyte_user, bring):
    old = grant_of(bring(egnyte_user, "a1", "r1"))
    check(lambda: bring(egnyte_user, "a2", "r2"), old, None)
    assert [grant.pk for grant in EgnyteGrant.objects.exclude(release_at=None)] == [old.pk]


def test_a_link_that_leaves_a_newer_grant(egnyte_user, bring):
    token = arrive(egnyte_user, "a1", "r1")
    newer = grant_of(bring(egnyte_user, "a2", "r2"))
    check(lambda: store_token(egnyte_user, token), token.grant, newer)
    assert [grant.pk for grant in EgnyteGrant.objects.exclude(release_at=None)] == [newer.pk]


def test_a_link_of_a_token_that_an_older_grant_has_too(egnyte_user, bring):
    bring(egnyte_user, "a0")  # so that userinfo is replaced
    older = EgnyteGrant.objects.create(domain=HOST, fingerprint="older", user_ref="")
    token = arrive(egnyte_user, "a1", "r1")
    older.tokens.create(domain=HOST, fingerprint=token.fingerprint)
    check(lambda: store_token(egnyte_user, token), older, token.grant)


def test_a_link_whose_token_was_replaced_meanwhile(egnyte_user, bring):
    old = grant_of(bring(egnyte_user, "a1", "r1"))
    token = arrive(egnyte_user, "a2", "r2")
    newest = arrive(egnyte_user, "a3", "r2")
    assert newest.grant_id == token.grant_id
    check(lambda: store_token(egnyte_user, token), old, token.grant)
    assert EgnyteAccount.objects.get().token_id == newest.pk


def test_two_grants_that_become_one(egnyte_user):
    one, other = arrive(egnyte_user, "a1", "r1"), arrive(egnyte_user, "a2", "r2")
    one.grant.tokens.create(domain=HOST, fingerprint=other.fingerprint, generation=0)
    check(lambda: grants.joined(other.grant_id), one.grant, other.grant)
    assert EgnyteGrant.objects.count() == 1


def test_the_slow_sweep(make_user):
    first, last = accounts_of(make_user("ann"), make_user("bob"))
    later, earlier = grant_of(first), grant_of(last)
    EgnyteAccount.objects.all()._raw_delete("default")
    check(sweep.release_forgotten, earlier, later)
    assert EgnyteGrant.objects.exclude(release_at=None).count() == 2
