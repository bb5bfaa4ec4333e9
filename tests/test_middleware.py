from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.base import BaseHandler
from django.db import OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import include, path

from django_egnyte import middleware, queue
from django_egnyte.access import settle_again
from django_egnyte.choices import EventKind, Status
from django_egnyte.exceptions import NotLinkedError, TokenExpiredError, TokenUse, UnauthorizedError
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import refresh as refreshing
from django_egnyte.services import sweep
from tests import walk
from tests.users import another_user, browser_of


def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("untouched")


def touched(request: Any) -> HttpResponse:
    return HttpResponse(str(bool(request.egnyte)))


def userinfo(request: Any) -> HttpResponse:
    return JsonResponse(request.egnyte.userinfo())


def somebody_elses(request: Any, pk: int) -> HttpResponse:
    """A site may use one user's account for others, on its own responsibility."""
    return JsonResponse(EgnyteAccount.objects.get(pk=pk).client.userinfo())


async def auserinfo(request: Any) -> HttpResponse:
    client = await request.aegnyte()
    assert client is await request.aegnyte()
    if not client:
        return HttpResponse("not linked")
    found = await client.auserinfo()
    listed = await client.aget("/pubapi/v1/fs/Shared")
    return JsonResponse({**found, "status": listed.status_code, "pk": client.account.pk})


async def adirect(request: Any) -> HttpResponse:
    return JsonResponse(await request.egnyte.auserinfo())


async def aborrowed(request: Any, pk: int) -> JsonResponse:
    """Neither needs `aegnyte()`: the first call finds the accounts."""
    account = await EgnyteAccount.objects.aget(pk=pk)
    acting = request.egnyte.act_as(username="jsmith")
    try:
        own = await request.egnyte.for_account(account).auserinfo()
    except NotLinkedError:
        own = {}
    refused = await acting.aget("/pubapi/v1/userinfo")  # the user is no administrator
    return JsonResponse({"acting": refused.status_code, "own": bool(own)})


def patient(request: Any) -> HttpResponse:
    try:
        return userinfo(request)
    except TokenExpiredError:
        return HttpResponse("soon")


urlpatterns = [
    path("patient/", patient),
    path("untouched/", untouched),
    path("touched/", touched),
    path("userinfo/", userinfo),
    path("auserinfo/", auserinfo),
    path("adirect/", adirect),
    path("of/<int:pk>/", somebody_elses),
    path("aborrowed/<int:pk>/", aborrowed),
    path("egnyte/", include("django_egnyte.urls")),
]

pytestmark = pytest.mark.urls(__name__)


def test_a_page_that_ignores_request_egnyte_makes_no_query(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    with walk.Queries() as queries:
        assert browser.get("/untouched/").content == b"untouched"
    # No query at all, not even for the session and the user, which the view does not use.
    assert queries.made == []


def test_first_use_makes_one_query_more_than_the_user(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    with walk.Queries() as queries:
        assert browser.get("/touched/").content == b"True"
    assert [sql for sql in queries.made if "egnyteaccount" in sql] == queries.made[-1:]
    assert len(queries.made) == 3, queries.made  # session, user, account


def test_first_use_reads_the_token_along_and_no_refresh_token(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    egnyte_account.client.userinfo()  # records the use, so that the next call need not
    with walk.Queries() as queries:
        assert browser.get("/userinfo/").json()["username"] == "jsmith"
    assert len(queries.made) == 3, queries.made
    (read,) = [sql for sql in queries.made if "egnyteaccount" in sql]
    columns = read.partition("FROM")[0]
    assert "access_token" in columns
    for name in ("refresh_token", "refreshed_from", "egnyte_egnytegrant"):
        assert name not in columns


def test_a_users_account_is_used(browser: Client, egnyte_account: EgnyteAccount) -> None:
    assert browser.get("/userinfo/").json()["username"] == "jsmith"


def test_a_page_without_an_account_is_sent_to_connect_and_back(browser: Client) -> None:
    response = browser.get("/userinfo/?a=b")
    assert response.status_code == 302
    assert response["Location"].startswith("/egnyte/connect/?")
    assert walk.query_of(response["Location"]) == {"next": "/userinfo/?a=b"}


def test_an_anonymous_page_is_sent_to_connect(client: Client, db: None) -> None:
    response = client.get("/userinfo/", headers={"Accept": "text/html"})
    assert response["Location"].startswith("/egnyte/connect/")


def test_a_post_is_not_come_back_to(browser: Client) -> None:
    assert browser.post("/userinfo/")["Location"] == "/egnyte/connect/"


def test_an_api_without_an_account_gets_a_401(browser: Client) -> None:
    response = browser.get("/userinfo/", headers={"Accept": "application/json"})
    assert response.status_code == 401
    assert response.json()["error"] == "egnyte_not_linked"
    assert response.json()["connect_url"].startswith("/egnyte/connect/?next=")


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_401_that_escapes_leads_to_connect_with_the_domain(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any, method: str
) -> None:
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.revoke(account.open_token())
    response = getattr(browser, method)("/userinfo/")
    assert response.status_code == 302
    expected = {"domain": "acme.egnyte.com"} | ({"next": "/userinfo/"} if method == "get" else {})
    assert walk.query_of(response["Location"]) == expected
    account.refresh_from_db()
    assert account.status == Status.SUSPECT


def test_a_401_of_somebody_elses_account_is_not_this_users_to_settle(
    egnyte_sandbox: Any, egnyte_user: Any, django_user_model: Any, django_username_field: str
) -> None:
    stranger = browser_of(another_user(django_user_model, django_username_field))
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.revoke(account.open_token())
    with pytest.raises(UnauthorizedError):
        stranger.get(f"/of/{account.pk}/")


def test_nor_is_it_if_this_user_has_an_account_at_the_same_domain(
    browser: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    django_user_model: Any,
    django_username_field: str,
) -> None:
    egnyte_sandbox.policy.style = "legacy"
    other = another_user(django_user_model, django_username_field)
    theirs = link_account(egnyte_sandbox, other, username="bdoe")
    egnyte_sandbox.revoke(theirs.open_token())
    with pytest.raises(UnauthorizedError):
        browser.get(f"/of/{theirs.pk}/")


def test_a_site_without_messages_is_led_to_connect_all_the_same(
    browser: Client, egnyte_user: Any, egnyte_sandbox: Any, settings: Any
) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "messages" not in name]
    # Without a refresh token, which under ATOMIC_REQUESTS would be left to a worker.
    egnyte_sandbox.policy.style = "legacy"
    egnyte_sandbox.revoke(link_account(egnyte_sandbox, egnyte_user).open_token())
    assert browser.get("/userinfo/")["Location"].startswith("/egnyte/connect/?")


@pytest.mark.parametrize("is_async", [False, True])
def test_no_chain_is_adapted_to_it(
    settings: Any, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    """Django would run a middleware without async support in a thread, for each request."""
    settings.DEBUG = True
    settings.MIDDLEWARE = ["django_egnyte.middleware.EgnyteMiddleware"]
    with caplog.at_level("DEBUG", logger="django.request"):
        BaseHandler().load_middleware(is_async=is_async)
    adapted = [record.getMessage() for record in caplog.records]
    assert [message for message in adapted if "EgnyteMiddleware" in message] == []


@pytest.fixture
def atomic_requests(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    # There is no worker to which a task could be sent.
    monkeypatch.setattr(queue, "_send", lambda *args: None)


def test_a_suspicion_outlives_the_views_transaction(
    atomic_requests: None, browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    egnyte_sandbox.policy.style = "legacy"
    account = link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.revoke(account.open_token())
    assert browser.get("/userinfo/").status_code == 302
    assert EgnyteAccount.objects.get().status == Status.SUSPECT
    assert AccountEvent.objects.filter(kind=EventKind.SUSPECTED).count() == 1


@pytest.mark.parametrize("page", ["/userinfo/", "/patient/"])
def test_a_refresh_that_a_transaction_forbids_is_the_next_sweeps(
    atomic_requests: None,
    browser: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    page: str,
) -> None:
    """Whether the view is rolled back or catches the error."""
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    browser.raise_request_exception = False
    assert browser.get(page).status_code == (500 if page == "/userinfo/" else 200)
    assert sweep.refresh_due(actor="test") == {"refreshed": 1}
    assert browser.get("/userinfo/").json()["username"] == "jsmith"


def test_what_befell_an_older_token_is_not_written_down(
    atomic_requests: None, browser: Client, egnyte_account: EgnyteAccount
) -> None:
    before = EgnyteGrant.objects.get().next_refresh_at
    older = (egnyte_account.token_id or 0) - 1
    for error in (UnauthorizedError("No."), TokenExpiredError("Later.")):
        error.used = TokenUse(egnyte_account.pk, egnyte_account.user_id, older, unsettled=True)
        settle_again(error)
    assert EgnyteAccount.objects.get().status == Status.ACTIVE
    assert EgnyteGrant.objects.get().next_refresh_at == before


def test_a_refresh_that_cannot_be_noted_is_hurried_all_the_same(
    atomic_requests: None, egnyte_account: EgnyteAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(queue, "_send", lambda task, args: sent.append((task, *args)))
    monkeypatch.delattr(refreshing, "EgnyteGrant")
    refreshing.request_refresh(egnyte_account)
    with transaction.atomic():
        refreshing.request_refresh(egnyte_account)
    expected = ("refresh_account", egnyte_account.pk, egnyte_account.token_id)
    assert sent == [expected] * 2


def test_the_views_error_is_told_of_when_the_database_fails_after_it(
    atomic_requests: None,
    browser: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(error: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(middleware, "settle_again", fail)
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    with pytest.raises(TokenExpiredError):
        browser.get("/userinfo/")
    events = [getattr(record, "event", None) for record in caplog.records]
    assert events.count("refusal_not_written") == 1


def test_other_errors_pass(browser: Client, egnyte_account: EgnyteAccount) -> None:
    with pytest.raises(EgnyteAccount.DoesNotExist):
        browser.get("/of/0/")


def run_async(user: Any, url: str, **headers: str) -> Any:
    client = AsyncClient()
    client.force_login(user)

    async def fetch() -> Any:
        return await client.get(url, headers={"Accept": "text/html"} | headers)

    return async_to_sync(fetch)()


@pytest.mark.django_db(transaction=True)
def test_an_async_view_awaits_its_client(
    egnyte_account: EgnyteAccount, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_atomic_requests(monkeypatch)
    found = run_async(egnyte_account.user, "/auserinfo/").json()
    assert (found["username"], found["status"]) == ("jsmith", 200)
    assert found["pk"] == egnyte_account.pk
    assert run_async(egnyte_account.user, "/adirect/").json()["username"] == "jsmith"


@pytest.mark.django_db(transaction=True)
def test_an_async_view_need_not_wait_before_it_acts_or_takes_another_account(
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    django_user_model: Any,
    django_username_field: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_atomic_requests(monkeypatch)
    other = another_user(django_user_model, django_username_field)
    theirs = link_account(egnyte_sandbox, other, username="bdoe")
    for account, own in ((egnyte_account, True), (theirs, False)):
        found = run_async(egnyte_account.user, f"/aborrowed/{account.pk}/").json()
        assert found == {"acting": 403, "own": own}


@pytest.mark.django_db(transaction=True)
def test_an_async_view_without_an_account(
    egnyte_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_atomic_requests(monkeypatch)
    assert run_async(egnyte_user, "/auserinfo/").content == b"not linked"
    response = run_async(egnyte_user, "/adirect/")
    assert response["Location"] == "/egnyte/connect/?next=%2Fadirect%2F"
    assert run_async(egnyte_user, "/adirect/", Accept="application/json").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_an_async_view_refreshes_its_token(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_atomic_requests(monkeypatch)
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    assert run_async(egnyte_account.user, "/auserinfo/").json()["username"] == "jsmith"
    assert EgnyteAccount.objects.get().token_id == egnyte_account.token_id + 1


def without_atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django refuses async views under it."""
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", False)
