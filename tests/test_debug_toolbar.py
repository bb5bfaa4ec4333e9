"""The callback's query is hidden from django-debug-toolbar, which need not be installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import request_started
from django.test import Client
from django.urls import set_script_prefix

from django_egnyte.callers import HIDDEN_QUERY
from django_egnyte.contrib.debug_toolbar import hide_query, install
from django_egnyte.secret import Secret
from tests import walk

QUERY = "code=c0de&state=st4te"


@pytest.fixture
def _installed() -> Iterator[None]:
    install()
    yield
    assert request_started.disconnect(dispatch_uid="django_egnyte.hide_query")


def environ(path: str = "/egnyte/callback/", query: str = QUERY, **more: str) -> dict[str, Any]:
    return {"PATH_INFO": path, "QUERY_STRING": query, **more}


def test_the_query_of_the_callback_is_hidden() -> None:
    given = environ(RAW_URI=f"/egnyte/callback/?{QUERY}", HTTP_X_URI=f"/egnyte/callback/?{QUERY}")
    hide_query(None, environ=given)
    assert given.pop(HIDDEN_QUERY) == Secret(QUERY)
    assert given == environ(query="", RAW_URI="/egnyte/callback/", HTTP_X_URI="/egnyte/callback/")
    scope = {"path": "/egnyte/callback/", "query_string": QUERY.encode()}
    hide_query(None, scope=scope)
    assert scope.pop(HIDDEN_QUERY) == Secret(QUERY)
    assert scope == {"path": "/egnyte/callback/", "query_string": b""}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/egnyte/connect/", "state=1"),
        ("/egnyte/callback", QUERY),  # the redirect to the URL with a slash needs it
        ("/egnyte/callback/", ""),
        ("/egnyte/callback/", "page=2"),
        ("/other/egnyte/callback/", QUERY),
    ],
)
def test_other_queries_stay(path: str, query: str) -> None:
    given = environ(path, query)
    hide_query(None, environ=given)
    assert given == environ(path, query)
    scope = {"path": path, "query_string": query.encode()}
    hide_query(None, scope=scope)
    assert scope == {"path": path, "query_string": query.encode()}


def test_a_site_below_a_path_is_known_by_its_whole_address() -> None:
    given = environ(SCRIPT_NAME="/app")
    set_script_prefix("/app/")
    try:
        hide_query(None, environ=given)
    finally:
        set_script_prefix("/")
    assert given["QUERY_STRING"] == ""


class NoUrls:
    urlpatterns: list[Any] = []


def test_a_site_without_our_urls_is_left_alone(settings: Any) -> None:
    settings.ROOT_URLCONF = NoUrls
    given = environ()
    hide_query(None, environ=given)
    assert given == environ()


@pytest.mark.usefixtures("_installed")
def test_the_callback_finds_what_is_hidden(browser: Client, egnyte_sandbox: Any) -> None:
    assert walk.link(browser, egnyte_sandbox).status_code == 302
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith", allow=False)
    walk.assert_refusal(walk.come_back(browser, location), 403)
