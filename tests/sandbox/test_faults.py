from __future__ import annotations

import re
import socket
import time
from typing import Any

import pytest
import requests

from django_egnyte.sandbox import Sandbox, SandboxServer

from .calls import bearer, code_for, exchange, refresh, userinfo


@pytest.fixture
def token(sandbox: Sandbox) -> str:
    return sandbox.issue("acme", "jsmith").access_token


def test_a_status_replaces_the_answer_once(sandbox: Sandbox, acme: str, token: str) -> None:
    rule = sandbox.faults.add(path="userinfo", status=503, headers={"Retry-After": "7"})
    first = userinfo(acme, token)
    assert (first.status_code, first.headers["Retry-After"], first.content) == (503, "7", b"")
    assert userinfo(acme, token).status_code == 200
    assert sandbox.faults.hits(rule) == 1
    assert sandbox.faults.rules == []


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [
        ({"a": 1}, b'{"a": 1}', "application/json"),
        ([1], b"[1]", "application/json"),
        ("<h1>no</h1>", b"<h1>no</h1>", "text/html; charset=utf-8"),
        (b"\xff", b"\xff", "application/json"),
    ],
)
def test_a_body_replaces_the_answer(
    sandbox: Sandbox, acme: str, token: str, body: Any, sent: bytes, kind: str
) -> None:
    sandbox.faults.add(body=body)
    answer = userinfo(acme, token)
    assert (answer.status_code, answer.content) == (200, sent)
    assert answer.headers["Content-Type"] == kind


def test_a_rule_matches_by_all_that_it_names(
    sandbox: Sandbox, acme: str, globex: str, token: str
) -> None:
    other = sandbox.issue("globex", "mmiller").access_token
    sandbox.faults.add(
        method="get", path=r"^/pubapi/v1/user", domain="acme", token=token, status=500, times=None
    )
    assert userinfo(acme, token).status_code == 500
    assert userinfo(globex, other).status_code == 200
    assert userinfo(acme, sandbox.issue("acme", "bdoe").access_token).status_code == 200
    url = f"{acme}/pubapi/v1/fs/Shared"
    assert requests.get(url, headers=bearer(token), timeout=10).status_code == 200
    assert requests.post(f"{acme}/puboauth/token", timeout=10).status_code == 400
    assert token not in repr(sandbox.faults.rules)
    sandbox.faults.clear()
    assert userinfo(acme, token).status_code == 200


def test_a_rule_matches_a_grant_type(sandbox: Sandbox, acme: str) -> None:
    issued = sandbox.issue("acme", "jsmith")
    assert issued.refresh_token
    rule = sandbox.faults.add(grant_type="refresh_token", status=500, times=2)
    assert exchange(acme, code_for(sandbox, acme)).status_code == 200
    assert userinfo(acme, issued.access_token).status_code == 200
    assert refresh(acme, issued.refresh_token).status_code == 500
    assert sandbox.faults.hits(rule) == 1
    sandbox.faults.remove(rule)
    assert refresh(acme, issued.refresh_token).status_code == 200


def test_a_rule_skips_and_takes_chances(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(status=500, skip=2)
    assert [userinfo(acme, token).status_code for _ in range(4)] == [200, 200, 500, 200]
    rule = sandbox.faults.add(status=500, times=None, probability=0.5)
    failed = [userinfo(acme, token).status_code for _ in range(60)].count(500)
    assert 10 < failed < 50
    assert sandbox.faults.hits(rule) == failed


def test_the_first_matching_rule_is_applied(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(status=500)
    sandbox.faults.add(status=502)
    assert [userinfo(acme, token).status_code for _ in range(3)] == [500, 502, 200]


def test_a_reset_before_egnyte_acts(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme)
    sandbox.faults.add(path="^/puboauth/token", reset=True)
    with pytest.raises(requests.ConnectionError):
        exchange(acme, code)
    assert sandbox.live_tokens() == []
    assert sandbox.requests_log[-1].status == 0
    assert exchange(acme, code).status_code == 200


def test_an_answer_lost_after_egnyte_acted(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme)
    rule = sandbox.faults.add(path="^/puboauth/token", reset=True, acted=True)
    with pytest.raises(requests.ConnectionError):
        exchange(acme, code)
    assert len(sandbox.live_tokens()) == 2
    assert exchange(acme, code).json() == {"error": "invalid_grant"}
    assert sandbox.requests_log[-2].fault == rule
    assert sandbox.requests_log[-2].token_id


def test_another_answer_after_egnyte_acted(sandbox: Sandbox, acme: str) -> None:
    sandbox.faults.add(path="^/puboauth/token", status=500, acted=True)
    assert exchange(acme, code_for(sandbox, acme)).status_code == 500
    assert len(sandbox.live_grants()) == 1


def test_delays(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(delay=0.15)
    sandbox.faults.add(delay_after=0.15)
    for _ in range(2):
        start = time.monotonic()
        assert userinfo(acme, token).status_code == 200
        assert time.monotonic() - start > 0.14


def test_a_hang_ends_without_an_answer(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(hang=0.2)
    start = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        userinfo(acme, token)
    assert time.monotonic() - start > 0.19


def test_stopping_the_server_ends_a_hang(token: str, server: SandboxServer, acme: str) -> None:
    server.sandbox.faults.add(hang=60)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{acme}/pubapi/v1/userinfo", headers=bearer(token), timeout=0.2)
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 3
    assert server.connections_open == 0


def test_a_truncated_body(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(truncate=10)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        userinfo(acme, token)
    sandbox.add_synthetic_file("acme", "/Shared/s", 200_000)
    sandbox.faults.add(truncate=100_000)
    url = f"{acme}/pubapi/v1/fs-content/Shared/s"
    got: list[bytes] = []
    with (
        requests.get(url, headers=bearer(token), stream=True, timeout=10) as answer,
        pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)),
    ):
        got.extend(answer.iter_content(1000))
    assert answer.headers["Content-Length"] == "200000"
    assert len(b"".join(got)) == 100_000


def test_broken_json_and_html_said_to_be_json(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(malformed=True)
    sandbox.faults.add(html=True, status=502)
    broken, page = userinfo(acme, token), userinfo(acme, token)
    assert broken.status_code == 200
    assert broken.text.startswith('{"id"')
    with pytest.raises(requests.JSONDecodeError):
        broken.json()
    assert page.status_code == 502
    assert page.text.startswith("<html>")
    assert broken.headers["Content-Type"] == page.headers["Content-Type"] == "application/json"


def test_a_huge_body(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(huge=3_000_000)
    assert len(userinfo(acme, token).content) == 3_000_000


def test_a_redirect(sandbox: Sandbox, acme: str, token: str) -> None:
    sandbox.faults.add(redirect="http://127.0.0.1:9/elsewhere")
    url = f"{acme}/pubapi/v1/userinfo"
    answer = requests.get(url, headers=bearer(token), allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    assert answer.headers["Location"] == "http://127.0.0.1:9/elsewhere"


def pieces(server: SandboxServer, token: str) -> list[tuple[float, bytes]]:
    """The received bytes, each with the seconds since the call."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        start = time.monotonic()
        sock.sendall(
            f"GET /d/acme/pubapi/v1/userinfo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        found = []
        while data := sock.recv(65_536):
            found.append((time.monotonic() - start, data))
    return found


@pytest.mark.parametrize("part", ["headers", "body", "both"])
def test_an_answer_trickles(server: SandboxServer, token: str, part: str) -> None:
    server.sandbox.faults.add(trickle={"bytes": 40, "interval": 0.02, "part": part})
    found = pieces(server, token)
    whole = b"".join(data for _, data in found)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.1 200 OK\r\n", head)
    assert body.startswith(b'{"id": 121')
    assert body.endswith(b"}")
    head_took = next(at for at, _ in found)
    assert len(found) > 2
    assert found[-1][0] - head_took > 0.02
    first_piece = found[0][1]
    assert (b"\r\n\r\n" in first_piece) == (part == "body")


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"colour": "red"}, TypeError),
        ({"id": 7}, TypeError),
        ({"path": "("}, re.error),
        ({"trickle": {"speed": 1}}, ValueError),
        ({"trickle": {"part": "tail"}}, ValueError),
    ],
)
def test_a_bad_rule_is_refused(
    sandbox: Sandbox, rule: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        sandbox.faults.add(**rule)
    assert sandbox.faults.rules == []
