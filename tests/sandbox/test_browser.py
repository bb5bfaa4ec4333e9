"""In a real browser: which Referer it sends, and that the page does not overflow."""

from __future__ import annotations

import http.server
import queue
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from django_egnyte.sandbox import SandboxServer
from tests.browsing import SCHEMES, Axe, consent, follow, scheme

from .calls import authorization_url, exchange

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


def enhanced(browser: Any, base: str, application: Application) -> tuple[str, str | None]:
    url = authorization_url(
        base.format(domain="us-partner-integrations"), redirect_uri=application.url
    )
    browser.get(url.replace("/puboauth/token", "/services/oauth/code"))
    browser.find_element("id", "domain").send_keys("acme")
    follow(browser, "button")
    consent(browser, "jsmith", "wrong")
    assert "password is wrong" in browser.find_element("css selector", "[role=alert]").text
    browser.find_element("id", "username").clear()
    consent(browser, "jsmith", "demo-password-1")
    return application.seen.get(timeout=10)


def test_the_customers_host_is_the_referer(
    server: SandboxServer, chromium: Any, application: Application
) -> None:
    path, referer = enhanced(chromium, server.host_base_url, application)
    query = parse_qs(urlsplit(path).query)
    assert query["state"] == ["s 1&2"]
    assert referer == f"http://acme.localhost:{server.port}/"
    base = server.base_url.format(domain="acme")
    assert exchange(base, query["code"][0], redirect_uri=application.url).status_code == 200


def test_the_customers_path_is_in_the_referer(
    server: SandboxServer, chromium: Any, application: Application
) -> None:
    _, referer = enhanced(chromium, server.base_url, application)
    assert referer
    assert referer.startswith(f"{server.url}/d/acme/")


def test_no_referer_is_sent_when_it_is_switched_off(
    server: SandboxServer, chromium: Any, application: Application
) -> None:
    server.sandbox.settings.send_referer = False
    assert enhanced(chromium, server.host_base_url, application)[1] is None


def pages(server: SandboxServer) -> dict[str, str]:
    """The address of each kind of page, for an application with a long name."""
    server.sandbox.add_key(
        "long", name="An application with a rather" + "-very" * 12 + "-long name"
    )
    asked = authorization_url(server.base_url.format(domain="acme"), client_id="long")
    service = server.base_url.format(domain="us-partner-integrations")
    return {
        "index": server.url,
        "consent": asked,
        "domain": authorization_url(service).replace("/puboauth/token", "/services/oauth/code"),
        "refusal": asked.replace("client_id=long", "client_id=nobody"),
    }


def test_the_pages_fit_every_screen_follow_the_scheme_and_axe_finds_nothing(
    server: SandboxServer, axe: Axe
) -> None:
    told = []
    for name, address in pages(server).items():
        axe.browser.get(address)
        told += axe.examine(f"sandbox-{name}")
    assert told == []
    said = [each["message"] for each in axe.browser.get_log("browser")]
    assert [each for each in said if "style" in each or "Content Security Policy" in each] == []
    backs = {}
    for name in SCHEMES:
        with scheme(axe.browser, name):
            body = axe.browser.find_element("css selector", "body")
            backs[name] = body.value_of_css_property("background-color")
    assert backs == {"light": "rgba(238, 242, 243, 1)", "dark": "rgba(16, 24, 28, 1)"}


def test_axe_finds_nothing_where_the_password_is_wrong(server: SandboxServer, axe: Axe) -> None:
    axe.browser.get(pages(server)["consent"])
    consent(axe.browser, "jsmith", "wrong")
    assert axe.examine("sandbox-wrong") == []
