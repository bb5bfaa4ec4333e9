from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from django_egnyte.sandbox import Sandbox, SandboxServer, TokenPolicy

from .calls import (
    CALLBACK,
    CLIENT,
    INTERNAL,
    JANE,
    authorization_url,
    code_for,
    exchange,
    refresh,
    token_request,
    userinfo,
)


def test_a_code_becomes_a_modern_token(sandbox: Sandbox, acme: str) -> None:
    answer = exchange(acme, code_for(sandbox, acme))
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 2_592_000)
    assert userinfo(acme, body["access_token"]).json()["username"] == "jsmith"


def test_a_legacy_token_never_expires_and_has_no_refresh_token(sandbox: Sandbox, acme: str) -> None:
    sandbox.policy.style = "legacy"
    body = exchange(acme, code_for(sandbox, acme)).json()
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert body["expires_in"] == -1
    sandbox.advance(10 * 365 * 86_400)
    assert userinfo(acme, body["access_token"]).status_code == 200


def test_expires_in_may_be_a_string_and_the_scope_may_be_told(sandbox: Sandbox, acme: str) -> None:
    sandbox.policy = TokenPolicy(expires_in_as_string=True, answer_scope=True)
    body = exchange(acme, code_for(sandbox, acme)).json()
    assert body["expires_in"] == "2592000"
    assert body["scope"] == "Egnyte.filesystem"


def test_a_key_may_have_its_own_policy(sandbox: Sandbox, acme: str) -> None:
    sandbox.add_key("old", policy=TokenPolicy(style="legacy"))
    code = code_for(sandbox, acme, client_id="old")
    assert exchange(acme, code, client_id="old").json()["expires_in"] == -1
    assert exchange(acme, code_for(sandbox, acme)).json()["expires_in"] == 2_592_000


def test_a_code_works_once(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme)
    assert exchange(acme, code).status_code == 200
    again = exchange(acme, code)
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


def test_a_code_expires(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme)
    sandbox.advance(59)
    late = code_for(sandbox, acme)
    assert exchange(acme, code).status_code == 200
    sandbox.advance(61)
    assert exchange(acme, late).json() == {"error": "invalid_grant"}


def test_a_code_is_bound_to_key_redirect_uri_and_domain(
    sandbox: Sandbox, acme: str, globex: str
) -> None:
    sandbox.add_key("other", "other-secret")
    code = code_for(sandbox, acme)
    wrong = [
        exchange(acme, code, client_id="other", client_secret="other-secret"),
        exchange(acme, code, redirect_uri=CALLBACK + "/"),
        exchange(globex, code),
        exchange(acme, code + "x"),
    ]
    assert [answer.json() for answer in wrong] == [{"error": "invalid_grant"}] * 4
    assert exchange(acme, code).status_code == 200


def test_a_new_password_voids_codes_too(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme)
    sandbox.set_password("acme", "jsmith", "changed")
    assert exchange(acme, code).json() == {"error": "invalid_grant"}


def test_the_web_session_scope_must_be_asked_for_twice(sandbox: Sandbox, acme: str) -> None:
    both = "Egnyte.filesystem Egnyte.launchwebsession"
    sandbox.policy.answer_scope = True
    once = exchange(acme, code_for(sandbox, acme, scope=both)).json()
    twice = exchange(acme, code_for(sandbox, acme, scope=both), scope=both).json()
    wider = exchange(acme, code_for(sandbox, acme), scope=both).json()
    assert once["scope"] == "Egnyte.filesystem"
    assert twice["scope"] == both
    assert wider["scope"] == "Egnyte.filesystem"


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        (
            {"client_id": "sandbox-implicit-key", "grant_type": "authorization_code", "code": "x"},
            400,
            "APIKEY_FOR_IMPLICIT",
            "This API key is configured only for Implicit Grant flow. "
            "Please check the documentation and try again.",
        ),
        (
            {"client_id": "nobody", "grant_type": "password"},
            401,
            "INTERNAL_ERROR",
            "No active developer profile found for api key",
        ),
        ({"grant_type": "password"}, 400, "INTERNAL_ERROR", "null"),
        (CLIENT | {"grant_type": "authorization_code"}, 400, "INTERNAL_ERROR", "null"),
        (CLIENT | {"grant_type": "refresh_token"}, 400, "INTERNAL_ERROR", "null"),
        (CLIENT | {"grant_type": "surprise"}, 400, "INTERNAL_ERROR", "null"),
        (
            INTERNAL | {"grant_type": "password", "username": "jsmith", "password": "no"},
            403,
            "INVALID_USERNAME_OR_PASSWORD",
            "Invalid client credentials were supplied.",
        ),
        (
            {"client_id": "sandbox-internal-key", "grant_type": "password"} | JANE,
            403,
            "INVALID_USERNAME_OR_PASSWORD",
            "Invalid client credentials were supplied.",
        ),
        (
            INTERNAL | JANE | {"grant_type": "passwort"},
            403,
            "GRANT_PASSWORD",
            "For resource owner flow, grant_type must be password. "
            "Check documentation and try again.",
        ),
        (
            INTERNAL | {"grant_type": "password", "username": "jsmith"},
            400,
            "RESOURCE_FLOW_ISNULL",
            "Resource owner flow based access request but username and/or password is null. "
            "Please check documentation and try again.",
        ),
    ],
)
def test_the_rows_of_the_error_table(
    acme: str, fields: dict[str, str], status: int, code: str, message: str
) -> None:
    answer = token_request(acme, **fields)
    assert answer.status_code == status
    assert answer.json() == {"errorCode": code, "message": message}


def test_a_missing_content_type_is_a_row_of_the_table_too(acme: str) -> None:
    answer = requests.post(f"{acme}/puboauth/token", data=b"grant_type=password", timeout=10)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "RESOURCE_FLOW_ISNULL")


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("error", '{"error": "INTERNAL_ERROR", "error_description": "null"}'),
        ("Errors", '{"Errors": [{"code": "INTERNAL_ERROR", "description": "null"}]}'),
        ("inputErrors", '{"errors": {"inputErrors": [{"code": "INTERNAL_ERROR", "msg": "null"}]}}'),
        ("html", "<h1>null</h1>"),
    ],
)
def test_errors_come_in_other_shapes(sandbox: Sandbox, acme: str, shape: str, body: str) -> None:
    sandbox.settings.error_shape = shape  # type: ignore[assignment]
    assert token_request(acme).status_code == 400
    assert token_request(acme, grant_type="x").text == body


def test_a_password_becomes_a_token(acme: str) -> None:
    answer = token_request(acme, grant_type="password", **INTERNAL, **JANE)
    assert userinfo(acme, answer.json()["access_token"]).json()["id"] == 121


def test_a_public_key_has_no_password_flow(acme: str) -> None:
    answer = token_request(acme, grant_type="password", **CLIENT, **JANE)
    assert (answer.status_code, answer.json()) == (400, {"error": "unauthorized_client"})


def test_a_key_without_a_secret_needs_none(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme, client_id="sandbox-legacy-key")
    fields = {"client_id": "sandbox-legacy-key", "code": code, "redirect_uri": CALLBACK}
    assert token_request(acme, grant_type="authorization_code", **fields).status_code == 200


def test_a_refresh_may_bring_an_access_token_only(sandbox: Sandbox, acme: str) -> None:
    sandbox.policy.refresh_rotates = False
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    body = refresh(acme, first.refresh_token).json()
    assert "refresh_token" not in body
    assert body["access_token"] != first.access_token
    assert sandbox.is_alive(first.access_token)
    assert sandbox.is_alive(first.refresh_token)
    assert len(sandbox.live_grants()) == 1


def test_a_refresh_rotates(sandbox: Sandbox, acme: str) -> None:
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    body = refresh(acme, first.refresh_token).json()
    assert body["refresh_token"] != first.refresh_token
    assert sandbox.is_alive(first.access_token)
    assert not sandbox.is_alive(first.refresh_token)


def test_a_refresh_may_rotate_and_kill(sandbox: Sandbox, acme: str) -> None:
    sandbox.policy = TokenPolicy(refresh_kills_access=True)
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    body = refresh(acme, first.refresh_token).json()
    assert body["refresh_token"] != first.refresh_token
    assert not sandbox.is_alive(first.access_token)
    assert refresh(acme, first.refresh_token).json() == {"error": "invalid_grant"}
    assert refresh(acme, body["refresh_token"]).status_code == 200


def test_a_refresh_may_repeat_the_refresh_token(sandbox: Sandbox, acme: str) -> None:
    sandbox.policy.refresh_rotates = False
    sandbox.policy.refresh_repeats = True
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    assert refresh(acme, first.refresh_token).json()["refresh_token"] == first.refresh_token


def test_a_refresh_token_is_bound_to_key_and_domain(
    sandbox: Sandbox, acme: str, globex: str
) -> None:
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    assert refresh(globex, first.refresh_token).json() == {"error": "invalid_grant"}
    other = refresh(acme, first.refresh_token, client_id="sandbox-legacy-key")
    assert other.json() == {"error": "invalid_grant"}
    assert refresh(acme, first.access_token).json() == {"error": "invalid_grant"}
    assert refresh(acme, first.refresh_token, client_secret="no").status_code == 403


def test_the_same_token_may_be_given_twice(sandbox: Sandbox, acme: str) -> None:
    sandbox.policy.same_token = True
    first = exchange(acme, code_for(sandbox, acme)).json()
    second = exchange(acme, code_for(sandbox, acme)).json()
    other = exchange(acme, code_for(sandbox, acme, scope="Egnyte.link")).json()
    assert first["access_token"] == second["access_token"]
    assert first["refresh_token"] == second["refresh_token"]
    assert other["access_token"] != first["access_token"]
    sandbox.revoke(first["access_token"])
    third = exchange(acme, code_for(sandbox, acme)).json()
    assert third["access_token"] != first["access_token"]


def test_userinfo_has_an_email_only_on_newer_servers(sandbox: Sandbox, acme: str) -> None:
    token = sandbox.issue("acme", "jsmith").access_token
    old = {"id": 121, "first_name": "Jane", "last_name": "Smith", "username": "jsmith"}
    assert userinfo(acme, token).json() == old | {
        "email": "jsmith@acme.example",
        "user_type": "power",
    }
    sandbox.settings.userinfo_email = False
    assert userinfo(acme, token).json() == old


def test_dead_and_unknown_tokens_are_told_apart(sandbox: Sandbox, acme: str, globex: str) -> None:
    issued = sandbox.issue("acme", "jsmith")
    unknown = userinfo(acme, "unknown")
    assert unknown.status_code == 403
    assert unknown.headers["X-Mashery-Error-Code"] == "ERR_403_DEVELOPER_INACTIVE"
    assert unknown.text == "<h1>Developer Inactive</h1>"
    assert userinfo(globex, issued.access_token).status_code == 403
    assert issued.refresh_token
    assert userinfo(acme, issued.refresh_token).status_code == 403
    assert requests.get(f"{acme}/pubapi/v1/userinfo", timeout=10).status_code == 401
    sandbox.expire_token(issued.access_token)
    assert userinfo(acme, issued.access_token).status_code == 401
    sandbox.settings.unknown_token_status = 401
    assert userinfo(acme, "unknown").status_code == 401


def test_a_token_dies_of_age_and_of_a_new_password(sandbox: Sandbox, acme: str) -> None:
    first = sandbox.issue("acme", "jsmith")
    other = sandbox.issue("acme", "bdoe")
    assert sandbox.set_password("acme", "jsmith", "changed") == 2
    assert userinfo(acme, first.access_token).status_code == 401
    assert first.refresh_token
    assert refresh(acme, first.refresh_token).json() == {"error": "invalid_grant"}
    assert userinfo(acme, other.access_token).status_code == 200
    sandbox.advance(2_592_000)
    assert userinfo(acme, other.access_token).status_code == 401


def test_a_suspended_key_answers_as_for_dead_tokens(sandbox: Sandbox, acme: str) -> None:
    token = sandbox.issue("acme", "jsmith").access_token
    sandbox.suspend_key("sandbox-code-key")
    assert userinfo(acme, token).status_code == 401
    assert refresh(acme, "x").json()["message"].startswith("No active developer profile")
    sandbox.resume_key("sandbox-code-key")
    assert userinfo(acme, token).status_code == 200


def test_an_administrator_acts_as_others(sandbox: Sandbox, acme: str) -> None:
    token = sandbox.issue("acme", "admin").access_token
    as_jane = userinfo(acme, token, **{"X-Egnyte-Act-As": "jsmith"})
    as_bob = userinfo(acme, token, **{"X-Egnyte-Act-As-Email": "bdoe@acme.example"})
    assert (as_jane.json()["id"], as_bob.json()["id"]) == (121, 122)
    assert userinfo(acme, token, **{"X-Egnyte-Act-As": "nobody"}).status_code == 400
    both = {"X-Egnyte-Act-As": "jsmith", "X-Egnyte-Act-As-Email": "bdoe@acme.example"}
    assert userinfo(acme, token, **both).json()["username"] == "jsmith"
    jane = sandbox.issue("acme", "jsmith").access_token
    refused = userinfo(acme, jane, **{"X-Egnyte-Act-As": "bdoe"})
    assert refused.status_code == 403
    assert "X-Mashery-Error-Code" not in refused.headers


def test_the_same_id_at_two_domains_is_two_people(sandbox: Sandbox, acme: str, globex: str) -> None:
    jane = userinfo(acme, sandbox.issue("acme", "jsmith").access_token).json()
    mia = userinfo(globex, sandbox.issue("globex", "mmiller").access_token).json()
    assert jane["id"] == mia["id"]
    assert jane["username"] != mia["username"]


def test_authorize_takes_egnytes_own_urls(sandbox: Sandbox, acme: str) -> None:
    url = authorization_url("https://acme.egnyte.com")
    location = sandbox.authorize(url, "jsmith")
    query = parse_qs(urlsplit(location).query)
    assert query["state"] == ["s 1&2"]
    assert exchange(acme, query["code"][0]).status_code == 200
    assert sandbox.referer(url) == "https://acme.egnyte.com/"


def test_authorize_says_no_for_the_user(sandbox: Sandbox, acme: str) -> None:
    location = sandbox.authorize(authorization_url(acme), "jsmith", allow=False)
    assert location == f"{CALLBACK}?error=access_denied&state=s+1%262"


def test_authorize_refuses_what_egnyte_shows_an_error_page_for(
    sandbox: Sandbox, server: SandboxServer, acme: str
) -> None:
    enhanced = authorization_url(server.base_url.format(domain="us-partner-integrations"))
    enhanced = enhanced.replace("/puboauth/token", "/services/oauth/code")
    with pytest.raises(ValueError, match="No active developer profile"):
        sandbox.authorize(authorization_url(acme, client_id="nobody"), "jsmith")
    with pytest.raises(ValueError, match="no such domain"):
        sandbox.authorize(enhanced, "jsmith")
    with pytest.raises(ValueError, match="another domain"):
        sandbox.authorize(authorization_url(acme), "jsmith", domain="globex")
    assert "code=" in sandbox.authorize(enhanced, "mmiller", domain="globex")
    assert sandbox.referer(enhanced, "globex") == f"{server.url}/d/globex/puboauth/token"
