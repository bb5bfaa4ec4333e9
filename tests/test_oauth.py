from __future__ import annotations

import json
import traceback
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from django_egnyte import exceptions as errors
from django_egnyte.oauth import (
    OAuthClient,
    TokenAnswer,
    UserInfo,
    browser_answer,
    fingerprint,
    parse_token_answer,
    parse_userinfo,
)
from django_egnyte.sandbox import SandboxServer
from django_egnyte.secret import Secret

from .rawserver import Visitor, always, answer, serving
from .values import assert_stays_as_made

REDIRECT = "https://site.example/egnyte/callback/"


@pytest.fixture
def client(egnyte_sandbox_server: SandboxServer) -> OAuthClient:
    egnyte_sandbox_server.sandbox.reset()
    return OAuthClient(
        host="acme.egnyte.com",
        base_url=egnyte_sandbox_server.base_url.replace("{domain}", "acme"),
        client_id="sandbox-code-key",
        client_secret=Secret("sandbox-code-secret"),
        timeout=(1.0, 5.0),
        deadline=5.0,
    )


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def authorize(client: OAuthClient, server: SandboxServer) -> str:
    url = client.authorization_url(
        redirect_uri=REDIRECT, state="st4te", scopes=["Egnyte.filesystem", "Egnyte.user"]
    )
    return query_of(server.sandbox.authorize(url, "jsmith"))["code"]


def parse(body: Any, status: int = 200, **headers: str) -> TokenAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_token_answer(status, named, raw, host="acme.egnyte.com")


def test_the_authorization_url_asks_for_what_was_given(client: OAuthClient) -> None:
    query = query_of(
        client.authorization_url(
            redirect_uri=REDIRECT, state="a&b=c#d", scopes=["Egnyte.filesystem", "Egnyte.user"]
        )
    )
    assert query == {
        "client_id": "sandbox-code-key",
        "redirect_uri": REDIRECT,
        "state": "a&b=c#d",
        "response_type": "code",
        "scope": "Egnyte.filesystem Egnyte.user",
    }


def test_no_scope_is_not_sent_as_an_empty_one(client: OAuthClient) -> None:
    assert "scope" not in client.authorization_url(redirect_uri=REDIRECT, state="s", scopes=[])


def test_a_code_becomes_a_token_that_names_its_user_and_can_be_refreshed_and_revoked(
    client: OAuthClient, egnyte_sandbox_server: SandboxServer
) -> None:
    sandbox = egnyte_sandbox_server.sandbox
    answer = client.exchange_code(
        Secret(authorize(client, egnyte_sandbox_server)), REDIRECT, ["Egnyte.filesystem"]
    )
    assert answer.complete
    assert answer.expires_in == 30 * 24 * 3600
    assert client.userinfo(answer.access_token).username == "jsmith"
    newer = client.refresh(answer.refresh_token)
    assert newer.access_token != answer.access_token
    client.revoke(newer.access_token)
    assert not sandbox.is_alive(newer.access_token.reveal())
    with pytest.raises(errors.UnauthorizedError):
        client.userinfo(newer.access_token)


def test_a_code_is_never_sent_twice(
    client: OAuthClient, egnyte_sandbox_server: SandboxServer
) -> None:
    sandbox = egnyte_sandbox_server.sandbox
    code = authorize(client, egnyte_sandbox_server)
    for fault in ({"reset": True}, {"status": 503}, {"truncate": 3}, {"redirect": "/elsewhere"}):
        sandbox.faults.clear()
        rule = sandbox.faults.add(path="^/puboauth/token", method="POST", times=None, **fault)
        with pytest.raises(errors.EgnyteError) as caught:
            client.exchange_code(Secret(code), REDIRECT, [])
        assert sandbox.faults.hits(rule) == 1
        assert caught.value.host == "acme.egnyte.com"
        assert code not in repr(caught.value.__dict__) + str(caught.value)


def test_a_refused_code_is_an_invalid_grant(client: OAuthClient) -> None:
    with pytest.raises(errors.InvalidGrantError):
        client.exchange_code(Secret("never-issued"), REDIRECT, [])


def test_what_is_secret_is_in_no_repr(client: OAuthClient) -> None:
    answer = TokenAnswer(Secret("t0ken-access"), Secret("t0ken-refresh"))
    assert "t0ken" not in repr(answer) + str(answer)
    assert "sandbox-code-secret" not in repr(client) + str(client)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (-1, None),
        ("-1", None),
        (2592000, 2592000),
        ("2592000", 2592000),
        (3600.9, 3600),
        (0, 0),
        (None, None),
        ("soon", None),
        ([], None),
        (1e400, None),
        ("nan", None),
        (10**30, 10 * 365 * 24 * 3600),
    ],
)
def test_expires_in_is_read_liberally(given: Any, seconds: int | None) -> None:
    assert parse({"access_token": "abc", "expires_in": given}).expires_in == seconds


def test_an_answer_without_expires_in_never_expires() -> None:
    assert parse({"access_token": "abc"}) == TokenAnswer(Secret("abc"))


def test_the_scopes_of_an_answer_are_read() -> None:
    assert parse({"access_token": "abc", "scope": "a b"}).scopes == ("a", "b")
    assert parse({"access_token": "abc", "scope": " "}).scopes is None
    assert parse({"access_token": "abc", "scope": ["a"]}).scopes is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"access_token"',
        b"17",
        b"[" * 100_000,
        b"\xff\xfe",
        b"<h1>Sign in</h1>",
        b'{"token_type": "bearer"}',
        b'{"access_token": ""}',
        b'{"access_token": null}',
        b'{"access_token": {"a": 1}}',
        b'{"access_token": "a\\r\\nX-Evil: 1"}',
        b'{"access_token": "with blank"}',
        '{"access_token": "tökén"}'.encode(),
        b'{"access_token": "cut off in the mid',
    ],
)
def test_an_answer_without_a_token_is_refused(body: bytes) -> None:
    with pytest.raises(errors.ResponseError) as caught:
        parse(body)
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("body", "refresh"),
    [
        (b'{"access_token": "abc", "refresh_token": "def", "exp', "def"),
        (b'{"access_token":"abc","token_type":"bea', ""),
        (b'{"access_token": "abc"} trailing', ""),
        (b'<html>{"access_token": "abc"}', ""),
        (b'{"access_token": "abc", "refresh_token": ["x"]}', ""),
    ],
)
def test_a_token_in_a_broken_answer_is_handed_over_to_be_revoked(body: bytes, refresh: str) -> None:
    answer = parse(body)
    assert not answer.complete
    assert (answer.access_token.reveal(), answer.refresh_token.reveal()) == ("abc", refresh)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"errorCode": "APIKEY_FOR_IMPLICIT"}, errors.ImplicitKeyError),
        (
            400,
            {
                "errorCode": "INTERNAL_ERROR",
                "message": "OAuth request from this source has gone over its rate limit quota",
            },
            errors.RequestQuotaError,
        ),
        (
            401,
            {
                "errorCode": "INTERNAL_ERROR",
                "message": "No active developer profile found for api key",
            },
            errors.InactiveKeyError,
        ),
        (400, {"errorCode": "INTERNAL_ERROR", "message": "null"}, errors.MalformedRequestError),
        (400, {"errorCode": "INTERNAL_ERROR", "message": "Quota"}, errors.RequestQuotaError),
        (400, {"errorCode": "INTERNAL_ERROR", "message": "Rate limit"}, errors.RequestQuotaError),
        (401, {"errorCode": "INTERNAL_ERROR", "message": "null"}, errors.InactiveKeyError),
        (
            400,
            {"errorCode": "INTERNAL_ERROR", "message": "No developer profile"},
            errors.InactiveKeyError,
        ),
        (403, {"errorCode": "INVALID_USERNAME_OR_PASSWORD"}, errors.InvalidCredentialsError),
        (403, {"errorCode": "GRANT_PASSWORD"}, errors.GrantTypeError),
        (400, {"errorCode": "RESOURCE_FLOW_ISNULL"}, errors.MissingCredentialsError),
        (400, {"error": "invalid_grant"}, errors.InvalidGrantError),
        (401, {"error": "invalid_client"}, errors.InactiveKeyError),
        (400, {"error": "unauthorized_client"}, errors.GrantTypeError),
        (400, {"error": "something new"}, errors.OAuthError),
        (400, {}, errors.OAuthError),
        (404, {}, errors.OAuthError),
        (401, {"message": "No valid app info found for api key"}, errors.InactiveKeyError),
        (
            400,
            {"message": "Invalid Egnyte domain configured in app profile"},
            errors.InactiveKeyError,
        ),
        (
            401,
            {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "a.b"}}},
            errors.InactiveKeyError,
        ),
        (
            400,
            {"error": "INVALID_GRANT", "error_description": "client_id"},
            errors.InvalidGrantError,
        ),
        (403, {"message": "Developer Over Qps"}, errors.RateLimitedError),
        (400, {"fault": {"detail": {"errorcode": "x.QuotaViolation"}}}, errors.RateLimitedError),
        (408, {}, errors.UnavailableError),
        (501, {}, errors.ResponseError),
        (505, {}, errors.ResponseError),
        (596, {}, errors.ResponseError),
        (302, {}, errors.ResponseError),
        (204, {}, errors.ResponseError),
        (499, {}, errors.OAuthError),
        (500, {}, errors.UnavailableError),
        (503, {"access_token": "abc"}, errors.UnavailableError),
    ],
)
def test_each_refusal_has_its_exception(
    status: int, body: dict[str, str], kind: type[errors.EgnyteError]
) -> None:
    with pytest.raises(errors.EgnyteError) as caught:
        parse(body, status)
    assert isinstance(caught.value, kind)
    assert kind is errors.ResponseError or type(caught.value) is kind
    assert caught.value.host == "acme.egnyte.com"


ROW_4 = b'{"errorCode": "INVALID_USERNAME_OR_PASSWORD", "message": "Invalid client credentials"}'
REFUSED = {
    "invalid_grant": b'{"error": "invalid_grant", "error_description": "Unknown refresh token"}',
    "row 4": ROW_4,
    "fault": b'{"fault": {"faultstring": "Invalid token", "detail": {"errorcode": "a.Invalid"}}}',
    "ErrorCode": b'{"ErrorCode": "invalid_request", "Error": "Refresh Token expired"}',
    "errorMessage": b'{"errorMessage": "No such token"}',
    "malformed": b'{"errorCode": "MALFORMED", "message": null}',
    "plain text": b"Refresh token is not valid",
    "string": b'"Refresh token is not valid"',
    "empty": b"",
}


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize("shape", REFUSED)
def test_any_refusal_of_a_refresh_is_an_invalid_grant(
    client: OAuthClient, status: int, shape: str
) -> None:
    with serving(always(answer(f"{status} No", REFUSED[shape]))) as server:
        with pytest.raises(errors.InvalidGrantError) as caught:
            replace(client, base_url=server.url).refresh(Secret("r3fresh"))
        assert len(server.requests) == 1
    error = caught.value
    assert (error.status, error.host) == (status, "acme.egnyte.com")
    assert (error.code is None) is (shape in ("errorMessage", "plain text", "string", "empty"))
    assert error.__context__ is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error": "invalid_grant"}', b"null", b"[]", b"no"])
def test_a_success_without_a_token_refuses_a_refresh(client: OAuthClient, body: bytes) -> None:
    with serving(always(answer(body=body))) as server:
        asked = replace(client, base_url=server.url)
        with pytest.raises(errors.InvalidGrantError) as caught:
            asked.refresh(Secret("r3fresh"))
        assert caught.value.status == 200
        # The code has been used in either case, but the cause is unknown.
        with pytest.raises(errors.ResponseError):
            asked.exchange_code(Secret("c0de"), REDIRECT, [])


@pytest.mark.parametrize(
    "raw",
    [
        answer("400 x", b'{"errorCode": "INTERNAL_ERROR", "message": "over its rate limit quota"}'),
        answer("401 x", b'{"errorCode": "INTERNAL_ERROR", "message": "null"}'),
        answer("401 x", b"No valid app info found for api key"),
        answer("401 x", b'{"error": "invalid_client"}'),
        answer("400 x", b'{"error": "unauthorized_client"}'),
        answer("400 x", b'{"error": "x", "error_description": "client_secret is wrong"}'),
        answer("400 x", b'{"errorCode": "APIKEY_FOR_IMPLICIT"}'),
        answer("403 x", b'{"errorCode": "GRANT_PASSWORD"}'),
        answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_INACTIVE"),
        answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_QPS"),
        answer("403 x", b"<h1>Developer Over Qps</h1>"),
        answer("409 x"),
        answer("429 x"),
        answer("408 x"),
        answer("302 x", Location="/"),
        answer("500 x", REFUSED["invalid_grant"]),
        answer("503 x"),
        answer("596 x"),
        answer(body=b"<html>Sign in to the proxy</html>"),
        answer(body=b"{}", Content_Encoding="br"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
    ],
)
def test_what_is_no_refusal_of_a_refresh_is_not_taken_for_one(
    client: OAuthClient, raw: bytes
) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(raw)

    with serving(script) as server, pytest.raises(errors.EgnyteError) as caught:
        replace(client, base_url=server.url).refresh(Secret("r3fresh"))
    assert not isinstance(caught.value, errors.InvalidGrantError)


class TimeLimit(BaseException):
    pass


@pytest.mark.parametrize("place", ["send", "json", "details", "body"])
@pytest.mark.parametrize("call", ["exchange_code", "password", "refresh", "revoke", "userinfo"])
def test_what_ends_a_token_call_shows_no_secret(
    client: OAuthClient, monkeypatch: pytest.MonkeyPatch, call: str, place: str
) -> None:
    def out_of_time(*args: Any, **kw: Any) -> None:
        raise TimeLimit

    secret = Secret("s3cret")
    given: Any = {
        "exchange_code": (secret, REDIRECT, []),
        "password": ("jsmith", secret, []),
    }.get(call, (secret,))
    target = {
        "send": "http.client.HTTPConnection.putheader",
        "json": "json.loads",
        "details": "django_egnyte.answers.error_details",
        "body": "http.client.HTTPResponse.read1",
    }[place]
    status = "400 No" if place == "details" else "200 OK"
    body = b'{"access_token": "t0ken", "error": "s3cret"}'
    monkeypatch.setattr(target, out_of_time)
    with serving(always(answer(status, body))) as server:
        try:
            getattr(replace(client, base_url=server.url), call)(*given)
        except (TimeLimit, errors.EgnyteError) as error:
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
            frames = [each for each in shown.stack if each.filename != __file__]
            assert all(
                "s3cret" not in f"{f.locals}" and "t0ken" not in f"{f.locals}" for f in frames
            )
        else:
            assert (call, place) == ("revoke", "json")


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (409, {"Retry_After": "90"}),
        (429, {"Retry_After": "90"}),
        (403, {"Retry_After": "90", "X_Mashery_Error_Code": "ERR_403_DEVELOPER_OVER_QPS"}),
        (403, {"Retry_After": "90", "X_Mashery_Error_Code": "ERR_403_DEVELOPER_OVER_RATE"}),
    ],
)
def test_a_throttle_says_how_long(status: int, headers: dict[str, str]) -> None:
    with pytest.raises(errors.RateLimitedError) as caught:
        parse(b"", status, **headers)
    assert caught.value.kind == "token_endpoint"
    assert caught.value.retry_after == 90


def test_a_key_that_mashery_does_not_know_is_inactive() -> None:
    with pytest.raises(errors.InactiveKeyError):
        parse(b"", 403, X_Mashery_Error_Code="ERR_403_DEVELOPER_INACTIVE")


def test_a_user_is_read_with_and_without_what_newer_servers_add() -> None:
    old = parse_userinfo(b'{"id": 1, "username": "a", "first_name": "A", "last_name": "B"}')
    assert (old.id, old.username, old.first_name, old.last_name, old.email) == (
        1, "a", "A", "B", "",
    )  # fmt: skip
    assert parse_userinfo(b'{"id": "12", "username": "a", "email": "a@b.c"}').email == "a@b.c"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"id": 1}',
        b'{"id": 1, "username": ""}',
        b'{"id": 1, "username": ["a"]}',
        b'{"id": true, "username": "a"}',
        b'{"id": -1, "username": "a"}',
        b'{"id": 9223372036854775808, "username": "a"}',
        b'{"id": 1e999, "username": "a"}',
        b'{"id": {}, "username": "a"}',
        b'{"id": "x", "username": "a"}',
        b'{"id": 1, "username": "\\u0000"}',
        b'{"id": 1, "username": "\\ud800"}',
    ],
)
def test_an_answer_that_names_nobody_is_refused(body: bytes) -> None:
    with pytest.raises(errors.ResponseError):
        parse_userinfo(body)


def test_names_lose_what_a_database_does_not_take_and_a_page_must_not_show() -> None:
    body = json.dumps({"id": 1, "username": "a\x00b", "first_name": "\u202eevil\ud800", "email": 5})
    user = parse_userinfo(body.encode())
    assert (user.username, user.first_name, user.email) == ("ab", "evil", "")


def test_a_fingerprint_tells_tokens_and_hosts_apart() -> None:
    names = {
        fingerprint("acme.egnyte.com", Secret("a")),
        fingerprint("acme.egnyte.com", Secret("b")),
        fingerprint("globex.egnyte.com", Secret("a")),
        fingerprint("acme.egnyte.co", Secret("ma")),
    }
    assert len(names) == 4
    assert {len(name) for name in names} == {64}
    assert fingerprint("acme.egnyte.com", Secret("")) == ""


@pytest.mark.parametrize(("length", "fits"), [(4096, True), (4097, False)])
def test_a_token_has_a_bounded_length(length: int, fits: bool) -> None:
    assert parse({"access_token": "x" * length}).complete is fits
    with nullcontext() if fits else pytest.raises(errors.OAuthError):
        browser_answer({"access_token": "x" * length})


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1])
def test_a_users_number_is_one_that_a_database_takes(number: int) -> None:
    assert parse_userinfo(json.dumps({"id": number, "username": "a"}).encode()).id == number


def test_names_are_cut_to_what_a_database_takes() -> None:
    names = ("username", "first_name", "last_name", "email")
    user = parse_userinfo(json.dumps({"id": 1, **dict.fromkeys(names, "x" * 300)}).encode())
    assert [len(getattr(user, name)) for name in names] == [255, 255, 255, 254]


@pytest.mark.parametrize("status", [200, 201, 299])
def test_success_is_what_http_calls_success(status: int) -> None:
    assert parse({"access_token": "abc"}, status).access_token == Secret("abc")


@pytest.mark.parametrize("status", [199, 300, 399])
def test_what_is_neither_success_nor_refusal_is_no_answer(status: int) -> None:
    with pytest.raises(errors.ResponseError) as caught:
        parse({"access_token": "abc"}, status)
    assert caught.value.status == status


@pytest.mark.parametrize("kind", [OAuthClient, TokenAnswer, UserInfo])
def test_an_answer_stays_what_it_was_made_as(kind: type) -> None:
    assert_stays_as_made(kind)
