from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
import requests

from django_egnyte.sandbox import Sandbox, SandboxServer

from .calls import authorization_url, code_for, exchange, userinfo


class Control:
    """Calls the control API, and keeps everything it ever answered."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/_sandbox/"
        self.said = ""

    def get(self, path: str) -> Any:
        return self._keep(requests.get(self.url + path, timeout=10))

    def post(self, endpoint: str, **body: Any) -> Any:
        return self._keep(requests.post(self.url + endpoint, json=body, timeout=10))

    def delete(self, path: str) -> Any:
        return self._keep(requests.delete(self.url + path, json={}, timeout=10))

    def _keep(self, answer: requests.Response) -> Any:
        self.said += answer.text
        return answer.json()


@pytest.fixture
def control(server: SandboxServer) -> Control:
    return Control(server.url)


def fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_tokens_are_told_by_fingerprint_only(sandbox: Sandbox, control: Control, acme: str) -> None:
    issued = sandbox.issue("acme", "jsmith")
    assert issued.refresh_token
    name = fingerprint(issued.access_token)
    told = control.get("tokens")
    assert (told["live"], told["grants"]) == (2, 1)
    assert set(told["fingerprints"]) == {name, fingerprint(issued.refresh_token)}
    assert {token["kind"] for token in told["tokens"]} == {"access", "refresh"}
    assert control.get("tokens?domain=globex")["live"] == 0
    assert control.get(f"alive?fingerprint={name}") == {"alive": True}
    assert control.get("alive?fingerprint=0") == {"alive": False}
    userinfo(acme, issued.access_token)
    stats = control.get("stats")
    assert (stats["live_tokens"], stats["live_grants"]) == (2, 1)
    assert stats["counts"] == {"userinfo": 1}
    assert stats["connections_opened"] >= 1
    assert stats["connections_open"] >= 1
    assert control.get("log")["requests"][0]["path"] == "/pubapi/v1/userinfo"
    assert control.post("expire", fingerprint=name) == {}
    assert userinfo(acme, issued.access_token).status_code == 401
    assert control.post("revoke", fingerprint=name) == {}
    assert not sandbox.is_alive(issued.refresh_token)
    assert issued.access_token not in control.said
    assert issued.refresh_token not in control.said


def test_it_moves_the_world(sandbox: Sandbox, control: Control, acme: str) -> None:
    token = sandbox.issue("acme", "jsmith").access_token
    sandbox.issue("acme", "jsmith", client_id="sandbox-internal-key")
    control.post("suspend", client_id="sandbox-code-key")
    assert userinfo(acme, token).status_code == 401
    control.post("resume", client_id="sandbox-code-key")
    assert userinfo(acme, token).status_code == 200
    new = {"domain": "acme", "username": "jsmith", "password": "new"}
    assert control.post("password", **new) == {"killed": 4}
    assert sandbox.check_password("acme", "jsmith", "new")
    now = control.get("stats")["clock"]
    assert control.post("clock", advance=3600)["now"] - now >= 3600
    assert control.post("settings", qps_limit=2)["qps_limit"] == 2
    assert control.post("policy", style="legacy")["style"] == "legacy"
    assert sandbox.settings.qps_limit == 2
    assert sandbox.issue("acme", "jsmith").expires_in == -1
    control.post("reset")
    assert sandbox.settings.qps_limit is None
    assert sandbox.clock_offset == 0
    assert sandbox.live_tokens() == []
    assert sandbox.check_password("acme", "jsmith", "demo-password-1")


def test_it_adds_and_clears_faults(sandbox: Sandbox, control: Control, acme: str) -> None:
    token = sandbox.issue("acme", "jsmith").access_token
    added = control.post("faults", path="userinfo", status=503, times=None)
    assert userinfo(acme, token).status_code == 503
    assert control.get("faults") == {"faults": [{**added, "path": "userinfo", "hits": 1}]}
    control.delete("faults")
    assert userinfo(acme, token).status_code == 200


def test_it_authorizes_without_a_browser(sandbox: Sandbox, control: Control, acme: str) -> None:
    told = control.post("authorize", url=authorization_url(acme), username="jsmith")
    found = re.search(r"[?&]code=([^&]+)", told["location"])
    assert found
    assert exchange(acme, found[1]).status_code == 200
    assert told["referer"] == f"{acme}/puboauth/token"
    denied = control.post("authorize", url=authorization_url(acme), username="jsmith", allow=False)
    assert "error=access_denied" in denied["location"]


def test_it_never_answers_with_an_implicit_token(
    sandbox: Sandbox, control: Control, acme: str
) -> None:
    url = authorization_url(acme, client_id="sandbox-implicit-key", response_type="token")
    assert "implicit" in control.post("authorize", url=url, username="jsmith")["error"]
    assert sandbox.live_tokens() == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nothing", {}, 404),
        ("password", {"domain": "acme", "username": "nobody", "password": "x"}, 404),
        ("password", {}, 404),
        ("revoke", {"fingerprint": "0"}, 404),
        ("faults", {"colour": "red"}, 400),
        ("faults", {"path": "("}, 400),
        ("settings", {"colour": "red"}, 400),
        ("policy", {"style": "x"}, 400),
        ("clock", {"advance": "soon"}, 400),
        ("authorize", {"url": "http://127.0.0.1/", "username": "jsmith"}, 400),
    ],
)
def test_bad_calls_are_refused(
    server: SandboxServer, path: str, body: dict[str, Any], status: int
) -> None:
    answer = requests.post(f"{server.url}/_sandbox/{path}", json=body, timeout=10)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_a_web_page_cannot_reach_it(server: SandboxServer, sandbox: Sandbox) -> None:
    url = f"{server.url}/_sandbox/"
    form = requests.post(url + "reset", data={"a": "b"}, timeout=10)
    rebound = requests.get(url + "stats", headers={"Host": "evil.example"}, timeout=10)
    assert (form.status_code, rebound.status_code) == (415, 403)


def test_it_is_neither_logged_nor_hurt_by_faults(
    sandbox: Sandbox, control: Control, acme: str
) -> None:
    sandbox.faults.add(status=500, times=None)
    assert control.get("stats")["counts"] == {}
    code_for(sandbox, acme)
    assert sandbox.requests_log == []
