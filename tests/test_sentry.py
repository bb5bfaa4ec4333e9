"""Codes, tokens and passwords are removed from Sentry's events. Sentry need not be installed.

With Sentry itself: ``tests.reference_site.test_reports``.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.signals import request_started

from django_egnyte.callers import HIDDEN_QUERY, WEBHOOK_HEADER, WEBHOOK_KEY
from django_egnyte.contrib import sentry

CALLBACK = "/egnyte/callback/"
QUERY = "code=c0de&state=st4te"


class Sdk(SimpleNamespace):
    """The parts of Sentry's SDK that the app uses."""

    def __init__(self, *, active: bool = True, integrations: tuple[str, ...] = ("django",)) -> None:
        self.processors: list[Any] = []
        client = SimpleNamespace(
            is_active=lambda: active,
            get_integration=lambda name: name if name in integrations else None,
        )
        scope = SimpleNamespace(add_event_processor=self.processors.append)
        super().__init__(get_client=lambda: client, get_isolation_scope=lambda: scope)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Sdk:
    found = Sdk()
    monkeypatch.setitem(sys.modules, "sentry_sdk", found)  # type: ignore[arg-type]
    return found


def event(url: str, **request: Any) -> dict[str, Any]:
    shown = f"<WSGIRequest: GET '{url}?{QUERY}'>"
    frame = {"vars": {"request": shown, "args": [shown, {"deep": shown}], "count": 7}}
    return {
        "request": {
            "url": f"https://site.example{url}",
            "query_string": QUERY,
            "data": {"access_token": "t0ken"},
            "headers": {"X-Original-Uri": f"{url}?{QUERY}", "Accept": "*/*", "N": 1},
            **request,
        },
        "exception": {"values": [{"stacktrace": {"frames": [frame, {}]}}, {}]},
    }


@pytest.mark.parametrize("page", ["callback", "implicit", "password"])
def test_an_event_of_a_page_with_secrets_loses_its_query_and_form(page: str) -> None:
    url = f"/egnyte/{page}/"
    found = sentry.scrub_event(event(url), {})
    for secret in ("c0de", "st4te", "t0ken"):
        assert secret not in repr(found)
    assert found["request"]["headers"] == {"X-Original-Uri": url, "Accept": "*/*", "N": 1}
    (frame, _) = found["exception"]["values"][0]["stacktrace"]["frames"]
    shown = f"<WSGIRequest: GET '{url}'>"
    assert frame["vars"] == {"request": shown, "args": [shown, {"deep": shown}], "count": 7}


@pytest.mark.parametrize("url", ["/", "/egnyte/connect/", "/other/egnyte/callback/"])
def test_an_event_of_another_page_stays_as_it_is(url: str) -> None:
    assert sentry.scrub_event(event(url), {}) == event(url)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"request": None},
        {"request": {}},
        {"request": {"url": CALLBACK}, "exception": None},
        {"request": {"url": f"https://site.example{CALLBACK}"}, "exception": {"values": None}},
    ],
)
def test_an_event_without_a_request_or_a_failure_is_left(given: dict[str, Any]) -> None:
    assert sentry.scrub_event(given, {}) is given


@pytest.mark.parametrize("url", ["/", "/egnyte/webhook/", CALLBACK])
@pytest.mark.parametrize("name", [WEBHOOK_HEADER, WEBHOOK_HEADER.lower(), WEBHOOK_HEADER.upper()])
def test_an_event_loses_a_webhooks_secret_whatever_the_page(url: str, name: str) -> None:
    found = sentry.scrub_event(event(url, headers={name: "5.mac", "Accept": "*/*"}), {})
    assert found["request"]["headers"] == {"Accept": "*/*"}


class NoUrls:
    urlpatterns: list[Any] = []


def test_a_site_without_our_urls_is_left_alone(settings: Any) -> None:
    settings.ROOT_URLCONF = NoUrls
    assert sentry.scrub_event(event(CALLBACK), {}) == event(CALLBACK)


def test_a_request_is_guarded_where_sentry_looks_at_requests(sdk: Sdk) -> None:
    sentry.guard()
    assert sdk.processors == [sentry.scrub_event]


@pytest.mark.parametrize(
    "found",
    [None, SimpleNamespace(), Sdk(active=False), Sdk(integrations=())],
    ids=["missing", "old", "inactive", "without Django"],
)
def test_nothing_is_asked_of_a_sentry_that_is_not_at_work(
    monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", found)
    sentry.guard()
    assert getattr(found, "processors", []) == []


@pytest.mark.parametrize(
    ("given", "guarded"),
    [
        ({"environ": {"QUERY_STRING": QUERY}}, True),
        ({"environ": {"QUERY_STRING": "", HIDDEN_QUERY: "hidden"}}, True),
        ({"environ": {"QUERY_STRING": "page=2"}}, False),
        ({"environ": {}}, False),
        ({"scope": {"query_string": QUERY.encode()}}, True),
        ({"scope": {"query_string": b"page=2"}}, False),
        ({"environ": {WEBHOOK_KEY: "5.mac"}}, True),
        (
            {"scope": {"headers": [(b"accept", b"*/*"), (b"x-egnyte-webhook-secret", b"5.mac")]}},
            True,
        ),
        ({"scope": {"headers": [(b"x-egnyte-secret", b"")]}}, False),
        ({}, False),
    ],
)
def test_a_callback_is_guarded_from_its_start(
    sdk: Sdk, given: dict[str, Any], guarded: bool
) -> None:
    # Do not send the signal: its other receivers close the database connections.
    sentry._guard_request(None, **given)
    assert bool(sdk.processors) is guarded


def test_the_start_of_each_request_is_watched_once_installed() -> None:
    for _ in range(2):
        sentry.install()
    assert request_started.disconnect(dispatch_uid="django_egnyte.guard_request")
    assert not request_started.disconnect(dispatch_uid="django_egnyte.guard_request")
