"""Every page of the app in its default frame, on all screens, checked by axe."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from django_egnyte.choices import Flow, Status
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.scopes import sign
from tests.browsing import SCHEMES, Axe, consent, follow, log_in, refused, scheme, speak

pytestmark = [pytest.mark.service("browser"), pytest.mark.django_db(transaction=True)]


# The strict policy that the comment in egnyte/base.html says is enough.
POLICY = "default-src 'none'; style-src 'self'; form-action 'self' http://127.0.0.1:*"


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pages(
    axe: Axe, live_server: Any, client: Any, egnyte_user: Any, egnyte_sandbox: Any, language: str,
    settings: Any,
) -> Any:  # fmt: skip
    """Opens an address of the site as its user, and returns the faults of that page."""
    settings.CONTENT_SECURITY_POLICY = POLICY
    client.force_login(egnyte_user)
    log_in(axe.browser, f"{live_server.url}/plain/", client)
    speak(axe.browser, live_server.url, language)

    def visit(address: str, name: str, press: str = "") -> list[str]:
        axe.browser.get(f"{live_server.url}{address}")
        if press:
            axe.browser.find_element(By.CSS_SELECTOR, press).click()
        return axe.examine(f"app-{name}-{language}")

    return visit


def give_accounts(sandbox: Any, user: Any) -> list[EgnyteAccount]:
    """One account in each state, and one with long names."""
    who = [("acme", "jsmith"), ("acme", "bdoe"), ("acme", "admin"), ("globex", "mmiller")]
    accounts = [
        link_account(sandbox, user, domain=domain, username=username) for domain, username in who
    ]
    one, two, three, four = (EgnyteAccount.objects.filter(pk=each.pk) for each in accounts)
    one.write(scopes=["Egnyte.filesystem", "Egnyte.link", "Egnyte.user"])
    two.write(status=Status.SUSPECT, status_reason="Egnyte answered 401")
    three.write(status=Status.REVOKED, status_reason="Egnyte refuses both tokens")
    four.write(
        username="a.very.long.username" * 4, first_name="Wolfeschlegel" * 3, scopes=[],
        status_reason="An administrator of this site asks you to reconnect",
    )  # fmt: skip
    return accounts


def test_the_accounts(pages: Any, egnyte_sandbox: Any, egnyte_user: Any, axe: Axe) -> None:
    assert pages("/egnyte/", "empty") == []
    give_accounts(egnyte_sandbox, egnyte_user)
    assert pages("/egnyte/", "accounts") == []
    assert pages("/egnyte/", "confirm", "[popovertarget]") == []
    assert refused(axe.browser) == []


@pytest.mark.parametrize("shade", SCHEMES)
def test_the_focus_is_seen_wherever_it_is(
    axe: Axe, live_server: Any, client: Any, egnyte_account: EgnyteAccount, shade: str
) -> None:
    browser = axe.browser
    client.force_login(egnyte_account.user)
    log_in(browser, f"{live_server.url}/plain/", client)
    with scheme(browser, shade):
        browser.get(f"{live_server.url}/egnyte/")
        seen = {}
        for _ in range(20):
            browser.switch_to.active_element.send_keys(Keys.TAB)
            focused = browser.switch_to.active_element
            if focused.tag_name == "body" or focused.text in seen:
                break
            style = focused.value_of_css_property("outline-style")
            width = focused.value_of_css_property("outline-width")
            inside = browser.execute_script(
                "return arguments[0].getBoundingClientRect().top >= 0", focused
            )
            seen[focused.text] = (style, width, inside)
    assert {"Skip to the content", "Reconnect", "Disconnect"} <= set(seen)
    assert set(seen.values()) == {("solid", "3px", True)}


def test_the_ways_to_connect(
    pages: Any, egnyte_sandbox: Any, egnyte_user: Any, settings: Any, axe: Axe, language: str
) -> None:
    assert pages("/egnyte/connect/?domain=acme", "connect") == []
    axe.browser.find_element(By.NAME, "domain").clear()
    axe.browser.find_element(By.NAME, "domain").send_keys("no domain!")
    follow(axe.browser, "main .egnyte-button-main")
    assert axe.examine(f"app-connect-wrong-{language}") == []
    account = link_account(egnyte_sandbox, egnyte_user)
    assert pages(f"/egnyte/connect/?account={account.pk}", "reconnect") == []
    more = link_account(egnyte_sandbox, egnyte_user, domain="globex", username="mmiller")
    EgnyteAccount.objects.filter(pk=more.pk).write(scopes=[])
    needed = urlencode({"scopes": sign(egnyte_user, ["Egnyte.link"])})
    assert pages(f"/egnyte/connect/?{needed}", "more-scopes") == []
    EgnyteAccount.objects.filter(pk=account.pk).write(status=Status.REVOKED)
    assert pages("/egnyte/connect/", "ended") == []
    settings.EGNYTE_FLOW = Flow.PASSWORD
    assert pages("/egnyte/password/", "password") == []
    assert refused(axe.browser) == []


def test_the_domain_is_asked_for(
    pages: Any, settings: Any, egnyte_sandbox: Any, axe: Axe, live_server: Any, language: str
) -> None:
    settings.EGNYTE_FLOW = Flow.ENHANCED
    egnyte_sandbox.settings.send_referer = False
    axe.browser.get(f"{live_server.url}/egnyte/connect/")
    follow(axe.browser, "main button")
    axe.browser.find_element(By.NAME, "domain").send_keys("acme")
    follow(axe.browser, "main button")
    consent(axe.browser, "jsmith", "demo-password-1")
    assert "/egnyte/domain/" in axe.browser.current_url
    assert axe.examine(f"app-domain-{language}") == []


def test_what_went_wrong(pages: Any, settings: Any, axe: Axe) -> None:
    assert pages("/egnyte/callback/?state=none&code=none", "error") == []
    assert len(axe.browser.find_elements(By.CSS_SELECTOR, ".egnyte-button-main")) == 1
    assert pages("/egnyte/connect/?account=99", "not-found") == []
    assert len(axe.browser.find_elements(By.CSS_SELECTOR, ".egnyte-button-main")) == 1
    settings.EGNYTE_FLOW = Flow.IMPLICIT
    # The policy allows no script, so the page stays.
    assert pages("/egnyte/callback/", "implicit") == []
    assert axe.browser.find_elements(By.ID, "egnyte-implicit")
    assert refused(axe.browser)
