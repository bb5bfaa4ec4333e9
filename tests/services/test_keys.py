from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.choices import Purpose
from django_egnyte.conf import PROBE_DEADLINE
from django_egnyte.exceptions import EgnyteError, InactiveKeyError, RateLimitedError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, KeyState, TokenRequest
from django_egnyte.oauth import OAuthClient
from django_egnyte.services import keys, ledger, sweep
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.validate import validate

from .conftest import HOST, due_now, grant_of
from .rows import HOUR, MINUTE, expired_now, refreshes_due

OTHER_HOST = "globex.egnyte.com"


def told(caplog):
    return [r for r in caplog.records if getattr(r, "event", "") == "verdicts_paused"]


@contextmanager
def suspended(sandbox):
    sandbox.suspend_key("sandbox-code-key")
    try:
        yield
    finally:
        sandbox.resume_key("sandbox-code-key")


def an_hour_later():
    """As if an hour had gone by since the key was doubted."""
    ago = timezone.now() - HOUR - MINUTE
    KeyState.objects.exclude(doubted_at=None).update(doubted_at=ago)
    TokenRequest.objects.all().delete()
    due_now()


def questions(monkeypatch):
    """The calls that prove the key: their hosts and tokens."""
    asked = []
    userinfo, exchange = OAuthClient.userinfo, OAuthClient.exchange_code

    def ask_userinfo(self, token):
        asked.append((self.host, "userinfo", self.deadline))
        return userinfo(self, token)

    def ask_code(self, *args):
        asked.append((self.host, "code", self.deadline))
        return exchange(self, *args)

    monkeypatch.setattr(OAuthClient, "userinfo", ask_userinfo)
    monkeypatch.setattr(OAuthClient, "exchange_code", ask_code)
    return asked


# A suspended key


@pytest.mark.parametrize("style", ["legacy", "modern"])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_a_suspended_key_costs_no_account_and_no_token(egnyte_sandbox, many, style, count, caplog):
    egnyte_sandbox.policy.style = style
    accounts = many(count)
    before = dict(EgnyteAccount.objects.values_list("pk", "token"))
    with suspended(egnyte_sandbox):
        for _ in range(3):
            due_now()
            refreshes_due()
            # One after the other, all at once, and before they expire.
            for account in accounts:
                assert validate(account.pk, actor="task") in ("paused", "unknown")
            due_now()
            sweep.validate_due(actor="task")
            sweep.refresh_due(actor="task")
            an_hour_later()
        assert dict(EgnyteAccount.objects.values_list("pk", "token")) == before
        assert not EgnyteAccount.objects.filter(status="revoked").exists()
        assert not EgnyteGrant.objects.exclude(release_at=None).exists()
        assert not EgnyteGrant.objects.exclude(refresh_refused_at=None).exists()
        assert len(told(caplog)) == 1
    # The doubt ends when Egnyte accepts the key again.
    EgnyteGrant.objects.write(refresh_attempts=0)
    due_now()
    assert sweep.validate_due(actor="task")["dead"] == 0
    assert set(EgnyteAccount.objects.values_list("status", "status_reason")) == {("active", "")}
    assert not keys.is_doubted()
    assert len(egnyte_sandbox.live_grants()) == count


@pytest.mark.parametrize("style", ["legacy", "modern"])
def test_expired_tokens_survive_a_suspended_key_too(egnyte_sandbox, many, style):
    egnyte_sandbox.policy.style = style
    many(3)
    expired_now()
    with suspended(egnyte_sandbox):
        for _ in range(3):
            due_now()
            sweep.validate_due(actor="task")
            an_hour_later()
    assert not EgnyteAccount.objects.filter(status="revoked").exists()
    EgnyteGrant.objects.write(refresh_attempts=0)
    due_now()
    sweep.validate_due(actor="task")
    assert set(EgnyteAccount.objects.values_list("status", flat=True)) == {"active"}


def test_while_the_key_is_in_doubt_nothing_is_asked_for_an_hour(egnyte_sandbox, many, monkeypatch):
    egnyte_sandbox.policy.style = "legacy"
    accounts = many(3)
    asked = questions(monkeypatch)
    with suspended(egnyte_sandbox):
        for account in accounts:
            assert validate(account.pk, actor="task") == "paused"
        # One call for each account, and two witnesses for the first one.
        assert [deadline for *_, deadline in asked].count(PROBE_DEADLINE) == 2
        asked.clear()
        an_hour_later()
        # Suspect accounts prove nothing, so the token endpoint is called.
        assert validate(accounts[0].pk, actor="task") == "paused"
        assert [what for _, what, _ in asked] == ["userinfo", "code"]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_site_whose_accounts_have_all_ended_comes_to_its_verdicts(egnyte_sandbox, many, count):
    """The key is good, but no other account can prove it."""
    egnyte_sandbox.policy.style = "legacy"
    many(count)
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    for _ in range(2):
        due_now()
        sweep.validate_due(actor="task")
        an_hour_later()
    assert set(EgnyteAccount.objects.values_list("status", flat=True)) == {"revoked"}
    assert not keys.is_doubted()


def test_forty_deaths_at_once_need_no_more_proofs_than_the_site_may_ask_for(
    egnyte_sandbox, many, settings, caplog
):
    egnyte_sandbox.policy.style = "legacy"
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 10
    accounts = many(4)
    EgnyteAccount.objects.update(last_validated_at=None)  # no witnesses
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    outcomes = [validate(account.pk, actor="task") for account in accounts]
    # The limit allows one proof an hour. Reaching it does not put the key in doubt.
    assert outcomes == ["dead", "unknown", "unknown", "unknown"]
    assert told(caplog) == []
    assert not keys.is_doubted()
    TokenRequest.objects.all().delete()
    assert validate(accounts[1].pk, actor="task") == "dead"


def test_a_client_of_a_suspended_key_raises_and_keeps_its_account(egnyte_sandbox, egnyte_account):
    with suspended(egnyte_sandbox):
        for _ in range(3):
            with pytest.raises(EgnyteError):
                EgnyteAccount.objects.with_token().get().client.userinfo()
    refreshes_due()
    stored = EgnyteAccount.objects.with_token().get()
    assert stored.status != "revoked"
    assert stored.client.userinfo()["username"] == "jsmith"


def resumed_before_the_proof(sandbox, monkeypatch):
    """The suspension ends after a token was refused and before the key is checked."""
    ask = keys._ask_witnesses

    def late(grant):
        sandbox.resume_key("sandbox-code-key")
        return ask(grant)

    monkeypatch.setattr(keys, "_ask_witnesses", late)
    sandbox.suspend_key("sandbox-code-key")


@pytest.mark.parametrize("count", [1, 2])
def test_a_no_from_just_before_the_key_was_good_again_costs_no_account(
    egnyte_sandbox, many, monkeypatch, count
):
    egnyte_sandbox.policy.style = "legacy"
    account, *_ = many(count)
    resumed_before_the_proof(egnyte_sandbox, monkeypatch)
    assert validate(account.pk, actor="task") == "alive"
    assert EgnyteAccount.objects.get(pk=account.pk).status == "active"
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()


def test_a_batch_that_the_end_of_a_suspension_falls_into_costs_no_account(
    egnyte_sandbox, many, monkeypatch
):
    egnyte_sandbox.policy.style = "legacy"
    many(6)
    due_now()
    monkeypatch.setattr(sweep, "THREADS", 1)
    egnyte_sandbox.suspend_key("sandbox-code-key")
    userinfo, asked = OAuthClient.userinfo, []

    def ask(self, token):
        asked.append(self.deadline)
        if len(asked) == 4:
            egnyte_sandbox.resume_key("sandbox-code-key")
        return userinfo(self, token)

    monkeypatch.setattr(OAuthClient, "userinfo", ask)
    sweep.validate_due(actor="task")
    assert not EgnyteAccount.objects.filter(status="revoked").exists()
    assert len(egnyte_sandbox.live_grants()) == 6


def test_a_no_from_just_before_the_key_was_good_again_costs_no_grant(
    egnyte_sandbox, many, monkeypatch
):
    egnyte_sandbox.policy.style = "legacy"
    many(2)[0].delete()
    resumed_before_the_proof(egnyte_sandbox, monkeypatch)
    assert process_revocations() == {"revoked": 1}
    assert len(egnyte_sandbox.live_grants()) == 1


def test_a_verdict_whose_last_question_is_not_answered_waits(egnyte_sandbox, legacy):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    egnyte_sandbox.faults.add(path="/userinfo", status=503, skip=1)
    assert validate(legacy.pk, actor="task") == "unknown"
    assert EgnyteAccount.objects.get().is_live
    assert validate(legacy.pk, actor="task") == "dead"


# Proofs


def state_of(host=HOST):
    return KeyState.objects.get(key_digest=gateway.key_digest(), host=host)


def test_an_acceptance_is_dated_by_its_question(egnyte_sandbox):
    keys.note_accepted(HOST, asked=time.monotonic() - 60)
    since = timezone.now() - state_of().accepted_at
    assert 59 <= since.total_seconds() <= 65


def test_a_younger_acceptance_is_a_proof_and_an_older_one_is_none(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    grant = grant_of(egnyte_account)
    asked = questions(monkeypatch)
    refused = time.monotonic()
    keys.note_accepted(OTHER_HOST, asked=refused - 10)
    egnyte_sandbox.suspend_key("sandbox-code-key")
    assert not keys.proved_since(refused, grant)
    assert asked
    KeyState.objects.update(doubted_at=None)
    asked.clear()
    keys.note_accepted(OTHER_HOST, asked=time.monotonic())
    assert keys.proved_since(refused, grant)
    assert asked == []


def test_an_acceptance_of_another_key_is_no_proof(egnyte_sandbox, egnyte_account, settings):
    grant = grant_of(egnyte_account)
    refused = time.monotonic()
    keys.note_accepted(HOST, asked=time.monotonic())
    assert keys.proved_since(refused, grant)
    settings.EGNYTE_CLIENT_ID = "another-key"
    assert not keys.proved_since(refused, grant)


def test_witnesses_are_the_last_accepted_at_other_domains_first(
    egnyte_account, many, make_user, link
):
    near = many(4)
    far = [
        link(make_user(f"far{number}"), domain="globex", username="mmiller") for number in range(2)
    ]
    now = timezone.now()
    for minutes, each in enumerate([*near, *far]):
        EgnyteAccount.objects.filter(pk=each.pk).update(
            last_validated_at=now - minutes * MINUTE, next_validation_at=now
        )
    found = [each.pk for each in keys._witnesses(grant_of(egnyte_account))]
    assert found == [far[0].pk, far[1].pk, near[0].pk]


def test_who_is_no_witness(egnyte_sandbox, egnyte_account, many, settings):
    suspect, never, expired, revoked, other_key = many(5)
    accounts = EgnyteAccount.objects
    accounts.filter(pk=suspect.pk).write(status="suspect")
    accounts.filter(pk=never.pk).update(last_validated_at=None)
    accounts.filter(pk=revoked.pk).write(status="revoked")
    EgnyteGrant.objects.filter(pk=grant_of(other_key).pk).write(key_digest="another")
    grant = grant_of(egnyte_account)
    assert [each.pk for each in keys._witnesses(grant)] == [expired.pk]
    type(expired.token).objects.filter(pk=expired.token_id).write(
        expires_at=timezone.now() - MINUTE
    )
    # The account itself and others of its grant prove nothing, either.
    assert keys._witnesses(grant) == []


def test_one_witness_that_egnyte_accepts_is_enough(
    egnyte_sandbox, many, make_user, link, monkeypatch
):
    egnyte_sandbox.policy.style = "legacy"
    dead = link(make_user("dead"), username="bdoe")
    many(3)
    asked = questions(monkeypatch)
    egnyte_sandbox.set_password("acme", "bdoe", "new")
    assert validate(dead.pk, actor="task") == "dead"
    # The account, the witness, and the account once more.
    assert [what for _, what, _ in asked] == ["userinfo", "userinfo", "userinfo"]
    assert state_of().accepted_at is not None


def test_a_witness_whose_host_is_away_proves_nothing_and_the_next_is_asked(
    egnyte_sandbox, egnyte_user, make_user, link
):
    egnyte_sandbox.policy.style = "legacy"
    dead = link(egnyte_user, username="bdoe")
    link(make_user("far"), domain="globex", username="mmiller")
    link(make_user("near"))
    egnyte_sandbox.set_password("acme", "bdoe", "new")
    egnyte_sandbox.faults.add(domain="globex", status=503, times=None)
    assert validate(dead.pk, actor="task") == "dead"


def test_without_another_account_the_token_endpoint_is_asked_and_charged(
    egnyte_sandbox, legacy, monkeypatch
):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    asked = questions(monkeypatch)
    assert validate(legacy.pk, actor="task") == "dead"
    assert [what for _, what, _ in asked] == ["userinfo", "code", "userinfo"]
    assert [deadline for *_, deadline in asked[1:]] == [PROBE_DEADLINE, PROBE_DEADLINE]
    row = TokenRequest.objects.get()
    assert (row.purpose, row.host, row.user_ref) == (Purpose.PROOF, HOST, "")


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ({"status": 400, "body": {"error": "invalid_grant"}}, True),
        ({"status": 400, "body": {"error": "unsupported_grant_type"}}, True),
        ({"status": 400, "body": {"error": "unauthorized_client"}}, True),
        ({"status": 400, "body": {"error": "invalid_request"}}, True),
        ({"status": 401, "body": {"error": "invalid_client"}}, False),
        ({"status": 403, "headers": {"X-Mashery-Error-Code": "ERR_403_DEVELOPER_INACTIVE"}}, False),
        ({"status": 409, "headers": {"Retry-After": "60"}}, False),
        ({"status": 503}, False),
        ({"reset": True}, False),
        ({"html": True}, False),
        ({"status": 200, "body": {}}, False),
    ],
)
def test_only_an_answer_that_blames_the_code_proves_the_key(
    egnyte_sandbox, legacy, answer, accepted
):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    egnyte_sandbox.faults.add(grant_type="authorization_code", **answer)
    assert validate(legacy.pk, actor="task") == ("dead" if accepted else "paused")
    assert keys.is_doubted() is not accepted


def test_a_refused_refresh_token_proves_the_key_and_one_that_blames_it_does_not(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    assert validate(egnyte_account.pk, actor="task") == "dead"
    assert [row.purpose for row in TokenRequest.objects.all()] == [Purpose.REFRESH]


def test_a_refresh_that_blames_the_key_refuses_no_refresh_token(egnyte_sandbox, egnyte_account):
    with suspended(egnyte_sandbox):
        for _ in range(2):
            with pytest.raises(InactiveKeyError):
                refresh(EgnyteAccount.objects.with_token().get(), actor="task")
            refreshes_due()
    assert grant_of(egnyte_account).refresh_refused_at is None
    assert refresh(EgnyteAccount.objects.with_token().get(), actor="task").token.generation == 2


# Doubt, and its end


def test_operators_are_told_once_however_many_hosts_and_hours(
    egnyte_sandbox, many, make_user, link, caplog
):
    egnyte_sandbox.policy.style = "legacy"
    accounts = [*many(2), link(make_user("far"), domain="globex", username="mmiller")]
    with suspended(egnyte_sandbox):
        for _ in range(4):
            for account in accounts:
                assert validate(account.pk, actor="task") == "paused"
            an_hour_later()
    (record,) = told(caplog)
    assert record.levelno == logging.CRITICAL
    assert "--resume-verdicts" in record.getMessage()


def test_an_acceptance_ends_the_doubt_and_says_so_once(egnyte_sandbox, egnyte_account, caplog):
    for host in (HOST, OTHER_HOST):
        ledger.write_key_state(host, doubted_at=timezone.now() - MINUTE)
    # A call that began before the doubt proves nothing.
    keys.note_accepted(HOST, asked=time.monotonic() - 120)
    assert keys.is_doubted()
    for _ in range(2):
        keys.note_accepted(HOST, asked=time.monotonic())
    assert not keys.is_doubted()
    events = [r for r in caplog.records if getattr(r, "event", "") == "verdicts_resumed"]
    assert len(events) == 1


def test_a_doubt_is_forgotten_on_request_and_only_once(egnyte_sandbox, egnyte_account):
    assert not keys.forget_doubt()
    ledger.write_key_state(HOST, doubted_at=timezone.now())
    assert keys.forget_doubt()
    assert not keys.forget_doubt()
    assert not keys.is_doubted()


def test_a_doubt_of_another_key_is_none_of_this_one(egnyte_sandbox, settings):
    ledger.write_key_state(HOST, doubted_at=timezone.now())
    settings.EGNYTE_CLIENT_ID = "another-key"
    assert not keys.is_doubted()
    assert not keys.forget_doubt()


def test_the_sites_own_limit_is_raised_and_is_no_doubt(egnyte_sandbox, legacy, settings, caplog):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 10
    with ledger.charged(Purpose.PROOF, host=OTHER_HOST):
        pass
    with pytest.raises(RateLimitedError):
        keys.proved_since(time.monotonic(), grant_of(legacy))
    assert not keys.is_doubted() and told(caplog) == []
    assert timedelta(0) < timezone.now() - TokenRequest.objects.get().created_at
