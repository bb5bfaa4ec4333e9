from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_egnyte import gateway
from django_egnyte.exceptions import ResponseError
from django_egnyte.models import EgnyteAccount, EgnyteGrant
from tests import walk
from tests.rawserver import Visitor, serving
from tests.walk import assert_nothing_is_left, assert_refusal

CALLBACK = "/egnyte/callback/"


# Egnyte's trouble. Each fault is in the answer to the exchange.

TOKEN = r"^/puboauth/token"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 200, "body": {"token_type": "bearer"}}, 502),
        ({"status": 200, "body": {"access_token": ""}}, 502),
        ({"status": 200, "body": {"access_token": None, "refresh_token": "r"}}, 502),
        ({"status": 200, "body": {"access_token": ["a"]}}, 502),
        ({"status": 200, "body": []}, 502),
        ({"status": 200, "body": "null"}, 502),
        ({"status": 200, "body": "[" * 60_000}, 502),
        ({"status": 200, "body": "<html>Sign in</html>", "content_type": "text/html"}, 502),
        ({"status": 200, "body": b"\xff\xfe\x00"}, 502),
        ({"status": 200, "body": ""}, 502),
        ({"status": 204, "body": ""}, 502),
        ({"html": True}, 502),
        ({"malformed": True}, 502),
        ({"redirect": "http://127.0.0.1:1/steal"}, 502),
        ({"status": 500, "body": "<h1>Internal error</h1>"}, 503),
        ({"status": 503, "body": ""}, 503),
        ({"reset": True}, 503),
        ({"status": 409, "headers": {"Retry-After": "120"}, "body": ""}, 503),
        ({"status": 429, "headers": {"Retry-After": "7"}, "body": ""}, 503),
        ({"status": 200, "huge": 100 * 1024 * 1024}, 502),
    ],
)
def test_egnytes_trouble_is_a_502_or_503_page(
    browser: Client, egnyte_sandbox: Any, fault: dict[str, Any], status: int
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    rule = egnyte_sandbox.faults.add(path=TOKEN, method="POST", **fault)
    began = time.monotonic()
    response = walk.come_back(browser, location)
    assert time.monotonic() - began < 10
    assert egnyte_sandbox.faults.hits(rule) == 1
    assert_refusal(response, status)
    assert egnyte_sandbox.counts.get("token:authorization_code", 0) <= 1
    if "Retry-After" in fault.get("headers", {}):
        assert int(response["Retry-After"]) >= 7
    # The sandbox handled the request only if the fault breaks its own answer.
    assert_nothing_is_left(egnyte_sandbox)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ((400, "APIKEY_FOR_IMPLICIT", ""), 400),
        (
            (
                400,
                "INTERNAL_ERROR",
                "OAuth request from this source has gone over its rate limit quota",
            ),
            429,
        ),
        ((401, "INTERNAL_ERROR", "No active developer profile found for api key"), 400),
        ((400, "INTERNAL_ERROR", "null"), 400),
        ((403, "INVALID_USERNAME_OR_PASSWORD", ""), 400),
        ((403, "GRANT_PASSWORD", ""), 400),
        ((400, "RESOURCE_FLOW_ISNULL", ""), 400),
    ],
)
def test_each_row_of_egnytes_table_is_a_4xx_page_with_a_hint_in_the_log(
    browser: Client,
    egnyte_sandbox: Any,
    caplog: pytest.LogCaptureFixture,
    row: tuple[int, str, str],
    status: int,
) -> None:
    code, name, message = row
    egnyte_sandbox.faults.add(
        path=TOKEN, method="POST", status=code, body={"errorCode": name, "message": message}
    )
    response = walk.link(browser, egnyte_sandbox)
    assert_refusal(response, status)
    assert name in caplog.text
    assert "Hint:" in caplog.text
    assert name not in response.content.decode()


@pytest.mark.parametrize("style", ["modern", "legacy"])
def test_a_token_in_an_answer_that_was_cut_off_is_revoked(
    browser: Client, egnyte_sandbox: Any, style: str
) -> None:
    egnyte_sandbox.policy.style = style
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    whole = len(json.dumps({"access_token": "x" * 24, "token_type": "bearer"}))
    egnyte_sandbox.faults.add(path=TOKEN, method="POST", truncate=whole)
    response = walk.come_back(browser, location)
    assert_refusal(response, 502)
    assert EgnyteGrant.objects.exclude(release_at=None).count() == 1
    assert_nothing_is_left(egnyte_sandbox)


def test_an_answer_that_was_cut_off_at_its_first_byte_is_a_502_page(
    browser: Client, egnyte_sandbox: Any
) -> None:
    egnyte_sandbox.faults.add(path=TOKEN, method="POST", truncate=1)
    assert_refusal(walk.link(browser, egnyte_sandbox), 502)
    assert not EgnyteAccount.objects.exists()


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_that_trickles_ends_at_the_deadline(
    browser: Client, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(gateway, "TOKEN_DEADLINE", 1.0)
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    egnyte_sandbox.faults.add(
        path=TOKEN,
        method="POST",
        status=200,
        body=" " * 2000,
        trickle={"bytes": 1, "interval": 0.05, "part": part},
    )
    began = time.monotonic()
    response = walk.come_back(browser, location)
    assert time.monotonic() - began < 3
    assert response.status_code in (502, 503)
    assert_refusal(response, response.status_code)
    assert_nothing_is_left(egnyte_sandbox)


def test_a_token_at_the_head_of_an_answer_that_trickles_is_revoked(
    browser: Client, egnyte_sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "TOKEN_DEADLINE", 1.0)
    issued = egnyte_sandbox.issue("acme", "jsmith")
    egnyte = settings.EGNYTE_BASE_URL

    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
        visitor.send(b'{"access_token": "%s", ' % issued.access_token.encode())
        visitor.trickle(b" " * 8000, 0.05)

    with serving(script) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        given = walk.query_of(walk.begin(browser))["state"]
        began = time.monotonic()
        response = browser.get(CALLBACK, {"code": "abc", "state": given})
        assert time.monotonic() - began < 3
        assert len(server.requests) == 1
    assert response.status_code in (502, 503)
    settings.EGNYTE_BASE_URL = egnyte
    assert_nothing_is_left(egnyte_sandbox)


def test_a_hung_egnyte_is_a_503_page_at_the_deadline(
    browser: Client, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "TOKEN_DEADLINE", 1.0)
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    egnyte_sandbox.faults.add(path=TOKEN, method="POST", hang=4)
    began = time.monotonic()
    assert_refusal(walk.come_back(browser, location), 503)
    assert time.monotonic() - began < 3
    assert not EgnyteAccount.objects.exists()


def test_an_egnyte_that_is_not_there_is_a_503_page(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    settings.EGNYTE_BASE_URL = "http://127.0.0.1:1/d/{domain}"
    assert_refusal(walk.come_back(browser, location), 503)
    assert not EgnyteAccount.objects.exists()


USERINFO = r"^/pubapi/v1/userinfo"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 500, "body": ""}, 503),
        ({"reset": True}, 503),
        ({"status": 401, "body": ""}, 502),
        ({"status": 403, "body": ""}, 502),
        ({"status": 404, "body": ""}, 502),
        ({"status": 429, "headers": {"Retry-After": "2"}, "body": ""}, 503),
        ({"status": 200, "body": "[]"}, 502),
        ({"status": 200, "body": {"id": None, "username": "x"}}, 502),
        ({"status": 200, "body": {"id": True, "username": "x"}}, 502),
        ({"status": 200, "body": {"id": -1, "username": "x"}}, 502),
        ({"status": 200, "body": {"id": 2**63, "username": "x"}}, 502),
        ({"status": 200, "body": {"id": 7}}, 502),
        ({"status": 200, "body": {"id": 7, "username": "\x00"}}, 502),
        ({"truncate": 5}, 502),
        ({"malformed": True}, 502),
        ({"huge": 100 * 1024 * 1024}, 502),
        ({"redirect": "http://127.0.0.1:1/"}, 502),
    ],
)
def test_a_token_whose_owner_is_not_told_is_revoked(
    browser: Client, egnyte_sandbox: Any, fault: dict[str, Any], status: int
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    egnyte_sandbox.faults.add(path=USERINFO, **fault)
    assert_refusal(walk.come_back(browser, location), status)
    assert egnyte_sandbox.live_tokens()
    assert_nothing_is_left(egnyte_sandbox)


@pytest.mark.parametrize(
    "name", ["a\x00b", "\ud800", "\u202egnp.exe", "🙂" * 300, "<b>&", "x" * 10_000, 5, None]
)
def test_a_hostile_name_from_egnyte_breaks_nothing(
    browser: Client, egnyte_sandbox: Any, name: Any
) -> None:
    body = {"id": 121, "username": "jsmith", "first_name": name, "last_name": name, "email": name}
    egnyte_sandbox.faults.add(path=USERINFO, status=200, body=json.dumps(body))
    assert walk.link(browser, egnyte_sandbox).status_code == 302
    account = EgnyteAccount.objects.get()
    assert len(account.first_name) <= 255
    assert account.first_name.isprintable()
    page = browser.get(reverse("egnyte:accounts"))
    assert page.status_code == 200
    assert "<b>&" not in page.content.decode()


def test_an_error_that_the_table_does_not_name_is_a_502_page(
    browser: Client, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any, **kwargs: Any) -> Any:
        raise ResponseError("not the answer promised")

    monkeypatch.setattr("django_egnyte.oauth.parse_token_answer", failing)
    response = walk.link(browser, egnyte_sandbox)
    assert_refusal(response, 502, "Nothing was connected")
