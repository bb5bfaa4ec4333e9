from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.choices import EventKind
from django_egnyte.exceptions import (
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    UnavailableError,
)
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    KeyState,
    PendingRevocation,
)
from django_egnyte.oauth import OAuthClient
from django_egnyte.services import agenda, budget
from django_egnyte.services.obtain import obtain
from django_egnyte.services.refresh import refresh

from .test_refresh import killed_before_it_stored


@pytest.mark.parametrize(
    ("attempts", "failure", "seconds"),
    [
        (0, UnavailableError("No answer."), 60),
        (3, UnavailableError("No answer."), 480),
        (30, UnavailableError("No answer."), 6 * 3600),
        (0, RateLimitedError("Slower.", retry_after=500, kind="qps"), 500),
        (30, RateLimitedError("Slower.", retry_after=500, kind="qps"), 6 * 3600),
    ],
)
def test_the_next_attempt_waits_as_long_as_it_must(
    egnyte_account, monkeypatch, attempts, failure, seconds
):
    EgnyteAccount.objects.write(attempts=attempts)
    egnyte_account.refresh_from_db()

    def fail(self, refresh_token):
        raise failure

    monkeypatch.setattr(OAuthClient, "refresh", fail)
    monkeypatch.setattr(agenda.random, "uniform", lambda low, high: high)
    with pytest.raises(type(failure)):
        refresh(egnyte_account, actor="task")
    stored = EgnyteAccount.objects.get()
    wait = (stored.next_refresh_at - timezone.now()).total_seconds()
    assert seconds - 3 <= wait <= seconds
    assert stored.attempts == attempts + 1


def test_who_was_never_to_be_refreshed_is_not_after_a_failure_either(egnyte_account, monkeypatch):
    EgnyteAccount.objects.write(next_refresh_at=None)

    def fail(self, refresh_token):
        raise UnavailableError("No answer.")

    monkeypatch.setattr(OAuthClient, "refresh", fail)
    with pytest.raises(UnavailableError):
        refresh(egnyte_account, actor="task")
    assert EgnyteAccount.objects.get().next_refresh_at is None


def test_without_a_refresh_token_there_is_no_refresh(egnyte_sandbox, egnyte_account):
    EgnyteAccount.objects.write(refresh_token="", refresh_fingerprint="")
    with pytest.raises(NotLinkedError) as caught:
        refresh(EgnyteAccount.objects.get(), actor="task")
    assert caught.value.host == "acme.egnyte.com"
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_an_account_that_is_gone_is_not_refreshed(egnyte_sandbox, egnyte_account):
    EgnyteAccount.objects.all().delete()
    with pytest.raises(NotLinkedError) as caught:
        refresh(egnyte_account, actor="task")
    assert caught.value.host == "acme.egnyte.com"


def test_all_that_a_refresh_writes(egnyte_sandbox, egnyte_account, settings):
    settings.EGNYTE_REFRESH_BEFORE = timedelta(days=2)
    EgnyteAccount.objects.write(
        status="suspect", status_reason="why", attempts=5, last_validated_at=None
    )
    egnyte_account.refresh_from_db()
    returned = refresh(egnyte_account, actor="task")
    stored = EgnyteAccount.objects.get()
    now = timezone.now()
    for account in (returned, stored):
        assert (account.status, account.status_reason, account.attempts) == ("active", "", 0)
        assert account.token_id == 2
        assert now - account.last_validated_at < timedelta(minutes=1)
        assert timedelta(hours=21) < account.next_validation_at - now <= timedelta(days=1)
        before = account.expires_at - account.next_refresh_at
        assert timedelta(days=1.6) <= before <= timedelta(days=2)
    assert returned.access_token == stored.open_token()
    assert returned.refresh_token == stored.opened_token().refresh_token.reveal()
    assert egnyte_sandbox.is_alive(stored.open_token())


def test_a_superseded_token_that_has_ended_leaves_no_row(egnyte_account):
    EgnyteAccount.objects.write(expires_at=timezone.now() - timedelta(minutes=1))
    egnyte_account.refresh_from_db()
    refresh(egnyte_account, actor="task")
    assert not PendingRevocation.objects.exists()


def test_what_a_killed_refresh_brought_is_of_use_until_it_expires(egnyte_sandbox, egnyte_account):
    rows = PendingRevocation.objects
    egnyte_sandbox.policy.refresh_rotates = False
    for seconds, of_use in ((-60, False), (60, True), (None, True)):
        account = EgnyteAccount.objects.get()
        rows.all().delete()
        brought = obtain(
            lambda client, token=account.opened_token().refresh_token.reveal(): client.refresh(
                token
            ),
            host=account.domain,
            user_ref=str(account.user_id),
            reason="refresh",
            grant_id=account.grant_id,
            refresh=True,
            refreshed_from=account.refresh_fingerprint,
        )
        ends = None if seconds is None else timezone.now() + timedelta(seconds=seconds)
        rows.filter(pk=brought.row.pk).write(expires_at=ends)
        after = refresh(account, actor="task")
        assert (after.token_fingerprint == brought.row.fingerprint) is of_use


def test_a_refresh_is_drawn_from_what_linking_leaves(egnyte_account):
    budget.prepare()
    before = KeyState.objects.get()
    refresh(egnyte_account, actor="task")
    after = KeyState.objects.get()
    assert after.token_requests == before.token_requests + 1
    assert after.link_requests == before.link_requests


def test_what_a_killed_refresh_brought_is_left_where_no_key_opens_it(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    egnyte_sandbox.policy.refresh_rotates = False
    killed_before_it_stored(egnyte_account, monkeypatch)
    PendingRevocation.objects.write(seal_id="0" * 32)
    brought = PendingRevocation.objects.get().fingerprint
    assert refresh(egnyte_account, actor="task").token_fingerprint != brought
    assert PendingRevocation.objects.filter(fingerprint=brought).exists()


def test_a_refused_refresh_token_is_dropped_by_all_who_still_hold_it(
    egnyte_sandbox, egnyte_account, make_user, link, monkeypatch
):
    twin = link(make_user("twin"))
    same = {"refresh_fingerprint": egnyte_account.refresh_fingerprint}
    EgnyteAccount.objects.filter(pk=twin.pk).write(**same)

    def relinked_meanwhile(self, access_token):
        EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(refresh_fingerprint="newer")

    monkeypatch.setattr(OAuthClient, "userinfo", relinked_meanwhile)
    egnyte_sandbox.faults.add(
        grant_type="refresh_token", status=400, body={"error": "invalid_grant"}
    )
    with pytest.raises(InvalidGrantError):
        refresh(egnyte_account, actor="task")
    one, two = EgnyteAccount.objects.order_by("pk")
    assert (one.refresh_fingerprint, bool(one.opened_token().refresh_token.reveal())) == (
        "newer",
        True,
    )
    assert (
        two.refresh_fingerprint,
        two.opened_token().refresh_token.reveal(),
        two.next_refresh_at,
    ) == ("", "", None)
    refused = AccountEvent.objects.get(kind=EventKind.REFRESH_REFUSED)
    assert refused.account_ref == two.pk
