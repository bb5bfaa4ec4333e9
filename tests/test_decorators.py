from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View

from django_egnyte.choices import Status
from django_egnyte.decorators import egnyte_required
from django_egnyte.models import EgnyteAccount
from tests import walk


@egnyte_required
def plain(request: HttpRequest, word: str) -> HttpResponse:
    """Answers with a fixed word."""
    return HttpResponse(word)


@egnyte_required(scopes=["Egnyte.user"])
def scoped(request: HttpRequest) -> HttpResponse:
    return HttpResponse("scoped")


@egnyte_required
async def aplain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("async")


@method_decorator(egnyte_required, name="dispatch")
class Based(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("class")


@egnyte_required
class Decorated(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("decorated")


@egnyte_required(scopes=["Egnyte.user"])
class DecoratedScoped(Decorated):
    pass


class AsyncBased(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("async")


@method_decorator(egnyte_required, name="dispatch")
class AsyncDispatched(AsyncBased):
    pass


class AsyncHandled(View):
    @method_decorator(egnyte_required)
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("async")


urlpatterns = [
    path("plain/<str:word>/", plain),
    path("scoped/", scoped),
    path("aplain/", aplain),
    path("class/", Based.as_view()),
    path("decorated/", Decorated.as_view()),
    path("decorated-scoped/", DecoratedScoped.as_view()),
    path("async-class/", egnyte_required(AsyncBased.as_view())),
    path("async-dispatch/", AsyncDispatched.as_view()),
    path("async-handler/", AsyncHandled.as_view()),
    path("egnyte/", include("django_egnyte.urls")),
]

pytestmark = pytest.mark.urls(__name__)


@pytest.mark.parametrize(
    "url", ["/plain/word/", "/class/", "/scoped/", "/decorated/", "/decorated-scoped/"]
)
def test_a_user_without_an_account_connects_and_comes_back(browser: Client, url: str) -> None:
    response = browser.get(url)
    assert response.status_code == 302
    assert response["Location"].startswith("/egnyte/connect/?")
    assert walk.query_of(response["Location"])["next"] == url


@pytest.mark.parametrize(("url", "said"), [("/plain/word/", b"word"), ("/class/", b"class")])
@pytest.mark.parametrize("status", [Status.ACTIVE, Status.SUSPECT])
def test_a_user_with_a_live_account_passes(
    browser: Client, egnyte_account: EgnyteAccount, url: str, said: bytes, status: str
) -> None:
    EgnyteAccount.objects.write(status=status)
    assert browser.get(url).content == said


def test_a_user_whose_account_is_dead_connects_again(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    EgnyteAccount.objects.write(status=Status.REVOKED)
    assert browser.get("/plain/word/").status_code == 302


def test_an_api_gets_a_401(browser: Client) -> None:
    response = browser.get("/plain/word/", headers={"Accept": "application/json"})
    assert response.status_code == 401
    assert "connect_url" in response.json()


def test_a_scope_that_was_not_granted_leads_through_consent_once(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    response = browser.get("/scoped/")
    assert response.status_code == 302
    query = walk.query_of(response["Location"])
    assert query["domain"] == "acme.egnyte.com"
    back = walk.link(browser, egnyte_sandbox, scopes=query["scopes"], next=query["next"])
    assert back["Location"] == "/scoped/"
    assert browser.get("/scoped/").content == b"scoped"
    assert EgnyteAccount.objects.count() == 1


def test_no_scope_at_all_means_every_api(browser: Client, egnyte_account: EgnyteAccount) -> None:
    EgnyteAccount.objects.write(scopes=[])
    assert browser.get("/scoped/").content == b"scoped"


def test_the_view_keeps_its_name() -> None:
    assert plain.__name__ == "plain"
    assert plain.__doc__ == "Answers with a fixed word."


ASYNC = ["/aplain/", "/async-class/", "/async-dispatch/", "/async-handler/"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ASYNC)
def test_an_async_view_is_guarded_too(
    egnyte_sandbox: Any,
    egnyte_user: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: Any,
    url: str,
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", False)
    client = AsyncClient()
    client.force_login(egnyte_user)

    async def fetch() -> Any:
        return await client.get(url, headers={"Accept": "text/html"})

    wanted = f"/egnyte/connect/?next={quote(url, safe='')}"
    assert async_to_sync(fetch)()["Location"] == wanted
    request.getfixturevalue("egnyte_account")
    assert async_to_sync(fetch)().content == b"async"


@pytest.mark.parametrize("url", ASYNC)
def test_an_async_view_is_guarded_under_wsgi(
    browser: Client, monkeypatch: pytest.MonkeyPatch, request: Any, url: str
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", False)
    assert browser.get(url).status_code == 302
    request.getfixturevalue("egnyte_account")
    assert browser.get(url).content == b"async"


def test_a_decorated_class_asks_for_its_scopes(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    assert "scopes" in walk.query_of(browser.get("/decorated-scoped/")["Location"])
    EgnyteAccount.objects.write(scopes=["Egnyte.user"])
    assert browser.get("/decorated-scoped/").content == b"decorated"


def test_a_decorated_class_keeps_its_name() -> None:
    assert (Decorated.__name__, Decorated.__module__) == ("Decorated", __name__)


def test_a_method_says_how_it_is_decorated() -> None:
    with pytest.raises(TypeError, match=r"@method_decorator\(egnyte_required\)"):

        class Wrong(View):
            @egnyte_required
            def get(self, request: HttpRequest) -> HttpResponse:
                return HttpResponse("never")
