"""Use a real browser: follow links, measure pages, and check them with axe."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

FLAGS: Final = (
    "headless=new",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)
SCHEMES: Final = ("light", "dark")
# One language that is written from left to right, and one from right to left.
LANGUAGES: Final = ("en", "ar")
# Widths in CSS pixels, and how large the text is, in percent.
SCREENS: Final = ((320, 200), (390, 100), (1280, 100))
AXE: Final = """
    const done = arguments[0];
    axe.run({resultTypes: ["violations"]}).then(
        (found) => done(JSON.stringify(found.violations)),
        (error) => done(JSON.stringify(String(error))),
    );
"""


def start(program: str, driver: str, profile: str) -> webdriver.Chrome:
    """A headless Chromium. The paths of the programs are given, so selenium downloads none."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = program
    service = Service(driver, log_output=f"{profile}/chromedriver.log")
    return webdriver.Chrome(options=options, service=service)


def clear(browser: webdriver.Chrome) -> None:
    """Open a new tab, without cookies and without an emulated device."""
    before = browser.current_window_handle
    browser.switch_to.new_window("tab")
    new = browser.current_window_handle
    browser.switch_to.window(before)
    browser.close()
    browser.switch_to.window(new)
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.get_log("browser")


def log_in(browser: webdriver.Chrome, url: str, client: Any) -> None:
    """Give the browser the session of Django's test client, at the site that has ``url``."""
    name = settings.SESSION_COOKIE_NAME
    browser.get(url)
    browser.add_cookie({"name": name, "value": client.cookies[name].value})
    browser.get_log("browser")


def follow(browser: webdriver.Chrome, selector: str) -> None:
    """Click an element that opens another page, and wait for that page."""
    page = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.CSS_SELECTOR, selector).click()
    # While the browser leaves a page, the driver may not find the elements of it.
    waiting = WebDriverWait(browser, 20, ignored_exceptions=[WebDriverException])
    waiting.until(expected_conditions.staleness_of(page))
    waiting.until(lambda _: browser.execute_script("return document.readyState") == "complete")


def words(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def consent(browser: webdriver.Chrome, username: str, password: str) -> None:
    """Log in at the sandbox and allow access."""
    browser.find_element(By.NAME, "username").send_keys(username)
    browser.find_element(By.NAME, "password").send_keys(password)
    follow(browser, "button[value=allow]")


def refused(browser: webdriver.Chrome) -> list[str]:
    """The messages about the policy in the browser's console."""
    entries = [entry["message"] for entry in browser.get_log("browser")]
    return [entry for entry in entries if "Content Security Policy" in entry]


def speak(browser: webdriver.Chrome, url: str, language: str) -> None:
    """Show the pages of the site of ``url`` in this language from now on."""
    cookie = {"name": settings.LANGUAGE_COOKIE_NAME, "value": language, "url": url}
    browser.execute_cdp_cmd("Network.setCookie", cookie)


@contextlib.contextmanager
def window(
    browser: webdriver.Chrome, width: int, height: int = 900, *, text: int = 100, scale: float = 1
) -> Iterator[None]:
    """Make the window this wide and high in CSS pixels, and the text this large in percent.

    ``scale`` is the number of pixels of a screenshot per CSS pixel.
    """
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 800}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    enlarge = "document.documentElement.style.fontSize = arguments[0]"
    if text != 100:
        browser.execute_script(enlarge, f"{text}%")
    try:
        yield
    finally:
        if text != 100:
            browser.execute_script(enlarge, "")
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextlib.contextmanager
def scheme(browser: webdriver.Chrome, name: str) -> Iterator[None]:
    """Prefer the ``light`` or the ``dark`` colour scheme."""
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def overflow(browser: webdriver.Chrome, width: int, text: int = 100) -> int:
    """By how many CSS pixels the page is wider than a window of this width."""
    with window(browser, width, text=text):
        needed: int = browser.execute_script("return document.documentElement.scrollWidth")
        return needed - width


class Axe:
    """Deque's axe-core, which checks the current page of a browser."""

    def __init__(self, browser: webdriver.Chrome, source: str) -> None:
        self.browser = browser
        self.source = source

    def here(self) -> list[str]:
        """The violations on the current page: rule, elements and advice."""
        # During a transition between colour schemes, the contrast cannot be measured.
        self.browser.execute_script("document.getAnimations().forEach((each) => each.finish())")
        # The driver's own scripts are not subject to the page's Content-Security-Policy.
        self.browser.execute_script(self.source)
        found = json.loads(self.browser.execute_async_script(AXE))
        assert isinstance(found, list), found
        return [
            f"{rule['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
            for rule in found
            for node in rule["nodes"]
        ]

    def everywhere(self, url: str, languages: Iterable[str] = LANGUAGES) -> list[str]:
        """The faults of this page, in light and dark, and in both text directions."""
        told = []
        for language in languages:
            speak(self.browser, url, language)
            self.browser.get(url)
            for name in SCHEMES:
                with scheme(self.browser, name):
                    told += [f"{language}, {name}: {fault}" for fault in self.here()]
        return told

    def examine(self, name: str) -> list[str]:
        """The faults of the current page: violations by axe, and overflow.

        If ``EGNYTE_TEST_SCREENSHOTS`` names a folder, screenshots are saved there.
        """
        told = []
        for direction in ("rtl", "ltr"):
            self.browser.execute_script("document.documentElement.dir = arguments[0]", direction)
            told += [f"{name}, {direction}: {fault}" for fault in self.cut_off()]
            for shade in SCHEMES:
                with scheme(self.browser, shade):
                    told += [f"{name}, {direction}, {shade}: {fault}" for fault in self.here()]
        if folder := os.environ.get("EGNYTE_TEST_SCREENSHOTS"):
            sizes = ((390, 844), (1280, 640))
            for (width, height), shade in itertools.product(sizes, SCHEMES):
                with scheme(self.browser, shade):
                    path = Path(folder) / f"{name}-{width}-{shade}.png"
                    shoot(self.browser, path, width, height)
        return told

    def cut_off(self) -> list[str]:
        """The screen widths at which the page overflows."""
        over = {screen: overflow(self.browser, *screen) for screen in SCREENS}
        return [
            f"{pixels} px too wide for {width} px at {text} %"
            for (width, text), pixels in over.items()
            if pixels > 0
        ]


def shoot(browser: webdriver.Chrome, path: Path, width: int, height: int, scale: float = 1) -> None:
    """Save a screenshot of the whole page as PNG, at least of this size in CSS pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with window(browser, width, height, scale=scale):
        needed = browser.execute_script("return document.documentElement.scrollHeight")
        with window(browser, width, needed, scale=scale):
            browser.save_screenshot(str(path))
