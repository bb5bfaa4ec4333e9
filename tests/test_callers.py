"""Which requests are redirected to a page, and which get JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client, RequestFactory

from django_egnyte import callers
from django_egnyte.access import to_connect
from tests import walk

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def asked(method: str = "GET", path: str = "/files/?page=2", **headers: str) -> Any:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request: Any = RequestFactory().generic(method, path, headers=given)
    request.user = AnonymousUser()
    return request


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({}, False),  # curl -H "Accept:"
        ({"Accept": "*/*"}, False),  # fetch, curl, requests
        ({"Accept": "*/*", "X_Requested_With": "XMLHttpRequest"}, False),  # jQuery
        ({"Accept": "application/json, text/plain, */*"}, False),  # axios
        ({"Accept": "application/json, text/javascript, */*; q=0.01"}, False),  # jQuery, JSON
        ({"Accept": "application/json"}, False),
        ({"Accept": "text/*"}, False),
        ({"Accept": "text/plain"}, False),
        ({"Accept": "image/avif,image/webp,*/*;q=0.8"}, False),
        ({"Accept": ""}, False),
        ({"Accept": "application/json, text/html;q=0.5"}, False),
        ({"Accept": "text/html;q=0, */*"}, False),
        ({"Accept": ",;=/"}, False),
        ({"Accept": "*/*", "Sec_Fetch_Mode": "cors"}, False),
        ({"Accept": "*/*", "Sec_Fetch_Mode": "Navigate"}, False),
        ({"Accept": CHROME}, True),
        ({"Accept": CHROME, "Sec_Fetch_Mode": "navigate"}, True),
        ({"Accept": "*/*", "Sec_Fetch_Mode": "navigate"}, True),
        ({"Sec_Fetch_Mode": "navigate"}, True),
        ({"Accept": "text/html, */*; q=0.01"}, True),  # jQuery's load()
        ({"Accept": "text/vnd.turbo-stream.html, text/html, application/xhtml+xml"}, True),  # Turbo
        ({"Accept": "text/html;q=0.8, application/json;q=0.5"}, True),
    ],
)
def test_a_redirect_is_for_those_who_ask_for_a_page(headers: dict[str, str], page: bool) -> None:
    request = asked(**headers)
    assert callers.wants_page(request) is page
    response = to_connect(request)
    assert response.status_code == (302 if page else 401)
    assert {"Accept", "HX-Request", "Sec-Fetch-Mode"} <= set(response["Vary"].split(", "))
    assert "no-store" in response["Cache-Control"]
    if not page:
        found = json.loads(response.content)
        assert found["error"] == "egnyte_not_linked"
        assert walk.query_of(found["connect_url"]) == {"next": "/files/?page=2"}


@pytest.mark.parametrize("boosted", [{}, {"HX_Boosted": "true"}])
@pytest.mark.parametrize("accept", ["*/*", CHROME])
def test_htmx_is_told_where_to_go_and_comes_back_to_its_page(
    boosted: dict[str, str], accept: str
) -> None:
    request = asked(
        path="/files/rows/",
        Accept=accept,
        HX_Request="true",
        HX_Current_URL="http://testserver/files/?page=2",
        **boosted,
    )
    response = to_connect(request)
    assert response.status_code == 401  # htmx follows a redirect, and swaps the page in
    assert "Location" not in response
    assert walk.query_of(response["HX-Redirect"]) == {"next": "/files/?page=2"}


@pytest.mark.parametrize(
    ("method", "headers", "path"),
    [
        ("GET", {"Referer": "http://testserver/app/?tab=1"}, "/app/?tab=1"),
        ("POST", {"Referer": "http://testserver/app/"}, "/app/"),
        ("POST", {"Referer": "http://testserver"}, "/"),
        ("GET", {"Referer": "https://evil.example/app/"}, "/files/?page=2"),
        ("GET", {"Referer": "http://testserver@evil.example/"}, "/files/?page=2"),
        ("GET", {"Referer": "//evil.example/"}, "/files/?page=2"),
        ("GET", {"Referer": "javascript://testserver/%0aalert(1)"}, "/files/?page=2"),
        ("GET", {"Referer": "http://[bad"}, "/files/?page=2"),
        ("GET", {"Referer": "/app/"}, "/files/?page=2"),
        ("GET", {}, "/files/?page=2"),
        ("POST", {}, ""),
        ("GET", {"HX_Request": "true"}, ""),
        ("GET", {"HX_Request": "true", "HX_Current_URL": "https://evil.example/"}, ""),
        ("POST", {"HX_Request": "true", "HX_Current_URL": "http://testserver/app/"}, "/app/"),
        ("GET", {"Accept": CHROME, "Referer": "http://testserver/app/"}, "/files/?page=2"),
        ("POST", {"Accept": CHROME, "Referer": "http://testserver/app/"}, ""),
    ],
)
def test_a_script_comes_back_to_the_page_that_it_runs_in(
    method: str, headers: dict[str, str], path: str
) -> None:
    assert callers.page_of(asked(method, **headers)) == path


@pytest.mark.parametrize("accept", ["*/*", None])
def test_a_view_answers_a_script_with_a_401(browser: Client, accept: str | None) -> None:
    del browser.defaults["HTTP_ACCEPT"]
    headers = {} if accept is None else {"Accept": accept}
    response = browser.get("/egnyte-userinfo/", headers=headers)
    assert response.status_code == 401
    assert response.json()["connect_url"] == "/egnyte/connect/?next=%2Fegnyte-userinfo%2F"
