"""The Enhanced flow: how it begins, and which Referer names the domain."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from django_egnyte import gateway
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import link as linking
from tests import walk

from .steps import ACCOUNTS, CALLBACK, CONNECT, DOMAIN, assert_page, begin, come_back


@pytest.mark.parametrize(
    ("region", "host"),
    [("us", "us-partner-integrations.egnyte.com"), ("eu", "partner-integrations.egnyte.com")],
)
def test_enhanced_begins_at_the_service_of_the_region(
    browser: Client, settings: Any, region: str, host: str
) -> None:
    settings.EGNYTE_FLOW = "enhanced"
    settings.EGNYTE_REGION = region
    response = browser.post(CONNECT, secure=True)
    assert response.status_code == 302
    assert response["Location"].partition("?")[0] == f"https://{host}/services/oauth/code"
    query = walk.query_of(response["Location"])
    assert query.pop("state")
    assert query == {
        "client_id": "test-client-id",
        "redirect_uri": "https://testserver/egnyte/callback/",
        "response_type": "code",
        "scope": "Egnyte.filesystem",
    }


def test_enhanced_asks_for_no_domain_before(browser: Client, enhanced: Any) -> None:
    page = assert_page(browser.get(CONNECT), 200, "Continue to Egnyte")
    assert 'name="domain"' not in page


@pytest.mark.parametrize(("domain", "user"), [("acme", "jsmith"), ("globex", "mmiller")])
def test_enhanced_learns_the_domain_from_the_referer(
    browser: Client, enhanced: Any, domain: str, user: str
) -> None:
    url = begin(browser, next="/plain/")
    location = enhanced.authorize(url, user, domain=domain)
    response = come_back(browser, location, enhanced.referer(url, domain=domain))
    assert response.status_code == 302
    assert response["Location"] == "/plain/"
    account = EgnyteAccount.objects.get()
    assert (account.domain, account.username) == (f"{domain}.egnyte.com", user)
    assert account.flow == "enhanced"
    assert enhanced.is_alive(account.open_token())


@pytest.mark.parametrize("domain", ["EGNYTE_DOMAIN", None])
def test_enhanced_skips_the_question_where_the_domain_is_known(
    browser: Client, enhanced: Any, settings: Any, egnyte_user: Any, domain: str | None
) -> None:
    if domain:
        settings.EGNYTE_DOMAIN = "acme"
        data = {}
    else:
        data = {"account": link_account(enhanced, egnyte_user).pk}
    url = begin(browser, **data)
    assert walk.query_of(url)["domain"] == "acme"
    # Then no Referer is needed, and a foreign one is ignored.
    location = enhanced.authorize(url, "jsmith")
    response = come_back(browser, location, gateway.base_url("globex.egnyte.com") + "/")
    assert response.status_code == 302
    assert response["Location"] == ACCOUNTS
    assert EgnyteAccount.objects.get().domain == "acme.egnyte.com"


def test_enhanced_names_a_gov_cloud_domain_by_its_whole_address(
    browser: Client, enhanced: Any, settings: Any
) -> None:
    """ "acme" alone would be acme.egnyte.com: another company."""
    settings.EGNYTE_DOMAIN = "acme.egnytegov.com"
    assert walk.query_of(begin(browser))["domain"] == "https://acme.egnytegov.com"


def test_a_relink_through_the_service_refuses_another_egnyte_user(
    browser: Client, enhanced: Any, egnyte_user: Any
) -> None:
    account = link_account(enhanced, egnyte_user)
    url = begin(browser, account=account.pk)
    response = come_back(browser, enhanced.authorize(url, "bdoe"))
    assert_page(response, 409, "logged in as another user")
    assert [each.username for each in EgnyteAccount.objects.all()] == ["jsmith"]
    assert walk.orphans(enhanced) == []


REFERERS = [
    ("https://acme.egnyte.com/", "acme.egnyte.com"),
    ("https://acme.egnyte.com", "acme.egnyte.com"),
    ("https://ACME.EGNYTE.COM/", "acme.egnyte.com"),
    ("https://acme.egnyte.com/puboauth/token?client_id=1", "acme.egnyte.com"),
    ("https://acme.egnytegov.com/", "acme.egnytegov.com"),
]
LOOK_ALIKES = [
    "",
    "acme",
    "acme.egnyte.com",
    "//acme.egnyte.com/",
    "http://acme.egnyte.com/",
    "ftp://acme.egnyte.com/",
    "javascript:https://acme.egnyte.com/",
    "https://acme.egnyte.com.evil.com/",
    "https://acme.egnyte.com.",
    "https://evil.com/acme.egnyte.com",
    "https://evil.com/https://acme.egnyte.com/",
    "https://evil.com?https://acme.egnyte.com/",
    "https://evil.com#acme.egnyte.com",
    "https://acmeegnyte.com/",
    "https://acme.evil-egnyte.com/",
    "https://egnyte.com/",
    "https://a.b.egnyte.com/",
    "https://acme.qa-egnyte.com/",
    "https://www.egnyte.com/",
    "https://us-partner-integrations.egnyte.com/",
    "https://acme.egnyte.com:443/",
    "https://acme.egnyte.com:8443/",
    "https://acme.egnyte.com:0/",
    "https://acme.egnyte.com:/",
    "https://acme.egnyte.com:443x/",
    "https://evil.com@acme.egnyte.com/",
    "https://@acme.egnyte.com/",
    "https://acme.egnyte.com@evil.com/",
    "https://evil.com\\@acme.egnyte.com/",
    "https://acme.egnyte.com\\.evil.com/",
    "https://acme．egnyte.com/",  # noqa: RUF001
    "https://аcme.egnyte.com/",  # noqa: RUF001
    "https://xn--cme-5cd.egnyte.com/",
    "https://acme.egnyte.com%00.evil.com/",
    "https://acme.egnyte.com%2eevil.com/",
    "https://evil/",
    "https://acme/",
    "https://[::1]/",
    "https://[",
    "x" * 100_000,
]


@pytest.mark.parametrize(("referer", "host"), REFERERS)
def test_a_referer_of_a_customers_host_is_believed(
    browser: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, referer: str, host: str
) -> None:
    settings.EGNYTE_FLOW = "enhanced"
    settings.EGNYTE_REDIRECT_URI = "https://testserver/egnyte/callback/"
    asked: list[str] = []

    def exchange(user: Any, *, host: str, **rest: Any) -> EgnyteAccount:
        asked.append(host)
        return EgnyteAccount(domain=host)

    monkeypatch.setattr(linking, "link_with_code", exchange)
    given = walk.query_of(begin(browser))["state"]
    response = come_back(browser, f"{CALLBACK}?code=abc&state={given}", referer)
    assert response.status_code == 302
    assert asked == [host]


@pytest.mark.parametrize("referer", LOOK_ALIKES)
def test_a_referer_that_only_looks_like_egnytes_is_not_believed(
    browser: Client, settings: Any, referer: str
) -> None:
    settings.EGNYTE_FLOW = "enhanced"
    settings.EGNYTE_REDIRECT_URI = "https://testserver/egnyte/callback/"
    given = walk.query_of(begin(browser))["state"]
    # As a WSGI server gives it: bytes, read as Latin-1.
    raw = referer.encode().decode("latin-1")
    response = come_back(browser, f"{CALLBACK}?code=s3cret-code&state={given}", raw)
    assert response.status_code == 302
    assert response["Location"].startswith(f"{DOMAIN}?attempt=")
    assert gateway.host_of_referer(referer) is None


def test_a_referer_counts_only_within_the_sites_limits(settings: Any) -> None:
    assert gateway.host_of_referer("https://acme.egnyte.com/") == "acme.egnyte.com"
    settings.EGNYTE_ALLOWED_DOMAINS = ["globex"]
    assert gateway.host_of_referer("https://acme.egnyte.com/") is None
    assert gateway.host_of_referer("https://globex.egnyte.com/") == "globex.egnyte.com"
    settings.EGNYTE_ALLOWED_DOMAINS = None
    settings.EGNYTE_DOMAIN_SUFFIXES = ["qa-egnyte.com"]
    assert gateway.host_of_referer("https://acme.egnyte.com/") is None
    assert gateway.host_of_referer("https://acme.qa-egnyte.com/") == "acme.qa-egnyte.com"


IN_PATH, IN_HOST = "http://127.0.0.1:8765/d/{domain}", "http://{domain}.localhost:8765"


@pytest.mark.parametrize(
    ("template", "referer", "host"),
    [
        (IN_PATH, "http://127.0.0.1:8765/d/acme", "acme"),
        (IN_PATH, "http://127.0.0.1:8765/d/acme/", "acme"),
        ("http://127.0.0.1:8765/d/{domain}/", "http://127.0.0.1:8765/d/acme", "acme"),
        (IN_PATH, "http://127.0.0.1:8765/d/acme/puboauth/token?a=b", "acme"),
        (IN_PATH, "http://127.0.0.1:8765/d/www/", None),
        (IN_PATH, "http://127.0.0.1:8765/d/acme.evil.com/", None),
        (IN_PATH, "http://127.0.0.1:8765/d/acme@evil.com/", None),
        (IN_PATH, "http://127.0.0.1:8765/d/acme%2fx", None),
        (IN_PATH, "http://127.0.0.1:8765/", None),
        (IN_PATH, "http://127.0.0.1:8766/d/acme/", None),
        (IN_PATH, "http://127a0b0c1:8765/d/acme/", None),
        (IN_PATH, "http://evil.com/?http://127.0.0.1:8765/d/acme/", None),
        (IN_PATH, "https://acme.egnyte.com/", None),
        (IN_PATH, "", None),
        (IN_HOST, "http://acme.localhost:8765/", "acme"),
        (IN_HOST, "http://acme.localhost:8765", "acme"),
        (IN_HOST, "http://acme.localhost:87650/", None),
        (IN_HOST, "http://acme.localhost:8765.evil.com/", None),
        (IN_HOST, "http://acme.localhost:8765@evil.com/", None),
        (IN_HOST, "http://evil.com/acme.localhost:8765/", None),
        (IN_HOST, "http://x.acme.localhost:8765/", None),
        (IN_HOST, "http://localhost:8765/", None),
        ("http://localhost:8765", "http://localhost:8765/", None),
    ],
)  # fmt: skip
def test_under_egnyte_base_url_the_referer_is_matched_against_it(
    settings: Any, template: str, referer: str, host: str | None
) -> None:
    settings.EGNYTE_BASE_URL = template
    assert gateway.host_of_referer(referer) == (f"{host}.egnyte.com" if host else None)


@pytest.mark.parametrize("form", ["path", "host"])
def test_the_referer_of_both_forms_of_the_sandbox_is_understood(
    browser: Client, enhanced: Any, egnyte_sandbox_server: Any, settings: Any, form: str
) -> None:
    if form == "host":
        settings.EGNYTE_BASE_URL = egnyte_sandbox_server.host_base_url
    url = begin(browser)
    assert gateway.host_of_referer(enhanced.referer(url, domain="globex")) == "globex.egnyte.com"
