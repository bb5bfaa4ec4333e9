from __future__ import annotations

import functools
import threading
from datetime import timedelta
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import QuerySet
from django.utils import timezone

from django_egnyte import ciphers, gateway
from django_egnyte.choices import EventKind, Flow, LeasedFor, Purpose, Status
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
    EgnyteGrant,
    EgnyteToken,
    KeyState,
    SpentState,
    TokenRequest,
)
from django_egnyte.oauth import OAuthClient, UserInfo
from django_egnyte.secret import Secret
from django_egnyte.services import grants
from django_egnyte.services import link as linking
from django_egnyte.services.obtain import obtain
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.validate import validate

from .conftest import (
    HOST,
    all_due,
    arrive,
    grant_of,
    orphans,
    pending,
    refresh_token_of,
    store_token,
)
from .threads import Threads

REDIRECT = "https://site.example/egnyte/callback/"


def code_for(sandbox: Any, username: str = "jsmith", scope: str = "Egnyte.filesystem") -> str:
    url = gateway.oauth(HOST).authorization_url(
        redirect_uri=REDIRECT, state="s", scopes=scope.split()
    )
    return str(sandbox.authorize(url, username).split("code=")[1].split("&")[0])


def link_by_code(user: Any, code: str, **options: Any) -> EgnyteAccount:
    return linking.link_with_code(
        user,
        code=Secret(code),
        host=HOST,
        redirect_uri=REDIRECT,
        scopes=("Egnyte.filesystem",),
        **options,
    )


def test_a_code_becomes_an_account_whose_grant_is_in_use(egnyte_sandbox, egnyte_user):
    account = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    stored = EgnyteAccount.objects.get()
    assert stored == account
    assert (stored.username, stored.egnyte_user_id, stored.status) == ("jsmith", 121, "active")
    assert egnyte_sandbox.is_alive(stored.open_token())
    assert stored.is_default and stored.expires_at is not None
    assert (grant_of(stored).release_at, grant_of(stored).reason) == (None, "")
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
    assert not AccountEvent.objects.filter(kind=EventKind.LINK_FAILED).exists()
    assert len(egnyte_sandbox.live_grants()) == 1
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_grants() == []


def test_a_token_that_the_database_does_not_take_is_revoked_at_once(
    egnyte_sandbox, egnyte_user, monkeypatch, caplog
):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(grants, "write_down", fail)
    with pytest.raises(DatabaseError):
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert egnyte_sandbox.counts["token:authorization_code"] == 1
    assert [t for t in egnyte_sandbox.live_tokens() if t.kind == "access"] == []
    assert "The database did not store a token" in caplog.text


class KmsDown(Exception):
    pass


class KmsCipher(ciphers.FernetCipher):
    """A site's own cipher, whose keys are on another server."""

    answers: ClassVar[list[bool]] = []

    def seal(self, plaintext: Secret, context: str) -> str:
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
def test_whatever_ends_the_write_ends_the_token(egnyte_sandbox, egnyte_user, monkeypatch, error):
    monkeypatch.setattr(grants, "write_down", Mock(side_effect=error))
    with pytest.raises(type(error)):
        link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert [t for t in egnyte_sandbox.live_tokens() if t.kind == "access"] == []


def test_a_refreshed_token_that_cannot_be_written_ends_no_account(
    egnyte_sandbox, egnyte_user, monkeypatch, caplog
):
    """Egnyte repeats the refresh token that the account uses."""
    egnyte_sandbox.policy.refresh_rotates = False
    account = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    monkeypatch.setattr(grants, "write_down", Mock(side_effect=DatabaseError("the disk is full")))
    answer_without_refresh_token(egnyte_sandbox)
    with pytest.raises(DatabaseError):
        refresh(account, actor="task")
    assert "so the app does not revoke the access token" in caplog.text
    account = EgnyteAccount.objects.get()
    assert egnyte_sandbox.is_alive(account.open_token())
    assert egnyte_sandbox.is_alive(refresh_token_of(account))


def answer_without_refresh_token(sandbox: Any) -> None:
    body = {"access_token": "another", "token_type": "bearer", "expires_in": 3600}
    sandbox.faults.add(path="^/puboauth/token", method="POST", acted=True, status=200, body=body)


def test_the_same_access_token_with_another_refresh_token_forgets_neither(egnyte_user, bring):
    first = bring(egnyte_user, "access", "first")
    second = bring(egnyte_user, "access", "second")
    assert refresh_token_of(second) == "second"
    assert grant_of(first) == grant_of(second)
    kept = [token.open().refresh_token.reveal() for token in EgnyteToken.objects.order_by("pk")]
    assert kept == ["first", "second"]
    assert pending() == []


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
    assert 3500 < caught.value.retry_after <= 3600
    assert egnyte_sandbox.counts["token:authorization_code"] == 5
    link_by_code(make_user("somebody-else"), code_for(egnyte_sandbox, "bdoe"))


def test_five_redirects_in_an_hour_are_enough(egnyte_sandbox, egnyte_user):
    """As for a host of no customer: each request counts for the shared limit."""
    egnyte_sandbox.faults.add(path="^/puboauth/token", method="POST", status=302, times=None)
    for _ in range(5):
        with pytest.raises(ResponseError):
            link_by_code(egnyte_user, "any code")
    with pytest.raises(TooManyFailuresError):
        link_by_code(egnyte_user, "any code")
    assert TokenRequest.objects.filter(purpose="link").count() == 5
    failures = AccountEvent.objects.filter(kind=EventKind.LINK_FAILED)
    assert failures.count() == 5


def test_linking_leaves_most_of_the_hour_to_refreshes(
    egnyte_sandbox, egnyte_user, make_user, settings
):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 5
    link_by_code(egnyte_user, code_for(egnyte_sandbox))
    link_by_code(make_user("another"), code_for(egnyte_sandbox, "bdoe"))
    with pytest.raises(RateLimitedError) as caught:
        link_by_code(make_user("a third"), code_for(egnyte_sandbox))
    assert (caught.value.kind, caught.value.status) == ("token_endpoint", None)
    assert 3500 < caught.value.retry_after <= 3600
    assert egnyte_sandbox.counts["token:authorization_code"] == 2


def test_a_409_holds_off_all_token_calls_to_that_host(egnyte_sandbox, egnyte_user):
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
    assert second.pk == first.pk and second.token_id != first.token_id
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
    assert second.token_id == first.token_id
    assert pending() == []
    assert process_revocations() == {}
    assert egnyte_sandbox.is_alive(second.open_token())
    assert second.expires_at is None and grant_of(second).next_refresh_at is None


def test_a_token_that_two_users_hold_lives_until_both_let_go(
    egnyte_sandbox, egnyte_user, make_user
):
    egnyte_sandbox.policy.style = "legacy"
    egnyte_sandbox.policy.same_token = True
    mine = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    theirs = link_by_code(make_user("colleague"), code_for(egnyte_sandbox))
    token = mine.open_token()
    assert theirs.open_token() == token and grant_of(theirs) == grant_of(mine)
    assert theirs.token_id != mine.token_id  # sealed for each of them
    mine.delete()
    assert process_revocations() == {"held": 1}
    assert egnyte_sandbox.is_alive(token)
    theirs.delete()
    assert process_revocations() == {"revoked": 1}
    assert not egnyte_sandbox.is_alive(token)


def obtained(sandbox: Any, user: Any) -> EgnyteToken:
    code = Secret(code_for(sandbox))
    return obtain(
        lambda client: client.exchange_code(code, REDIRECT, ()),
        purpose=Purpose.LINK,
        host=HOST,
        user_ref=str(user.pk),
    )


def test_the_revoker_that_was_faster_makes_the_user_try_again(egnyte_sandbox, egnyte_user):
    token = obtained(egnyte_sandbox, egnyte_user)
    all_due()
    assert grants.lease(token.grant_id, LeasedFor.REVOKE)
    with pytest.raises(TokenConflictError):
        store_token(egnyte_user, token)
    assert not EgnyteAccount.objects.exists()
    all_due()
    assert process_revocations() == {"revoked": 1}
    with pytest.raises(UnauthorizedError):
        store_token(egnyte_user, token)
    assert not EgnyteAccount.objects.exists()


def link_too_late(monkeypatch: pytest.MonkeyPatch, user: Any, token: EgnyteToken) -> None:
    """Link a token whose user Egnyte has named, and which Egnyte has ended since."""
    identity = UserInfo("7", "jsmith", "John", "Smith", "jsmith@acme.example")
    with monkeypatch.context() as patch:
        patch.setattr(OAuthClient, "userinfo", lambda client, access_token: identity)
        with pytest.raises(TokenConflictError):
            store_token(user, token)


@pytest.mark.parametrize("is_stored_twice", [False, True])
@pytest.mark.parametrize(("is_answered", "outcome"), [(True, "revoked"), (False, "failed")])
def test_a_token_that_is_revoked_after_egnyte_named_its_user_is_not_linked(
    egnyte_sandbox, egnyte_user, make_user, link, monkeypatch, is_stored_twice, is_answered, outcome
):
    """Another user of the same Egnyte identity has just disconnected."""
    egnyte_sandbox.policy.same_token = True
    link(make_user("another")).delete()
    revoke, arrived = OAuthClient.revoke, []

    def meanwhile(client: OAuthClient, access_token: Secret) -> None:
        arrived.append(obtained(egnyte_sandbox, egnyte_user))
        if is_stored_twice:
            store_in_another_grant(*arrived)
        connection.close()  # of the thread in which the revoker makes its calls
        revoke(client, access_token)
        if not is_answered:
            raise UnavailableError("No answer came.")

    with monkeypatch.context() as patch:
        patch.setattr(OAuthClient, "revoke", meanwhile)
        assert process_revocations() == {outcome: 1}
    assert egnyte_sandbox.live_tokens() == []
    link_too_late(monkeypatch, egnyte_user, *arrived)
    assert not EgnyteAccount.objects.exists()
    all_due()
    process_revocations()  # joins what was stored twice
    process_revocations()
    assert not EgnyteGrant.objects.exists()
    # What Egnyte issues later can be linked.
    assert link(egnyte_user).is_live


def store_in_another_grant(token: EgnyteToken) -> None:
    """As if two transactions had stored the same token at once, without seeing each other."""
    twin = EgnyteGrant.objects.get()
    twin.pk, twin.fingerprint, twin.lease, twin.leased_until = None, "e" * 64, "", None
    twin._state.adding = True
    twin.save()
    EgnyteToken.objects.filter(pk=token.pk).write(grant=twin)
    token.refresh_from_db()


def test_a_token_that_a_verdict_ends_after_egnyte_named_its_user_is_not_linked(
    egnyte_sandbox, egnyte_user, make_user, link, monkeypatch
):
    egnyte_sandbox.policy.same_token = True
    another = link(make_user("another"))
    token = obtained(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    validate(another.pk, actor="test")
    assert not EgnyteAccount.objects.get().is_live
    link_too_late(monkeypatch, egnyte_user, token)
    # What Egnyte issues later can be linked.
    assert link(egnyte_user).is_live


def test_a_token_that_was_replaced_is_linked_beside_the_next_refresh(
    egnyte_sandbox, egnyte_user, make_user, link
):
    """Only a revocation keeps a grant from being used."""
    egnyte_sandbox.policy.same_token = True
    another = link(make_user("another"))
    token = obtained(egnyte_sandbox, egnyte_user)
    refreshed = refresh(another, actor="test")
    assert grants.lease(token.grant_id, LeasedFor.REFRESH)
    EgnyteGrant.objects.write(revoke_attempts=3)
    assert store_token(egnyte_user, token).open_token() == refreshed.open_token()
    assert EgnyteGrant.objects.get().revoke_attempts == 0


def test_a_call_in_flight_is_left_alone_and_a_dead_one_is_cleaned_up(egnyte_sandbox, egnyte_user):
    obtained(egnyte_sandbox, egnyte_user)
    # The worker is killed here. For 15 minutes the grant counts as in flight.
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
    token = arrive(egnyte_user, egnyte_sandbox.issue("acme", "jsmith").access_token)
    with pytest.raises(LinkError):
        store_token(egnyte_user, token, flow=Flow.IMPLICIT)
    stored = EgnyteAccount.objects.get()
    assert stored.open_token() == account.open_token() and stored.flow == "authorization_code"


def link_at_once(links: list[tuple[Any, str]]) -> None:
    """Let each user link with a code, all at the same moment."""
    barrier = threading.Barrier(len(links), timeout=30)

    def run(user: Any, code: str) -> None:
        barrier.wait()
        link_by_code(user, code)

    with Threads() as threads:
        for user, code in links:
            threads.start(functools.partial(run, user, code))


def test_two_attempts_at_once_make_one_account(egnyte_sandbox, egnyte_user):
    link_at_once([(egnyte_user, code_for(egnyte_sandbox)) for _ in range(3)])
    account = EgnyteAccount.objects.get()
    assert account.is_default
    process_revocations()
    assert orphans(egnyte_sandbox) == set()
    assert egnyte_sandbox.is_alive(account.open_token())


@pytest.mark.parametrize("problem", [IntegrityError, linking.Overtaken])
def test_a_link_that_another_one_overtakes_is_tried_again(
    egnyte_sandbox, egnyte_user, monkeypatch, problem
):
    store, tried = linking._store, []

    def overtaken(*arguments: Any, is_first: bool) -> EgnyteAccount:
        tried.append(is_first)
        if len(tried) < linking.TRIES:
            raise problem
        return store(*arguments, is_first=is_first)

    monkeypatch.setattr(linking, "_store", overtaken)
    assert link_by_code(egnyte_user, code_for(egnyte_sandbox)).is_live
    assert tried == [True, False, False, False]


def test_a_revoked_account_comes_back_by_a_relink(egnyte_sandbox, egnyte_user):
    from django_egnyte.services.disconnect import revoke

    account = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert revoke(account, actor="admin:1", reason="asked to")
    assert not revoke(account, actor="admin:1", reason="asked to")
    account.refresh_from_db()
    assert (account.status, account.token) == ("revoked", None)
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
            egnyte_user, username="jsmith", password=Secret(password), host=HOST, scopes=()
        )

    egnyte_sandbox.faults.add(path="^/puboauth/token", method="POST", status=503, times=4)
    for _ in range(4):
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
    assert grant_of(stored).next_refresh_at is not None
    stored.delete()
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []


def test_a_password_whose_success_cannot_be_counted_links_all_the_same(
    egnyte_sandbox, egnyte_user, settings, monkeypatch
):
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"
    update = QuerySet.update

    def fail(rows: Any, **values: Any) -> int:
        if rows.model is TokenRequest:
            raise OperationalError("gone")
        return update(rows, **values)

    monkeypatch.setattr(QuerySet, "update", fail)
    account = linking.link_with_password(
        egnyte_user, username="jsmith", password=Secret("demo-password-1"), host=HOST, scopes=()
    )
    assert egnyte_sandbox.is_alive(account.open_token())


@pytest.mark.parametrize(
    ("claimed", "asked", "believed"),
    [
        (["a", "b"], [], ["a", "b"]),
        (["a", "c"], ["a", "b"], ["a"]),
        (["c"], ["a", "b"], ["a", "b"]),
        ([], ["a"], ["a"]),
    ],
)
def test_a_browser_claims_no_scopes_that_nobody_asked_for(claimed, asked, believed):
    assert linking._believed(claimed, asked) == believed


def test_a_first_connection_leaves_nothing_to_revoke(egnyte_user, link, hurried):
    link(egnyte_user)
    assert ("process_revocations",) not in hurried


def test_a_token_whose_scopes_egnyte_names_costs_no_further_call(egnyte_sandbox, egnyte_user):
    egnyte_sandbox.policy.answer_scope = True
    account = link_by_code(egnyte_user, code_for(egnyte_sandbox))
    assert account.scopes == ["Egnyte.filesystem"]
    assert egnyte_sandbox.counts["whoami"] == 0
