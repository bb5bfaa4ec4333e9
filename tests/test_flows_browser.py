"""The Enhanced and the implicit flow in a real browser, whose Referer and fragment they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from django_egnyte.models import EgnyteAccount
from django_egnyte.services.revoke import process_revocations
from tests.browsing import consent, follow, log_in, refused, words

pytestmark = [pytest.mark.service("browser"), pytest.mark.django_db(transaction=True)]

# The strictest policy with which the implicit flow works.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "form-action 'self' http://127.0.0.1:* http://*.localhost:*"
)


@pytest.fixture
def browser(
    chromium: webdriver.Chrome,
    live_server: Any,
    client: Any,
    egnyte_user: Any,
    settings: Any,
) -> webdriver.Chrome:
    """On a page of the site, logged in as ``egnyte_user``."""
    settings.CONTENT_SECURITY_POLICY = POLICY
    client.force_login(egnyte_user)
    log_in(chromium, f"{live_server.url}/plain/", client)
    return chromium


def visited(browser: webdriver.Chrome) -> list[str]:
    """The addresses in the tab's history, as the back button would find them."""
    history = browser.execute_cdp_cmd("Page.getNavigationHistory", {})
    return [
        address for entry in history["entries"] for address in (entry["url"], entry["userTypedURL"])
    ]


def arrive(browser: webdriver.Chrome, address: str) -> None:
    """Wait until the page's own script has taken the browser there."""
    WebDriverWait(browser, 20).until(lambda _: browser.current_url == address)
    WebDriverWait(browser, 20).until(
        lambda _: browser.execute_script("return document.readyState") == "complete"
    )


def through_the_service(browser: webdriver.Chrome, live_server: Any, next_path: str = "") -> None:
    """From the site to the Enhanced service, where the domain is chosen, to consent, and back."""
    browser.get(f"{live_server.url}/egnyte/connect/?next={next_path}")
    assert not browser.find_elements(By.NAME, "domain")
    follow(browser, "main button")
    assert "/services/oauth/code" in browser.current_url
    browser.find_element(By.NAME, "domain").send_keys("acme")
    follow(browser, "main button")
    consent(browser, "jsmith", "demo-password-1")


@pytest.fixture
def enhanced(egnyte_sandbox: Any, settings: Any) -> Any:
    settings.EGNYTE_FLOW = "enhanced"
    return egnyte_sandbox


@pytest.mark.parametrize("form", ["path", "host"])
def test_a_real_referer_tells_the_domain(
    browser: webdriver.Chrome,
    live_server: Any,
    enhanced: Any,
    egnyte_sandbox_server: Any,
    settings: Any,
    form: str,
) -> None:
    if form == "host":  # as at Egnyte: the Referer is an origin alone
        settings.EGNYTE_BASE_URL = egnyte_sandbox_server.host_base_url
    through_the_service(browser, live_server, "/plain/")
    assert browser.current_url == f"{live_server.url}/plain/"
    assert words(browser) == "linked"
    account = EgnyteAccount.objects.get()
    assert (account.domain, account.username, account.flow) == (
        "acme.egnyte.com", "jsmith", "enhanced",
    )  # fmt: skip
    assert refused(browser) == []


def test_where_the_referer_is_withheld_the_user_is_asked(
    browser: webdriver.Chrome, live_server: Any, enhanced: Any
) -> None:
    enhanced.settings.send_referer = False
    through_the_service(browser, live_server, "/plain/")
    assert browser.current_url.startswith(f"{live_server.url}/egnyte/domain/?attempt=")
    assert "your browser did not say at which domain" in words(browser)
    assert not EgnyteAccount.objects.exists()

    browser.find_element(By.NAME, "domain").send_keys("no domain!")
    follow(browser, "main button")
    assert browser.title.startswith("Error:")
    field = browser.find_element(By.NAME, "domain")
    assert field.get_attribute("aria-invalid") == "true"
    field.clear()
    field.send_keys("ACME ")
    follow(browser, "main button")
    assert browser.current_url == f"{live_server.url}/plain/"
    assert words(browser) == "linked"
    assert EgnyteAccount.objects.get().domain == "acme.egnyte.com"
    # The URL of the callback, which has the code, is not in the history, either.
    assert [each for each in visited(browser) if "code=" in each and live_server.url in each] == []
    assert refused(browser) == []


@pytest.fixture
def implicit(egnyte_sandbox: Any, settings: Any) -> Any:
    settings.EGNYTE_FLOW = "implicit"
    settings.EGNYTE_CLIENT_ID = "sandbox-implicit-key"
    settings.EGNYTE_CLIENT_SECRET = ""
    return egnyte_sandbox


def to_consent(browser: webdriver.Chrome, live_server: Any) -> None:
    browser.get(f"{live_server.url}/egnyte/connect/?domain=acme")
    follow(browser, "main button")


def test_an_implicit_token_is_posted_and_leaves_no_trace_in_the_browser(
    browser: webdriver.Chrome, live_server: Any, implicit: Any
) -> None:
    to_consent(browser, live_server)
    consent(browser, "jsmith", "demo-password-1")
    arrive(browser, f"{live_server.url}/egnyte/")
    assert "Jane Smith" in words(browser)
    account = EgnyteAccount.objects.get()
    assert (account.username, account.flow, account.scopes) == (
        "jsmith", "implicit", ["Egnyte.filesystem"],
    )  # fmt: skip
    assert account.expires_at is not None
    assert implicit.is_alive(account.open_token())

    addresses = visited(browser)
    assert f"{live_server.url}/egnyte/" in addresses
    assert [each for each in addresses if account.open_token() in each or "#" in each] == []
    assert account.open_token() not in browser.page_source
    kept = "return JSON.stringify([localStorage, sessionStorage, document.cookie, window.name])"
    assert account.open_token() not in browser.execute_script(kept)
    assert refused(browser) == []

    # Back leads to the consent page, not to a page that would post the token again.
    calls = implicit.counts["userinfo"]
    browser.back()
    WebDriverWait(browser, 20).until(lambda _: "/egnyte/" not in browser.current_url)
    assert account.open_token() not in browser.current_url + browser.page_source
    browser.forward()
    arrive(browser, f"{live_server.url}/egnyte/")
    assert implicit.counts["userinfo"] == calls
    assert EgnyteAccount.objects.get().token_id == account.token_id


@pytest.fixture
def held_up(browser: webdriver.Chrome) -> Iterator[Callable[[], None]]:
    """No script can submit a form before this is called."""
    script = """
        const submit = HTMLFormElement.prototype.submit;
        HTMLFormElement.prototype.submit = function () { window.goOn = () => submit.call(this); };
    """
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    yield lambda: browser.execute_script("window.goOn()")
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_the_token_is_gone_from_the_address_before_it_is_posted(
    browser: webdriver.Chrome, live_server: Any, implicit: Any, held_up: Callable[[], None]
) -> None:
    to_consent(browser, live_server)
    consent(browser, "jsmith", "demo-password-1")
    arrive(browser, f"{live_server.url}/egnyte/callback/")
    assert "One moment, please." in words(browser)
    assert [each for each in visited(browser) if "access_token" in each] == []
    held = browser.find_element(By.NAME, "access_token").get_property("value")
    assert implicit.is_alive(held)
    assert not EgnyteAccount.objects.exists()
    held_up()
    arrive(browser, f"{live_server.url}/egnyte/")
    assert EgnyteAccount.objects.get().open_token() == held
    assert [each for each in visited(browser) if "access_token" in each] == []


def test_an_implicit_refusal_is_told(
    browser: webdriver.Chrome, live_server: Any, implicit: Any
) -> None:
    to_consent(browser, live_server)
    follow(browser, "button[value=deny]")
    arrive(browser, f"{live_server.url}/egnyte/implicit/")
    assert "Access was not allowed at Egnyte" in words(browser)
    assert not EgnyteAccount.objects.exists()
    assert [each for each in visited(browser) if "#" in each] == []
    follow(browser, ".egnyte-button-main")
    follow(browser, "main button")
    consent(browser, "jsmith", "demo-password-1")
    arrive(browser, f"{live_server.url}/egnyte/")
    assert EgnyteAccount.objects.exists()
    assert refused(browser) == []


def test_a_fragment_does_not_follow_a_logged_out_user_to_the_log_in_page(
    browser: webdriver.Chrome, live_server: Any, implicit: Any
) -> None:
    to_consent(browser, live_server)
    browser.delete_cookie(django_settings.SESSION_COOKIE_NAME)  # of the sandbox's host: none
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    consented = browser.current_url
    browser.find_element(By.NAME, "username").send_keys("jsmith")
    browser.find_element(By.NAME, "password").send_keys("demo-password-1")
    browser.find_element(By.CSS_SELECTOR, "button[value=allow]").click()
    WebDriverWait(browser, 20).until(lambda _: browser.current_url != consented)
    WebDriverWait(browser, 20).until(lambda _: "/accounts/login/" in browser.current_url)
    assert "access_token" not in browser.current_url
    assert [each for each in visited(browser) if "access_token" in each] == []


def test_a_token_that_is_not_kept_is_revoked(
    browser: webdriver.Chrome, live_server: Any, implicit: Any
) -> None:
    implicit.faults.add(path="/userinfo", status=503)
    to_consent(browser, live_server)
    consent(browser, "jsmith", "demo-password-1")
    arrive(browser, f"{live_server.url}/egnyte/implicit/")
    assert "Nothing was connected" in words(browser)
    assert [each for each in visited(browser) if "access_token" in each] == []
    process_revocations()
    assert implicit.live_tokens() == []
