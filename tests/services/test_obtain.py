from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.db import Error, transaction
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.exceptions import RateLimitedError, ResponseError, UnavailableError
from django_egnyte.models import EgnyteAccount, KeyState, PendingRevocation
from django_egnyte.oauth import OAuthClient, TokenAnswer, fingerprint
from django_egnyte.services import obtain as obtaining
from django_egnyte.services import outbox
from django_egnyte.services.obtain import Obtained, due_on_failure, keep, obtain
from tests.values import assert_stays_as_made

from .conftest import HOST

ANSWER = TokenAnswer("abc", "def")


def test_what_was_obtained_stays_what_it_was_made_as():
    assert_stays_as_made(Obtained)


def get(answer=ANSWER, reason="test", **options):
    def call(client):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return obtain(call, host=HOST, user_ref="7", reason=reason, **options)


def test_a_token_stands_in_the_outbox_before_anybody_has_it(egnyte_sandbox):
    obtained = get()
    row = PendingRevocation.objects.get()
    assert obtained == Obtained(ANSWER, row)
    assert (row.user_ref, row.account_ref, row.reason) == ("7", None, "test")
    assert (row.open_token(), row.refreshed_from, len(row.grant_id)) == ("abc", "", 32)
    assert "abc" not in repr(obtained)


@pytest.mark.parametrize(("options", "links"), [({}, 1), ({"refresh": True}, 0)])
def test_a_token_call_is_drawn_from_the_budget(egnyte_sandbox, options, links):
    get(**options)
    state = KeyState.objects.get()
    assert (state.token_requests, state.link_requests) == (1, links)


@pytest.mark.parametrize("options", [{}, {"refresh": True}])
def test_a_call_that_never_left_is_given_back(egnyte_sandbox, options):
    get(**options)
    before = KeyState.objects.values_list("token_requests", "link_requests").get()
    error = UnavailableError("No such host.")
    error.sent = False
    with pytest.raises(UnavailableError):
        get(error, **options)
    assert KeyState.objects.values_list("token_requests", "link_requests").get() == before
    with pytest.raises(UnavailableError):
        get(UnavailableError("It may have been counted."), **options)
    assert KeyState.objects.get().token_requests == 2


@pytest.mark.parametrize(("reason", "held"), [("password", False), ("authorization_code", True)])
def test_a_throttle_holds_the_key_off_unless_it_is_the_users_own(egnyte_sandbox, reason, held):
    with pytest.raises(RateLimitedError):
        get(RateLimitedError("Slower.", retry_after=60, kind="token_endpoint"), reason)
    assert (KeyState.objects.get().held_off_until is not None) is held


def test_a_token_that_must_not_be_used_is_hurried_away(egnyte_sandbox, hurried):
    with pytest.raises(ResponseError, match="cut off") as caught:
        get(TokenAnswer("abc", complete=False))
    assert caught.value.host == HOST
    assert PendingRevocation.objects.get().fingerprint == fingerprint(HOST, "abc")
    assert hurried == [("process_revocations",)]


@pytest.fixture
def ended(monkeypatch):
    """The tokens that were revoked at once."""
    tokens: list[str] = []
    monkeypatch.setattr(OAuthClient, "revoke", lambda client, token: tokens.append(token))
    return tokens


def writes(monkeypatch, *failures):
    """Let the writes into the outbox end like this, one after the other."""
    put, left = outbox.put_answer, list(failures)

    def write(*args, **options):
        failure = left.pop(0)
        if failure is not None:
            raise failure
        return put(*args, **options)

    monkeypatch.setattr(outbox, "put_answer", write)
    return left


def test_a_write_that_fails_once_is_made_again(egnyte_sandbox, monkeypatch, ended):
    left = writes(monkeypatch, Error("lost"), None)
    get()
    assert (PendingRevocation.objects.count(), ended, left) == (1, [], [])


def test_a_write_that_fails_twice_ends_the_token(egnyte_sandbox, monkeypatch, ended, caplog):
    left = writes(monkeypatch, Error("lost"), Error("lost again"))
    with pytest.raises(Error, match="lost again"):
        get()
    assert (PendingRevocation.objects.count(), ended, left) == (0, ["abc"], [])
    assert [record.event for record in caplog.records] == ["outbox_unwritable"]


def test_a_transaction_that_is_broken_is_not_written_into_again(egnyte_sandbox, monkeypatch, ended):
    left = writes(monkeypatch, Error("broken"), None)
    client = gateway.oauth(HOST)
    with pytest.raises(Error), transaction.atomic():
        keep(ANSWER, client=client, user_ref="7", reason="test")
    assert (ended, len(left)) == (["abc"], 1)


def test_an_orphan_is_told(egnyte_sandbox, monkeypatch, caplog):
    writes(monkeypatch, Error("lost"), Error("lost"))

    def fail(client, token):
        raise UnavailableError("No answer.")

    monkeypatch.setattr(OAuthClient, "revoke", fail)
    with caplog.at_level(logging.CRITICAL, logger="django_egnyte"), pytest.raises(Error):
        get()
    assert [record.event for record in caplog.records] == ["outbox_unwritable", "orphan"]


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        (lambda account: TokenAnswer(account.open_token()), True),
        (lambda account: TokenAnswer("new", account.opened_token().refresh_token.reveal()), True),
        # It was rotated: the account's own grant has gone over to this answer, and is lost.
        (lambda account: TokenAnswer("new", "newer"), False),
        (lambda account: TokenAnswer("new"), True),
    ],
)
def test_a_token_that_an_account_lives_on_is_not_ended(
    egnyte_account, monkeypatch, ended, answer, held
):
    writes(monkeypatch, Error("lost"), Error("lost"))
    given = answer(egnyte_account)
    with pytest.raises(Error):
        get(given, grant_id=egnyte_account.grant_id)
    assert ended == ([] if held else [given.access_token])


@pytest.mark.parametrize("changes", [{"domain": "globex.egnyte.com"}, {"status": "revoked"}])
def test_what_another_host_or_a_dead_account_holds_is_ended(
    egnyte_account, monkeypatch, ended, changes
):
    writes(monkeypatch, Error("lost"), Error("lost"))
    given = TokenAnswer(egnyte_account.open_token())
    EgnyteAccount.objects.write(**changes)
    with pytest.raises(Error):
        get(given)
    assert ended == [given.access_token]


def test_accounts_without_a_grants_name_hold_nothing_by_it(egnyte_account, monkeypatch, ended):
    EgnyteAccount.objects.write(grant_id="")
    writes(monkeypatch, Error("lost"), Error("lost"))
    with pytest.raises(Error):
        get(TokenAnswer("new"))
    assert ended == ["new"]


def test_a_database_that_cannot_say_who_holds_it_ends_the_token(egnyte_account, monkeypatch, ended):
    writes(monkeypatch, Error("lost"), Error("lost"))

    def fail(*args, **options):
        raise Error("lost")

    given = TokenAnswer(egnyte_account.open_token())
    monkeypatch.setattr(obtaining.EgnyteAccount.objects, "using", fail)
    with pytest.raises(Error):
        get(given)
    assert ended == [given.access_token]


def test_what_goes_wrong_afterwards_makes_the_token_due(egnyte_sandbox, hurried):
    row = get().row
    with pytest.raises(ZeroDivisionError), due_on_failure(row):
        raise ZeroDivisionError
    row.refresh_from_db()
    assert row.not_before - timezone.now() < timedelta(seconds=5)
    assert hurried == [("process_revocations",)]


def test_what_goes_well_afterwards_leaves_it_alone(egnyte_sandbox, hurried):
    row = get().row
    with due_on_failure(row):
        pass
    row.refresh_from_db()
    assert row.not_before - timezone.now() > timedelta(minutes=14)
    assert hurried == []


def test_a_database_that_is_gone_hides_not_what_went_wrong(
    egnyte_sandbox, monkeypatch, hurried, caplog
):
    row = get().row

    def fail(*args, **options):
        raise Error("lost")

    monkeypatch.setattr(outbox, "make_due", fail)
    with pytest.raises(ZeroDivisionError), due_on_failure(row):
        raise ZeroDivisionError
    assert "could not be made due" in caplog.text
    assert hurried == [("process_revocations",)]
