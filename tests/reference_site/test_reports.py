"""Tools that store requests and tracebacks store no code, token or password."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import sentry_sdk
from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application
from django.core.signals import got_request_exception, request_started
from django.core.wsgi import get_wsgi_application
from django.test import Client
from sentry_sdk.transport import Transport

from django_egnyte.callers import WEBHOOK_HEADER
from django_egnyte.contrib import debug_toolbar
from django_egnyte.contrib.sentry import install
from django_egnyte.models import EgnyteAccount
from django_egnyte.services import webhooks
from tests import walk
from tests.flows.steps import fragment_of

CONNECT = "/en/egnyte/connect/"
PASSWORD = "p4ssw0rd of an Egnyte user"


class Kept(Transport):
    """A transport for Sentry that sends nothing and keeps all events."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.text = ""

    def capture_envelope(self, envelope: Any) -> None:
        self.text += "".join(
            json.dumps(item.payload.json) if item.payload.json else str(item.payload.get_bytes())
            for item in envelope.items
        )


@pytest.fixture
def sentry() -> Iterator[Kept]:
    """Sentry at its default settings, and tracing."""
    kept = Kept()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=kept, default_integrations=True,
        traces_sample_rate=1.0,
    )  # fmt: skip
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.init()


@pytest.fixture
def reports() -> Iterator[list[str]]:
    """Each failure's traceback with all local variables, as other tools write them."""
    found: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        _, error, trace = sys.exc_info()
        assert error is not None
        text = "".join(
            traceback.TracebackException(type(error), error, trace, capture_locals=True).format()
        )
        found.append(
            f"{text}\n{request!r}\n{request.META}\n{request.GET}{request.POST}{request.body!r}"
        )

    got_request_exception.connect(report)
    yield found
    got_request_exception.disconnect(report)


def wsgi(client: Client, url: str, data: str | None = None, **headers: str) -> int:
    """A request through the WSGI application, as a server makes it."""
    parts = urlsplit(url)
    cookies = "; ".join(f"{name}={each.value}" for name, each in client.cookies.items())
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET" if data is None else "POST",
        "PATH_INFO": parts.path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": parts.query,
        "RAW_URI": f"{parts.path}?{parts.query}",
        "HTTP_X_ORIGINAL_URI": f"{parts.path}?{parts.query}",
        "HTTP_HOST": "testserver",
        "HTTP_COOKIE": cookies,
        "HTTP_ACCEPT": "text/html",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(data or "")),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO((data or "").encode()),
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    statuses: list[str] = []
    response = get_wsgi_application()(
        environ, lambda status, headers, exc_info=None: statuses.append(status)
    )
    b"".join(response)
    getattr(response, "close", lambda: None)()
    return int(statuses[0].split()[0])


def asgi(client: Client, url: str, data: str | None = None, **headers: str) -> int:
    """The same through the ASGI application."""
    parts = urlsplit(url)
    cookies = "; ".join(f"{name}={each.value}" for name, each in client.cookies.items())
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if data is None else "POST",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [
            (b"host", b"testserver"),
            (b"cookie", cookies.encode()),
            (b"accept", b"text/html"),
            (b"x-original-uri", f"{parts.path}?{parts.query}".encode()),
            (b"content-type", b"application/x-www-form-urlencoded"),
            (b"content-length", str(len(data or "")).encode()),
            *((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()),
        ],
        "client": ("127.0.0.1", 1234),
        "server": ("testserver", 80),
    }
    sent: list[Any] = []
    body = [{"type": "http.request", "body": (data or "").encode(), "more_body": False}]

    async def receive() -> Any:
        if not body:
            await asyncio.sleep(60)
        return body.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    async_to_sync(get_asgi_application())(scope, receive, send)
    return int(sent[0]["status"])


SERVERS = pytest.mark.parametrize("serve", [wsgi, asgi])
Serve = Callable[..., int]


def fails(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def bug(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(where, bug)


def begin(client: Client, **data: str) -> str:
    response = client.post(CONNECT, {"domain": "acme", **data})
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def assert_kept_none(secrets: list[str], *texts: str) -> None:
    for text in texts:
        assert "ZeroDivisionError" in text
        for secret in secrets:
            assert secret
            assert secret not in text


@pytest.mark.django_db(transaction=True)
@SERVERS
@pytest.mark.parametrize(
    "where",
    ["django_egnyte.services.link.spend_state", "django_egnyte.views.flows.connected"],
)
def test_a_failing_callback_is_reported_without_its_code(
    browser: Client,
    egnyte_sandbox: Any,
    sentry: Kept,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
    serve: Serve,
    where: str,
) -> None:
    location = egnyte_sandbox.authorize(begin(browser), "jsmith")
    fails(monkeypatch, where)
    assert serve(browser, location) == 500
    # The state alone is useless: it belongs to a cookie, and has been used.
    assert_kept_none([walk.query_of(location)["code"]], sentry.text, *reports)
    assert reports


@pytest.mark.django_db(transaction=True)
@SERVERS
def test_a_failing_callback_of_the_implicit_flow_is_reported_without_its_token(
    browser: Client,
    egnyte_sandbox: Any,
    settings: Any,
    sentry: Kept,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
    serve: Serve,
) -> None:
    settings.EGNYTE_FLOW = "implicit"
    settings.EGNYTE_CLIENT_ID, settings.EGNYTE_CLIENT_SECRET = "sandbox-implicit-key", ""
    location = egnyte_sandbox.authorize(begin(browser), "jsmith")
    fragment = fragment_of(f"/egnyte/callback/#{location.partition('#')[2]}")
    fails(monkeypatch, "django_egnyte.services.link.spend_state")
    browser.get("/en/egnyte/callback/")
    form = with_csrf(browser, location.partition("#")[2])
    assert serve(browser, "/en/egnyte/implicit/", form) == 500
    assert_kept_none([fragment["access_token"]], sentry.text, *reports)


@pytest.mark.django_db(transaction=True)
@SERVERS
def test_a_failing_password_page_is_reported_without_the_password(
    browser: Client,
    egnyte_sandbox: Any,
    settings: Any,
    sentry: Kept,
    reports: list[str],
    monkeypatch: pytest.MonkeyPatch,
    serve: Serve,
) -> None:
    settings.EGNYTE_FLOW = "password"
    egnyte_sandbox.set_password("acme", "jsmith", PASSWORD)
    browser.get("/en/egnyte/password/")
    fails(monkeypatch, "django_egnyte.services.link.link_with_password")
    form = with_csrf(browser, f"domain=acme&username=jsmith&password={PASSWORD.replace(' ', '+')}")
    assert serve(browser, "/en/egnyte/password/", form) == 500
    assert_kept_none([PASSWORD, PASSWORD.replace(" ", "+")], sentry.text, *reports)


@pytest.mark.django_db(transaction=True)
def test_a_callback_that_fails_before_its_view_is_reported_without_its_code(
    browser: Client, egnyte_sandbox: Any, sentry: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    # Beside the debug toolbar, the query is hidden even before that.
    assert request_started.disconnect(dispatch_uid="django_egnyte.hide_query")
    location = egnyte_sandbox.authorize(begin(browser), "jsmith")
    with monkeypatch.context() as patch:
        fails(patch, "django.middleware.locale.LocaleMiddleware.process_request")
        assert wsgi(browser, location) == 500
    assert_kept_none([walk.query_of(location)["code"]], sentry.text)
    # Other data is not changed.
    with monkeypatch.context() as patch:
        fails(patch, "tests.reference_site.views.home")
        assert wsgi(browser, "/en/?state=of-something-else") == 200
        fails(patch, "django.middleware.locale.LocaleMiddleware.process_request")
        assert wsgi(browser, "/en/?state=of-something-else") == 500
    assert "state=of-something-else" in sentry.text
    debug_toolbar.install()


@pytest.mark.django_db(transaction=True)
def test_a_request_that_goes_well_is_traced_without_its_code(
    browser: Client, egnyte_sandbox: Any, sentry: Kept
) -> None:
    location = egnyte_sandbox.authorize(begin(browser), "jsmith")
    assert wsgi(browser, location) == 302
    query = walk.query_of(location)
    assert "/egnyte/callback/" in sentry.text  # the transaction
    for secret in (query["code"], query["state"]):
        assert secret not in sentry.text


@pytest.mark.django_db(transaction=True)
@SERVERS
@pytest.mark.parametrize(
    "where",
    ["", "django.middleware.locale.LocaleMiddleware.process_request",
     "django_egnyte.services.events.receive"],
)  # fmt: skip
def test_a_delivery_is_reported_without_the_secret_of_its_webhook(
    egnyte_account: EgnyteAccount,
    sentry: Kept,
    monkeypatch: pytest.MonkeyPatch,
    serve: Serve,
    where: str,
) -> None:
    install()
    secret = webhooks.secret_of(egnyte_account).reveal()
    if where:
        fails(monkeypatch, where)
    body = json.dumps([{"eventId": "a", "eventType": "fs:add_file"}])
    headers = {WEBHOOK_HEADER.lower().replace("-", "_"): secret}
    assert serve(Client(), "/en/egnyte/webhook/", body, **headers) == (500 if where else 200)
    assert "/egnyte/webhook/" in sentry.text
    assert secret.partition(".")[2] not in sentry.text


def test_without_sentry_nothing_is_asked_of_it(
    browser: Client, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in (None, object()):  # not imported, or a version without isolation scopes
        monkeypatch.setitem(sys.modules, "sentry_sdk", missing)
        location = egnyte_sandbox.authorize(begin(browser), "jsmith")
        assert browser.get(location).status_code == 302


def with_csrf(client: Client, form: str) -> str:
    return f"{form}&csrfmiddlewaretoken={client.cookies['csrftoken'].value}"


# django-debug-toolbar.


def stored() -> str:
    from debug_toolbar.store import get_store

    store = get_store()
    return "".join(
        json.dumps(store.panel(request_id, panel), default=str)
        for request_id in store.request_ids()
        for panel in (
            "RequestPanel", "HeadersPanel", "HistoryPanel", "TemplatesPanel", "SQLPanel",
            "SignalsPanel", "CachePanel", "StaticFilesPanel", "RedirectsPanel",
        )
    )  # fmt: skip


@pytest.fixture
def toolbar(settings: Any) -> Iterator[None]:
    from debug_toolbar.store import get_store

    settings.TOOLBAR = settings.DEBUG = True
    get_store().clear()
    yield
    get_store().clear()


@pytest.mark.usefixtures("toolbar")
def test_the_debug_toolbar_keeps_no_code(browser: Client, egnyte_sandbox: Any) -> None:
    location = egnyte_sandbox.authorize(begin(browser), "jsmith")
    code = walk.query_of(location)["code"]
    response = browser.get(location)
    assert response.status_code == 302
    kept = stored()
    assert "callback" in kept
    assert code not in kept
    assert EgnyteAccount.objects.exists()
    for token in egnyte_sandbox.live_tokens():
        assert token.value not in kept


@pytest.mark.usefixtures("toolbar")
def test_the_debug_toolbar_keeps_no_password(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    settings.EGNYTE_FLOW = "password"
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    form = {"domain": "acme", "username": "jsmith", "password": PASSWORD}
    assert browser.post("/en/egnyte/password/", form).status_code in (403, 400)
    kept = stored()
    assert "password" in kept
    assert PASSWORD not in kept
