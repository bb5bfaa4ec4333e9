"""The accounts of users who were deactivated."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from django_egnyte.choices import EventKind, Release
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant
from django_egnyte.services import disconnect, grants, sweep
from django_egnyte.services.revoke import process_revocations

from .conftest import pending

DAY = timedelta(days=1)


@pytest.fixture
def left(many, settings):
    """Three accounts of deactivated users, not used for a month."""
    settings.EGNYTE_REVOKE_INACTIVE_AFTER = 30 * DAY
    accounts = many(3)
    for account in accounts:
        account.user.is_active = False
        account.user.save()
    EgnyteAccount.objects.update(
        connected_at=timezone.now() - 60 * DAY, last_used_at=timezone.now() - 31 * DAY
    )
    return accounts


def test_by_default_they_stay_linked(left, settings):
    del settings.EGNYTE_REVOKE_INACTIVE_AFTER
    assert sweep.revoke_inactive(actor="task") == 0
    assert EgnyteAccount.objects.live().count() == 3


def test_their_tokens_are_revoked_and_the_accounts_stay(egnyte_sandbox, left):
    assert sweep.revoke_inactive(actor="task") == 3
    assert set(EgnyteAccount.objects.values_list("status", "token")) == {("revoked", None)}
    assert {grant.reason for grant in pending()} == {Release.REVOKED}
    event = AccountEvent.objects.filter(kind=EventKind.REVOKED).first()
    assert (event.actor, event.reason) == ("task", "The user was deactivated")
    assert process_revocations() == {"revoked": 3}
    assert egnyte_sandbox.live_tokens() == []
    assert sweep.revoke_inactive(actor="task") == 0


@pytest.mark.parametrize(
    ("changes", "revoked"),
    [
        ({"last_used_at": None}, True),
        ({"last_used_at": 29 * DAY}, False),
        ({"last_used_at": 31 * DAY}, True),
        # Reconnecting an account counts as a use.
        ({"connected_at": 29 * DAY}, False),
        ({"last_used_at": None, "connected_at": 29 * DAY}, False),
    ],
)
def test_only_what_was_not_used_for_that_long(left, changes, revoked):
    values = {name: None if ago is None else timezone.now() - ago for name, ago in changes.items()}
    EgnyteAccount.objects.filter(pk=left[0].pk).update(**values)
    assert sweep.revoke_inactive(actor="task") == (3 if revoked else 2)
    assert EgnyteAccount.objects.get(pk=left[0].pk).is_live is not revoked


def test_who_is_active_or_was_activated_again_keeps_the_account(left):
    left[0].user.is_active = True
    left[0].user.save()
    assert sweep.revoke_inactive(actor="task") == 2
    assert EgnyteAccount.objects.get(pk=left[0].pk).is_live


def test_who_shares_a_grant_with_an_active_user_ends_nothing_of_theirs(
    egnyte_sandbox, left, make_user
):
    user = make_user("colleague")
    other = EgnyteAccount.objects.create(
        user=user, domain=left[0].domain, egnyte_user_id=left[0].egnyte_user_id,
        token=grants.copied(left[0].token, str(user.pk)),
    )  # fmt: skip
    assert sweep.revoke_inactive(actor="task") == 3
    assert process_revocations() == {"held": 1, "revoked": 2}
    stored = EgnyteAccount.objects.with_token().get(pk=other.pk)
    assert egnyte_sandbox.is_alive(stored.open_token())


def test_a_user_model_without_the_column_has_none(left, monkeypatch):
    monkeypatch.setattr(sweep, "get_user_model", lambda: EgnyteGrant)
    assert sweep.revoke_inactive(actor="task") == 0
    assert EgnyteAccount.objects.live().count() == 3


def test_one_bad_row_stops_no_other(left, monkeypatch, caplog):
    revoke = disconnect.revoke

    def failing(account, **options):
        if account.pk == left[0].pk:
            raise OperationalError("away")
        return revoke(account, **options)

    monkeypatch.setattr(disconnect, "revoke", failing)
    assert sweep.revoke_inactive(actor="task") == 2
    assert [r for r in caplog.records if getattr(r, "event", "") == "row_failed"]


def test_it_ends_in_time(left):
    assert sweep.revoke_inactive(actor="task", seconds=0) == 0
    assert EgnyteAccount.objects.live().count() == 3


def test_they_are_gone_through_in_chunks(left, monkeypatch):
    monkeypatch.setattr(sweep, "CHUNK", 1)
    assert sweep.revoke_inactive(actor="task", seconds=timedelta(minutes=1).total_seconds()) == 3


def test_each_is_tried_once_in_a_run(left, monkeypatch):
    tried = []

    def failing(account, **options):
        tried.append(account.pk)
        raise OperationalError("away")

    monkeypatch.setattr(sweep, "CHUNK", 2)
    monkeypatch.setattr(disconnect, "revoke", failing)
    assert sweep.revoke_inactive(actor="task") == 0
    assert tried == [account.pk for account in left]
