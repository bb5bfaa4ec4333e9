from __future__ import annotations

import html
import logging
import re
import secrets
import sys
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.core import signing
from django.core.signals import got_request_exception
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from django.views.debug import ExceptionReporter

from django_egnyte import conf, gateway, state
from django_egnyte.access import SCOPES_SALT
from django_egnyte.decorators import egnyte_required
from django_egnyte.forms import PasswordForm
from django_egnyte.models import AccountEvent, EgnyteAccount, PendingRevocation
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import link as linking
from tests import urls, walk

ACCOUNTS, CONNECT, CALLBACK = "/egnyte/", "/egnyte/connect/", "/egnyte/callback/"
DOMAIN, IMPLICIT, PASSWORD = "/egnyte/domain/", "/egnyte/implicit/", "/egnyte/password/"


@egnyte_required(scopes=["Egnyte.link"])
def links(request: HttpRequest) -> HttpResponse:
    return HttpResponse("links")


@egnyte_required(scopes=["Egnyte.audit"])
def audit(request: HttpRequest) -> HttpResponse:
    return HttpResponse("audit")


urlpatterns = [*urls.urlpatterns, path("links/", links), path("audit/", audit)]


@pytest.fixture
def browser(client: Client, egnyte_user: Any) -> Client:
    client.force_login(egnyte_user)
    return client


@pytest.fixture
def another(django_user_model: Any, django_username_field: str, db: None) -> Client:
    """The browser of another user of the site."""
    other = Client()
    other.force_login(
        django_user_model.objects.create(**{django_username_field: "other@example.com"})
    )
    return other


def assert_page(response: Any, status: int, *words: str) -> str:
    page = html.unescape(response.content.decode())
    assert response.status_code == status, page
    for word in words:
        assert word in page
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] in ("same-origin", "no-referrer")
    return page


def assert_clean(sandbox: Any) -> None:
    """No account, and after a pass of the revoker no token: not here, and not at Egnyte."""
    assert not EgnyteAccount.objects.exists()
    assert walk.orphans(sandbox) == []
    assert not PendingRevocation.objects.exists()


def hidden(response: Any, name: str) -> str:
    """The value of a hidden field."""
    (found,) = re.findall(rf'name="{name}" value="([^"]*)"', response.content.decode())
    return html.unescape(found)


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than ten minutes from now. The session lives on: it lasts two weeks."""
    moment = time.time() + conf.STATE_LIFETIME + 1
    monkeypatch.setattr(state.time, "time", lambda: moment)


# The Enhanced Authentication Service.


@pytest.fixture
def enhanced(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_FLOW = "enhanced"
    return egnyte_sandbox


def begin(client: Client, **data: Any) -> str:
    response = client.post(CONNECT, data)
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def come_back(client: Client, location: str, referer: str | None = None) -> Any:
    parts = urlsplit(location)
    headers = {} if referer is None else {"Referer": referer}
    return client.get(f"{parts.path}?{parts.query}", headers=headers)


def consented(client: Client, sandbox: Any, domain: str = "acme", user: str = "jsmith") -> str:
    """Where the browser arrives after a consent through the Enhanced service."""
    return str(sandbox.authorize(begin(client), user, domain=domain))


def parked(client: Client, sandbox: Any, **options: Any) -> str:
    """The address of the page that asks for the domain."""
    response = come_back(client, consented(client, sandbox, **options))
    assert response.status_code == 302
    return str(response["Location"])


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
    assert enhanced.is_alive(account.access_token)


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
    # No Referer is needed then, and a foreign one has no say.
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


@pytest.mark.parametrize("referer", [None, "", "https://evil.com/", "http://127.0.0.1:1/d/acme/"])
def test_without_a_known_referer_the_user_is_asked_for_the_domain(
    browser: Client, enhanced: Any, egnyte_user: Any, referer: str | None
) -> None:
    url = begin(browser, next="/plain/")
    location = enhanced.authorize(url, "jsmith", domain="acme")
    response = come_back(browser, location, referer)
    code = walk.query_of(location)["code"]
    assert response.status_code == 302
    assert response["Location"].startswith(f"{DOMAIN}?attempt=")
    assert code not in response["Location"]
    assert walk.query_of(location)["state"] not in response["Location"]
    assert code not in repr(dict(browser.session))
    assert enhanced.counts["token"] == 0

    asked = browser.get(response["Location"])
    page = assert_page(asked, 200, "your browser did not say at which domain")
    assert code not in page
    answer = browser.post(DOMAIN, {"attempt": hidden(asked, "attempt"), "domain": "ACME "})
    assert answer.status_code == 302
    assert answer["Location"] == "/plain/"
    account = EgnyteAccount.objects.get()
    assert (account.user, account.domain) == (egnyte_user, "acme.egnyte.com")
    assert (account.flow, account.scopes) == ("enhanced", ["Egnyte.filesystem"])
    assert walk.orphans(enhanced) == []


def test_a_slip_in_the_domain_can_be_corrected(browser: Client, enhanced: Any) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    for typed in ("", "no domain!", "acme.evil.com", "www", "us-partner-integrations"):
        response = browser.post(DOMAIN, {"attempt": attempt, "domain": typed})
        assert_page(response, 400, attempt)
        assert enhanced.counts["token"] == 0
    assert browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"}).status_code == 302
    assert EgnyteAccount.objects.exists()


def test_a_domain_that_may_not_be_linked_gets_no_code(
    browser: Client, enhanced: Any, settings: Any
) -> None:
    settings.EGNYTE_ALLOWED_DOMAINS = ["globex"]
    url = begin(browser)
    location = enhanced.authorize(url, "jsmith", domain="acme")
    response = come_back(browser, location, enhanced.referer(url, domain="acme"))
    attempt = walk.query_of(response["Location"])["attempt"]
    response = browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "cannot be connected here")
    assert enhanced.counts["token"] == 0


def test_a_code_given_to_the_wrong_domain_is_refused_there(browser: Client, enhanced: Any) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    response = browser.post(DOMAIN, {"attempt": attempt, "domain": "globex"})
    assert_page(response, 400, "Egnyte was not connected")
    assert_clean(enhanced)
    assert [each.domain for each in enhanced.requests_log if each.endpoint.startswith("token")] == [
        "globex"
    ]


def test_a_parked_code_is_used_once(browser: Client, enhanced: Any) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    answers = [browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"}) for _ in range(2)]
    assert answers[0].status_code == 302
    assert_page(answers[1], 400, "already used")
    assert enhanced.counts["token:authorization_code"] == 1
    assert EgnyteAccount.objects.get().token_version == 1


def test_the_callback_of_a_parked_code_is_used_up(browser: Client, enhanced: Any) -> None:
    url = begin(browser)
    location = enhanced.authorize(url, "jsmith", domain="acme")
    come_back(browser, location)
    answer = come_back(browser, location, enhanced.referer(url, domain="acme"))
    assert_page(answer, 400, "already used")
    assert enhanced.counts["token"] == 0


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_parked_code_belongs_to_its_session(
    browser: Client, egnyte_user: Any, enhanced: Any, another: Client, method: str
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    twin = Client()
    twin.force_login(egnyte_user)
    for stranger in (twin, another):
        response = getattr(stranger, method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
        assert_page(response, 400, "not started in this browser session")
    assert enhanced.counts["token"] == 0
    anonymous = getattr(Client(), method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_parked_code_belongs_to_its_user(
    browser: Client,
    enhanced: Any,
    django_user_model: Any,
    django_username_field: str,
    method: str,
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    other = django_user_model.objects.create(**{django_username_field: "other@example.com"})
    session = browser.session
    session[SESSION_KEY] = str(other.pk)
    session[HASH_SESSION_KEY] = other.get_session_auth_hash()
    session.save()
    response = getattr(browser, method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "started by another user")
    assert enhanced.counts["token"] == 0


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_parked_code_expires_with_its_attempt(
    browser: Client, enhanced: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    later(monkeypatch)
    response = getattr(browser, method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "longer than ten minutes")
    assert enhanced.counts["token"] == 0


@pytest.mark.parametrize("attempt", ["", "guessed", "\x00", "x" * 10_000])
def test_an_attempt_that_parked_no_code_is_refused(
    browser: Client, enhanced: Any, attempt: str
) -> None:
    parked(browser, enhanced)
    for response in (
        browser.get(DOMAIN, {"attempt": attempt}),
        browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"}),
    ):
        assert_page(response, 400, "not started in this browser session")


def test_a_state_is_no_parked_code_and_a_parked_code_no_state(
    browser: Client, enhanced: Any
) -> None:
    given = walk.query_of(begin(browser))["state"]
    assert_page(browser.post(DOMAIN, {"attempt": given, "domain": "acme"}), 400, "not started")
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    response = come_back(browser, f"{CALLBACK}?code=another&state={attempt}")
    assert_page(response, 400, "not started")
    assert enhanced.counts["token"] == 0


def test_a_parked_code_that_no_key_opens_is_a_400_page(
    browser: Client, enhanced: Any, settings: Any
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key of thirty-two characters or more"]
    response = browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "not started")


def test_the_question_for_the_domain_needs_a_csrf_token(
    egnyte_user: Any, enhanced: Any, browser: Client
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post(DOMAIN, {"attempt": attempt, "domain": "acme"}).status_code == 403
    assert enhanced.counts["token"] == 0


def test_a_relink_through_the_service_refuses_another_egnyte_user(
    browser: Client, enhanced: Any, egnyte_user: Any
) -> None:
    account = link_account(enhanced, egnyte_user)
    url = begin(browser, account=account.pk)
    response = come_back(browser, enhanced.authorize(url, "bdoe"))
    assert_page(response, 409, "signed in at Egnyte as somebody else")
    assert [each.username for each in EgnyteAccount.objects.all()] == ["jsmith"]
    assert walk.orphans(enhanced) == []


# Implicit grant.


@pytest.fixture
def implicit(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_FLOW = "implicit"
    settings.EGNYTE_CLIENT_ID = "sandbox-implicit-key"
    settings.EGNYTE_CLIENT_SECRET = ""
    return egnyte_sandbox


def fragment_of(location: str) -> dict[str, str]:
    parts = urlsplit(location)
    assert parts.path == CALLBACK
    assert parts.query == ""
    return {name: values[0] for name, values in parse_qs(parts.fragment).items()}


def granted(client: Client, sandbox: Any, user: str = "jsmith", **data: Any) -> dict[str, str]:
    """What stands in the fragment after a consent."""
    return fragment_of(sandbox.authorize(walk.begin(client, **data), user))


def posted(client: Client, fragment: dict[str, str], **changes: str) -> Any:
    """What the page's script does: see test_flows_browser for the script itself."""
    names = ("access_token", "state", "expires_in", "scope", "error")
    return client.post(IMPLICIT, {name: fragment.get(name, "") for name in names} | changes)


def test_implicit_asks_for_a_token(browser: Client, implicit: Any) -> None:
    query = walk.query_of(walk.begin(browser))
    assert query["response_type"] == "token"
    assert query["client_id"] == "sandbox-implicit-key"


def test_the_fragment_page_posts_with_a_csrf_token(
    browser: Client, implicit: Any, egnyte_user: Any
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(egnyte_user)
    fragment = granted(browser, implicit)
    for name, morsel in browser.cookies.items():
        strict.cookies[name] = morsel.value
    page = strict.get(CALLBACK)
    assert_page(page, 200, f'action="{IMPLICIT}"', 'name="access_token"')
    assert page["Referrer-Policy"] == "same-origin"
    token = hidden(page, "csrfmiddlewaretoken")

    assert posted(strict, fragment).status_code == 403
    assert not EgnyteAccount.objects.exists()
    response = posted(strict, fragment, csrfmiddlewaretoken=token)
    assert response.status_code == 302
    assert response["Location"] == ACCOUNTS
    account = EgnyteAccount.objects.get()
    assert (account.user, account.username, account.flow) == (egnyte_user, "jsmith", "implicit")
    assert account.access_token == fragment["access_token"]
    assert account.refresh_token == ""
    assert account.expires_at is not None
    assert account.client.userinfo()["username"] == "jsmith"
    assert walk.orphans(implicit) == []


def test_the_fragment_page_needs_no_inline_script_or_style(browser: Client, implicit: Any) -> None:
    page = assert_page(browser.get(CALLBACK), 200)
    (script,) = re.findall(r"<script\b([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert 'src="/static/egnyte/implicit.js"' in script[0]
    assert script[1] == ""
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_the_fragment_page_says_so_where_there_is_no_javascript(
    browser: Client, implicit: Any
) -> None:
    page = assert_page(browser.get(CALLBACK), 200)
    (words,) = re.findall(r"<noscript>(.*?)</noscript>", page, re.DOTALL)
    assert "needs JavaScript" in words


def test_the_token_is_sought_where_egnyte_puts_it(browser: Client, implicit: Any) -> None:
    """The script posts these names; each is a name of RFC 6749 section 4.2.2."""
    page = assert_page(browser.get(CALLBACK), 200)
    fields = set(re.findall(r'<input type="hidden" name="(\w+)"', page))
    assert fields - {"csrfmiddlewaretoken"} == {
        "access_token", "state", "expires_in", "scope", "error",
    }  # fmt: skip


def test_an_anonymous_fragment_ends_at_the_log_in_page(client: Client, implicit: Any) -> None:
    response = client.get(CALLBACK)
    assert response.status_code == 302
    # The browser would carry the fragment on to an address without one of its own.
    assert response["Location"] == f"/accounts/login/?next={CALLBACK}#"


def test_an_anonymous_token_is_not_taken(client: Client, implicit: Any, db: None) -> None:
    issued = implicit.issue("acme", "jsmith")
    response = posted(client, {"access_token": issued.access_token, "state": "x"})
    assert response.status_code == 302
    assert issued.access_token not in response["Location"]
    assert not PendingRevocation.objects.exists()


@pytest.mark.parametrize("given", ["", "guessed"])
def test_a_token_without_its_state_is_not_taken(browser: Client, implicit: Any, given: str) -> None:
    fragment = granted(browser, implicit)
    assert_page(posted(browser, fragment, state=given), 400, "not started in this browser session")
    assert not PendingRevocation.objects.exists()
    assert implicit.counts["userinfo"] == 0


def test_a_token_comes_once(browser: Client, implicit: Any) -> None:
    fragment = granted(browser, implicit)
    assert posted(browser, fragment).status_code == 302
    assert_page(posted(browser, fragment), 400, "already used")
    assert EgnyteAccount.objects.get().token_version == 1
    assert implicit.is_alive(fragment["access_token"])
    assert walk.orphans(implicit) == []


def test_a_token_of_another_session_is_refused(
    browser: Client, implicit: Any, another: Client
) -> None:
    """Somebody slips a victim a token, to read what the victim will upload."""
    fragment = granted(another, implicit, "bdoe")
    assert_page(posted(browser, fragment), 400, "not started in this browser session")
    assert not EgnyteAccount.objects.exists()
    assert posted(another, fragment).status_code == 302


def test_a_late_token_is_refused(
    browser: Client, implicit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragment = granted(browser, implicit)
    later(monkeypatch)
    assert_page(posted(browser, fragment), 400, "longer than ten minutes")
    assert not EgnyteAccount.objects.exists()


@pytest.mark.parametrize(
    "token", ["", " ", "a b", "x" * 4097, "tökén", "a\r\nX-Injected: 1", "\x00", "null\x7f"]
)
def test_what_is_no_token_is_a_400_page_and_no_call(
    browser: Client, implicit: Any, token: str
) -> None:
    fragment = granted(browser, implicit)
    response = posted(browser, fragment, access_token=token)
    assert_page(response, 400, "Egnyte was not connected")
    assert not PendingRevocation.objects.exists()
    assert implicit.counts["userinfo"] == 0


def test_a_token_that_egnyte_does_not_know_is_a_400_page(browser: Client, implicit: Any) -> None:
    fragment = granted(browser, implicit)
    implicit.revoke(fragment["access_token"])
    response = posted(browser, fragment, access_token="garbage-that-looks-like-a-token")
    page = assert_page(response, 400, "Egnyte was not connected")
    assert "garbage" not in page
    assert_clean(implicit)


@pytest.mark.parametrize("status", [401, 403])
def test_a_dead_token_is_a_400_page(browser: Client, implicit: Any, status: int) -> None:
    implicit.settings.unknown_token_status = status
    fragment = granted(browser, implicit)
    implicit.revoke(fragment["access_token"])
    assert_page(posted(browser, fragment), 400, "Egnyte was not connected")
    assert_clean(implicit)


def test_egnytes_own_trouble_stays_a_503_page(browser: Client, implicit: Any) -> None:
    fragment = granted(browser, implicit)
    implicit.faults.add(path="/userinfo", status=503)
    assert_page(posted(browser, fragment), 503)
    assert_clean(implicit)


def test_a_token_of_another_host_is_neither_kept_nor_sent_there(
    browser: Client, implicit: Any
) -> None:
    foreign = implicit.issue("globex", "mmiller", client_id="sandbox-implicit-key")
    fragment = granted(browser, implicit)
    implicit.revoke(fragment["access_token"])
    response = posted(browser, fragment, access_token=foreign.access_token)
    assert_page(response, 400, "Egnyte was not connected")
    assert not EgnyteAccount.objects.exists()
    walk.orphans(implicit)
    assert not PendingRevocation.objects.exists()
    assert {each.domain for each in implicit.requests_log} == {"acme"}
    assert implicit.is_alive(foreign.access_token)


def test_a_token_of_another_egnyte_user_than_the_one_to_relink_is_not_kept(
    browser: Client, implicit: Any
) -> None:
    assert posted(browser, granted(browser, implicit)).status_code == 302
    account = EgnyteAccount.objects.get()
    fragment = granted(browser, implicit, "bdoe", account=account.pk)
    assert_page(posted(browser, fragment), 409, "signed in at Egnyte as somebody else")
    stored = EgnyteAccount.objects.get()
    assert (stored.username, stored.access_token) == ("jsmith", account.access_token)
    assert walk.orphans(implicit) == []
    assert not implicit.is_alive(fragment["access_token"])
    assert implicit.is_alive(stored.access_token)


def test_a_relink_replaces_an_implicit_token(browser: Client, implicit: Any) -> None:
    posted(browser, granted(browser, implicit))
    first = EgnyteAccount.objects.get()
    response = posted(browser, granted(browser, implicit, account=first.pk))
    assert response.status_code == 302
    second = EgnyteAccount.objects.get()
    assert (second.pk, second.token_version) == (first.pk, 2)
    assert walk.orphans(implicit) == []
    assert not implicit.is_alive(first.access_token)


@pytest.mark.parametrize("relink", [False, True])
def test_an_implicit_token_never_replaces_one_of_another_flow(
    browser: Client, implicit: Any, egnyte_user: Any, relink: bool
) -> None:
    """RFC 6749 section 10.16: it proves no identity."""
    account = link_account(implicit, egnyte_user)
    data = {"account": account.pk} if relink else {}
    fragment = granted(browser, implicit, **data)
    assert_page(posted(browser, fragment), 400, "disconnect the account and connect it again")
    stored = EgnyteAccount.objects.get()
    assert (stored.flow, stored.access_token, stored.token_version) == (
        "authorization_code", account.access_token, 1,
    )  # fmt: skip
    assert walk.orphans(implicit) == []
    assert implicit.is_alive(account.access_token)
    assert not implicit.is_alive(fragment["access_token"])


def test_posting_a_token_that_is_held_already_does_not_end_it(
    browser: Client, implicit: Any, another: Client
) -> None:
    posted(another, granted(another, implicit))
    held = EgnyteAccount.objects.get()
    fragment = granted(browser, implicit, "bdoe")
    mine = posted(browser, fragment)
    assert mine.status_code == 302
    again = granted(
        browser, implicit, "bdoe", account=EgnyteAccount.objects.get(username="bdoe").pk
    )
    response = posted(browser, again, access_token=held.access_token)
    assert_page(response, 409)
    walk.orphans(implicit)
    assert implicit.is_alive(held.access_token)
    assert not PendingRevocation.objects.exists()


def test_a_token_posted_for_an_attempt_of_another_flow_is_not_taken(
    browser: Client, egnyte_sandbox: Any
) -> None:
    given = walk.query_of(walk.begin(browser))["state"]
    issued = egnyte_sandbox.issue("acme", "jsmith")
    response = posted(browser, {"access_token": issued.access_token, "state": given})
    assert_page(response, 400)
    assert not PendingRevocation.objects.exists()
    assert egnyte_sandbox.counts["userinfo"] == 0


@pytest.mark.parametrize("where", ["fragment", "query"])
def test_a_refusal_is_a_403_page(browser: Client, implicit: Any, where: str) -> None:
    location = implicit.authorize(walk.begin(browser), "jsmith", allow=False)
    fragment = fragment_of(location)
    assert fragment["error"] == "access_denied"
    response = posted(browser, fragment) if where == "fragment" else browser.get(CALLBACK, fragment)
    assert_page(response, 403, "Access was not allowed at Egnyte")
    assert_clean(implicit)
    assert_page(posted(browser, fragment), 400, "already used")


@pytest.mark.parametrize("error", ["server_error", "<script>alert(1)</script>"])
def test_another_error_is_a_400_page_that_does_not_repeat_it(
    browser: Client, implicit: Any, error: str
) -> None:
    given = walk.query_of(walk.begin(browser))["state"]
    response = posted(browser, {"state": given, "error": error})
    assert error not in assert_page(response, 400)


@pytest.mark.parametrize(
    ("scope", "stored"),
    [
        ("", ["Egnyte.filesystem"]),
        ("Egnyte.filesystem Egnyte.link", ["Egnyte.filesystem", "Egnyte.link"]),
        ("Egnyte.link \x00 b\x00d ünknown", ["Egnyte.link"]),
        ("\x00", ["Egnyte.filesystem"]),
    ],
)
def test_the_scopes_that_a_browser_tells_are_stored_if_they_are_scopes(
    browser: Client, implicit: Any, scope: str, stored: list[str]
) -> None:
    fragment = granted(browser, implicit)
    assert posted(browser, fragment, scope=scope).status_code == 302
    assert EgnyteAccount.objects.get().scopes == stored


@pytest.mark.parametrize(
    ("expires_in", "expires"),
    [("3600", True), ("-1", False), ("", False), ("soon", False), ("1e999", False), ("nan", False)],
)
def test_what_a_browser_says_about_expiry_breaks_nothing(
    browser: Client, implicit: Any, expires_in: str, expires: bool
) -> None:
    fragment = granted(browser, implicit)
    assert posted(browser, fragment, expires_in=expires_in).status_code == 302
    assert (EgnyteAccount.objects.get().expires_at is not None) is expires


def test_a_posted_token_is_in_no_log_and_on_no_page(
    browser: Client, implicit: Any, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    fragment = granted(browser, implicit)
    implicit.faults.add(path="/userinfo", status=500)
    pages = [posted(browser, fragment), posted(browser, fragment)]
    pages.append(posted(browser, granted(browser, implicit)))
    token = EgnyteAccount.objects.get().access_token
    pages.append(browser.get(ACCOUNTS))
    for secret in (fragment["access_token"], token):
        assert not [each for each in pages if secret in each.content.decode()]
        assert not [
            record for record in caplog.records
            if record.name != "django.db.backends" and secret in f"{record.__dict__}"
        ]  # fmt: skip
        assert secret not in repr(dict(browser.session))


@pytest.mark.parametrize(
    "bug", ["django_egnyte.oauth.parse_userinfo", "django_egnyte.views.flows.browser_answer"]
)
def test_an_error_page_under_debug_shows_no_posted_token(
    browser: Client, implicit: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    settings.DEBUG = True
    browser.raise_request_exception = False
    fragment = granted(browser, implicit)
    monkeypatch.setattr(bug, lambda *args, **kwargs: 1 / 0)
    response = posted(browser, fragment)
    page = response.content.decode()
    assert response.status_code == 500
    assert "ZeroDivisionError" in page
    assert fragment["access_token"] not in page
    assert fragment["state"] not in page


# Resource owner password.

SECRET = "c0rrect <horse> & =+%C3%BCnïcödé"


@pytest.fixture
def internal(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.EGNYTE_FLOW = "password"
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"
    egnyte_sandbox.set_password("acme", "jsmith", SECRET)
    return egnyte_sandbox


def log_in(client: Client, password: str = SECRET, **data: Any) -> Any:
    data = {"domain": "acme", "username": "jsmith", "password": password, **data}
    return client.post(PASSWORD, data)


@pytest.mark.parametrize("flow", ["authorization_code", "enhanced", "implicit"])
def test_there_is_no_password_page_under_another_flow(
    browser: Client, internal: Any, settings: Any, flow: str
) -> None:
    settings.EGNYTE_FLOW = flow
    assert browser.get(PASSWORD).status_code == 404
    assert log_in(browser).status_code == 404
    assert internal.counts["token"] == 0


def test_connect_leads_to_the_password_page(browser: Client, internal: Any) -> None:
    for response in (
        browser.get(CONNECT, {"next": "/plain/", "domain": "acme"}),
        browser.post(CONNECT, {"next": "/plain/", "domain": "acme"}),
    ):
        assert response.status_code == 302
        assert response["Location"].startswith(f"{PASSWORD}?")
        page = assert_page(browser.get(response["Location"]), 200, 'value="/plain/"')
        assert 'value="acme"' in page


def test_a_username_and_a_password_link_the_account(
    browser: Client, internal: Any, egnyte_user: Any
) -> None:
    response = log_in(browser, next="/plain/?page=2")
    assert response.status_code == 302, response.content.decode()
    assert response["Location"] == "/plain/?page=2"
    account = EgnyteAccount.objects.get()
    assert (account.user, account.domain) == (egnyte_user, "acme.egnyte.com")
    assert (account.username, account.egnyte_user_id) == ("jsmith", 121)
    assert (account.flow, account.scopes) == ("password", ["Egnyte.filesystem"])
    assert internal.is_alive(account.access_token)
    assert walk.orphans(internal) == []
    assert "Connected to acme.egnyte.com." in browser.get(ACCOUNTS).content.decode()


def test_the_domain_is_not_asked_for_where_it_is_fixed(
    browser: Client, internal: Any, settings: Any
) -> None:
    settings.EGNYTE_DOMAIN = "acme"
    page = assert_page(browser.get(PASSWORD), 200, "acme.egnyte.com")
    assert 'name="domain"' not in page
    assert log_in(browser, domain="globex").status_code == 302
    assert EgnyteAccount.objects.get().domain == "acme.egnyte.com"


@pytest.mark.parametrize("next_path", ["https://evil.com/", "//evil.com", "javascript:alert(1)"])
def test_a_next_of_another_site_is_dropped(browser: Client, internal: Any, next_path: str) -> None:
    assert next_path not in assert_page(browser.get(PASSWORD, {"next": next_path}), 200)
    assert log_in(browser, next=next_path)["Location"] == ACCOUNTS


def test_a_wrong_password_is_told_on_the_form_and_not_repeated(
    browser: Client, internal: Any
) -> None:
    wrong = "a wrong p4ssword"
    page = assert_page(log_in(browser, wrong), 403, "did not accept this username and password")
    assert wrong not in page
    assert 'value="jsmith"' in page
    assert 'value="acme"' in page
    assert_clean(internal)
    event = AccountEvent.objects.get()
    assert (event.kind, event.username, event.domain) == (
        "link_failed",
        "jsmith",
        "acme.egnyte.com",
    )
    assert log_in(browser).status_code == 302


@pytest.mark.parametrize(
    "data",
    [
        {"username": ""},
        {"password": ""},
        {"username": "a\x00b"},
        {"username": "x" * 256},
        {"domain": ""},
        {"domain": "evil.com"},
        {"domain": "acme@evil.com"},
    ],
)
def test_what_cannot_be_right_is_not_sent(
    browser: Client, internal: Any, data: dict[str, str]
) -> None:
    page = assert_page(log_in(browser, **data), 400)
    assert SECRET not in page
    assert "errorlist" in page
    assert internal.counts["token"] == 0


def test_the_password_page_needs_a_user_and_a_csrf_token(
    client: Client, internal: Any, egnyte_user: Any
) -> None:
    assert log_in(client)["Location"].startswith("/accounts/login/")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(egnyte_user)
    assert log_in(strict).status_code == 403
    token = hidden(strict.get(PASSWORD), "csrfmiddlewaretoken")
    assert internal.counts["token"] == 0
    assert log_in(strict, csrfmiddlewaretoken=token).status_code == 302


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 503}, 503),
        ({"reset": True}, 503),
        ({"status": 409, "headers": {"Retry-After": "60"}}, 503),
        ({"malformed": True}, 502),
        ({"status": 403, "body": {"errorCode": "GRANT_PASSWORD", "message": "m"}}, 400),
        ({"status": 401, "body": {"errorCode": "INTERNAL_ERROR", "message": "m"}}, 400),
    ],
)
def test_what_is_not_the_passwords_fault_is_a_page_of_its_own(
    browser: Client, internal: Any, fault: dict[str, Any], status: int
) -> None:
    internal.faults.add(path="^/puboauth/token", method="POST", **fault)
    page = assert_page(log_in(browser), status)
    assert "did not accept this username" not in page
    assert SECRET not in page
    assert_clean(internal)


def test_after_five_wrong_passwords_an_hour_no_more_are_tried(
    browser: Client, internal: Any
) -> None:
    for _ in range(conf.FAILURES_PER_HOUR):
        assert_page(log_in(browser, "wrong"), 403)
    response = log_in(browser)
    assert_page(response, 429, "wait an hour")
    assert int(response["Retry-After"]) > 0
    assert internal.counts["token:password"] == conf.FAILURES_PER_HOUR
    assert not EgnyteAccount.objects.exists()


def test_wrong_passwords_count_against_the_egnyte_user_whoever_tries(
    browser: Client, internal: Any, another: Client
) -> None:
    for _ in range(conf.FAILURES_PER_HOUR):
        log_in(browser, "wrong")
    assert_page(log_in(another), 429)
    assert_page(log_in(another, username="JSmith"), 429)
    assert log_in(another, "demo-password-2", username="bdoe").status_code == 302


def test_right_passwords_are_no_failures(browser: Client, internal: Any) -> None:
    for _ in range(conf.FAILURES_PER_HOUR + 2):
        assert log_in(browser).status_code == 302
    assert EgnyteAccount.objects.get().token_version == conf.FAILURES_PER_HOUR + 2
    assert walk.orphans(internal) == []


@pytest.mark.django_db(transaction=True)
def test_twenty_wrong_passwords_at_once_are_five(browser: Client, internal: Any) -> None:
    barrier = threading.Barrier(20)
    statuses: list[int] = []

    def guess(number: int) -> None:
        twin = Client(raise_request_exception=False)
        twin.cookies = browser.cookies
        barrier.wait()
        try:
            statuses.append(log_in(twin, f"wrong-{number}").status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [403] * conf.FAILURES_PER_HOUR + [429] * (
        20 - conf.FAILURES_PER_HOUR
    )
    assert internal.counts["token:password"] == conf.FAILURES_PER_HOUR


def stored_text() -> str:
    """Every row of every table."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found.append(repr(cursor.fetchall()))
    return "\n".join(found)


def test_a_password_is_kept_nowhere(
    browser: Client, internal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret, wrong = "r1ght-and-easy-to-find", "wr0ng-and-easy-to-find"
    internal.set_password("acme", "jsmith", secret)
    answers = [log_in(browser, wrong)]
    internal.faults.add(path="^/puboauth/token", method="POST", status=500, body=f"<h1>{wrong}")
    answers += [log_in(browser, wrong), log_in(browser, secret)]
    assert EgnyteAccount.objects.exists()
    answers.append(browser.get(ACCOUNTS))
    rows = stored_text()
    assert "jsmith" in rows
    for word in (secret, wrong):
        assert word not in rows
        assert word not in repr(dict(browser.session))
        assert not [each for each in answers if word in f"{each.headers}{each.content.decode()}"]
        assert not [each for each in caplog.records if word in f"{each.__dict__}"]


BUGS = [
    "a validator of the password",
    "django_egnyte.services.budget.reserve_attempt",
    "django_egnyte.http.door._prepared",
    "django_egnyte.oauth.parse_token_answer",
    "django_egnyte.oauth.parse_userinfo",
    "django_egnyte.services.link._store",
]


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("debug", [True, False])
def test_an_error_report_shows_no_password(
    browser: Client,
    internal: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    bug: str,
    debug: bool,
) -> None:
    settings.DEBUG = debug
    secret = secrets.token_hex()  # not in this line's source, which the report quotes
    internal.set_password("acme", "jsmith", secret)
    browser.raise_request_exception = False
    if bug == "a validator of the password":
        field = PasswordForm.base_fields["password"]
        monkeypatch.setattr(field, "validators", [lambda value: 1 / 0])
    else:
        monkeypatch.setattr(bug, lambda *args, **kwargs: 1 / 0)
    reports: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])

    got_request_exception.connect(report)
    try:
        response = log_in(browser, secret)
    finally:
        got_request_exception.disconnect(report)
    assert response.status_code == 500
    for text in [response.content.decode(), *reports]:
        assert secret not in text
    assert "ZeroDivisionError" in reports[0]
    assert ("ZeroDivisionError" in response.content.decode()) is debug


def test_a_relink_is_filled_in_and_replaces_the_token(browser: Client, internal: Any) -> None:
    log_in(browser)
    first = EgnyteAccount.objects.get()
    internal.set_password("acme", "jsmith", "a newer password")
    response = browser.get(CONNECT, {"account": first.pk})
    page = assert_page(browser.get(response["Location"]), 200, 'value="jsmith"')
    assert 'value="acme.egnyte.com"' in page
    assert log_in(browser, "a newer password", domain="acme.egnyte.com").status_code == 302
    second = EgnyteAccount.objects.get()
    assert (second.pk, second.token_version) == (first.pk, 2)
    assert internal.is_alive(second.access_token)
    assert walk.orphans(internal) == []


# egnyte_required(scopes=...)


@pytest.fixture
def scoped(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.ROOT_URLCONF = __name__
    return egnyte_sandbox


def through(client: Client, sandbox: Any, address: str) -> Any:
    """From a page that needs more scopes, through consent, and back to it."""
    response = client.get(address)
    assert response.status_code == 302, response.content.decode()
    page = client.get(response["Location"])
    data = {"scopes": hidden(page, "scopes"), "next": hidden(page, "next"), "domain": "acme"}
    back = walk.come_back(client, sandbox.authorize(begin(client, **data), "jsmith"))
    assert back.status_code == 302, back.content.decode()
    assert back["Location"] == address
    return client.get(back["Location"])


@pytest.mark.parametrize("linked", [True, False])
def test_a_page_that_needs_more_scopes_gets_them(
    browser: Client, scoped: Any, egnyte_user: Any, linked: bool
) -> None:
    if linked:
        link_account(scoped, egnyte_user)
    response = browser.get("/links/")
    assert response.status_code == 302
    page = assert_page(browser.get(response["Location"]), 200)
    assert "Links to files and folders" in page
    assert "Files, search, comments" in page
    url = begin(browser, scopes=hidden(browser.get(response["Location"]), "scopes"), domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem Egnyte.link"

    assert through(browser, scoped, "/links/").content == b"links"
    account = EgnyteAccount.objects.get()
    assert account.scopes == ["Egnyte.filesystem", "Egnyte.link"]
    (grant,) = (each for each in scoped.live_grants() if "Egnyte.link" in each.scopes)
    assert set(grant.scopes) == {"Egnyte.filesystem", "Egnyte.link"}


def test_scopes_that_egnyte_did_not_grant_are_not_stored(
    browser: Client, scoped: Any, egnyte_user: Any
) -> None:
    scoped.policy.answer_scope = True
    scoped.faults.add(
        path="^/puboauth/token", method="POST", status=200,
        body={
            "access_token": scoped.issue("acme", "jsmith").access_token,
            "scope": "Egnyte.filesystem",
        },
    )  # fmt: skip
    walk.link(browser, scoped, scopes=signing.dumps(["Egnyte.link"], salt=SCOPES_SALT))
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem"]


def test_two_pages_that_need_different_scopes_do_not_take_turns(
    browser: Client, scoped: Any
) -> None:
    assert through(browser, scoped, "/links/").content == b"links"
    assert through(browser, scoped, "/audit/").content == b"audit"
    assert browser.get("/links/").content == b"links"


@pytest.mark.parametrize(
    "scopes",
    [
        "Egnyte.link",
        '["Egnyte.link"]',
        signing.dumps(["Egnyte.link"], key="k" * 50, salt=SCOPES_SALT),
        signing.dumps(["Egnyte.link"], key="k" * 50),
        "x" * 5000,
    ],
)
def test_scopes_that_this_site_did_not_sign_are_ignored(
    browser: Client, scoped: Any, caplog: pytest.LogCaptureFixture, scopes: str
) -> None:
    page = assert_page(browser.get(CONNECT, {"scopes": scopes}), 200)
    assert "Links to files and folders" not in page
    url = begin(browser, scopes=scopes, domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem"
    assert "not signed by this site" in caplog.text


def test_scopes_signed_for_another_purpose_or_changed_are_ignored(
    browser: Client, scoped: Any
) -> None:
    signed = signing.dumps(["Egnyte.link"], salt=SCOPES_SALT)
    other = signing.dumps(["Egnyte.link", "Egnyte.user"], salt=SCOPES_SALT)
    tampered = other.partition(":")[0] + ":" + signed.partition(":")[2]
    for scopes in (signing.dumps(["Egnyte.link"]), tampered, signed[:-1]):
        url = begin(browser, scopes=scopes, domain="acme")
        assert walk.query_of(url)["scope"] == "Egnyte.filesystem"
    url = begin(browser, scopes=signed, domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem Egnyte.link"


def test_an_implicit_token_is_asked_for_with_the_scopes_needed(
    browser: Client, implicit: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    page = browser.get(browser.get("/links/")["Location"])
    fragment = granted(browser, implicit, scopes=hidden(page, "scopes"))
    assert posted(browser, fragment).status_code == 302
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem", "Egnyte.link"]


def test_a_password_is_traded_for_the_scopes_that_the_site_signed(
    browser: Client, internal: Any
) -> None:
    signed = signing.dumps(["Egnyte.link"], salt=SCOPES_SALT)
    page = browser.get(PASSWORD, {"scopes": signed})
    assert log_in(browser, scopes=hidden(page, "scopes")).status_code == 302
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem", "Egnyte.link"]


def test_a_page_that_needs_more_scopes_gets_them_for_a_password(
    browser: Client, internal: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    page = browser.get("/links/", follow=True)
    assert_page(page, 200, "Your password is used once")
    data = {"scopes": hidden(page, "scopes"), "next": hidden(page, "next")}
    assert log_in(browser, **data)["Location"] == "/links/"
    assert browser.get("/links/").content == b"links"


def test_scopes_that_were_not_signed_are_not_asked_for_with_a_password(
    browser: Client, internal: Any
) -> None:
    assert log_in(browser, scopes="Egnyte.link").status_code == 302
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem"]
