"""What only a real browser shows: which Referer it sends, and that the page fits."""

from __future__ import annotations

import http.server
import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from django_egnyte.sandbox import SandboxServer

from .calls import authorization_url, exchange

webdriver = pytest.importorskip("selenium.webdriver")

pytestmark = pytest.mark.service("browser")


class Application:
    """A redirect URI that notes how it was reached."""

    def __init__(self) -> None:
        self.seen: queue.Queue[tuple[str, str | None]] = queue.Queue()
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/callback"):
                    seen.put((self.path, self.headers["Referer"]))
                self.send_response(200)
                self.send_header("Content-Length", "5")
                self.end_headers()
                self.wfile.write(b"hello")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/callback"


@pytest.fixture
def application() -> Iterator[Application]:
    application = Application()
    thread = threading.Thread(target=application.server.serve_forever)
    thread.start()
    yield application
    application.server.shutdown()
    thread.join()
    application.server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{argument}")
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.implicitly_wait(5)
    yield driver
    driver.quit()


def allow(browser: Any, password: str = "demo-password-1") -> None:
    browser.find_element("id", "username").send_keys("jsmith")
    browser.find_element("id", "password").send_keys(password)
    browser.find_element("css selector", "button[value=allow]").click()


def enhanced(browser: Any, base: str, application: Application) -> tuple[str, str | None]:
    url = authorization_url(
        base.format(domain="us-partner-integrations"), redirect_uri=application.url
    )
    browser.get(url.replace("/puboauth/token", "/services/oauth/code"))
    browser.find_element("id", "domain").send_keys("acme")
    browser.find_element("css selector", "button").click()
    allow(browser, "wrong")
    assert "password is wrong" in browser.find_element("css selector", "[role=alert]").text
    browser.find_element("id", "username").clear()
    allow(browser)
    return application.seen.get(timeout=10)


def test_the_customers_host_is_the_referer(
    server: SandboxServer, browser: Any, application: Application
) -> None:
    path, referer = enhanced(browser, server.host_base_url, application)
    query = parse_qs(urlsplit(path).query)
    assert query["state"] == ["s 1&2"]
    assert referer == f"http://acme.localhost:{server.port}/"
    base = server.base_url.format(domain="acme")
    assert exchange(base, query["code"][0], redirect_uri=application.url).status_code == 200


def test_the_customers_path_is_in_the_referer(
    server: SandboxServer, browser: Any, application: Application
) -> None:
    _, referer = enhanced(browser, server.base_url, application)
    assert referer
    assert referer.startswith(f"{server.url}/d/acme/")


def test_no_referer_is_sent_when_it_is_switched_off(
    server: SandboxServer, browser: Any, application: Application
) -> None:
    server.sandbox.settings.send_referer = False
    assert enhanced(browser, server.host_base_url, application)[1] is None


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_screen(
    server: SandboxServer, browser: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    server.sandbox.add_key(
        "long", name="An application with a rather" + "-very" * 12 + "-long name"
    )
    browser.get(authorization_url(server.base_url.format(domain="acme"), client_id="long"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    back = browser.find_element("css selector", "body").value_of_css_property("background-color")
    assert back.startswith("rgba(238, 242, 243" if scheme == "light" else "rgba(16, 24, 28")
    assert browser.save_screenshot(str(tmp_path / f"{width}-{scheme}.png"))
    told = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # An earlier test's page may still look for its icon on a server that is gone.
    assert [message for message in told if message.startswith(server.url)] == []
