"""The common behaviour of all pages, with different settings of a site."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.urls import reverse

from django_egnyte import views
from django_egnyte.models import EgnyteAccount, SpentState
from tests import walk
from tests.walk import assert_nothing_is_left

CSRF = "django.middleware.csrf.CsrfViewMiddleware"


class AtomicMiddleware:
    """Unlike ``ATOMIC_REQUESTS``, this middleware exempts no view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with transaction.atomic():
            return self.get_response(request)


@pytest.fixture
def in_transaction(settings: Any) -> Callable[[], None]:
    """From the call on, the site wraps each request in a transaction."""

    def begin() -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.AtomicMiddleware"]

    return begin


def assert_is_ours(response: Any, status: int) -> str:
    page = str(response.content.decode())
    assert response.status_code == status, page
    assert "egnyte-page" in page
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert response["X-Frame-Options"] == "DENY"
    return page


def assert_says_why(response: Any, caplog: pytest.LogCaptureFixture) -> None:
    page = assert_is_ours(response, 500)
    assert "tell the administrator of this site" in page
    assert reverse("egnyte:accounts") in page
    assert reverse("egnyte:connect") not in page  # trying again would not help
    (record,) = [each for each in caplog.records if each.name == "django_egnyte.views"]
    assert record.levelno == logging.ERROR
    assert vars(record)["event"] == "in_transaction"
    assert "middleware of this site" in record.getMessage()
    caplog.clear()


# A site that wraps requests in a transaction of its own.


def test_a_callback_in_the_sites_transaction_exchanges_nothing_and_says_why(
    browser: Client,
    egnyte_sandbox: Any,
    in_transaction: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    in_transaction()
    again = Client()  # middleware is loaded with a client's first request
    again.cookies = browser.cookies
    assert_says_why(walk.come_back(again, location), caplog)
    assert egnyte_sandbox.counts.get("token", 0) == 0
    assert not SpentState.objects.exists()
    assert_nothing_is_left(egnyte_sandbox)


def test_no_user_is_sent_to_egnyte_from_within_a_transaction(
    browser: Client,
    egnyte_sandbox: Any,
    in_transaction: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_transaction()
    assert_says_why(browser.post(reverse("egnyte:connect"), {"domain": "acme"}), caplog)


@pytest.mark.parametrize("name", ["disconnect", "default"])
def test_an_account_is_not_changed_within_a_transaction(
    browser: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    in_transaction: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    in_transaction()
    assert_says_why(browser.post(reverse(f"egnyte:{name}", args=[egnyte_account.pk])), caplog)
    assert EgnyteAccount.objects.get().is_live
    assert egnyte_sandbox.is_alive(egnyte_account.open_token())


@pytest.mark.parametrize("name", ["domain", "implicit", "password"])
def test_the_other_flows_exchange_nothing_within_a_transaction(
    browser: Client,
    egnyte_sandbox: Any,
    in_transaction: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    settings: Any,
    name: str,
) -> None:
    settings.EGNYTE_FLOW = {"domain": "enhanced"}.get(name, name)
    in_transaction()
    data = {"domain": "acme", "username": "jsmith", "password": "x", "access_token": "t"}
    assert_says_why(browser.post(reverse(f"egnyte:{name}"), data), caplog)
    assert egnyte_sandbox.counts.get("token", 0) == 0


def test_pages_that_change_nothing_are_shown_within_a_transaction(
    browser: Client,
    egnyte_account: EgnyteAccount,
    in_transaction: Callable[[], None],
) -> None:
    in_transaction()
    assert_is_ours(browser.get(reverse("egnyte:accounts")), 200)
    assert_is_ours(browser.get(reverse("egnyte:connect")), 200)


def test_a_user_who_is_not_logged_in_is_asked_to_first(
    client: Client, db: None, in_transaction: Callable[[], None]
) -> None:
    in_transaction()
    response = client.post(reverse("egnyte:connect"), {"domain": "acme"})
    assert response["Location"].startswith("/accounts/login/")


# Pages that are not there.


def test_a_404_is_a_page_like_the_others(browser: Client, egnyte_sandbox: Any) -> None:
    for response in (
        browser.get(reverse("egnyte:connect"), {"account": "999"}),
        browser.post(reverse("egnyte:connect"), {"account": "999"}),
        browser.post(reverse("egnyte:disconnect", args=[999])),
        browser.post(reverse("egnyte:default", args=[999])),
        browser.get(reverse("egnyte:password")),  # of another flow
    ):
        page = assert_is_ours(response, 404)
        assert "Page not found" in page
        assert reverse("egnyte:accounts") in page


# Middleware that a site may lack.


@pytest.fixture
def bare(settings: Any) -> None:
    kept = [name for name in settings.MIDDLEWARE if "csrf" not in name and "XFrame" not in name]
    assert CSRF in settings.MIDDLEWARE
    settings.MIDDLEWARE = kept


@pytest.mark.usefixtures("bare")
def test_a_forged_post_is_refused_without_the_sites_help(
    egnyte_user: Any, egnyte_account: EgnyteAccount
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(egnyte_user)
    url = reverse("egnyte:disconnect", args=[egnyte_account.pk])
    for address in (url, reverse("egnyte:connect"), reverse("egnyte:password")):
        response = client.post(address, {"domain": "acme"})
        assert response.status_code == 403
        assert "no-store" in response["Cache-Control"]
    assert EgnyteAccount.objects.exists()

    client.get(reverse("egnyte:accounts"))
    token = client.cookies["csrftoken"].value
    assert client.post(url, {"csrfmiddlewaretoken": token}).status_code == 302
    assert not EgnyteAccount.objects.exists()


@pytest.mark.usefixtures("bare")
def test_no_page_is_shown_in_a_frame(
    browser: Client, egnyte_account: EgnyteAccount, settings: Any
) -> None:
    pages = [reverse(f"egnyte:{name}") for name in ("accounts", "connect", "callback", "domain")]
    for address in pages:
        assert browser.get(address)["X-Frame-Options"] == "DENY"
    assert browser.get(reverse("egnyte:disconnect", args=[1]))["X-Frame-Options"] == "DENY"
    assert Client().get(reverse("egnyte:accounts"))["X-Frame-Options"] == "DENY"
    settings.X_FRAME_OPTIONS = "SAMEORIGIN"  # the site's own setting
    assert browser.get(pages[0])["X-Frame-Options"] == "SAMEORIGIN"


# The callback's query.


def called_back(factory: RequestFactory | AsyncRequestFactory) -> Any:
    address = "/egnyte/callback/?code=c0de&state=st4te"
    request: Any = factory.get(
        address,
        headers={"X-Original-URI": address, "Referer": "https://acme.egnyte.com/?code=c0de&state="},
    )
    request.user = AnonymousUser()
    response = views.callback(request)
    assert response.status_code == 302
    assert "c0de" not in response["Location"]
    return request


@pytest.mark.parametrize("factory", [RequestFactory(), AsyncRequestFactory()])
def test_the_code_is_taken_out_of_the_request(
    factory: RequestFactory | AsyncRequestFactory,
) -> None:
    request = called_back(factory)
    assert not request.GET
    assert request.get_full_path() == "/egnyte/callback/"
    assert request.META["HTTP_X_ORIGINAL_URI"] == "/egnyte/callback/"
    del request.META["HTTP_REFERER"]
    assert "c0de" not in f"{request!r} {request.META}"


def test_the_code_is_taken_out_of_an_asgi_requests_scope() -> None:
    request = called_back(AsyncRequestFactory())
    assert request.scope["query_string"] == b""
    assert request.scope["path"] == "/egnyte/callback/"


def test_a_referer_with_the_same_query_still_names_the_host() -> None:
    request: Any = RequestFactory().get(
        "/egnyte/callback/?code=c0de",
        headers={"Referer": "https://acme.egnyte.com/done?code=c0de"},
    )
    request.user = AnonymousUser()
    views.callback(request)
    assert request.META["HTTP_REFERER"] == "https://acme.egnyte.com/done"
