from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.choices import EventKind, Status
from django_egnyte.exceptions import (
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    UnavailableError,
)
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken, TokenRequest
from django_egnyte.oauth import OAuthClient
from django_egnyte.services import agenda
from django_egnyte.services.refresh import REFUSED, refresh, request_refresh
from django_egnyte.services.validate import validate

from .conftest import grant_of, refresh_token_of
from .rows import expired_now


@pytest.mark.parametrize(
    ("attempts", "failure", "seconds"),
    [
        (0, UnavailableError("No answer."), 60),
        (3, UnavailableError("No answer."), 480),
        (30, UnavailableError("No answer."), 3600),
        (0, RateLimitedError("Slower.", retry_after=500, kind="qps", status=429), 500),
        (30, RateLimitedError("Slower.", retry_after=500, kind="qps", status=429), 3600),
    ],
)
def test_the_next_attempt_waits_as_long_as_it_must(
    egnyte_account, monkeypatch, attempts, failure, seconds
):
    EgnyteGrant.objects.write(refresh_attempts=attempts, next_refresh_at=timezone.now())

    def fail(self, refresh_token):
        raise failure

    monkeypatch.setattr(OAuthClient, "refresh", fail)
    monkeypatch.setattr(agenda.random, "uniform", lambda low, high: high)
    with pytest.raises(type(failure)):
        refresh(egnyte_account, actor="task")
    grant = grant_of(egnyte_account)
    wait = (grant.next_refresh_at - timezone.now()).total_seconds()
    assert seconds - 3 <= wait <= seconds
    assert grant.refresh_attempts == attempts + 1
    assert grant.last_error == type(failure).__name__


def test_what_the_sites_own_limit_refused_was_no_attempt(egnyte_sandbox, egnyte_account, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 0
    before = grant_of(egnyte_account).next_refresh_at
    with pytest.raises(RateLimitedError):
        refresh(egnyte_account, actor="task")
    grant = grant_of(egnyte_account)
    assert (grant.refresh_attempts, grant.next_refresh_at) == (0, before)
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_without_a_refresh_token_there_is_no_refresh(egnyte_sandbox, legacy):
    with pytest.raises(NotLinkedError) as caught:
        refresh(legacy, actor="task")
    assert caught.value.host == "acme.egnyte.com"
    assert egnyte_sandbox.counts["token:refresh_token"] == 0


def test_an_account_that_is_gone_is_not_refreshed(egnyte_sandbox, egnyte_account):
    EgnyteAccount.objects.filter(pk=egnyte_account.pk).delete()
    with pytest.raises(NotLinkedError) as caught:
        refresh(egnyte_account, actor="task")
    assert caught.value.host == "acme.egnyte.com"


def test_all_that_a_refresh_writes(egnyte_sandbox, egnyte_account, settings):
    settings.EGNYTE_REFRESH_BEFORE = timedelta(days=2)
    EgnyteAccount.objects.write(
        status="suspect", status_reason="why", validation_attempts=5, last_validated_at=None
    )
    egnyte_account.refresh_from_db()
    returned = refresh(egnyte_account, actor="task")
    stored = EgnyteAccount.objects.get()
    now = timezone.now()
    for account in (returned, stored):
        assert (account.status, account.status_reason) == ("active", "")
        assert account.validation_attempts == 0
        assert now - account.last_validated_at < timedelta(minutes=1)
        assert timedelta(hours=21) < account.next_validation_at - now <= timedelta(days=1)
        before = account.expires_at - grant_of(account).next_refresh_at
        assert timedelta(days=1.6) <= before <= timedelta(days=2)
    assert returned.opened_token() == stored.opened_token()
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(stored))


def test_a_refresh_is_charged_to_what_linking_leaves(egnyte_account):
    refresh(egnyte_account, actor="task")
    assert list(TokenRequest.objects.values_list("purpose", "user_ref")) == [
        ("refresh", str(egnyte_account.user_id))
    ]


def test_a_refusal_is_told_to_all_who_use_the_grant(
    egnyte_sandbox, egnyte_account, make_user, link
):
    egnyte_sandbox.policy.same_token = True
    link(make_user("twin"))
    egnyte_sandbox.faults.add(
        grant_type="refresh_token", status=400, body={"error": "invalid_grant"}
    )
    with pytest.raises(InvalidGrantError):
        refresh(egnyte_account, actor="task")
    for account in EgnyteAccount.objects.all():
        assert "reconnect" in account.status_reason
        assert account.next_validation_at <= timezone.now()
    assert AccountEvent.objects.filter(kind=EventKind.REFRESH_REFUSED).count() == 2


def test_a_new_token_ends_a_refusal(egnyte_account, egnyte_user, bring):
    EgnyteGrant.objects.write(refresh_refused_at=timezone.now(), next_refresh_at=None)
    account = bring(egnyte_user, "new", refresh_token_of(egnyte_account))
    grant = grant_of(account)
    assert grant.refresh_refused_at is None and grant.next_refresh_at is not None


def test_a_refresh_that_is_asked_for_is_due_unless_it_is_failing(egnyte_account, hurried):
    request_refresh(egnyte_account)
    assert grant_of(egnyte_account).next_refresh_at <= timezone.now()
    assert hurried == [("refresh_account", egnyte_account.pk, egnyte_account.token_id)]
    later = timezone.now() + timedelta(minutes=5)
    EgnyteGrant.objects.write(refresh_attempts=1, next_refresh_at=later)
    request_refresh(egnyte_account)
    assert grant_of(egnyte_account).next_refresh_at == later
    assert EgnyteToken.objects.count() == 1


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.SUSPECT])
def test_who_must_reconnect_is_told_so_although_the_access_token_works(
    egnyte_account, monkeypatch, status
):
    """Our clock says that it has expired, Egnyte refuses to refresh it, and still accepts it."""
    expired_now()
    EgnyteAccount.objects.write(status=status)

    def refuse(client, token):
        raise InvalidGrantError("no", host=client.host)

    monkeypatch.setattr(OAuthClient, "refresh", refuse)
    assert validate(egnyte_account.pk, actor="task") == "alive"
    account = EgnyteAccount.objects.get()
    assert (account.status, account.status_reason) == (Status.ACTIVE, REFUSED)
