"""The example site in a real browser: violations by axe, movement and overflow."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import django_egnyte
from tests.browsing import Axe, consent, follow, refused, shoot, speak, window, words

pytestmark = pytest.mark.service("browser")

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example_project"


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example's database."""
    return tmp_path_factory.mktemp("example")


@pytest.fixture(scope="module")
def environ(egnyte_sandbox_server: Any, var: Path) -> dict[str, str]:
    """The environment of the example site's processes."""
    unwanted = ("EGNYTE_", "DATABASE_URL", "CELERY_", "DJANGO_", "SECRET_KEY")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environ |= {
        "DJANGO_SETTINGS_MODULE": "demo.settings",
        "EGNYTE_BASE_URL": egnyte_sandbox_server.base_url,
        "EXAMPLE_VAR": str(var),
        "PYTHONPATH": str(Path(django_egnyte.__file__).parent.parent),
    }
    return environ


@pytest.fixture(scope="module")
def example(environ: dict[str, str], var: Path) -> Iterator[str]:
    """The example site's address. It has neither a worker nor a beat."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "prepare_demo"], cwd=EXAMPLE, env=environ, check=True, timeout=60)
    command = [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    with (var / "site.log").open("wb") as written:
        server = subprocess.Popen(command, cwd=EXAMPLE, env=environ, stdout=written, stderr=written)
    try:
        wait_for(f"{url}/login/", server)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        assert server.poll() is None, "the site has ended"
        with contextlib.suppress(OSError), direct.open(url, timeout=5):
            return
        time.sleep(0.1)
    pytest.fail("the site does not answer")


def log_in(browser: webdriver.Chrome, example: str) -> None:
    browser.get(f"{example}/login/")
    browser.find_element(By.NAME, "username").send_keys("demo")
    browser.find_element(By.NAME, "password").send_keys("demo")
    follow(browser, "main button")


@pytest.fixture
def connected(
    chromium: webdriver.Chrome, example: str, var: Path, egnyte_sandbox_server: Any
) -> str:
    """The example site's address; the browser is that of a user with one account."""
    egnyte_sandbox_server.sandbox.reset()
    with contextlib.closing(sqlite3.connect(var / "db.sqlite3", timeout=20)) as database, database:
        # The tests link more accounts in an hour than one user may.
        for table in ("egnyteaccount", "tokenrequest"):
            database.execute(f"DELETE FROM django_egnyte_{table}")
    log_in(chromium, example)
    chromium.get(f"{example}/egnyte/connect/?next=/files/&domain=acme")
    follow(chromium, "main button")
    consent(chromium, "jsmith", "demo-password-1")
    assert "report 2024.txt" in words(chromium)
    return example


def more_accounts(browser: webdriver.Chrome, example: str) -> None:
    """Another account, and the first one no longer accepted by Egnyte."""
    browser.get(f"{example}/egnyte/connect/?domain=globex")
    follow(browser, "main button")
    consent(browser, "mmiller", "demo-password-3")


@pytest.mark.parametrize("language", ["en", "de"])
def test_axe_finds_nothing_before_there_is_an_account(
    axe: Axe, example: str, egnyte_sandbox_server: Any, language: str
) -> None:
    browser = axe.browser
    egnyte_sandbox_server.sandbox.reset()
    speak(browser, example, language)
    told = []
    for name, address in (("home", "/"), ("login", "/login/")):
        browser.get(f"{example}{address}")
        told += axe.examine(f"example-{name}-{language}")
    browser.find_element(By.NAME, "username").send_keys("demo")
    browser.find_element(By.NAME, "password").send_keys("wrong")
    follow(browser, "main button")
    told += axe.examine(f"example-login-wrong-{language}")
    log_in(browser, example)
    pages = {
        "empty": "/egnyte/",
        "connect": "/egnyte/connect/",
        "error": "/egnyte/callback/?code=1",
    }
    for name, address in pages.items():
        browser.get(f"{example}{address}")
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == language
        told += axe.examine(f"example-{name}-{language}")
    assert told == []
    assert refused(browser) == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_axe_finds_nothing_with_accounts_and_files(
    axe: Axe, connected: str, egnyte_sandbox_server: Any, language: str
) -> None:
    browser = axe.browser
    speak(browser, connected, language)
    long_name = "Minutes of a rather" + "-very" * 12 + "-long meeting.txt"
    sandbox = egnyte_sandbox_server.sandbox
    sandbox.add_file("acme", f"/Shared/{long_name}", b"Nothing was decided.\n")
    told = []
    browser.get(f"{connected}/files/")
    told += axe.examine(f"example-files-{language}")
    browser.find_element(By.CSS_SELECTOR, "td [popovertarget]").click()
    told += axe.examine(f"example-delete-{language}")
    browser.get(f"{connected}/files/?path=/Shared/nowhere")
    told += axe.examine(f"example-problem-{language}")
    more_accounts(browser, connected)
    told += axe.examine(f"example-accounts-{language}")
    assert told == []
    assert refused(browser) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_a_question_moves_no_row_and_can_be_left(
    chromium: webdriver.Chrome, connected: str, width: int
) -> None:
    with window(chromium, width):
        chromium.get(f"{connected}/files/")
        button = chromium.find_element(By.CSS_SELECTOR, "td [popovertarget]")
        cells = chromium.find_elements(By.CSS_SELECTOR, "td, td > .quiet")
        before = [each.rect for each in cells]
        button.send_keys(Keys.ENTER)
        assert "Egnyte moves it to the trash." in words(chromium)
        assert [each.rect for each in cells] == before
        assert chromium.switch_to.active_element.text == "Cancel"
        chromium.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert "Egnyte moves it to the trash." not in words(chromium)
        assert chromium.switch_to.active_element == button


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_size_and_time_are_shown_at_every_width_in_the_readers_time_zone(
    chromium: webdriver.Chrome, connected: str, egnyte_sandbox_server: Any, width: int
) -> None:
    chromium.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    with window(chromium, width):
        chromium.get(f"{connected}/files/")
        shown = words(chromium)
        times = [
            each
            for each in chromium.find_elements(By.CSS_SELECTOR, "td time")
            if each.is_displayed()
        ]
        assert len(times) == 2  # a folder and a file
        expected = chromium.execute_script(
            """
            const format = {dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Tokyo"};
            return arguments[0].map((each) => new Date(each.dateTime).toLocaleString("en", format));
            """,
            times,
        )
        assert [each.text for each in times] == expected
    assert "29" in shown and "bytes" in shown


@pytest.fixture
def one_ended(chromium: webdriver.Chrome, connected: str, egnyte_sandbox_server: Any) -> str:
    """The example site's URL. The user also has a revoked account."""
    sandbox = egnyte_sandbox_server.sandbox
    more_accounts(chromium, connected)
    follow(chromium, "form[action$='/default/'] button")
    assert "This site now uses mmiller at globex.egnyte.com." in words(chromium)
    sandbox.set_password("globex", "mmiller", "another-one-3")
    chromium.get(f"{connected}/files/")
    assert "Reconnect mmiller" in words(chromium)
    return connected


def test_axe_finds_nothing_where_a_connection_has_ended(axe: Axe, one_ended: str) -> None:
    assert axe.examine("example-ended") == []
    follow(axe.browser, ".egnyte-offers button")
    assert "report 2024.txt" in words(axe.browser)
    axe.browser.get(f"{one_ended}/egnyte/")
    assert "Being checked" in words(axe.browser)
    assert axe.examine("example-accounts-ended") == []


def sweep(environ: dict[str, str]) -> None:
    """Do the work of beat and a worker."""
    command = [sys.executable, "manage.py", "egnyte_sweep"]
    subprocess.run(command, cwd=EXAMPLE, env=environ, check=True, timeout=60, capture_output=True)


def test_a_file_is_found_locked_shared_and_its_changes_are_shown(
    axe: Axe, connected: str, environ: dict[str, str], egnyte_sandbox_server: Any, tmp_path: Path
) -> None:
    """``EGNYTE_TEST_SHOTS=folder`` saves screenshots."""
    browser, sandbox = axe.browser, egnyte_sandbox_server.sandbox
    folder = Path(os.environ.get("EGNYTE_TEST_SHOTS", tmp_path))
    told: list[str] = []

    def look(name: str) -> None:
        for width in (390, 1280):
            with window(browser, width):
                browser.save_screenshot(str(folder / f"{name}-{width}.png"))
        told.extend(axe.examine(f"example-{name}"))

    browser.get(f"{connected}/files/")
    look("folder")
    browser.find_element(By.NAME, "q").send_keys("report")
    follow(browser, "form.search button")
    assert "/Shared/report 2024.txt" in words(browser)
    look("search")
    browser.get(f"{connected}/files/search/?q={'x' * 101}")
    assert "Type 3 to 100 characters." in words(browser)
    browser.get(f"{connected}/files/search/?q=report")

    follow(browser, ".list a.file")
    assert "Not locked" in words(browser)
    follow(browser, "button[name=lock]")
    assert "Locked by Jane Smith" in words(browser)
    look("file")
    follow(browser, "button[name=unlock]")
    assert "Not locked" in words(browser)

    # The first link needs another scope, so the user is asked for it.
    follow(browser, "main a[href*='/share/']")
    assert "Create and delete links" in words(browser)
    follow(browser, "button.egnyte-button-main")
    consent(browser, "jsmith", "demo-password-1")
    look("share")
    follow(browser, "main form button")
    link = browser.find_element(By.CSS_SELECTOR, "main a[href*='/dl/']").text
    assert link.startswith("https://acme.egnyte.com/dl/")
    look("link")

    browser.get(f"{connected}/changes/")
    follow(browser, "button[name=start]")
    sandbox.add_file("acme", "/Shared/Documents/Offer.pdf", b"x")
    sweep(environ)
    waiting = WebDriverWait(browser, 20)
    waiting.until(lambda _: "/Shared/Documents/Offer.pdf" in words(browser))
    look("changes")
    follow(browser, "button[name=stop]")
    assert "Show what happens" in words(browser)
    assert told == []
    assert refused(browser) == []


def test_the_images_of_the_docs(
    chromium: webdriver.Chrome, one_ended: str, egnyte_sandbox_server: Any, tmp_path: Path
) -> None:
    """``EGNYTE_TEST_IMAGES=docs/images`` creates them again."""
    folder = Path(os.environ.get("EGNYTE_TEST_IMAGES", tmp_path))
    sandbox = egnyte_sandbox_server.sandbox
    sandbox.add_file("acme", "/Shared/Documents/Offer.pdf", bytes(184_320))
    sandbox.add_file("acme", "/Shared/Documents/Plan 2027.xlsx", bytes(52_224))
    sandbox.add_folder("acme", "/Shared/Documents/Contracts")
    follow(chromium, ".egnyte-offers button")
    pages = {"accounts": "/egnyte/", "files": "/files/?path=/Shared/Documents"}
    for name, address in pages.items():
        chromium.get(f"{one_ended}{address}")
        shoot(chromium, folder / f"{name}.png", 840, 400, scale=1.5)
        assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
