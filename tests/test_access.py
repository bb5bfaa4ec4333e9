from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone

from django_egnyte import access, queue
from django_egnyte.access import RequestClient, client_of, connect_url, to_connect
from django_egnyte.choices import Status
from django_egnyte.exceptions import (
    InvalidDomainError,
    InvalidPathError,
    NotLinkedError,
    TokenExpiredError,
    UnauthorizedError,
)
from django_egnyte.models import EgnyteAccount, EgnyteToken
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services.disconnect import disconnect
from tests import walk

USERINFO = "^/pubapi/v1/userinfo"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The tasks that would have been sent to the broker, at that moment."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(queue, "_send", lambda task, args: sent.append((task, *args)))
    return sent


def request_of(user: Any, **headers: str) -> Any:
    request = RequestFactory().get("/files/?page=2", headers=headers)
    request.user = user
    return request


@pytest.fixture
def other(django_user_model: Any, django_username_field: str, db: None) -> Any:
    return django_user_model.objects.create(**{django_username_field: "other@example.com"})


def test_a_user_without_an_account_has_a_false_client_that_raises(egnyte_user: Any) -> None:
    client = RequestClient(request_of(egnyte_user))
    assert not client
    assert client.account is None
    for call in (client.userinfo, lambda: client.get("/pubapi/v1/userinfo"), client.files.list):
        with pytest.raises(NotLinkedError):
            list(call())  # type: ignore[call-overload]


def test_an_anonymous_user_has_a_false_client_without_a_query(
    django_assert_num_queries: Any, db: None
) -> None:
    with django_assert_num_queries(0):
        assert not RequestClient(request_of(AnonymousUser()))


def test_first_use_makes_one_query_and_no_more_follow(
    egnyte_account: EgnyteAccount, django_assert_num_queries: Any
) -> None:
    client = RequestClient(request_of(egnyte_account.user))
    with django_assert_num_queries(0):
        assert "not used yet" in repr(client)
    with django_assert_num_queries(1):
        assert client
        assert client.account == egnyte_account
        assert client.account is client.account
        # Debug pages and error reports show it, in coroutines and broken transactions, too.
        assert repr(client.account.token).startswith("<EgnyteToken: ")


def test_the_client_follows_the_user_until_first_use(
    egnyte_account: EgnyteAccount, other: Any
) -> None:
    request = request_of(other)
    client = RequestClient(request)
    request.user = egnyte_account.user
    assert client.account == egnyte_account


def test_a_repr_shows_no_secret(egnyte_account: EgnyteAccount) -> None:
    client = RequestClient(request_of(egnyte_account.user))
    assert client
    credentials = access.AccountConnection(egnyte_account).credentials()
    for shown in (repr(client), str(client), repr(credentials), repr(egnyte_account)):
        assert egnyte_account.open_token() not in shown
        assert egnyte_account.opened_token().refresh_token.reveal() not in shown
    assert "acme.egnyte.com" in repr(client)


def test_a_path_that_climbs_is_refused_before_anything_is_sent(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    client = RequestClient(request_of(egnyte_account.user))
    before = len(egnyte_sandbox.requests_log)
    for path in ("/pubapi/v1/../x", "//evil.com/x", "https://evil.com/", "/a%2f..%2fb", "/a\nb"):
        with pytest.raises(InvalidPathError):
            client.get(path)
    assert len(egnyte_sandbox.requests_log) == before


def test_another_users_account_is_refused(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, other: Any
) -> None:
    theirs = link_account(egnyte_sandbox, other, username="bdoe")
    client = RequestClient(request_of(egnyte_account.user))
    assert client.for_account(egnyte_account).userinfo()["username"] == "jsmith"
    with pytest.raises(NotLinkedError):
        client.for_account(theirs)
    with pytest.raises(NotLinkedError):
        RequestClient(request_of(AnonymousUser())).for_account(theirs)


def test_an_account_at_a_host_that_is_allowed_no_more_breaks_only_its_calls(
    egnyte_sandbox: Any, egnyte_account: EgnyteAccount, settings: Any
) -> None:
    """Otherwise each page that asks whether there is an account would fail."""
    settings.EGNYTE_DOMAIN_SUFFIXES = ["egnytegov.com"]
    calls = len(egnyte_sandbox.requests_log)
    for client in (RequestClient(request_of(egnyte_account.user)), egnyte_account.client):
        assert client
        assert client.account == egnyte_account
        with pytest.raises(InvalidDomainError):
            client.userinfo()
    assert len(egnyte_sandbox.requests_log) == calls


def test_a_default_that_is_dead_is_not_replaced_by_another(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    user = egnyte_account.user
    second = link_account(egnyte_sandbox, user, domain="globex", username="mmiller")
    assert RequestClient(request_of(user)).account == egnyte_account
    EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(status=Status.SUSPECT)
    assert RequestClient(request_of(user)).account == egnyte_account
    EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(status=Status.REVOKED)
    assert not RequestClient(request_of(user))
    disconnect(egnyte_account.pk, actor="test")
    assert RequestClient(request_of(user)).account == second


def test_a_token_is_refreshed_on_a_401_and_the_call_is_repeated(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    old = egnyte_account.open_token()
    egnyte_sandbox.expire_token(old)
    assert egnyte_account.client.userinfo()["username"] == "jsmith"
    found = EgnyteAccount.objects.get()
    assert found.open_token() != old
    assert found.token_id == egnyte_account.token_id + 1
    assert found.status == Status.ACTIVE
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_body_is_sent_again_whole_after_a_refresh(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    response = egnyte_account.client.post(
        "/pubapi/v1/fs-content/Shared/new.txt", data=b"once and whole"
    )
    assert response.status_code == 200
    assert egnyte_sandbox.read_file("acme", "/Shared/new.txt") == b"once and whole"


def test_a_token_refused_right_after_a_refresh_is_not_refreshed_again(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, hurried: list[Any]
) -> None:
    egnyte_sandbox.faults.add(path=USERINFO, status=401, body="", times=None)
    client = egnyte_account.client
    with pytest.raises(UnauthorizedError):
        client.userinfo()
    assert egnyte_sandbox.counts["token:refresh_token"] == 1
    found = EgnyteAccount.objects.get()
    assert found.status == Status.SUSPECT
    assert ("validate_account", found.pk, found.token_id) in hurried


def test_a_401_without_a_refresh_token_makes_suspect_and_hurries(
    egnyte_sandbox: Any, egnyte_user: Any, hurried: list[Any]
) -> None:
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    with pytest.raises(UnauthorizedError) as caught:
        account.client.userinfo()
    assert caught.value.host == "acme.egnyte.com"
    assert EgnyteAccount.objects.get().status == Status.SUSPECT
    assert hurried == [("validate_account", account.pk, account.token_id)]


@pytest.mark.django_db(transaction=True)
def test_within_a_transaction_the_suspicion_may_roll_back_but_the_worker_is_told(
    egnyte_sandbox: Any, egnyte_user: Any, hurried: list[Any]
) -> None:
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.revoke(account.open_token())
    with pytest.raises(UnauthorizedError), transaction.atomic():
        account.client.userinfo()
    assert hurried == [("validate_account", account.pk, account.token_id)]
    assert EgnyteAccount.objects.get().status == Status.ACTIVE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [True, False])
def test_within_a_transaction_no_token_is_refreshed(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, hurried: list[Any], known: bool
) -> None:
    """``known``: our clock says that the token has expired. Otherwise Egnyte answers 401."""
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    if known:
        ended = timezone.now() - timedelta(minutes=1)
        EgnyteToken.objects.write(expires_at=ended)
    account = EgnyteAccount.objects.get()
    with pytest.raises(TokenExpiredError) as caught, transaction.atomic():
        account.client.userinfo()
    assert caught.value.retryable
    assert hurried == [("refresh_account", account.pk, account.token_id)]
    assert egnyte_sandbox.counts.get("token:refresh_token", 0) == 0
    assert account.client.userinfo()["username"] == "jsmith"


@pytest.mark.django_db(transaction=True)
def test_nor_is_one_in_a_transaction_managed_by_hand(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, hurried: list[Any]
) -> None:
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TokenExpiredError):
            egnyte_account.client.userinfo()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert hurried == [("refresh_account", egnyte_account.pk, egnyte_account.token_id)]


def test_a_token_that_another_process_replaced_is_used(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    stale = EgnyteAccount.objects.get()
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    egnyte_account.client.userinfo()
    assert stale.client.userinfo()["username"] == "jsmith"
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_client_of_a_deleted_account_raises(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    client = client_of(EgnyteAccount.objects.get())
    disconnect(egnyte_account.pk, actor="test")
    walk.orphans(egnyte_sandbox)
    with pytest.raises(NotLinkedError):
        client.userinfo()


def test_under_act_as_a_401_does_not_refresh(
    egnyte_sandbox: Any, egnyte_user: Any, hurried: list[Any]
) -> None:
    account = link_account(egnyte_sandbox, egnyte_user, username="admin")
    egnyte_sandbox.faults.add(path=USERINFO, status=401, body="", times=None)
    with pytest.raises(UnauthorizedError):
        account.client.act_as(username="bdoe").userinfo()
    assert egnyte_sandbox.counts.get("token:refresh_token", 0) == 0
    # It was validated within the hour, when it was linked.
    assert hurried == []
    assert EgnyteAccount.objects.get().status == Status.ACTIVE


def test_no_token_is_logged_by_a_client(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    old = egnyte_account.open_token()
    egnyte_sandbox.expire_token(old)
    egnyte_account.client.userinfo()
    found = EgnyteAccount.objects.get()
    egnyte_sandbox.faults.add(path=USERINFO, reset=True, times=1)
    found.client.userinfo()
    text = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records)
    assert "userinfo" in text
    for secret in (old, found.open_token(), found.opened_token().refresh_token.reveal()):
        assert secret not in text


def test_connect_url_holds_what_is_given() -> None:
    assert connect_url() == "/egnyte/connect/"
    query = walk.query_of(connect_url(next_path="/a?b=c&d", domain="acme.egnyte.com"))
    assert query == {"next": "/a?b=c&d", "domain": "acme.egnyte.com"}


@pytest.mark.parametrize("accept", ["text/html", "text/html,*/*;q=0.8"])
def test_a_page_is_sent_to_connect(egnyte_user: Any, accept: str) -> None:
    response = to_connect(request_of(egnyte_user, Accept=accept))
    assert response.status_code == 302
    assert walk.query_of(response["Location"]) == {"next": "/files/?page=2"}


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/html;q=0.5"])
def test_an_api_is_answered_with_a_401(egnyte_user: Any, accept: str) -> None:
    response = to_connect(request_of(egnyte_user, Accept=accept))
    assert response.status_code == 401
    assert response["Content-Type"] == "application/json"
    assert b'"connect_url": "/egnyte/connect/?next=' in response.content
