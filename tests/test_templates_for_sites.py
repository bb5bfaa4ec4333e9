"""The context variable and the two tags for a site's own templates."""

from __future__ import annotations

import html
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, RequestFactory
from django.urls import path

from django_egnyte.choices import Status
from django_egnyte.context_processors import egnyte
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.scopes import read
from django_egnyte.templatetags import egnyte as tags
from tests import urls, walk

CONNECTED = "{% if egnyte %}connected{% else %}not connected{% endif %}"


def rendered(source: str) -> Any:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(engines["django"].from_string(source).render({}, request))

    return view


urlpatterns = [
    *urls.urlpatterns,
    path("connected/", rendered(CONNECTED)),
    path("unrelated/", rendered("unrelated")),
    path("link/", rendered("{% load egnyte %}{% egnyte_connect_url %}")),
    path(
        "scoped/",
        rendered(
            '{% load egnyte %}{% egnyte_connect_url scopes="Egnyte.link Egnyte.user" '
            'next="/plain/" domain="acme" %}'
        ),
    ),
    path("switcher/", rendered("{% load egnyte %}{% egnyte_switcher %}")),
]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _processors(settings: Any) -> None:
    (templates,) = settings.TEMPLATES
    options = templates["OPTIONS"]
    processors = [*options["context_processors"], "django_egnyte.context_processors.egnyte"]
    settings.TEMPLATES = [templates | {"OPTIONS": options | {"context_processors": processors}}]


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def test_a_template_knows_whether_the_user_is_connected(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    assert text_of(browser.get("/connected/")) == "not connected"
    account = link_account(egnyte_sandbox, egnyte_user)
    assert text_of(browser.get("/connected/")) == "connected"
    EgnyteAccount.objects.filter(pk=account.pk).write(status=Status.REVOKED)
    assert text_of(browser.get("/connected/")) == "not connected"


def test_an_anonymous_visitor_is_not_connected(client: Client, db: None) -> None:
    assert text_of(client.get("/connected/")) == "not connected"


def test_a_template_that_does_not_ask_costs_no_query(browser: Client) -> None:
    with walk.Queries() as queries:
        assert text_of(browser.get("/unrelated/")) == "unrelated"
    assert queries.made == []


def test_without_the_middleware_nobody_is_connected() -> None:
    assert egnyte(RequestFactory().get("/")) == {"egnyte": None}


def test_the_frame_has_the_sites_name_and_a_way_home(
    browser: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert '<a href="/">testserver</a>' in text_of(browser.get("/egnyte/"))
    monkeypatch.setattr(tags, "get_current_site", lambda request: SimpleNamespace(name="Fern & Co"))
    monkeypatch.setattr(tags, "get_script_prefix", lambda: "/below/")
    assert '<a href="/below/">Fern & Co</a>' in text_of(browser.get("/egnyte/"))


@pytest.mark.parametrize("error", [ObjectDoesNotExist, ImproperlyConfigured])
def test_a_site_without_a_name_is_called_by_its_host(
    browser: Client, db: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def unnamed(request: HttpRequest) -> Any:
        raise error

    monkeypatch.setattr(tags, "get_current_site", unnamed)
    assert '<a href="/">testserver</a>' in text_of(browser.get("/egnyte/"))


def test_the_link_comes_back_to_its_page(browser: Client) -> None:
    url = text_of(browser.get("/link/?page=2&q=a b"))
    assert url.startswith("/egnyte/connect/?")
    assert walk.query_of(url) == {"next": "/link/?page=2&q=a%20b"}
    assert text_of(browser.post("/link/")) == "/egnyte/connect/"


def test_the_link_asks_its_user_for_scopes(browser: Client, egnyte_user: Any) -> None:
    query = walk.query_of(text_of(browser.get("/scoped/")))
    assert (query["next"], query["domain"]) == ("/plain/", "acme")
    assert read(egnyte_user, query["scopes"]) == ("Egnyte.link", "Egnyte.user")


def test_the_link_asks_a_visitor_for_none(client: Client, db: None) -> None:
    assert walk.query_of(text_of(client.get("/scoped/"))) == {"next": "/plain/", "domain": "acme"}


def test_tags_without_a_request_say_what_they_can() -> None:
    template = engines["django"].from_string(
        '{% load egnyte %}{% egnyte_connect_url scopes="Egnyte.link" %}|{% egnyte_switcher %}|'
    )
    assert template.render({}).split("|")[:2] == ["/egnyte/connect/", ""]


def test_the_switcher_offers_the_live_accounts_and_comes_back(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    one = link_account(egnyte_sandbox, egnyte_user)
    assert "<form" not in text_of(browser.get("/switcher/"))  # nothing to choose
    other = link_account(egnyte_sandbox, egnyte_user, domain="globex", username="mmiller")
    dead = link_account(egnyte_sandbox, egnyte_user, username="bdoe")
    EgnyteAccount.objects.filter(pk=dead.pk).write(status=Status.REVOKED)
    with walk.Queries() as queries:
        page = text_of(browser.get("/switcher/?a=b"))
    assert len(queries.made) == 3, queries.made  # session, user, accounts
    assert page.count("<form") == 2
    assert f'action="/egnyte/{other.pk}/default/"' in page
    assert 'name="csrfmiddlewaretoken"' in page
    assert 'name="next" value="/switcher/?a=b"' in page
    assert page.index("disabled") < page.index("jsmith") < page.index("mmiller")
    answer = browser.post(f"/egnyte/{other.pk}/default/", {"next": "/switcher/?a=b"})
    assert answer["Location"] == "/switcher/?a=b"
    one.refresh_from_db()
    assert not one.is_default
