"""A refresh that fails or is interrupted, and what other callers do then."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from django_egnyte.choices import Purpose
from django_egnyte.exceptions import (
    EgnyteError,
    RateLimitedError,
    TokenExpiredError,
    UnavailableError,
)
from django_egnyte.models import EgnyteAccount, EgnyteToken, TokenRequest
from django_egnyte.oauth import OAuthClient
from django_egnyte.services import ledger, sweep
from django_egnyte.services import refresh as refreshing
from django_egnyte.services.refresh import refresh

from .conftest import due_now, grant_of
from .rows import HOUR, expired_now, refreshes_due


def killed(*args):
    raise KeyboardInterrupt


def refreshed_and_killed(monkeypatch):
    """A process that is stopped after it has stored a token, before the account points to it."""
    with monkeypatch.context() as patch:
        patch.setattr(refreshing, "_point", killed)
        with pytest.raises(KeyboardInterrupt):
            refresh(EgnyteAccount.objects.with_token().get(), actor="test")


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": True}, {"status": 501}, {"html": True}],
)
def test_a_failing_refresh_is_not_a_storm(egnyte_sandbox, egnyte_account, fault):
    expired_now()
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    egnyte_sandbox.faults.add(grant_type="refresh_token", times=None, **fault)
    with pytest.raises(EgnyteError):
        EgnyteAccount.objects.with_token().get().client.userinfo()
    first = grant_of(egnyte_account).next_refresh_at
    for _ in range(99):
        with pytest.raises(TokenExpiredError) as caught:
            EgnyteAccount.objects.with_token().get().client.userinfo()
        left = (first - timezone.now()).total_seconds()
        assert abs(caught.value.retry_after - left) < 5
    assert TokenRequest.objects.count() == 1
    grant = grant_of(egnyte_account)
    # Using the account has not postponed the next try.
    assert (grant.next_refresh_at, grant.refresh_attempts) == (first, 1)
    assert timezone.now() < first < timezone.now() + timedelta(minutes=2)
    # Egnyte is back, and the next try is due.
    egnyte_sandbox.faults.clear()
    refreshes_due()
    assert EgnyteAccount.objects.with_token().get().client.userinfo()["username"] == "jsmith"
    assert grant_of(egnyte_account).refresh_attempts == 0


@pytest.mark.parametrize("error", [RecursionError("too deep"), OperationalError("away")])
def test_an_error_that_nobody_expected_is_no_storm_either(egnyte_account, monkeypatch, error):
    calls = []

    def failing(self, refresh_token):
        calls.append(refresh_token)
        raise error

    monkeypatch.setattr(OAuthClient, "refresh", failing)
    with pytest.raises(type(error)):
        refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    for _ in range(20):
        with pytest.raises(TokenExpiredError):
            refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    assert len(calls) == 1
    assert grant_of(egnyte_account).last_error == type(error).__name__


def test_the_sites_own_limit_moves_no_refresh(egnyte_sandbox, egnyte_account, settings):
    """No request was made, so the next caller makes it."""
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1
    refreshes_due()
    due = grant_of(egnyte_account).next_refresh_at
    with ledger.charged(Purpose.REFRESH, host="globex.egnyte.com"):
        pass
    for _ in range(3):
        with pytest.raises(RateLimitedError) as caught:
            refresh(EgnyteAccount.objects.with_token().get(), actor="test")
        assert caught.value.retry_after > 0
    grant = grant_of(egnyte_account)
    assert (grant.next_refresh_at, grant.refresh_attempts, grant.lease) == (due, 0, "")
    TokenRequest.objects.all().delete()
    assert refresh(EgnyteAccount.objects.with_token().get(), actor="test").token.generation == 2


def test_a_throttle_of_the_token_endpoint_is_waited_for_by_all(egnyte_sandbox, egnyte_account):
    egnyte_sandbox.faults.add(
        grant_type="refresh_token", status=409, headers={"Retry-After": "5000"}, times=None
    )
    with pytest.raises(RateLimitedError):
        refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    with pytest.raises(TokenExpiredError) as caught:
        refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    assert 4900 < caught.value.retry_after <= 5000
    assert TokenRequest.objects.count() == 1


def test_a_token_that_a_killed_process_left_is_used_though_earlier_tries_failed(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    """The next refresh is then due in weeks: that of the token that stays in use."""
    egnyte_sandbox.policy.refresh_rotates = True
    egnyte_sandbox.faults.add(grant_type="refresh_token", status=503)
    with pytest.raises(UnavailableError):
        refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    refreshes_due()

    refreshed_and_killed(monkeypatch)
    assert grant_of(egnyte_account).next_refresh_at - timezone.now() > timedelta(days=1)
    requests = TokenRequest.objects.count()
    refreshed = refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    assert egnyte_sandbox.is_alive(refreshed.open_token())
    assert TokenRequest.objects.count() == requests
    assert grant_of(egnyte_account).refresh_attempts == 0


def test_the_sweep_points_to_a_token_that_a_killed_process_left(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    egnyte_sandbox.policy.refresh_rotates = True
    egnyte_sandbox.policy.refresh_kills_access = True

    refreshed_and_killed(monkeypatch)
    due_now()
    assert sweep.validate_due(actor="task") == {"refreshed": 1}
    stored = EgnyteAccount.objects.with_token().get()
    assert (stored.status, egnyte_sandbox.is_alive(stored.open_token())) == ("active", True)


def test_a_token_left_behind_that_has_expired_is_what_the_next_refresh_is_made_with(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    """Egnyte rotates: the refresh token that the account knows has been used up."""
    egnyte_sandbox.policy.refresh_rotates = True
    refreshed_and_killed(monkeypatch)
    EgnyteToken.objects.write(expires_at=timezone.now() - HOUR)
    egnyte_sandbox.advance(31 * 24 * 3600)
    refreshed = refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    assert refreshed.token.generation == 3
    assert egnyte_sandbox.is_alive(refreshed.open_token())
    assert grant_of(egnyte_account).refresh_refused_at is None


READ_ONLY = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}


@pytest.mark.skipif(connection.vendor not in READ_ONLY, reason="SQLite has no replicas")
def test_a_failover_during_the_call_loses_no_token(egnyte_sandbox, egnyte_account, monkeypatch):
    egnyte_sandbox.policy.refresh_rotates = True
    ask = OAuthClient.refresh

    def asked(client, token):
        answer = ask(client, token)
        with connection.cursor() as cursor:
            cursor.execute(READ_ONLY[connection.vendor])
        return answer

    monkeypatch.setattr(OAuthClient, "refresh", asked)
    refreshed = refresh(EgnyteAccount.objects.with_token().get(), actor="test")
    assert refreshed.token_id != egnyte_account.token_id
    assert egnyte_sandbox.is_alive(refreshed.open_token())
