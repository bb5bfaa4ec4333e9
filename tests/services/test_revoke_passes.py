from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.api import steps
from django_egnyte.choices import EventKind, LeasedFor, Purpose
from django_egnyte.conf import LEASE, LONGEST_PROOF, TOKEN_DEADLINE
from django_egnyte.exceptions import ResponseError, UnavailableError
from django_egnyte.models import (
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    HostState,
    KeyState,
    TokenRequest,
)
from django_egnyte.oauth import OAuthClient
from django_egnyte.services import grants, revoke, runner
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.runner import Pass
from django_egnyte.services.transactions import hence

from .conftest import HOST, all_due, pending
from .rows import HOUR, expired_now, without_refresh_tokens


@pytest.fixture
def queued(make_user, link):
    """Create this number of grants of a domain that are due for revocation."""

    def make(count, domain="acme", username="jsmith"):
        accounts = [
            link(make_user(f"{domain}{number}"), domain=domain, username=username)
            for number in range(count)
        ]
        for account in accounts:
            account.delete()
        return pending()

    return make


def one(row):
    return steps.run(revoke.revoking(row, actor="test"))


def a_pass(seconds=60.0):
    return Pass("test", seconds=seconds, put_off=lambda row, error: None)


def test_a_grant_that_left_or_that_another_worker_has_is_skipped(queued):
    gone, leased = queued(2)
    EgnyteGrant.objects.get(pk=gone.pk).delete()
    assert one(gone) == "skipped"
    EgnyteGrant.objects.write(lease="another", leased_until=hence(60))
    assert one(leased) == "skipped"
    assert EgnyteGrant.objects.get().lease == "another"


def test_a_lease_is_for_the_revocation_and_outlasts_it(queued, monkeypatch):
    (row,) = queued(1)
    seen = []

    def look(ending):
        stored = EgnyteGrant.objects.get()
        seen.append((stored.lease, stored.leased_for, stored.leased_until - timezone.now()))
        ending.tokens = list(EgnyteToken.objects.all())
        return EventKind.TOKEN_DEAD

    monkeypatch.setattr(revoke._Ending, "end", look)
    assert one(row) == "dead"
    ((lease, leased_for, left),) = seen
    assert lease and leased_for == LeasedFor.REVOKE
    assert timedelta(seconds=LEASE - 10) < left <= timedelta(seconds=LEASE)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by the test, for the passes alone."""
    now = [1000.0]
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_pass_ends_in_time(queued, monkeypatch, clock):
    queued(4)
    monkeypatch.setattr(Pass, "is_lost", lambda self, host: False)
    step_by_step = revoke.revoking

    def slow(grant, *, actor):
        clock[0] += 30
        return (yield from step_by_step(grant, actor=actor))

    monkeypatch.setattr(revoke, "revoking", slow)
    assert process_revocations(seconds=0) == {}
    # Work that has started is completed.
    assert process_revocations(seconds=60) == {"revoked": 2}
    assert process_revocations() == {"revoked": 2}


def test_a_slow_host_uses_no_more_than_its_share(queued, monkeypatch, clock):
    queued(5)
    queued(2, domain="globex", username="mmiller")
    step_by_step = revoke.revoking

    def slow(grant, *, actor):
        clock[0] += 29 if grant.domain == HOST else 0.1
        return (yield from step_by_step(grant, actor=actor))

    monkeypatch.setattr(revoke, "revoking", slow)
    assert process_revocations(seconds=60) == {"revoked": 3}
    assert {grant.domain for grant in pending()} == {HOST}
    # It is slow, and not held off.
    assert process_revocations(seconds=60) == {"revoked": 1}


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_no_domain_takes_more_than_its_share_of_a_pass(queued, monkeypatch, chunk):
    queued(3)
    queued(1, domain="globex", username="mmiller")
    monkeypatch.setattr(revoke, "PER_DOMAIN", 2)
    monkeypatch.setattr(revoke, "CHUNK", chunk)
    found = [row.domain for row in revoke._due(a_pass())]
    assert found == ["acme.egnyte.com"] * 2 + ["globex.egnyte.com"]


def test_only_what_is_due_and_free_is_listed_and_in_its_order(queued):
    rows = queued(4)
    EgnyteGrant.objects.filter(pk=rows[0].pk).write(release_at=hence(60))
    EgnyteGrant.objects.filter(pk=rows[1].pk).write(leased_until=hence(60))
    EgnyteGrant.objects.filter(pk=rows[2].pk).write(leased_until=hence(-60))
    assert list(revoke._due(a_pass())) == rows[2:]


def test_a_host_that_is_lost_on_the_way_is_not_listed_any_more(queued, monkeypatch):
    monkeypatch.setattr(revoke, "CHUNK", 1)
    rows = queued(3)
    other = queued(1, domain="globex", username="mmiller")[-1]
    this = a_pass()
    listed = revoke._due(this)
    assert next(listed) == rows[0]
    this.failures.note(HOST, UnavailableError("No answer.", host=HOST))
    assert list(listed) == [other]


@pytest.mark.parametrize(
    ("failures", "pause", "level"),
    [(2, 240, "WARNING"), (10, 61_440, "WARNING"), (11, 86_400, "ERROR")],
)
def test_the_log_counts_the_attempts_and_is_an_error_after_a_day(
    egnyte_sandbox, queued, caplog, failures, pause, level
):
    queued(1)
    # The age of the grant does not matter: it may have been in use for a year.
    year = timedelta(days=365)
    EgnyteGrant.objects.write(created_at=timezone.now() - year, revoke_attempts=failures)
    egnyte_sandbox.faults.add(path="/tokens/revoke", status=500)
    process_revocations()
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "revocation_failed"]
    assert record.levelname == level
    assert f"attempt {failures + 1}" in record.getMessage()
    row = EgnyteGrant.objects.get()
    assert (row.revoke_attempts, row.lease, row.leased_until) == (failures + 1, "", None)
    assert pause * 0.79 < (row.release_at - timezone.now()).total_seconds() <= pause


def test_a_short_throttle_does_not_shorten_the_pause(egnyte_sandbox, queued):
    queued(1)
    EgnyteGrant.objects.write(revoke_attempts=5)
    egnyte_sandbox.faults.add(
        path="/tokens/revoke",
        status=403,
        headers={"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_RATE", "Retry-After": "2"},
    )
    process_revocations()
    assert EgnyteGrant.objects.get().release_at - timezone.now() > timedelta(seconds=1500)


def test_what_went_wrong_is_kept_as_far_as_it_fits(queued, monkeypatch):
    queued(1)

    def fail(ending):
        raise UnavailableError("x" * 500)

    monkeypatch.setattr(revoke._Ending, "end", fail)
    assert process_revocations() == {"failed": 1}
    assert len(EgnyteGrant.objects.get().last_error) == 255


# One bad row


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), OperationalError("away"), KeyError("s3cret-token")]
)
def test_any_exception_in_one_row_puts_it_off_and_the_pass_goes_on(
    queued, monkeypatch, caplog, error
):
    bad, *_ = queued(3)
    end = revoke._Ending.end

    def failing(ending):
        if ending.grant.pk == bad.pk:
            raise error
        return end(ending)

    monkeypatch.setattr(revoke._Ending, "end", failing)
    with caplog.at_level(logging.ERROR):
        assert process_revocations() == {"failed": 1, "revoked": 2}
    row = EgnyteGrant.objects.get()
    assert (row.pk, row.revoke_attempts, row.lease) == (bad.pk, 1, "")
    # Of a foreign exception, the column stores only the name: its text may contain a secret.
    assert row.last_error == type(error).__name__
    (record,) = [r for r in caplog.records if getattr(r, "event", "") == "row_failed"]
    assert record.exc_info[1] is error
    # It does not come first again.
    assert process_revocations() == {}


def test_a_row_that_cannot_be_put_off_either_does_not_end_the_pass(queued, monkeypatch):
    bad, *_ = queued(2)
    end, put_off = revoke._Ending.end, revoke._put_off

    def failing(ending):
        if ending.grant.pk == bad.pk:
            raise OperationalError("away")
        return end(ending)

    def not_put_off(grant, error):
        put_off(grant, error)
        raise OperationalError("still away")

    monkeypatch.setattr(revoke._Ending, "end", failing)
    monkeypatch.setattr(revoke, "_put_off", not_put_off)
    assert process_revocations() == {"failed": 1, "revoked": 1}


def test_a_worker_that_is_told_to_stop_gives_the_lease_back(queued, monkeypatch):
    queued(1)

    def stopped(ending):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(revoke._Ending, "end", stopped)
        with pytest.raises(KeyboardInterrupt):
            process_revocations()
    assert EgnyteGrant.objects.get().lease == ""
    assert process_revocations() == {"revoked": 1}


# Refusals


def test_a_living_token_says_nothing_about_a_key_in_doubt(queued):
    """Egnyte answers 200 to a revocation of anything; only userinfo and refusals prove a key."""
    queued(1)
    KeyState.objects.create(
        key_digest=gateway.key_digest(), host=HOST, doubted_at=timezone.now() - HOUR
    )
    process_revocations()
    assert KeyState.objects.get().accepted_at is None


def test_a_token_that_is_not_revoked_and_lives_stays(egnyte_sandbox, queued):
    queued(1)
    egnyte_sandbox.faults.add(path="/tokens/revoke", status=401, times=None)
    assert process_revocations() == {"failed": 1}
    assert "still accepts it" in EgnyteGrant.objects.get().last_error
    assert len(egnyte_sandbox.live_grants()) == 1


def test_a_grant_that_failed_may_be_abandoned_before_its_time(queued):
    (row,) = queued(1)
    EgnyteGrant.objects.write(release_at=hence(600), revoke_attempts=1)
    assert revoke.abandon(row, actor="admin:1") is True
    assert revoke.abandon(row, actor="admin:1") is False


def test_every_token_that_has_not_expired_is_ended(egnyte_sandbox, egnyte_account, monkeypatch):
    egnyte_sandbox.policy.refresh_rotates = True
    account = EgnyteAccount.objects.with_token().get()
    for _ in range(2):
        account = refresh(account, actor="test")
    values = [token.open().access_token.reveal() for token in EgnyteToken.objects.order_by("pk")]
    oldest = EgnyteToken.objects.order_by("pk").first()
    EgnyteToken.objects.filter(pk=oldest.pk).write(expires_at=timezone.now() - HOUR)
    asked = []
    real = OAuthClient.revoke

    def spy(self, token, **options):
        asked.append(token.reveal())
        return real(self, token, **options)

    monkeypatch.setattr(OAuthClient, "revoke", spy)
    account.delete()
    assert process_revocations() == {"revoked": 1}
    assert asked == values[:0:-1]


# Refreshes for revocation


def test_what_uses_a_refresh_token_up_has_a_share_of_its_own(egnyte_sandbox, queued, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 20
    rows = queued(3)
    expired_now()
    egnyte_sandbox.advance(31 * 24 * 3600)
    assert process_revocations() == {"revoked": 2, "failed": 1}
    purposes = set(TokenRequest.objects.values_list("purpose", flat=True))
    assert purposes == {Purpose.REVOKE}
    left = EgnyteGrant.objects.get()
    assert left.pk == rows[-1].pk
    # The site's own limit does not count as a refresh. The grant is revoked when there is room.
    assert left.revoke_refreshes == 0
    assert left.release_at - timezone.now() > timedelta(minutes=50)
    TokenRequest.objects.all().delete()
    all_due()
    assert process_revocations() == {"revoked": 1}


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 409, "headers": {"Retry-After": "60"}}, {"reset": True}]
)
def test_trouble_at_the_token_endpoint_uses_up_none_of_a_grants_refreshes(
    egnyte_sandbox, queued, fault
):
    queued(1)
    expired_now()
    egnyte_sandbox.advance(31 * 24 * 3600)
    rule = egnyte_sandbox.faults.add(grant_type="refresh_token", times=None, **fault)
    for _ in range(revoke.REFRESHES + 1):
        one_pass_after_all_waits()
        assert EgnyteGrant.objects.get().revoke_attempts > 0
    egnyte_sandbox.faults.remove(rule)
    one_pass_after_all_waits()
    assert not EgnyteGrant.objects.exists()
    assert egnyte_sandbox.live_tokens() == []


def one_pass_after_all_waits():
    HostState.objects.all().delete()
    KeyState.objects.all().delete()
    TokenRequest.objects.all().delete()
    all_due()
    process_revocations()


@pytest.mark.parametrize("rotates", [True, False])
def test_a_grant_is_refreshed_so_many_times_and_no_more(egnyte_sandbox, queued, rotates):
    egnyte_sandbox.policy.refresh_rotates = rotates
    queued(1)
    expired_now()
    egnyte_sandbox.advance(31 * 24 * 3600)
    # Egnyte does not know any token that it issues in a refresh.
    for path in ("/tokens/revoke", "/userinfo"):
        egnyte_sandbox.faults.add(path=path, status=401, times=None)
    for _ in range(revoke.REFRESHES + 3):
        one_pass_after_all_waits()
    assert egnyte_sandbox.counts["token:refresh_token"] == revoke.REFRESHES
    # It is kept until an administrator retries, because nothing proves that it is revoked.
    row = EgnyteGrant.objects.get()
    assert row.revoke_attempts == revoke.REFRESHES + 3
    egnyte_sandbox.faults.clear()
    all_due()
    process_revocations()
    EgnyteGrant.objects.write(revoke_refreshes=0)
    all_due()
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []


@pytest.mark.parametrize("rotates", [True, False])
def test_a_revoker_killed_between_its_refresh_and_the_end_asks_for_no_second_one(
    egnyte_sandbox, queued, monkeypatch, rotates
):
    egnyte_sandbox.policy.refresh_rotates = rotates
    queued(1)
    expired_now()
    egnyte_sandbox.advance(31 * 24 * 3600)
    with monkeypatch.context() as patch:
        # As with SIGKILL, the lease is not released.
        patch.setattr(grants, "release_safely", lambda grant_id, nonce, **values: None)
        patch.setattr(revoke._Ending, "_end_access_token", killed_after_refresh())
        with pytest.raises(KeyboardInterrupt):
            process_revocations()
    assert EgnyteToken.objects.count() == 2
    assert EgnyteGrant.objects.get().lease
    # During the lease, no other pass touches the grant.
    assert process_revocations() == {}
    EgnyteGrant.objects.write(leased_until=hence(-1), release_at=hence(-1))
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    assert egnyte_sandbox.live_tokens() == []


def killed_after_refresh():
    real = revoke._Ending._end_access_token

    def end(self, token):
        if token.generation > 1:
            raise KeyboardInterrupt
        return real(self, token)

    return end


def test_a_token_that_arrives_while_its_grant_is_ended_is_not_forgotten(
    egnyte_sandbox, queued, monkeypatch
):
    """A token from a refresh whose lease had expired."""
    queued(1)
    token = EgnyteToken.objects.get()
    end = revoke._Ending.end

    def meanwhile(ending):
        outcome = yield from end(ending)
        EgnyteToken.objects.create(
            grant_id=token.grant_id, domain=token.domain, user_ref=token.user_ref,
            access_token=token.access_token, fingerprint="f" * 64, generation=2,
        )  # fmt: skip
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(revoke._Ending, "end", meanwhile)
        assert process_revocations() == {"skipped": 1}
    assert EgnyteToken.objects.count() == 2
    assert EgnyteGrant.objects.get().lease == ""


# The grants of another API key


def with_another_key(settings):
    settings.EGNYTE_CLIENT_ID = "another-key"
    settings.EGNYTE_CLIENT_SECRET = "another-secret"


def test_a_grant_of_another_key_is_ended_by_its_own_token(egnyte_sandbox, queued, settings):
    queued(1)
    with_another_key(settings)
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []


@pytest.mark.parametrize("is_another", [False, True])
def test_a_key_sends_its_secret_only_with_its_own_grants(queued, settings, monkeypatch, is_another):
    call, sent = OAuthClient.revoke, []

    def noting(client, access_token):
        sent.append(bool(client.client_secret))
        call(client, access_token)

    monkeypatch.setattr(OAuthClient, "revoke", noting)
    queued(1)
    if is_another:
        with_another_key(settings)
    assert process_revocations() == {"revoked": 1}
    assert sent == [not is_another]


@pytest.mark.parametrize("refreshable", [True, False])
def test_a_refused_grant_of_another_key_is_kept_and_never_refreshed(
    egnyte_sandbox, queued, settings, link, egnyte_user, refreshable
):
    queued(1)
    if not refreshable:
        without_refresh_tokens()
    egnyte_sandbox.suspend_key("sandbox-code-key")
    egnyte_sandbox.add_key("another-key", "another-secret")
    with_another_key(settings)
    link(egnyte_user)  # the new key is known to be good, which proves nothing about the old key
    assert process_revocations() == {"failed": 1}
    (row,) = pending()
    assert "another API key" in row.last_error
    assert egnyte_sandbox.counts["token:refresh_token"] == 0
    # The old key is not suspended any more.
    egnyte_sandbox.resume_key("sandbox-code-key")
    all_due()
    assert process_revocations() == {"revoked": 1}


def test_the_very_first_row_is_seen(queued):
    """The pass reads the rows by primary key, from zero."""
    queued(1)
    row, token = EgnyteGrant.objects.get(), EgnyteToken.objects.get()
    if row.pk != 1:
        EgnyteGrant.objects.filter(pk=row.pk).write(fingerprint="another")
        row.pk = 1
        EgnyteGrant.objects.bulk_create([row])
        EgnyteToken.objects.filter(pk=token.pk).write(grant_id=1)
        EgnyteGrant.objects.exclude(pk=1).delete()
    assert process_revocations() == {"revoked": 1}


def test_no_call_begins_so_late_that_it_ends_after_the_lease(egnyte_account, monkeypatch):
    """A call may take all of its time, and a proof of the key may follow."""
    now = [1000.0]
    monkeypatch.setattr(revoke, "time", SimpleNamespace(monotonic=lambda: now[0]))
    ending = revoke._Ending(egnyte_account.token.grant, "nonce")
    now[0] += LEASE - LONGEST_PROOF - TOKEN_DEADLINE
    ending._client()
    now[0] += 1
    with pytest.raises(ResponseError, match="too slowly"):
        ending._client()
