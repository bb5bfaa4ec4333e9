"""The pages in a real browser, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.urls import path
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from django_egnyte import gateway
from django_egnyte.choices import Status
from django_egnyte.decorators import egnyte_required
from django_egnyte.models import EgnyteAccount, EgnyteGrant
from django_egnyte.services.revoke import process_revocations
from tests import urls
from tests.browsing import (
    SCHEMES,
    consent,
    follow,
    log_in,
    overflow,
    refused,
    scheme,
    window,
    words,
)

pytestmark = [pytest.mark.service("browser"), pytest.mark.django_db(transaction=True)]

PHONE = 360


@egnyte_required
def files(request: Any) -> HttpResponse:
    listing = request.egnyte.files.list("/Shared")
    return HttpResponse(", ".join(sorted(entry.name for entry in listing)))


urlpatterns = [*urls.urlpatterns, path("files/", files, name="files")]


# The strict policy that the comment in egnyte/base.html says is enough.
POLICY = "default-src 'none'; style-src 'self'; form-action 'self' http://127.0.0.1:*"


@pytest.fixture
def browser(
    chromium: webdriver.Chrome, live_server: Any, client: Any, egnyte_user: Any, settings: Any
) -> webdriver.Chrome:
    """On the site's home page, logged in as ``egnyte_user``."""
    settings.ROOT_URLCONF = __name__
    settings.CONTENT_SECURITY_POLICY = POLICY
    client.force_login(egnyte_user)
    log_in(chromium, f"{live_server.url}/", client)
    return chromium


def test_a_user_connects_uses_files_and_disconnects(
    browser: webdriver.Chrome, live_server: Any, egnyte_sandbox: Any
) -> None:
    browser.get(f"{live_server.url}/files/")
    assert "Connect Egnyte" in words(browser)

    browser.find_element(By.NAME, "domain").send_keys("ACME ")
    follow(browser, "main button")  # passes Django's CSRF check with the Origin a browser sends
    assert browser.current_url.startswith(gateway.base_url("acme.egnyte.com"))
    consent(browser, "jsmith", "demo-password-1")
    assert browser.current_url == f"{live_server.url}/files/"
    assert words(browser) == "Documents, report 2024.txt"

    browser.get(f"{live_server.url}/egnyte/")
    assert "Jane Smith" in words(browser)
    assert "Connected to acme.egnyte.com." in words(browser)
    assert egnyte_sandbox.live_tokens()
    browser.find_element(By.CSS_SELECTOR, "[aria-describedby][popovertarget]").click()
    follow(browser, ".egnyte-confirm .egnyte-button-danger")
    assert "jsmith at acme.egnyte.com was disconnected." in words(browser)
    assert "No account is connected yet" in words(browser)
    assert not EgnyteAccount.objects.exists()
    process_revocations()
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert not egnyte_sandbox.live_tokens()
    assert refused(browser) == []


def place(browser: webdriver.Chrome) -> list[dict[str, float]]:
    """The positions of all buttons and links, except those of the question."""
    found = browser.find_elements(By.CSS_SELECTOR, "main :is(a, .egnyte-actions > *)")
    return [each.rect for each in found if each.is_displayed() and not asked(browser, each)]


def asked(browser: webdriver.Chrome, element: Any) -> bool:
    return bool(browser.execute_script("return arguments[0].closest('[popover]')", element))


@pytest.mark.parametrize("width", [PHONE, 1280])
@pytest.mark.parametrize("end", ["cancel", "escape"])
def test_the_question_moves_nothing_and_can_be_left(
    browser: webdriver.Chrome, live_server: Any, egnyte_account: EgnyteAccount, width: int, end: str
) -> None:
    browser.get(f"{live_server.url}/egnyte/")
    question = browser.find_element(By.CSS_SELECTOR, ".egnyte-confirm")
    button = browser.find_element(By.CSS_SELECTOR, "[aria-describedby][popovertarget]")
    with window(browser, width):
        before = place(browser)
        assert not question.is_displayed()
        button.send_keys(Keys.ENTER)
        assert question.is_displayed()
        assert place(browser) == before
        # The focus is on the button that changes nothing.
        assert browser.switch_to.active_element.text == "Cancel"
        assert (
            browser.execute_script("return arguments[0].getBoundingClientRect().top", question) >= 0
        )
        browser.switch_to.active_element.send_keys(Keys.ENTER if end == "cancel" else Keys.ESCAPE)
        assert not question.is_displayed()
        assert browser.switch_to.active_element == button
    assert EgnyteAccount.objects.exists()
    assert refused(browser) == []


def test_a_revoked_account_asks_to_be_reconnected_and_is(
    browser: webdriver.Chrome, live_server: Any, egnyte_sandbox: Any, egnyte_account: EgnyteAccount
) -> None:
    EgnyteAccount.objects.write(status=Status.REVOKED, status_reason="Egnyte refuses the token")
    browser.get(f"{live_server.url}/egnyte/")
    assert "No longer connected" in words(browser)
    follow(browser, ".egnyte-actions .egnyte-button-main")
    consent(browser, "jsmith", "demo-password-1")
    assert browser.current_url == f"{live_server.url}/egnyte/"
    assert "No longer connected" not in words(browser)
    account = EgnyteAccount.objects.get()
    assert (account.pk, account.status) == (egnyte_account.pk, Status.ACTIVE)


def test_a_refusal_at_egnyte_is_told_and_can_be_tried_again(
    browser: webdriver.Chrome, live_server: Any, egnyte_sandbox: Any
) -> None:
    browser.get(f"{live_server.url}/egnyte/connect/?domain=acme&next=/files/")
    follow(browser, "main button")
    follow(browser, "button[value=deny]")
    assert "Access was not allowed at Egnyte" in words(browser)
    follow(browser, ".egnyte-button-main")
    follow(browser, "main button")
    consent(browser, "jsmith", "demo-password-1")
    assert words(browser) == "Documents, report 2024.txt"


def test_a_wrong_domain_is_explained_where_a_screen_reader_finds_it(
    browser: webdriver.Chrome, live_server: Any, egnyte_sandbox: Any
) -> None:
    browser.get(f"{live_server.url}/egnyte/connect/")
    browser.find_element(By.NAME, "domain").send_keys("no such domain!")
    follow(browser, "main button")
    assert browser.title.startswith("Error:")
    field = browser.find_element(By.NAME, "domain")
    assert field.get_attribute("aria-invalid") == "true"
    described_by = (field.get_attribute("aria-describedby") or "").split()
    told = " ".join(browser.find_element(By.ID, each).text for each in described_by)
    assert "This is not an Egnyte domain." in told
    assert "The first part of your Egnyte address" in told


@pytest.mark.parametrize(
    "page", ["/egnyte/", "/egnyte/connect/", "/egnyte/callback/?state=none&code=none"]
)
def test_no_page_scrolls_sideways_on_a_phone(
    page: str, browser: webdriver.Chrome, live_server: Any, egnyte_account: EgnyteAccount
) -> None:
    EgnyteAccount.objects.write(
        username="a.very.long.username" * 6, first_name="Wolfeschlegel" * 8,
        scopes=["Egnyte.filesystem", "Egnyte.unheard-of-" + "x" * 80],
        status=Status.SUSPECT, status_reason="answered-without-a-single-space-" * 6,
    )  # fmt: skip
    browser.get(f"{live_server.url}{page}")
    for button in browser.find_elements(By.CSS_SELECTOR, "[aria-describedby][popovertarget]"):
        button.click()
    assert overflow(browser, PHONE) == 0
    assert refused(browser) == []


def test_what_can_be_pressed_is_large_enough_for_a_finger(
    browser: webdriver.Chrome, live_server: Any, egnyte_account: EgnyteAccount
) -> None:
    heights = {}
    for page in ("/egnyte/", "/egnyte/connect/"):
        browser.get(f"{live_server.url}{page}")
        for button in browser.find_elements(By.CSS_SELECTOR, "[aria-describedby][popovertarget]"):
            button.click()
        for each in browser.find_elements(By.CSS_SELECTOR, "main button, main a"):
            heights[each.text] = each.rect["height"]
    assert {"Reconnect", "Disconnect", "Yes, disconnect", "Cancel", "Continue to Egnyte"} <= set(
        heights
    )
    assert {text: height for text, height in heights.items() if height < 44} == {}


def test_the_stylesheet_is_served_and_follows_the_dark_scheme(
    browser: webdriver.Chrome, live_server: Any, egnyte_sandbox: Any
) -> None:
    shades = {}
    for name in SCHEMES:
        with scheme(browser, name):
            browser.get(f"{live_server.url}/egnyte/connect/")
            body = browser.find_element(By.TAG_NAME, "body")
            shades[name] = body.value_of_css_property("background-color")
    assert shades == {"light": "rgba(244, 246, 245, 1)", "dark": "rgba(17, 23, 20, 1)"}


def test_in_a_site_that_is_always_light_the_cards_are_light_too(
    browser: webdriver.Chrome, live_server: Any, egnyte_sandbox: Any
) -> None:
    with scheme(browser, "dark"):
        browser.get(f"{live_server.url}/egnyte/")
        # As in the base.html of a site without colour schemes.
        browser.execute_script("document.body.className = ''")
        seen = {
            selector: browser.find_element(By.CSS_SELECTOR, selector).value_of_css_property(name)
            for selector, name in (
                (".egnyte h1", "color"),
                (".egnyte .egnyte-card", "background-color"),
            )
        }
    assert seen == {
        ".egnyte h1": "rgba(0, 0, 0, 1)",
        ".egnyte .egnyte-card": "rgba(255, 255, 255, 1)",
    }


@pytest.fixture
def german_admin(
    browser: webdriver.Chrome, live_server: Any, egnyte_account: EgnyteAccount
) -> Callable[[str, int], None]:
    """Shows an administrator a page of the admin, in German, in a window of this width."""
    EgnyteAccount.objects.write(status=Status.SUSPECT)
    user = egnyte_account.user
    user.is_staff = user.is_superuser = True
    user.save()
    browser.add_cookie({"name": django_settings.LANGUAGE_COOKIE_NAME, "value": "de"})

    def show(path: str, width: int) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 800}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(f"{live_server.url}/admin/django_egnyte/{path}")
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "de"

    return show


@pytest.mark.parametrize("width", [1280, PHONE])
def test_no_figure_leaves_its_panel(
    browser: webdriver.Chrome, german_admin: Callable[[str, int], None], width: int
) -> None:
    german_admin("egnyteaccount/health/", width)
    over = browser.execute_script(
        """
        const panels = [...document.querySelectorAll(".egnyte-panel")];
        const over = panels.filter((each) => each.scrollWidth > each.clientWidth);
        return over.map((each) => each.innerText);
        """
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert over == []


@pytest.mark.parametrize("width", [1280, PHONE])
def test_the_mark_of_a_status_stays_with_its_word(
    browser: webdriver.Chrome, german_admin: Callable[[str, int], None], width: int
) -> None:
    german_admin("egnyteaccount/", width)
    # The column stays narrow, even if the other words of the row are long.
    lines = browser.execute_script(
        """
        const status = document.querySelector(".egnyte-status");
        status.parentElement.style.width = status.parentElement.style.maxWidth = "1em";
        return status.getClientRects().length;
        """
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert lines == 1
