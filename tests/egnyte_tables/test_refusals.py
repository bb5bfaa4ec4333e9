"""Refusals: Egnyte's current pages about errors and limits."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client

from django_egnyte import exceptions, gateway, queue
from django_egnyte.choices import Status
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.secret import Secret
from tests.rawserver import always, answer, serving

from .tables import CALLBACK, HOST, rows_of

REFUSALS = """
| answer | means |
| 401 | the token is dead (password changed, revoked, expired) |
| 403 + X-Mashery-Error-Code: ERR_403_DEVELOPER_INACTIVE | the token is wrong or unknown: as 401 |
| 403 + X-Mashery-Error-Code: ERR_403_DEVELOPER_OVER_QPS + Retry-After | over 2 calls a second |
| 403 + X-Mashery-Error-Code: ERR_403_DEVELOPER_OVER_RATE + Retry-After | over 1,000 calls a day |
| 429 + Retry-After | throttled, the newer form |
| 403 | the user, or the token's scope, may not do this: retrying cannot help |
| 409 + Retry-After | from /puboauth/token: over 100 token requests an hour |
"""
DEAD, QPS, DAILY, NEWER, FORBIDDEN, TOKEN_ENDPOINT = (
    "dead", "qps", "daily", "newer", "forbidden", "token endpoint",
)  # fmt: skip
MEANINGS = [DEAD, DEAD, QPS, DAILY, NEWER, FORBIDDEN, TOKEN_ENDPOINT]
NO = list(zip([row[0] for row in rows_of(REFUSALS)], MEANINGS, strict=True))
BODIES = {
    "html": b"<h1>Developer Over Qps</h1>",
    "json": b'{"errorCode": "SOME_CODE", "message": "some message"}',
    "empty": b"",
}


def refusal_of(row: str, body: bytes, wait: int = 77) -> bytes:
    """The answer that a cell of the table describes."""
    status, *named = row.split(" + ")
    headers = {"Content_Type": "application/json"}
    for each in named:
        name, _, value = each.partition(": ")
        headers[name.replace("-", "_")] = value or str(wait)
    return answer(f"{status} No", body, **headers)


@pytest.fixture
def account(egnyte_sandbox: Any, egnyte_user: Any, settings: Any) -> EgnyteAccount:
    """Without a refresh token, as older keys have it: a 401 cannot be answered by a refresh."""
    egnyte_sandbox.policy.style = "legacy"
    return link_account(egnyte_sandbox, egnyte_user)


def status_of(account: EgnyteAccount) -> str:
    return EgnyteAccount.objects.values_list("status", flat=True).get(pk=account.pk)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("row", "meaning"), NO)
def test_each_refusal_of_a_call_means_what_the_table_says(
    account: EgnyteAccount, settings: Any, row: str, meaning: str, body: str
) -> None:
    with serving(always(refusal_of(row, BODIES[body]))) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        client = account.client
        began = time.monotonic()
        if meaning == DEAD:
            with pytest.raises(exceptions.UnauthorizedError) as dead:
                client.get("/pubapi/v1/links")
            assert dead.value.host == HOST
            assert status_of(account) == Status.SUSPECT
        elif meaning in (QPS, DAILY, NEWER):
            # 77 seconds are too long for the limit per second, so NEWER is the daily limit, too.
            with pytest.raises(exceptions.RateLimitedError) as throttled:
                client.get("/pubapi/v1/links")
            assert throttled.value.retry_after == 77
            assert throttled.value.kind == (QPS if meaning == QPS else DAILY)
            assert throttled.value.retryable
        else:
            # Only the view can decide about the answer, whatever its status.
            assert client.get("/pubapi/v1/links").status_code == int(row[:3])
            kind = exceptions.ForbiddenError if meaning == FORBIDDEN else exceptions.ConflictError
            with pytest.raises(kind):
                client.files.list("/Shared")
        if meaning != DEAD:
            assert status_of(account) == Status.ACTIVE
        # There was no wait and no retry.
        assert time.monotonic() - began < 2
        assert len(server.requests) == (2 if meaning in (FORBIDDEN, TOKEN_ENDPOINT) else 1)


@pytest.mark.parametrize(("row", "meaning"), NO)
def test_each_refusal_reaches_a_view_through_request_egnyte(
    browser: Client,
    account: EgnyteAccount,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    row: str,
    meaning: str,
) -> None:
    hurried: list[tuple[Any, ...]] = []
    monkeypatch.setattr(queue, "_send", lambda task, args: hurried.append((task, *args)))
    errors = {
        QPS: exceptions.RateLimitedError,
        DAILY: exceptions.RateLimitedError,
        NEWER: exceptions.RateLimitedError,
        FORBIDDEN: exceptions.ForbiddenError,
        TOKEN_ENDPOINT: exceptions.ConflictError,
    }
    with serving(always(refusal_of(row, BODIES["html"]))) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        if meaning == DEAD:
            response = browser.get("/egnyte-userinfo/")
            assert response.status_code == 302
            assert response["Location"].startswith("/egnyte/connect/?")
            assert ("validate_account", account.pk, account.token_id) in hurried
            # The view's transaction was rolled back. A worker validates the token again.
            atomic = settings.DATABASES["default"]["ATOMIC_REQUESTS"]
            assert status_of(account) == (Status.ACTIVE if atomic else Status.SUSPECT)
        else:
            with pytest.raises(errors[meaning]):
                browser.get("/egnyte-userinfo/")
            assert status_of(account) == Status.ACTIVE
            assert hurried == []
        assert len(server.requests) == 1


def test_a_second_is_waited_for_and_the_call_repeated(
    account: EgnyteAccount, settings: Any
) -> None:
    over = refusal_of(NO[2][0], BODIES["html"], wait=1)
    with serving(always(over, answer(body=b'{"fine": true}'))) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        began = time.monotonic()
        assert account.client.get("/pubapi/v1/links").json() == {"fine": True}
        assert time.monotonic() - began >= 1
        assert len(server.requests) == 2


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("row", "meaning"), NO)
@pytest.mark.parametrize("grant", ["code", "password", "refresh"])
def test_each_refusal_of_a_token_request_means_what_the_table_says(
    settings: Any, row: str, meaning: str, body: str, grant: str
) -> None:
    with serving(always(refusal_of(row, BODIES[body]))) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        oauth = gateway.oauth(HOST)
        with pytest.raises(exceptions.EgnyteError) as caught:
            {
                "code": lambda: oauth.exchange_code(Secret("the-c0de"), CALLBACK, ()),
                "password": lambda: oauth.password("jsmith", Secret("s3cret"), ()),
                "refresh": lambda: oauth.refresh(Secret("r3fresh")),
            }[grant]()
        assert len(server.requests) == 1
    error = caught.value
    assert error.status == int(row[:3])
    if meaning in (QPS, DAILY, NEWER, TOKEN_ENDPOINT) or (body == "html" and "INACTIVE" not in row):
        # The title of a throttle's answer, even without the header.
        assert isinstance(error, exceptions.RateLimitedError)
        wait = 77 if "Retry-After" in row else 3600
        assert (error.kind, error.retry_after) == ("token_endpoint", wait)
    elif "INACTIVE" in row:
        assert type(error) is exceptions.InactiveKeyError
    elif grant == "refresh":
        assert type(error) is exceptions.InvalidGrantError
    else:
        assert type(error) is exceptions.OAuthError
