"""Egnyte's page on authentication, table by table: each row is a test of its own.

The tables are quoted with their descriptions shortened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from django.test import Client

from django_egnyte import exceptions, gateway, queue
from django_egnyte.choices import Status
from django_egnyte.models import EgnyteAccount
from django_egnyte.oauth import UserInfo
from tests import walk
from tests.rawserver import RawServer, Visitor, always, answer, serving

HOST = "acme.egnyte.com"
CALLBACK = "http://testserver/egnyte/callback/"
SCOPES = ["Egnyte.filesystem", "Egnyte.link"]


def rows_of(table: str) -> list[list[str]]:
    """The cells of each row; the first row names the columns."""
    lines = [line.strip() for line in table.strip().splitlines()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


# What is sent, flow by flow.

AUTHORIZATION_CODE = """
| Variable | Description | Required |
| Egnyte Domain | The user's Egnyte domain. An example is 'acme'. | Yes |
| client_id | The API key that was provided when you registered your application. | Yes |
| redirect_uri | The URL that we will redirect to. An HTTPS URL that matches the key's. | Yes |
| response_type | This must be set to 'code' for this flow. | Yes |
| scope | All third party applications must scope token requests. | No |
| state | An opaque value used to maintain state between the request and callback. | No |
"""
CODE_EXCHANGE = """
| Variable | Description | Required |
| Egnyte Domain | The user's Egnyte domain. An example is 'acme'. | Yes |
| client_id | The API key that was provided when you registered your application. | Yes |
| client_secret | The secret key that was provided with your key. | Yes |
| redirect_uri | The same as in the initial call to the authorization server. | Yes |
| code | The authorization code received from the authorization server in step 2. | Yes |
| grant_type | This must be set to 'authorization_code' for this request. | Yes |
"""
# The page has no table here, but says in words what these two are.
ENHANCED = """
| Variable | Description | Required |
| client_id | As in the Authorization Code Flow, which this flow enhances. | Yes |
| redirect_uri | As in the Authorization Code Flow. | Yes |
| response_type | As in the Authorization Code Flow. | Yes |
| scope | As in the Authorization Code Flow. | No |
| state | As in the Authorization Code Flow. | No |
| domain | To skip the first step, add the domain query parameter to the initial URL. | No |
"""
IMPLICIT = """
| Variable | Description | Required |
| Egnyte Domain | The user's Egnyte domain. An example is 'acme'. | Yes |
| API Key | The key string that was provided when you registered your application. | Yes |
| redirect_uri | The URL that we will redirect to. An HTTPS URL that matches the key's. | Yes |
| response_type | This must be set to 'token' for this flow. | Yes |
| state | An opaque value used to maintain state between the request and callback. | No |
| scope | All third party applications must scope token requests. | No |
"""
PASSWORD = """
| Variable | Description | Required |
| client_id | The key string that was provided when you registered your application. | Yes |
| client_secret | The secret key that was provided with it. | Yes (if the key has a secret) |
| username | The Egnyte username of the user on whose behalf you are acting. | Yes |
| password | The Egnyte password of the user. | Yes |
| grant_type | This must always be set to 'password'. | Yes |
| scope | Space delimited list of OAuth Scopes. | No |
"""
REVOCATION = """
| Variable | Description | Required |
| token | The OAuth access token you would like to revoke. | Yes |
"""


@dataclass
class Sent:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    parameters: dict[str, str]

    @classmethod
    def of(cls, raw: bytes) -> Sent:
        head, _, body = raw.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        parts = urlsplit(target)
        if method == "POST":
            assert headers["content-type"] == "application/x-www-form-urlencoded"
            assert parts.query == ""
        pairs = parse_qsl(body if method == "POST" else parts.query, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return cls(method, parts.path, headers, dict(pairs))


def recording(visitor: Visitor) -> None:
    """Says yes to everything, in the form of the older keys."""
    while request := visitor.request():
        path = path_of(request)
        if path.endswith("/userinfo"):
            body = {"id": 121, "first_name": "Jane", "last_name": "Smith", "username": "jsmith"}
            visitor.send(answer(body=json.dumps(body).encode()))
        elif request.startswith(b"POST") and path.endswith("/puboauth/token"):
            body = {"access_token": "68zc95e3xv954u6k3hbnma3q", "expires_in": -1}
            visitor.send(answer(body=json.dumps(body).encode()))
        else:
            visitor.send(answer(body=b""))


def path_of(request: bytes) -> str:
    return urlsplit(request.split(b" ", 2)[1].decode()).path


@pytest.fixture
def egnyte(settings: Any) -> Iterator[RawServer]:
    settings.EGNYTE_SCOPES = SCOPES
    settings.EGNYTE_DOMAIN = "acme"
    with serving(recording) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        yield server


@pytest.fixture
def browser(client: Client, egnyte_user: Any) -> Client:
    client.force_login(egnyte_user)
    return client


def visit(browser: Client, server: RawServer, **data: str) -> Sent:
    """Press the button, and follow the redirect to Egnyte as a browser does."""
    location = walk.begin(browser, **data)
    requests.get(location, allow_redirects=False, timeout=5)
    return Sent.of(server.requests[-1])


def authorization_code(browser: Client, server: RawServer, settings: Any) -> Sent:
    return visit(browser, server)


def code_exchange(browser: Client, server: RawServer, settings: Any) -> Sent:
    given = visit(browser, server).parameters["state"]
    response = browser.get("/egnyte/callback/", {"code": "the-c0de", "state": given})
    assert response.status_code == 302, response.content.decode()
    (raw,) = (each for each in server.requests if each.startswith(b"POST"))
    return Sent.of(raw)


def enhanced(browser: Client, server: RawServer, settings: Any) -> Sent:
    settings.EGNYTE_FLOW = "enhanced"
    return visit(browser, server)


def implicit(browser: Client, server: RawServer, settings: Any) -> Sent:
    settings.EGNYTE_FLOW = "implicit"
    return visit(browser, server)


def password(browser: Client, server: RawServer, settings: Any) -> Sent:
    settings.EGNYTE_FLOW = "password"
    data = {"username": "jsmith", "password": " p&ss=w%rd+é "}
    response = browser.post("/egnyte/password/", data)
    assert response.status_code == 302, response.content.decode()
    (raw,) = (each for each in server.requests if each.startswith(b"POST"))
    return Sent.of(raw)


def revocation(browser: Client, server: RawServer, settings: Any) -> Sent:
    gateway.oauth(HOST).revoke("68zc95e3xv954u6k3hbnma3q")
    return Sent.of(server.requests[-1])


class Request(NamedTuple):
    table: str
    send: Callable[[Client, RawServer, Any], Sent]
    method: str
    path: str
    values: dict[str, str]
    # Sent although the table does not name it.
    besides: frozenset[str] = frozenset()


SCOPE = " ".join(SCOPES)
REQUESTS = {
    "authorization code": Request(
        AUTHORIZATION_CODE, authorization_code, "GET", "/d/acme/puboauth/token",
        {"response_type": "code", "redirect_uri": CALLBACK, "scope": SCOPE},
    ),
    "code exchange": Request(
        CODE_EXCHANGE, code_exchange, "POST", "/d/acme/puboauth/token",
        {"grant_type": "authorization_code", "code": "the-c0de", "redirect_uri": CALLBACK},
        # One of Egnyte's SDKs: without it Egnyte.launchwebsession is missing from the token.
        frozenset({"scope"}),
    ),
    "enhanced": Request(
        ENHANCED, enhanced, "GET", "/d/us-partner-integrations/services/oauth/code",
        {"response_type": "code", "redirect_uri": CALLBACK, "scope": SCOPE, "domain": "acme"},
    ),
    "implicit": Request(
        IMPLICIT, implicit, "GET", "/d/acme/puboauth/token",
        {"response_type": "token", "redirect_uri": CALLBACK, "scope": SCOPE},
    ),
    "password": Request(
        PASSWORD, password, "POST", "/d/acme/puboauth/token",
        {
            "grant_type": "password", "username": "jsmith", "password": " p&ss=w%rd+é ",
            "scope": SCOPE,
        },
    ),
    "revocation": Request(
        REVOCATION, revocation, "POST", "/d/acme/pubapi/v1/tokens/revoke",
        {"token": "68zc95e3xv954u6k3hbnma3q"},
        # Newer keys send it [EGNYTE.md: one source].
        frozenset({"client_secret"}),
    ),
}  # fmt: skip
KEY = {"client_id": "test-client-id", "client_secret": "test-client-secret"}
NAMES = {"API Key": "client_id"}


@pytest.mark.parametrize(
    ("flow", "variable"),
    [(flow, row[0]) for flow, request in REQUESTS.items() for row in rows_of(request.table)],
)
def test_each_variable_of_a_flow_is_sent(
    browser: Client, egnyte: RawServer, settings: Any, flow: str, variable: str
) -> None:
    request = REQUESTS[flow]
    sent = request.send(browser, egnyte, settings)
    assert (sent.method, sent.path) == (request.method, request.path)
    name = NAMES.get(variable, variable)
    if variable == "Egnyte Domain":
        assert sent.path.startswith("/d/acme/")
    elif name == "state":
        # Opaque; code_exchange proves that it is what the callback wants back.
        assert len(sent.parameters["state"]) >= 43
    else:
        assert sent.parameters[name] == (KEY | request.values)[name]


@pytest.mark.parametrize("flow", REQUESTS)
def test_nothing_is_sent_that_the_table_does_not_name(
    browser: Client, egnyte: RawServer, settings: Any, flow: str
) -> None:
    request = REQUESTS[flow]
    named = {NAMES.get(row[0], row[0]) for row in rows_of(request.table)} - {"Egnyte Domain"}
    sent = request.send(browser, egnyte, settings)
    assert set(sent.parameters) == named | request.besides


@pytest.mark.parametrize("flow", ["code exchange", "password", "revocation"])
def test_a_key_from_before_2015_has_no_secret_to_send(
    browser: Client, egnyte: RawServer, settings: Any, flow: str
) -> None:
    settings.EGNYTE_CLIENT_SECRET = ""
    sent = REQUESTS[flow].send(browser, egnyte, settings)
    assert "client_secret" not in sent.parameters


@pytest.mark.parametrize("flow", ["authorization code", "enhanced", "implicit"])
def test_the_secret_is_never_sent_through_the_browser(
    browser: Client, egnyte: RawServer, settings: Any, flow: str
) -> None:
    REQUESTS[flow].send(browser, egnyte, settings)
    assert b"test-client-secret" not in b"".join(egnyte.requests)


def test_the_token_is_sent_in_the_header_and_nowhere_else(egnyte: RawServer) -> None:
    """ "Set the Authorization field to Bearer <Token>"; user info is a GET by this alone."""
    info = gateway.oauth(HOST).userinfo("68zc95e3xv954u6k3hbnma3q")
    assert info == UserInfo(121, "jsmith", "Jane", "Smith", "")
    sent = Sent.of(egnyte.requests[-1])
    assert (sent.method, sent.path) == ("GET", "/d/acme/pubapi/v1/userinfo")
    # Sent.of lowers the headers.
    assert sent.headers["authorization"] == "bearer 68zc95e3xv954u6k3hbnma3q"
    assert sent.parameters == {}
    assert b"Authorization: Bearer 68zc95e3xv954u6k3hbnma3q\r\n" in egnyte.requests[-1]


def test_a_token_is_revoked_in_a_form_and_the_answer_is_empty(egnyte: RawServer) -> None:
    """ "On success, this API returns a 200 status code with an empty body"."""
    gateway.oauth(HOST).revoke("68zc95e3xv954u6k3hbnma3q")
    sent = Sent.of(egnyte.requests[-1])
    assert sent.parameters["token"] == "68zc95e3xv954u6k3hbnma3q"
    assert sent.headers["authorization"] == "bearer 68zc95e3xv954u6k3hbnma3q"


# Error codes.

ERRORS = """
| Error Code | Error Message | HTTP Code | Exception |
| APIKEY_FOR_IMPLICIT | This API key is configured only for Implicit Grant flow. Please check the documentation and try again. | 400 | ImplicitKeyError |
| INTERNAL_ERROR | OAuth request from this source has gone over its rate limit quota. | 400 | RequestQuotaError |
| INTERNAL_ERROR | No active developer profile found for api key | 401 | InactiveKeyError |
| INTERNAL_ERROR | null | 400 | MalformedRequestError |
| INVALID_USERNAME_OR_PASSWORD | Invalid client credentials were supplied. | 403 | InvalidCredentialsError |
| GRANT_PASSWORD | For resource owner flow, grant_type must be password. Check documentation and try again. | 403 | GrantTypeError |
| RESOURCE_FLOW_ISNULL | Resource owner flow based access request but username and/or password is null. Please check documentation and try again. | 400 | MissingCredentialsError |
"""  # noqa: E501
# A word of Egnyte's column "Troubleshooting" that our own hint must not lack.
TROUBLESHOOTING = {
    "ImplicitKeyError": "implicit",
    "RequestQuotaError": "stored and used again",
    "InactiveKeyError": "EGNYTE_CLIENT_ID",
    "MalformedRequestError": "parameters",
    "InvalidCredentialsError": "special characters",
    "GrantTypeError": '"password"',
    "MissingCredentialsError": "Content-Type",
}
SHAPES: dict[str, Callable[[str, Any], Any]] = {
    "errorCode": lambda code, text: {"errorCode": code, "message": text},
    "error": lambda code, text: {"error": code, "error_description": text},
    "Errors": lambda code, text: {"Errors": [{"code": code, "description": text}]},
    "inputErrors": lambda code, text: {
        "errors": {"inputErrors": {"client_id": [{"code": code, "msg": text}]}}
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("code", "text", "status", "name"), rows_of(ERRORS))
def test_each_error_of_the_token_endpoint_is_an_exception_of_its_own(
    settings: Any, code: str, text: str, status: str, name: str, shape: str
) -> None:
    said = None if text == "null" and shape == "errorCode" else text
    body = json.dumps(SHAPES[shape](code, said)).encode()
    refusal = answer(f"{status} No", body, Content_Type="text/plain")
    with serving(always(refusal)) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        with pytest.raises(exceptions.OAuthError) as caught:
            gateway.oauth(HOST).password("jsmith", "s3cret-password", ["Egnyte.filesystem"])
        assert len(server.requests) == 1
    error = caught.value
    assert type(error) is getattr(exceptions, name)
    assert (error.code, error.status, error.host) == (code, int(status), HOST)
    assert TROUBLESHOOTING[name] in error.hint
    assert error.user_hint
    assert not error.retryable
    for secret in ("s3cret-password", "test-client-secret"):
        assert secret not in f"{error!r} {error} {error.hint} {error.user_hint}"


def test_the_seven_errors_have_seven_exceptions_and_seven_hints() -> None:
    kinds = {getattr(exceptions, row[3]) for row in rows_of(ERRORS)}
    assert len(kinds) == 7
    assert len({kind.hint for kind in kinds}) == 7
    assert exceptions.OAuthError not in kinds


def _implicit_key(sandbox: Any, settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "sandbox-implicit-key"
    gateway.oauth(HOST).password("jsmith", "demo-password-1", ())


def _quota(sandbox: Any, settings: Any) -> None:
    sandbox.settings.token_throttle = "quota"
    sandbox.settings.token_requests_per_hour = 1
    for _ in range(2):
        with pytest.raises(exceptions.InvalidGrantError):
            gateway.oauth(HOST).exchange_code("code", CALLBACK, ())


def _unknown_key(sandbox: Any, settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "a-key-that-egnyte-does-not-know"
    gateway.oauth(HOST).exchange_code("code", CALLBACK, ())


def _no_code(sandbox: Any, settings: Any) -> None:
    gateway.oauth(HOST).exchange_code("", CALLBACK, ())


def _internal(settings: Any) -> Any:
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"
    return gateway.oauth(HOST)


def _wrong_password(sandbox: Any, settings: Any) -> None:
    _internal(settings).password("jsmith", "wrong", ())


def _wrong_grant(sandbox: Any, settings: Any) -> None:
    _internal(settings).exchange_code("code", CALLBACK, ())


def _no_username(sandbox: Any, settings: Any) -> None:
    _internal(settings).password("", "demo-password-1", ())


PROVOKED: list[Callable[[Any, Any], None]] = [
    _implicit_key, _quota, _unknown_key, _no_code, _wrong_password, _wrong_grant, _no_username,
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "provoke"),
    list(zip(rows_of(ERRORS), PROVOKED, strict=True)),
    ids=[row[3] for row in rows_of(ERRORS)],
)
def test_each_error_can_be_provoked(
    egnyte_sandbox: Any, settings: Any, row: list[str], provoke: Callable[[Any, Any], None]
) -> None:
    with pytest.raises(exceptions.OAuthError) as caught:
        provoke(egnyte_sandbox, settings)
    assert type(caught.value).__name__ == row[3]
    assert (caught.value.code, str(caught.value.status)) == (row[0], row[2])


# Scopes.

SCOPE_TABLE = """
| Scope Identifier | API |
| Egnyte.filesystem | File System, Search, Comments, Events, Folder Options, User Insights, Trash |
| Egnyte.user | User Management |
| Egnyte.group | Group Management |
| Egnyte.audit | Audit Reporting |
| Egnyte.link | Links |
| Egnyte.permission | Permissions |
| Egnyte.salesforce | Other Applications -> Salesforce |
| Egnyte.bookmark | Bookmarks |
| Egnyte.launchwebsession | Embedded UI |
"""
LABELS = {
    "Egnyte.filesystem": "Files, search, comments, events and trash",
    "Egnyte.user": "User management",
    "Egnyte.group": "Group management",
    "Egnyte.audit": "Audit reports",
    "Egnyte.link": "Links to files and folders",
    "Egnyte.permission": "Folder permissions",
    "Egnyte.salesforce": "Salesforce",
    "Egnyte.bookmark": "Bookmarks",
    "Egnyte.launchwebsession": "Embedded web interface",
}


@pytest.mark.parametrize("scope", [row[0] for row in rows_of(SCOPE_TABLE)])
def test_each_scope_is_requested_shown_and_stored(
    browser: Client, egnyte_sandbox: Any, settings: Any, scope: str
) -> None:
    settings.EGNYTE_SCOPES = [scope]
    page = browser.get("/egnyte/connect/").content.decode()
    assert LABELS[scope] in page
    assert scope not in page
    url = walk.begin(browser)
    assert walk.query_of(url)["scope"] == scope
    response = walk.come_back(browser, egnyte_sandbox.authorize(url, "jsmith"))
    assert response.status_code == 302
    assert EgnyteAccount.objects.get().scopes == [scope]
    assert [set(grant.scopes) for grant in egnyte_sandbox.live_grants()] == [{scope}]
    page = browser.get("/egnyte/").content.decode()
    assert LABELS[scope] in page


def test_several_scopes_are_delimited_by_spaces(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    scopes = [row[0] for row in rows_of(SCOPE_TABLE)]
    assert len(scopes) == 9
    settings.EGNYTE_SCOPES = scopes
    url = walk.begin(browser)
    assert walk.query_of(url)["scope"] == " ".join(scopes)
    walk.come_back(browser, egnyte_sandbox.authorize(url, "jsmith"))
    assert EgnyteAccount.objects.get().scopes == scopes


# When it says no. Egnyte's current pages on errors and limits, collected.

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
    from django_egnyte.pytest_plugin import link_account

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
            with pytest.raises(exceptions.RateLimitedError) as throttled:
                client.get("/pubapi/v1/links")
            assert throttled.value.retry_after == 77
            assert throttled.value.kind == (DAILY if meaning == DAILY else QPS)
            assert throttled.value.retryable
        else:
            # What only the view can judge is its to judge: the answer, whatever its status.
            assert client.get("/pubapi/v1/links").status_code == int(row[:3])
            kind = exceptions.ForbiddenError if meaning == FORBIDDEN else exceptions.ConflictError
            with pytest.raises(kind):
                client.files.list("/Shared")
        if meaning != DEAD:
            assert status_of(account) == Status.ACTIVE
        # Nobody slept on it, and nothing was sent again.
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
            assert ("validate_account", account.pk, account.token_version) in hurried
            # The transaction of a view that raised was rolled back; a worker finds out again.
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
                "code": lambda: oauth.exchange_code("the-c0de", CALLBACK, ()),
                "password": lambda: oauth.password("jsmith", "s3cret", ()),
                "refresh": lambda: oauth.refresh("r3fresh"),
            }[grant]()
        assert len(server.requests) == 1
    error = caught.value
    assert error.status == int(row[:3])
    if meaning in (QPS, DAILY, NEWER, TOKEN_ENDPOINT):
        assert isinstance(error, exceptions.RateLimitedError)
        assert (error.kind, error.retry_after) == ("token_endpoint", 77)
    elif "INACTIVE" in row:
        assert type(error) is exceptions.InactiveKeyError
    else:
        assert type(error) is exceptions.OAuthError
    # None is Egnyte's word that a refresh token is dead.
    assert not isinstance(error, exceptions.InvalidGrantError)
