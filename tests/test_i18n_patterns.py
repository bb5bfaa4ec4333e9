"""A site whose addresses begin with a language: Egnyte knows one callback."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils import translation

from django_egnyte.models import EgnyteAccount
from tests import walk
from tests.flows.steps import fragment_of

urlpatterns = i18n_patterns(
    path("egnyte/", include("django_egnyte.urls")),
    path("plain/", lambda request: HttpResponse("plain"), name="plain"),
    path("accounts/login/", lambda request: HttpResponse("log in"), name="login"),
)

unprefixed = i18n_patterns(
    path("egnyte/", include("django_egnyte.urls")), prefix_default_language=False
)

pytestmark = pytest.mark.urls(__name__)


class Unprefixed:
    urlpatterns = unprefixed


@pytest.fixture(autouse=True)
def _site(settings: Any) -> Any:
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("pl", "Polski")]
    with translation.override(translation.get_language()):
        yield


def begin(client: Client, language: str, prefix: str | None = None, **data: str) -> str:
    prefix = f"/{language}" if prefix is None else prefix
    response = client.post(f"{prefix}/egnyte/connect/", {"domain": "acme", **data})
    assert response.status_code == 302
    return str(response["Location"])


def test_the_callback_has_one_address_in_all_languages(
    browser: Client, egnyte_sandbox: Any
) -> None:
    uris = {walk.query_of(begin(browser, each))["redirect_uri"] for each in ("en", "de", "pl")}
    assert uris == {"http://testserver/en/egnyte/callback/"}


def test_the_callback_has_no_prefix_where_the_default_language_has_none(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = Unprefixed
    begun = [begin(browser, "en", ""), begin(browser, "de")]
    assert {walk.query_of(each)["redirect_uri"] for each in begun} == {
        "http://testserver/egnyte/callback/"
    }


@pytest.mark.parametrize("language", ["en", "de", "pl"])
def test_the_user_comes_back_in_their_language(
    browser: Client, egnyte_sandbox: Any, language: str
) -> None:
    location = egnyte_sandbox.authorize(begin(browser, language), "jsmith")
    response = browser.get(location)
    assert response["Location"] == f"/{language}/egnyte/"
    words = {
        "en": "Connected to acme.egnyte.com",
        "de": "Mit acme.egnyte.com verbunden",
        "pl": "Połączono z acme.egnyte.com",
    }
    assert words[language] in browser.get(response["Location"]).content.decode()
    assert EgnyteAccount.objects.exists()


def test_a_refusal_is_in_the_users_language(browser: Client, egnyte_sandbox: Any) -> None:
    location = egnyte_sandbox.authorize(begin(browser, "de"), "jsmith", allow=False)
    page = browser.get(location).content.decode()
    assert "/de/egnyte/connect/" in page
    assert "Egnyte wurde nicht verbunden" in page


def test_the_language_of_one_request_is_not_the_nexts(browser: Client, egnyte_sandbox: Any) -> None:
    browser.get(egnyte_sandbox.authorize(begin(browser, "de"), "jsmith"))
    assert browser.get("/en/egnyte/").headers["Content-Language"] == "en"


def test_an_implicit_answer_is_posted_to_where_its_attempt_is_known(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    settings.EGNYTE_FLOW = "implicit"
    settings.EGNYTE_CLIENT_ID = "sandbox-implicit-key"
    settings.EGNYTE_CLIENT_SECRET = ""
    url = begin(browser, "de")
    path = "/en/egnyte/implicit/"
    (cookie,) = (each for name, each in browser.cookies.items() if "attempt_" in name)
    assert cookie["path"] == path
    assert f'action="{path}"' in browser.get("/en/egnyte/callback/").content.decode()
    location = egnyte_sandbox.authorize(url, "jsmith")
    fragment = location.partition("#")[2]
    given = fragment_of(f"/egnyte/callback/#{fragment}")
    assert browser.post(path, given)["Location"] == "/de/egnyte/"
    assert EgnyteAccount.objects.exists()
