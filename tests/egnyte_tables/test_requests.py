"""The requests of each flow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from django.test import Client

from django_egnyte import gateway
from django_egnyte.oauth import UserInfo
from django_egnyte.secret import Secret
from tests import walk
from tests.rawserver import RawServer, Visitor, answer, serving

from .tables import CALLBACK, HOST, rows_of

SCOPES = ["Egnyte.filesystem", "Egnyte.link"]

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
# The page has no table for these two, but describes them in the text.
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
    """Accepts everything, and answers as for older keys."""
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
    gateway.oauth(HOST).revoke(Secret("68zc95e3xv954u6k3hbnma3q"))
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
        # Newer keys send it; one source only says so.
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
        # Opaque. ``code_exchange`` shows that the callback accepts it.
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
    info = gateway.oauth(HOST).userinfo(Secret("68zc95e3xv954u6k3hbnma3q"))
    assert info == UserInfo(121, "jsmith", "Jane", "Smith", "")
    sent = Sent.of(egnyte.requests[-1])
    assert (sent.method, sent.path) == ("GET", "/d/acme/pubapi/v1/userinfo")
    # Sent.of lowers the headers.
    assert sent.headers["authorization"] == "bearer 68zc95e3xv954u6k3hbnma3q"
    assert sent.parameters == {}
    assert b"Authorization: Bearer 68zc95e3xv954u6k3hbnma3q\r\n" in egnyte.requests[-1]


def test_a_token_is_revoked_in_a_form_and_the_answer_is_empty(egnyte: RawServer) -> None:
    """ "On success, this API returns a 200 status code with an empty body"."""
    gateway.oauth(HOST).revoke(Secret("68zc95e3xv954u6k3hbnma3q"))
    sent = Sent.of(egnyte.requests[-1])
    assert sent.parameters["token"] == "68zc95e3xv954u6k3hbnma3q"
    assert sent.headers["authorization"] == "bearer 68zc95e3xv954u6k3hbnma3q"
