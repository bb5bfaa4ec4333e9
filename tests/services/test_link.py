from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils import timezone

from django_egnyte import ciphers, gateway
from django_egnyte.choices import EventKind, Flow, Status
from django_egnyte.exceptions import (
    InTransactionError,
    InvalidCredentialsError,
    InvalidGrantError,
    LinkError,
    RateLimitedError,
    ResponseError,
    StateError,
    TokenConflictError,
    TooManyFailuresError,
    UnauthorizedError,
    UnavailableError,
    WrongAccountError,
)
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    KeyState,
    PendingRevocation,
    SpentState,
)
from django_egnyte.oauth import OAuthClient, TokenAnswer, UserInfo
from django_egnyte.services import link as linking
from django_egnyte.services import outbox
from django_egnyte.services.obtain import keep, obtain
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence

from .conftest import HOST, all_due, orphans

REDIRECT = "https://site.example/egnyte/callback/"


def code_for(sandbox: Any, username: str = "jsmith", scope: str = "Egnyte.filesystem") -> str:
    url = gateway.oauth(HOST).authorization_url(
        redirect_uri=REDIRECT, state="s", scopes=scope.split()
    )
    return str(sandbox.authorize(url, username).split("code=")[1].split("&")[0])


def link_by_code(user: Any, code: str, **options: Any) -> EgnyteAccount:
    return linking.link_with_code(
        user, code=code, host=HOST, redirect_uri=REDIRECT, scopes=("Egnyte.filesystem",), **options
    )


def test_a_code_becomes_an_account_and_the_outbox_is_empty(egnyte_sandbox, egnyte_user):
    account = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    stored = EgnyteAccount.objects.get()
    assert stored == account
    assert (stored.username, stored.egnyte_user_id, stored.status) == ("jsmith", 121, "active")
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert stored.is_default and stored.token_id == 1 and stored.expires_at is not None
    assert not PendingRevocation.objects.exists()
    event = AccountEvent.objects.get()
    assert (event.kind, event.actor) == (EventKind.CONNECTED, f"user:{egnyte_user.pk}")


def test_a_state_is_spent_once_even_by_two_at_once(egnyte_user):
    results: list[str] = []
    barrier = threading.Barrier(4)

    def spend() -> None:
        barrier.wait()
        try:
            linking.spend_state("the-state")
            results.append("spent")
        except StateError as error:
            results.append(error.reason + "-again")
        finally:
            connection.close()

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["spent", "spent-again", "spent-again", "spent-again"]


def test_a_spent_state_is_remembered_for_twice_as_long_as_it_lives(egnyte_user):
    linking.spend_state("the-state")
    left = SpentState.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=19) < left <= timedelta(minutes=20)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 503}, UnavailableError),
        ({"malformed": True}, ResponseError),
        ({"reset": True}, UnavailableError),
    ],
)
def test_a_token_whose_owner_stays_unknown_is_revoked(
    egnyte_sandbox, egnyte_user, hurried, fault, error
):
    egnyte_sandbox.faults.add(path="/userinfo", **fault)
    with pytest.raises(error):
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert not EgnyteAccount.objects.exists()
    assert ("process_revocations",) in hurried
    assert len(egnyte_sandbox.live_grants()) == 1
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_grants() == []


@pytest.mark.parametrize("fault", [{"truncate": 60}, {"truncate": 120}])
def test_a_token_in_an_answer_that_was_cut_off_is_revoked(egnyte_sandbox, egnyte_user, fault):
    egnyte_sandbox.faults.add(path="^/puboauth/token", method="POST", **fault)
    with pytest.raises((ResponseError, UnavailableError)):
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert not EgnyteAccount.objects.exists()
    assert len(egnyte_sandbox.live_grants()) == 1
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_grants() == []


def test_a_token_that_the_database_does_not_take_is_revoked_at_once(
    egnyte_sandbox, egnyte_user, monkeypatch, caplog
):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(outbox, "put_answer", fail)
    with pytest.raises(DatabaseError):
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert egnyte_sandbox.counts["token:authorization_code"] == 1
    assert [t for t in egnyte_sandbox.live_tokens() if t.kind == "access"] == []
    assert "The database took no row" in caplog.text


class KmsDown(Exception):
    pass


class KmsCipher(ciphers.FernetCipher):
    """A site's own, whose keys another server keeps."""

    answers: ClassVar[list[bool]] = []

    def seal(self, plaintext: str, context: str) -> str:
        if not (self.answers.pop(0) if self.answers else True):
            raise KmsDown
        return super().seal(plaintext, context)


@pytest.mark.parametrize(("answers", "codes"), [([False], 0), ([True, False], 1)])
def test_a_cipher_that_fails_costs_no_token(egnyte_sandbox, egnyte_user, settings, answers, codes):
    settings.EGNYTE_CIPHER = f"{__name__}.KmsCipher"
    code = code_for(egnyte_sandbox)
    KmsCipher.answers[:] = answers
    with pytest.raises(KmsDown):
        link_by_code(egnyte_user, code)
    assert egnyte_sandbox.counts["token:authorization_code"] == codes
    assert [t for t in egnyte_sandbox.live_tokens() if t.kind == "access"] == []


@pytest.mark.parametrize(
    "error", [InterfaceError("the connection is closed"), SoftTimeLimitExceeded()]
)
def test_whatever_ends_the_write_into_the_outbox_ends_the_token(
    egnyte_sandbox, egnyte_user, monkeypatch, error
):
    monkeypatch.setattr(outbox, "put_answer", Mock(side_effect=error))
    with pytest.raises(type(error)):
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert [t for t in egnyte_sandbox.live_tokens() if t.kind == "access"] == []


@pytest.mark.parametrize("refreshes", [True, False])
def test_a_write_that_fails_ends_no_token_that_an_account_holds(
    egnyte_sandbox, egnyte_user, monkeypatch, caplog, refreshes
):
    egnyte_sandbox.policy.same_token = not refreshes
    link_by_code(egnyte_user, code_for(egnyte_sandbox))

    def ask() -> EgnyteAccount:
        if refreshes:
            return refresh(EgnyteAccount.objects.get(), actor="task")
        return link_by_code(egnyte_user, code_for(egnyte_sandbox))

    monkeypatch.setattr(outbox, "put_answer", Mock(side_effect=DatabaseError("the disk is full")))
    with pytest.raises(DatabaseError):
        ask()
    assert "an account holds its grant, so it is not revoked" in caplog.text
    account = EgnyteAccount.objects.get()
    assert egnyte_sandbox.is_alive(account.open_token())
    assert egnyte_sandbox.is_alive(account.opened_token().refresh_token.reveal())


def test_the_same_access_token_with_another_refresh_token_forgets_neither(
    egnyte_sandbox, egnyte_user, monkeypatch
):
    monkeypatch.setattr(OAuthClient, "userinfo", lambda self, token: UserInfo(121, "jsmith"))
    for refresh_token in ("first", "second"):
        obtained = keep(
            TokenAnswer("access", refresh_token, 3600),
            client=gateway.oauth(HOST),
            user_ref=str(egnyte_user.pk),
            reason="authorization_code",
        )
        linking.prove_and_store(
            egnyte_user, obtained, host=HOST, scopes=(), flow="authorization_code", relink=None
        )
    assert EgnyteAccount.objects.get().opened_token().refresh_token.reveal() == "second"
    row = PendingRevocation.objects.get()
    assert (row.open_token(), row.opened_token().refresh_token.reveal()) == ("access", "first")
    process_revocations()
    assert PendingRevocation.objects.get().refresh_token == "first"  # it waits: the token is held


def test_no_state_is_spent_inside_a_transaction(egnyte_user):
    with transaction.atomic(), pytest.raises(InTransactionError):
        linking.spend_state("state")
    linking.spend_state("state")


def test_five_refused_codes_in_an_hour_are_enough(egnyte_sandbox, egnyte_user, make_user):
    for _ in range(5):
        with pytest.raises(InvalidGrantError):
            link_by_code(egnyte_user, "wrong")
    with pytest.raises(TooManyFailuresError) as caught:
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert caught.value.retry_after == 3600
    assert egnyte_sandbox.counts["token:authorization_code"] == 5
    link_by_code(make_user("somebody-else"), code_for(egnyte_sandbox, "bdoe"))


def test_five_redirects_in_an_hour_are_enough(egnyte_sandbox, egnyte_user):
    """As of a host that is no customer's: each is drawn from what all users share."""
    egnyte_sandbox.faults.add(path="^/puboauth/token", method="POST", status=302, times=None)
    for _ in range(5):
        with pytest.raises(ResponseError):
            link_by_code(egnyte_user, "any code")
    with pytest.raises(TooManyFailuresError):
        link_by_code(egnyte_user, "any code")
    assert KeyState.objects.get().link_requests == 5


def test_linking_leaves_most_of_the_budget_to_refreshes(egnyte_sandbox, egnyte_user, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 5
    link_by_code(egnyte_user, code_for(egnyte_sandbox))
    link_by_code(egnyte_user, code_for(egnyte_sandbox))
    with pytest.raises(RateLimitedError) as caught:
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert caught.value.kind == "token_endpoint"
    assert 3500 < caught.value.retry_after <= 3600
    assert egnyte_sandbox.counts["token:authorization_code"] == 2


def test_a_host_that_is_not_there_leaves_the_budget_to_others(
    egnyte_sandbox, egnyte_user, make_user, settings
):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 5
    url, settings.EGNYTE_BASE_URL = settings.EGNYTE_BASE_URL, "http://127.0.0.1:9/d/{domain}"
    for _ in range(3):
        with pytest.raises(UnavailableError):
            link_by_code(egnyte_user, "any code")
    settings.EGNYTE_BASE_URL = url
    link_by_code(make_user("somebody-else"), code_for(egnyte_sandbox))


def test_a_409_holds_all_token_calls_off(egnyte_sandbox, egnyte_user):
    egnyte_sandbox.faults.add(
        path="^/puboauth/token", method="POST", status=409, headers={"Retry-After": "600"}
    )
    with pytest.raises(RateLimitedError) as caught:
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert (caught.value.kind, caught.value.retry_after) == ("token_endpoint", 600)
    with pytest.raises(RateLimitedError) as caught:
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert 590 < caught.value.retry_after <= 600
    assert egnyte_sandbox.counts["token"] == 1
    assert KeyState.objects.get().held_off_until is not None


def test_a_relink_replaces_the_token_and_revokes_the_old_one(egnyte_sandbox, egnyte_user, hurried):
    first = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    old = first.open_token()
    second = link_by_code(egnyte_user, code_for(egnyte_sandbox), relink=first.pk)
    assert second.pk == first.pk and second.token_id == 2
    assert egnyte_sandbox.is_alive(old)
    assert ("process_revocations",) in hurried
    assert process_revocations() == {"revoked": 1}
    assert not egnyte_sandbox.is_alive(old)
    assert egnyte_sandbox.is_alive(EgnyteAccount.objects.get().open_token())
    assert orphans(egnyte_sandbox) == set()


def test_a_relink_with_the_same_token_revokes_nothing(egnyte_sandbox, egnyte_user):
    egnyte_sandbox.policy.style = "legacy"
    egnyte_sandbox.policy.same_token = True
    first = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    second = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert second.open_token() == first.open_token()
    assert second.grant_id == first.grant_id
    assert not PendingRevocation.objects.exists()
    assert process_revocations() == {}
    assert egnyte_sandbox.is_alive(second.open_token())
    assert second.expires_at is None and second.next_refresh_at is None


def test_a_token_that_two_users_hold_lives_until_both_let_go(
    egnyte_sandbox, egnyte_user, make_user
):
    egnyte_sandbox.policy.style = "legacy"
    egnyte_sandbox.policy.same_token = True
    mine = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    theirs = link_by_code(make_user("colleague"), code_for(egnyte_sandbox))
    token = mine.open_token()
    assert theirs.open_token() == token and theirs.grant_id == mine.grant_id
    mine.delete()
    assert process_revocations() == {"held": 1}
    assert egnyte_sandbox.is_alive(token)
    theirs.delete()
    assert process_revocations() == {"revoked": 1}
    assert not egnyte_sandbox.is_alive(token)


def test_the_revoker_that_was_faster_makes_the_user_try_again(egnyte_sandbox, egnyte_user):
    obtained = obtain(
        lambda client: client.exchange_code(code_for(egnyte_sandbox), REDIRECT, ()),
        host=HOST,
        user_ref=str(egnyte_user.pk),
        reason="test",
    )
    PendingRevocation.objects.write(claim="somebody", claimed_until=hence(60))
    with pytest.raises(TokenConflictError):
        linking.prove_and_store(
            egnyte_user, obtained, host=HOST, scopes=(), flow="authorization_code", relink=None
        )
    assert not EgnyteAccount.objects.exists()
    all_due()
    assert process_revocations() == {"revoked": 1}
    with pytest.raises(UnauthorizedError):
        linking.prove_and_store(
            egnyte_user, obtained, host=HOST, scopes=(), flow="authorization_code", relink=None
        )
    assert not EgnyteAccount.objects.exists()


def test_a_call_in_flight_is_left_alone_and_a_dead_one_is_cleaned_up(egnyte_sandbox, egnyte_user):
    obtain(
        lambda client: client.exchange_code(code_for(egnyte_sandbox), REDIRECT, ()),
        host=HOST,
        user_ref=str(egnyte_user.pk),
        reason="test",
    )
    # The worker dies here. For 15 minutes the row counts as in flight.
    assert process_revocations() == {}
    assert len(egnyte_sandbox.live_grants()) == 1
    all_due()
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_grants() == []


def test_no_token_call_is_made_inside_a_transaction(egnyte_sandbox, egnyte_user):
    code = code_for(egnyte_sandbox)
    with transaction.atomic(), pytest.raises(InTransactionError):
        link_by_code(egnyte_user, code)
    assert egnyte_sandbox.counts["token:authorization_code"] == 0


def test_another_egnyte_user_does_not_take_the_account_over(egnyte_sandbox, egnyte_user):
    first = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    with pytest.raises(WrongAccountError):
        link_by_code(egnyte_user, code_for(egnyte_sandbox, "bdoe"), relink=first.pk)
    assert EgnyteAccount.objects.get().username == "jsmith"
    assert process_revocations() == {"revoked": 1}
    assert orphans(egnyte_sandbox) == set()
    assert egnyte_sandbox.is_alive(first.open_token())


def test_an_implicit_token_replaces_no_token_of_another_flow(egnyte_sandbox, egnyte_user, link):
    account = link(egnyte_user)
    issued = egnyte_sandbox.issue("acme", "jsmith")
    answer = gateway.oauth(HOST)
    obtained = keep(
        linking.TokenAnswer(issued.access_token),
        client=answer,
        user_ref=str(egnyte_user.pk),
        reason="implicit",
    )
    with pytest.raises(LinkError):
        linking.prove_and_store(
            egnyte_user, obtained, host=HOST, scopes=(), flow=Flow.IMPLICIT, relink=None
        )
    stored = EgnyteAccount.objects.get()
    assert stored.open_token() == account.open_token() and stored.flow == "authorization_code"


def test_two_attempts_at_once_make_one_account(egnyte_sandbox, egnyte_user):
    codes = [code_for(egnyte_sandbox) for _ in range(3)]
    barrier = threading.Barrier(3)
    failures: list[Exception] = []

    def run(code: str) -> None:
        barrier.wait()
        try:
            link_by_code(egnyte_user, code)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    account = EgnyteAccount.objects.get()
    assert account.token_id == 3
    process_revocations()
    assert orphans(egnyte_sandbox) == set()
    assert egnyte_sandbox.is_alive(account.open_token())


def test_a_revoked_account_comes_back_by_a_relink(egnyte_sandbox, egnyte_user):
    from django_egnyte.services.disconnect import revoke

    account = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert revoke(account, actor="admin:1", reason="asked to")
    assert not revoke(account, actor="admin:1", reason="asked to")
    account.refresh_from_db()
    assert (account.status, account.open_token(), account.token_fingerprint) == ("revoked", "", "")
    again = link_by_code(egnyte_user, code_for(egnyte_sandbox), relink=account.pk)
    assert (again.pk, again.status) == (account.pk, Status.ACTIVE)
    assert process_revocations() == {"revoked": 1}
    assert orphans(egnyte_sandbox) == set()
    assert egnyte_sandbox.is_alive(again.open_token())


def test_trouble_at_egnyte_uses_up_no_attempts_at_a_password(egnyte_sandbox, egnyte_user, settings):
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"

    def attempt(password: str) -> EgnyteAccount:
        return linking.link_with_password(
            egnyte_user, username="jsmith", password=password, host=HOST, scopes=()
        )

    egnyte_sandbox.faults.add(path="^/puboauth/token", method="POST", status=503, times=6)
    for _ in range(6):
        with pytest.raises(UnavailableError):
            attempt("demo-password-1")
    for _ in range(4):
        with pytest.raises(InvalidCredentialsError):
            attempt("wrong")
    assert attempt("demo-password-1").flow == Flow.PASSWORD


def test_the_same_token_without_its_refresh_token_leaves_that_with_the_account(
    egnyte_sandbox, egnyte_user
):
    egnyte_sandbox.policy.same_token = True
    first = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    token = first.opened_token().refresh_token.reveal()
    answer = {"access_token": first.open_token(), "token_type": "bearer", "expires_in": 3600}
    egnyte_sandbox.faults.add(
        path="^/puboauth/token", method="POST", acted=True, status=200, body=answer
    )
    again = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert again.open_token() == first.open_token()
    stored = EgnyteAccount.objects.get()
    assert stored.opened_token().refresh_token.reveal() == token
    assert stored.next_refresh_at is not None
    stored.delete()
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []
