from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_egnyte.access import connect_url
from django_egnyte.conf import STATES_AT_MOST
from django_egnyte.models import EgnyteAccount
from django_egnyte.state import PREFIX
from tests import walk

CONNECT = "/egnyte/connect/"


def attempts(browser: Client) -> list[str]:
    """The attempts that the browser keeps."""
    return [
        name for name, each in browser.cookies.items() if name.startswith(PREFIX) and each.value
    ]


def assert_private(response: Any) -> None:
    # With no-referrer, browsers would send "Origin: null" with the form, and Django refuse it.
    assert response["Referrer-Policy"] == "same-origin"
    assert "no-store" in response["Cache-Control"]


def test_get_asks_and_begins_nothing(browser: Client, egnyte_sandbox: Any) -> None:
    response = browser.get(CONNECT, {"domain": "acme", "next": "/plain/"})
    page = response.content.decode()
    assert response.status_code == 200
    assert 'value="acme"' in page
    assert 'value="/plain/"' in page
    assert attempts(browser) == []
    assert_private(response)


@pytest.mark.django_db(transaction=True)
def test_starting_to_connect_makes_two_queries_and_to_reconnect_three(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    for account, at_most in (("", 2), (str(egnyte_account.pk), 3)):
        with walk.Queries() as queries:
            response = browser.post(CONNECT, {"domain": "acme", "account": account})
        assert response.status_code == 302
        assert len(queries.made) == at_most, queries.made


def test_post_sends_the_browser_to_the_domain(browser: Client, settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "the-key"
    response = browser.post(CONNECT, {"domain": "ACME "}, secure=True)
    assert response.status_code == 302
    address, _, _ = response["Location"].partition("?")
    assert address == "https://acme.egnyte.com/puboauth/token"
    query = walk.query_of(response["Location"])
    assert query["client_id"] == "the-key"
    assert query["redirect_uri"] == "https://testserver/egnyte/callback/"
    assert query["response_type"] == "code"
    assert query["scope"] == "Egnyte.filesystem"
    assert "test-client-secret" not in response["Location"]
    assert_private(response)


@pytest.mark.parametrize(
    "domain",
    ["evil.com", "acme.egnyte.com.evil.com", "acme@evil.com", "acme/../x", "аcme", ""],  # noqa: RUF001
)
def test_what_is_no_domain_is_a_400_page_with_a_message(
    browser: Client, egnyte_sandbox: Any, domain: str
) -> None:
    response = browser.post(CONNECT, {"domain": domain})
    page = response.content.decode()
    assert response.status_code == 400
    assert "errorlist" in page
    assert "Traceback" not in page
    assert_private(response)
    assert attempts(browser) == []


def test_a_domain_that_is_not_allowed_is_a_400_page(browser: Client, settings: Any) -> None:
    settings.EGNYTE_ALLOWED_DOMAINS = ["acme"]
    assert browser.post(CONNECT, {"domain": "acme"}, secure=True).status_code == 302
    assert browser.post(CONNECT, {"domain": "globex"}, secure=True).status_code == 400


def test_a_fixed_domain_is_not_asked_for_and_not_overruled(browser: Client, settings: Any) -> None:
    settings.EGNYTE_DOMAIN = "acme"
    page = browser.get(CONNECT, secure=True).content.decode()
    assert "acme.egnyte.com" in page
    assert 'name="domain"' not in page
    response = browser.post(CONNECT, {"domain": "globex"}, secure=True)
    assert response["Location"].startswith("https://acme.egnyte.com/")


def test_the_redirect_uri_of_the_settings_is_used(browser: Client, settings: Any) -> None:
    settings.EGNYTE_REDIRECT_URI = "https://site.example/egnyte/callback/"
    response = browser.post(CONNECT, {"domain": "acme"}, secure=True)
    assert walk.query_of(response["Location"])["redirect_uri"] == settings.EGNYTE_REDIRECT_URI
    # It also works for a site whose proxy does not say that the request was HTTPS.
    assert browser.post(CONNECT, {"domain": "acme"}).status_code == 302


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("uri", [None, "http://site.example/egnyte/callback/", "HTTPS:evil"])
def test_an_http_redirect_uri_is_refused_with_a_page_and_a_log_line(
    browser: Client,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    method: str,
    uri: str | None,
) -> None:
    settings.EGNYTE_REDIRECT_URI = uri
    response = getattr(browser, method)(CONNECT, {"domain": "acme"})
    assert response.status_code == 503
    assert "SECURE_PROXY_SSL_HEADER" in response.content.decode()
    assert_private(response)
    (record,) = [each for each in caplog.records if each.name == "django_egnyte.views"]
    assert record.levelno == logging.ERROR
    assert "SECURE_PROXY_SSL_HEADER" in record.getMessage()


def test_a_proxy_that_tells_of_tls_is_believed(browser: Client, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    response = browser.post(
        CONNECT, {"domain": "acme"}, headers={"X-Forwarded-Proto": "https", "Host": "testserver"}
    )
    query = walk.query_of(response["Location"])
    assert query["redirect_uri"] == "https://testserver/egnyte/callback/"


@pytest.mark.parametrize(
    "path",
    [
        "//evil.com",
        "///evil.com",
        "https://evil.com/",
        "https:evil.com",
        "https:/evil.com",
        "http://testserver/",
        "ftp://testserver/",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "\\\\evil.com",
        "/\\evil.com",
        "\\/evil.com",
        "/\t/evil.com",
        "\x00//evil.com",
        " //evil.com",
        "http:///evil.com",
        "https://testserver@evil.com",
        "https://testserver.evil.com",
    ],
)
def test_next_leads_to_no_other_site(browser: Client, egnyte_sandbox: Any, path: str) -> None:
    page = browser.get(CONNECT, {"next": path}, secure=True).content.decode()
    assert 'name="next"' not in page
    begun = browser.post(CONNECT, {"domain": "acme", "next": path}, secure=True)["Location"]
    response = walk.come_back(browser, egnyte_sandbox.authorize(begun, "jsmith"))
    assert response["Location"] == reverse("egnyte:accounts")


@pytest.mark.parametrize("path", ["/plain/?a=b&c=d#e", "https://testserver/plain/"])
def test_next_leads_to_pages_of_this_site(browser: Client, egnyte_sandbox: Any, path: str) -> None:
    begun = browser.post(CONNECT, {"domain": "acme", "next": path}, secure=True)["Location"]
    response = walk.come_back(browser, egnyte_sandbox.authorize(begun, "jsmith"))
    assert response["Location"] == path


def test_a_next_with_a_line_break_injects_no_header(browser: Client, egnyte_sandbox: Any) -> None:
    response = walk.link(browser, egnyte_sandbox, next="/plain/\r\nSet-Cookie: a=b")
    assert response.status_code == 302
    assert "Set-Cookie: a" not in str(response.headers)


def test_an_anonymous_user_logs_in_first(client: Client, db: None) -> None:
    for method in (client.get, client.post):
        response = method(CONNECT)
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/")
        assert_private(response)


def test_a_forged_post_is_refused(egnyte_user: Any, egnyte_sandbox: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(egnyte_user)
    assert client.post(CONNECT, {"domain": "acme"}).status_code == 403
    client.get(CONNECT)
    token = client.cookies["csrftoken"].value
    posted = {"domain": "acme", "csrfmiddlewaretoken": token}
    assert client.post(CONNECT, posted, headers={"Origin": "https://evil.com"}).status_code == 403
    assert client.post(CONNECT, posted).status_code == 302


def test_there_are_a_few_states_at_most(browser: Client, egnyte_sandbox: Any) -> None:
    begun = [walk.begin(browser) for _ in range(STATES_AT_MOST + 2)]
    assert len(attempts(browser)) == STATES_AT_MOST
    newest = egnyte_sandbox.authorize(begun[-1], "jsmith")
    assert walk.come_back(browser, newest).status_code == 302


@pytest.mark.parametrize("pk", ["0", "-1", "x", "9" * 30, "٣", "1.0", "\x00"])
def test_an_account_to_reconnect_that_is_none_is_a_404(
    browser: Client, egnyte_sandbox: Any, pk: str
) -> None:
    assert browser.get(CONNECT, {"account": pk}).status_code == 404
    assert browser.post(CONNECT, {"account": pk}).status_code == 404


def test_an_account_of_another_user_is_a_404(
    client: Client,
    egnyte_account: EgnyteAccount,
    django_user_model: Any,
    django_username_field: str,
) -> None:
    other = django_user_model.objects.create(**{django_username_field: "other@example.com"})
    client.force_login(other)
    assert client.get(CONNECT, {"account": egnyte_account.pk}).status_code == 404
    assert client.post(CONNECT, {"account": egnyte_account.pk}).status_code == 404


def test_reconnecting_asks_for_no_domain(browser: Client, egnyte_account: EgnyteAccount) -> None:
    page = browser.get(CONNECT, {"account": egnyte_account.pk}).content.decode()
    assert "acme.egnyte.com" in page
    assert "jsmith" in page
    response = browser.post(CONNECT, {"account": egnyte_account.pk, "domain": "globex"})
    assert "/d/acme/" in response["Location"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EGNYTE_ALLOWED_DOMAINS", ["globex"]),
        ("EGNYTE_DOMAIN", "globex"),
        ("EGNYTE_DOMAIN_SUFFIXES", ["egnytegov.com"]),
    ],
)
def test_an_account_at_a_domain_that_is_allowed_no_more_is_not_reconnected(
    browser: Client, egnyte_account: EgnyteAccount, settings: Any, setting: str, value: Any
) -> None:
    setattr(settings, setting, value)
    response = browser.post(CONNECT, {"account": egnyte_account.pk})
    assert response.status_code == 400
    assert "cannot be connected to this site" in response.content.decode()


def test_only_signed_scopes_are_asked_for_besides_the_sites_own(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    url = connect_url(scopes=["Egnyte.user"], next_path="/plain/", user=egnyte_user)
    page = browser.get(url).content.decode()
    signed = walk.query_of(f"http://testserver{url}")["scopes"]
    assert signed in page
    begun = walk.begin(browser, scopes=signed)
    assert walk.query_of(begun)["scope"] == "Egnyte.filesystem Egnyte.user"
    walk.come_back(browser, egnyte_sandbox.authorize(begun, "jsmith"))
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem", "Egnyte.user"]

    for forged in ("Egnyte.user", signed[:-1], signed + "x", "a:b:c", "\x00"):
        begun = walk.begin(browser, scopes=forged)
        assert walk.query_of(begun)["scope"] == "Egnyte.filesystem"


@pytest.mark.parametrize("method", ["put", "delete", "patch", "options"])
def test_other_methods_are_refused(browser: Client, method: str) -> None:
    response = getattr(browser, method)(CONNECT)
    assert response.status_code == 405
    assert_private(response)


@pytest.mark.parametrize("flow", ["authorization_code", "enhanced"])
def test_beginning_costs_two_queries_and_writes_no_session(
    browser: Client, egnyte_sandbox: Any, settings: Any, flow: str
) -> None:
    settings.EGNYTE_FLOW = flow
    before = dict(browser.session)
    with walk.Queries() as queries:
        walk.begin(browser)
    assert len(queries.made) == 2, queries.made  # session, user
    assert not [sql for sql in queries.made if not sql.startswith("SELECT")]
    assert dict(browser.session) == before


def test_a_session_that_is_saved_meanwhile_loses_no_attempt(
    browser: Client, egnyte_sandbox: Any
) -> None:
    """A page that loads the session before the attempt begins, and saves it afterwards."""
    slow_page = browser.session
    slow_page["cart"] = ["a book"]
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    slow_page.save()
    assert walk.come_back(browser, location).status_code == 302
    assert EgnyteAccount.objects.exists()


def test_signed_cookies_hold_two_attempts_with_long_addresses(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client = Client(headers={"Accept": "text/html"})
    client.force_login(egnyte_user)
    long = "/plain/?q=" + "".join(f"{number}," for number in range(400))
    begun = [walk.begin(client, next=f"{long}{number}") for number in range(2)]
    for number, url in enumerate(begun):
        back = walk.come_back(client, egnyte_sandbox.authorize(url, "jsmith"))
        assert back["Location"] == f"{long}{number}"


@pytest.mark.parametrize("length", [2_001, 10_000, 100_000])
def test_a_next_that_is_too_long_is_forgotten(
    browser: Client, egnyte_sandbox: Any, length: int
) -> None:
    response = walk.link(browser, egnyte_sandbox, next="/plain/".ljust(length, "x"))
    assert response["Location"] == reverse("egnyte:accounts")


def test_no_attempt_is_kept_in_the_session(browser: Client, egnyte_sandbox: Any) -> None:
    walk.begin(browser)
    assert not [key for key in browser.session.keys() if "egnyte" in key]  # noqa: SIM118
