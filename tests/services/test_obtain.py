from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import pytest
from django.db import Error, OperationalError, transaction
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.choices import Purpose, Release
from django_egnyte.exceptions import RateLimitedError, ResponseError, UnavailableError
from django_egnyte.models import EgnyteGrant, EgnyteToken, KeyState, TokenRequest
from django_egnyte.oauth import OAuthClient, TokenAnswer, fingerprint
from django_egnyte.secret import NO_SECRET, Secret
from django_egnyte.services import grants, transactions
from django_egnyte.services.obtain import _Exchange, due_on_failure, keep, obtain

from .conftest import HOST, pending, refresh_token_of

ANSWER = TokenAnswer(Secret("abc"), Secret("def"))


def get(answer=ANSWER, purpose=Purpose.LINK, **options):
    def call(client):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return obtain(call, purpose=purpose, host=HOST, user_ref="7", **options)


def test_a_token_is_written_down_before_anybody_has_it(egnyte_sandbox):
    token = get(flow="authorization_code")
    assert token == EgnyteToken.objects.get()
    (grant,) = pending()
    assert (grant.user_ref, grant.account_ref, grant.reason) == ("7", None, Release.ARRIVED)
    assert grant.flow == "authorization_code"
    assert token.open() == (Secret("abc"), Secret("def"))
    assert "abc" not in repr(token)


def test_a_token_call_is_charged_before_it_is_made(egnyte_sandbox):
    def call(client):
        row = TokenRequest.objects.get()
        assert (row.purpose, row.host, row.user_ref) == ("link", HOST, "7")
        return ANSWER

    obtain(call, purpose=Purpose.LINK, host=HOST, user_ref="7")
    row = TokenRequest.objects.get()
    assert (row.failed, row.refused) == (False, False)


def test_a_call_that_never_left_is_charged_all_the_same(egnyte_sandbox):
    error = UnavailableError("No such host.")
    error.sent = False
    with pytest.raises(UnavailableError):
        get(error)
    row = TokenRequest.objects.get()
    assert (row.failed, row.refused) == (True, False)


@pytest.mark.parametrize(("username", "held"), [("jsmith", False), ("", True)])
def test_a_throttle_holds_the_host_off_unless_it_is_the_egnyte_users_own(
    egnyte_sandbox, username, held
):
    with pytest.raises(RateLimitedError):
        get(
            RateLimitedError("Slower.", retry_after=60, kind="token_endpoint", status=409),
            username=username,
        )
    assert KeyState.objects.filter(host=HOST).exclude(held_off_until=None).exists() is held


def test_a_token_that_must_not_be_used_is_revoked_soon(egnyte_sandbox, hurried):
    with pytest.raises(ResponseError, match="cut off") as caught:
        get(TokenAnswer(Secret("abc"), complete=False))
    assert caught.value.host == HOST
    assert EgnyteToken.objects.get().fingerprint == fingerprint(HOST, Secret("abc"))
    assert EgnyteGrant.objects.filter(release_at__lte=timezone.now()).exists()
    assert hurried == [("process_revocations",)]


@pytest.fixture
def ended(monkeypatch):
    """The tokens that were revoked at once."""
    tokens: list[str] = []
    monkeypatch.setattr(OAuthClient, "revoke", lambda client, token: tokens.append(token.reveal()))
    return tokens


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(grants, "WRITE_PATIENCE", 0.0)
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.0001)


def writes(monkeypatch, *failures):
    """Let the writes have these outcomes, one after the other."""
    find, left = grants._known, list(failures)

    def known(*args):
        failure = left.pop(0) if left else None
        if failure is not None:
            raise failure
        return find(*args)

    monkeypatch.setattr(grants, "_known", known)
    return left


@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_write_that_fails_is_made_again(egnyte_sandbox, monkeypatch, ended, impatient, times):
    left = writes(monkeypatch, *[OperationalError("lost")] * times)
    get()
    assert (EgnyteToken.objects.count(), ended, left) == (1, [], [])


def test_a_write_that_goes_on_failing_ends_the_token(
    egnyte_sandbox, monkeypatch, ended, caplog, impatient
):
    writes(monkeypatch, *[OperationalError("lost")] * 1000)
    with pytest.raises(OperationalError, match="lost"):
        get()
    assert (EgnyteToken.objects.count(), ended) == (0, ["abc"])
    events = [getattr(record, "event", None) for record in caplog.records]
    assert events == ["token_unwritable"]


def test_a_write_is_tried_again_for_some_seconds(egnyte_sandbox, monkeypatch, ended, impatient):
    clock = iter(range(1000))
    clock_of_ours = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda _: None)
    monkeypatch.setattr(transactions, "time", clock_of_ours)
    monkeypatch.setattr(grants, "WRITE_PATIENCE", 20.0)
    left = writes(monkeypatch, *[OperationalError("lost")] * 15)
    get()
    assert (ended, left) == ([], [])


def test_a_transaction_that_is_broken_is_not_written_into_again(egnyte_sandbox, ended):
    client = gateway.oauth(HOST)
    with pytest.raises((Error, RuntimeError)), transaction.atomic():
        keep(ANSWER, client=client, user_ref="7")
    assert ended == ["abc"]


def test_an_orphan_is_told_of(egnyte_sandbox, monkeypatch, caplog, impatient):
    writes(monkeypatch, *[OperationalError("lost")] * 1000)

    def fail(client, token):
        raise UnavailableError("No answer.")

    monkeypatch.setattr(OAuthClient, "revoke", fail)
    with caplog.at_level(logging.CRITICAL, logger="django_egnyte"), pytest.raises(Error):
        get()
    assert [record.event for record in caplog.records] == ["token_unwritable", "orphan"]


@pytest.mark.parametrize(
    ("refresh_token", "ends"),
    [
        (NO_SECRET, False),
        # The answer has replaced the account's tokens, so its grant is lost with it.
        (Secret("newer"), True),
    ],
)
def test_a_token_that_an_account_lives_on_is_not_ended(
    egnyte_account, monkeypatch, ended, impatient, refresh_token, ends
):
    """This needs no query, so it works without the database."""
    writes(monkeypatch, *[OperationalError("lost")] * 1000)
    with pytest.raises(Error):
        get(
            TokenAnswer(Secret("new"), refresh_token),
            purpose=Purpose.REFRESH,
            refreshed=egnyte_account.token,
        )
    assert ended == (["new"] if ends else [])


def test_a_refresh_that_brings_no_refresh_token_keeps_the_old_one(egnyte_account):
    token = get(TokenAnswer(Secret("new")), purpose=Purpose.REFRESH, refreshed=egnyte_account.token)
    assert token.open().refresh_token.reveal() == refresh_token_of(egnyte_account)
    assert token.grant_id == egnyte_account.token.grant_id
    assert token.refreshed_from == egnyte_account.token.refresh_fingerprint


def test_a_refresh_that_brings_a_refresh_token_keeps_that_one(egnyte_account):
    answer = TokenAnswer(Secret("new"), Secret("newer"))
    token = get(answer, purpose=Purpose.REFRESH, refreshed=egnyte_account.token)
    assert token.open() == (Secret("new"), Secret("newer"))


def test_what_a_broken_answer_lacks_is_not_taken_from_the_old_token(egnyte_account):
    answer = TokenAnswer(Secret("new"), complete=False)
    with pytest.raises(ResponseError):
        get(answer, purpose=Purpose.REFRESH, refreshed=egnyte_account.token)
    stored = EgnyteToken.objects.get(fingerprint=fingerprint(HOST, Secret("new")))
    assert stored.open() == (Secret("new"), NO_SECRET)


def test_an_answer_is_stored_once_and_the_second_thread_does_not_wait():
    stored = []
    exchange = _Exchange(lambda: ANSWER, lambda answered: stored.append(answered()))
    exchange.ask()
    exchange.store()
    second = threading.Thread(target=exchange.store, daemon=True)
    second.start()
    second.join(5)
    assert not second.is_alive()
    assert stored == [ANSWER]


def test_what_goes_wrong_afterwards_makes_the_grant_due(egnyte_sandbox, hurried):
    token = get()
    with pytest.raises(ZeroDivisionError), due_on_failure(token):
        raise ZeroDivisionError
    (grant,) = pending()
    assert (grant.release_at - timezone.now()).total_seconds() < 5
    assert grant.reason == Release.FAILED
    assert hurried == [("process_revocations",)]


def test_what_goes_well_afterwards_leaves_it_alone(egnyte_sandbox, hurried):
    token = get()
    with due_on_failure(token):
        pass
    (grant,) = pending()
    assert (grant.release_at - timezone.now()).total_seconds() > 14 * 60
    assert hurried == []


def test_a_database_that_is_gone_does_not_hide_what_went_wrong(
    egnyte_sandbox, monkeypatch, hurried, caplog
):
    token = get()

    def fail(*args, **options):
        raise Error("lost")

    monkeypatch.setattr(grants, "make_due", fail)
    with pytest.raises(ZeroDivisionError), due_on_failure(token):
        raise ZeroDivisionError
    assert "could not be marked for revocation" in caplog.text
    assert hurried == [("process_revocations",)]
