from __future__ import annotations

import pytest
import requests

from django_egnyte.sandbox import Sandbox

from .calls import CLIENT, INTERNAL, JANE, bearer, token_request, userinfo


def still(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "now", lambda: 1_700_000_000.25 + sandbox.clock_offset)


def test_every_api_answer_counts_calls(
    sandbox: Sandbox, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    still(sandbox, monkeypatch)
    token = sandbox.issue("acme", "jsmith", scopes=["Egnyte.link"]).access_token
    userinfo(acme, token)
    refused = requests.get(f"{acme}/pubapi/v1/fs/Shared", headers=bearer(token), timeout=10)
    assert refused.status_code == 403
    assert {name: value for name, value in refused.headers.items() if "-Q" in name} == {
        "X-Accesstoken-Qps-Allotted": "2",
        "X-Accesstoken-Qps-Current": "2",
        "X-Accesstoken-Quota-Allotted": "1000",
        "X-Accesstoken-Quota-Current": "2",
        # As in a recording of Egnyte: midnight, of the day after in UTC.
        "X-Quota-Reset": "Wednesday, November 15, 2023 12:00:00 AM GMT",
    }


def test_over_two_calls_a_second(
    sandbox: Sandbox, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    still(sandbox, monkeypatch)
    sandbox.settings.qps_limit = 2
    token = sandbox.issue("acme", "jsmith").access_token
    other = sandbox.issue("acme", "jsmith").access_token
    assert [userinfo(acme, token).status_code for _ in range(3)] == [200, 200, 403]
    refused = userinfo(acme, token)
    assert refused.headers["X-Mashery-Error-Code"] == "ERR_403_DEVELOPER_OVER_QPS"
    assert refused.headers["Retry-After"] == "1"
    assert refused.text == "<h1>Developer Over Qps</h1>"
    assert refused.headers["X-Accesstoken-Quota-Current"] == "2"
    assert userinfo(acme, other).status_code == 200
    sandbox.advance(1)
    assert userinfo(acme, token).status_code == 200


def test_over_the_daily_quota(sandbox: Sandbox, acme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    still(sandbox, monkeypatch)
    sandbox.settings.daily_limit = 1
    token = sandbox.issue("acme", "jsmith").access_token
    assert userinfo(acme, token).status_code == 200
    sandbox.advance(3600)
    refused = userinfo(acme, token)
    assert refused.status_code == 403
    assert refused.headers["X-Mashery-Error-Code"] == "ERR_403_DEVELOPER_OVER_RATE"
    # The day ends at 00:00 UTC, 6,400 seconds after the first call.
    assert refused.headers["Retry-After"] == "2800"
    sandbox.advance(2800)
    assert userinfo(acme, token).status_code == 200


def test_the_newer_form_of_a_throttle(sandbox: Sandbox, acme: str) -> None:
    sandbox.settings.throttle_status = 429
    sandbox.settings.daily_limit = 0
    refused = userinfo(acme, sandbox.issue("acme", "jsmith").access_token)
    assert refused.status_code == 429
    assert "Retry-After" in refused.headers
    assert "X-Mashery-Error-Code" not in refused.headers
    sandbox.settings.daily_limit = None
    sandbox.settings.qps_limit = 0
    refused = userinfo(acme, sandbox.issue("acme", "jsmith").access_token)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")


def test_token_requests_of_a_public_key_are_limited_by_the_hour(
    sandbox: Sandbox, acme: str, globex: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    still(sandbox, monkeypatch)
    sandbox.settings.token_requests_per_hour = 2
    fields = CLIENT | {"grant_type": "refresh_token", "refresh_token": "x"}
    assert token_request(acme, **fields).status_code == 400
    sandbox.advance(600)
    assert token_request(globex, **fields).status_code == 400
    refused = token_request(acme, **fields)
    assert refused.status_code == 409
    assert refused.headers["Retry-After"] == "3000"
    sandbox.advance(3000)
    assert token_request(acme, **fields).status_code == 400
    assert token_request(acme, **fields).status_code == 409


def test_token_requests_of_an_internal_key_are_limited_by_user(sandbox: Sandbox, acme: str) -> None:
    sandbox.settings.internal_token_requests_per_hour = 1
    sandbox.settings.token_requests_per_hour = 0
    jane = INTERNAL | JANE | {"grant_type": "password"}
    bob = jane | {"username": "bdoe", "password": "demo-password-2"}
    answers = [token_request(acme, **fields).status_code for fields in (jane, jane, bob)]
    assert answers == [200, 409, 200]


def test_the_quota_row_of_the_error_table(sandbox: Sandbox, acme: str) -> None:
    sandbox.settings.token_requests_per_hour = 0
    sandbox.settings.token_throttle = "quota"
    refused = token_request(acme, grant_type="refresh_token", **CLIENT)
    assert refused.status_code == 400
    assert refused.json() == {
        "errorCode": "INTERNAL_ERROR",
        "message": "Oauth request from this source has gone over its rate limit quota.",
    }
