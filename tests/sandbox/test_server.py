from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
import requests

from django_egnyte.sandbox import Sandbox, SandboxServer

from .calls import CLIENT, bearer, userinfo


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com", ""])
def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SandboxServer(host=host)


def test_addresses() -> None:
    with SandboxServer(host="localhost") as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.base_url == f"{server.url}/d/{{domain}}"
        assert server.host_base_url == f"http://{{domain}}.localhost:{server.port}"


def test_it_serves_ipv6() -> None:
    try:
        server = SandboxServer(host="::1").start()
    except OSError:
        pytest.skip("no IPv6 here")
    with socket.create_connection(("::1", server.port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"Egnyte sandbox" in sock.makefile("rb").read()
    assert server.url == f"http://[::1]:{server.port}"
    server.stop()


def test_a_connection_is_kept_and_counted(server: SandboxServer, acme: str) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    with requests.Session() as session:
        for _ in range(5):
            answer = session.get(f"{acme}/pubapi/v1/userinfo", headers=bearer(token), timeout=5)
            assert answer.status_code == 200
        # If a refused body is short, the connection can be used again.
        session.post(f"{acme}/pubapi/v1/userinfo", data=b"x" * 1000, timeout=5)
        session.get(f"{acme}/pubapi/v1/userinfo", headers=bearer(token), timeout=5)
        assert server.connections_opened == 1
        assert server.connections_open == 1


def test_it_stops_and_starts_again_at_the_same_port(server: SandboxServer, acme: str) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    assert userinfo(acme, token).status_code == 200
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        userinfo(acme, token)
    server.start()
    assert userinfo(acme, token).status_code == 200
    with pytest.raises(RuntimeError):
        server.start()


def test_a_taken_port_is_an_error(server: SandboxServer) -> None:
    with pytest.raises(OSError, match=f"in use: port {server.port}, 127.0.0.1"):
        SandboxServer(port=server.port).start()


def test_open_connections_can_be_dropped(server: SandboxServer, acme: str) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/d/acme/pubapi/v1/userinfo", headers=bearer(token))
    assert connection.getresponse().read()
    server.drop_connections()
    assert connection.sock.recv(1) == b""
    connection.close()
    assert userinfo(acme, token).status_code == 200


def test_host_addresses_reach_a_domain(server: SandboxServer) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    for host, status in (("acme.localhost", 200), ("globex.localhost", 403), ("x.localhost", 404)):
        headers = {"Host": f"{host}:{server.port}"}
        assert userinfo(server.url, token, **headers).status_code == status


def test_an_unknown_host_is_404(server: SandboxServer) -> None:
    for url in (f"{server.url}/d/initech/puboauth/token", f"{server.url}/x"):
        assert requests.get(url, timeout=5).status_code == 404
    assert "acme" in requests.get(server.url, timeout=5).text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/pubapi/v1/workflows"),
        ("PUT", "/pubapi/v1/fs/Shared"),
        ("GET", "/pubapi/v3/fs/Shared"),
        ("PATCH", "/pubapi/v1/userinfo"),
        ("PUT", "/puboauth/token"),
        ("GET", "/app/index.do"),
    ],
)
def test_what_the_sandbox_lacks_is_501_and_named(
    server: SandboxServer, acme: str, method: str, path: str
) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    answer = requests.request(method, f"{acme}{path}", headers=bearer(token), timeout=5)
    assert answer.status_code == 501
    assert f"{method} {path} is not in the sandbox" in answer.text


def test_what_the_sandbox_lacks_needs_a_token_too(acme: str) -> None:
    assert requests.get(f"{acme}/pubapi/v1/workflows", timeout=5).status_code == 401


def test_an_answer_of_the_api_names_the_request(server: SandboxServer, acme: str) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    made = [userinfo(acme, token).headers["X-Egnyte-Request-Id"] for _ in range(2)]
    assert made[0] != made[1]
    sent = userinfo(acme, token, **{"X-Egnyte-Request-Id": "mine"})
    assert sent.headers["X-Egnyte-Request-Id"] == "mine"


def raw(server: SandboxServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


@pytest.mark.parametrize(
    "request_",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_nonsense_is_a_bad_request(server: SandboxServer, request_: bytes) -> None:
    assert raw(server, request_).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_an_absolute_target_is_understood(server: SandboxServer) -> None:
    request = b"GET http://acme.localhost/nothing HTTP/1.0\r\nHost: acme.localhost\r\n\r\n"
    assert b"GET /nothing is not in the sandbox" in raw(server, request)
    assert server.sandbox.requests_log[-1].path == "/nothing"


def test_an_unfinished_request_does_nothing(server: SandboxServer) -> None:
    assert raw(server, b"GET / HTTP/1.1\r\nHost:") == b""
    cut = b"POST /d/acme/puboauth/token HTTP/1.1\r\nContent-Length: 100\r\n\r\ngrant_type="
    assert raw(server, cut) == b""
    chunked = b"POST /d/acme/puboauth/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert raw(server, chunked) == b""
    assert server.sandbox.requests_log == []


def test_a_client_may_wait_before_it_sends_its_body(server: SandboxServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(
            b"POST /d/acme/puboauth/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"a=b")
        assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_pipelined_requests_are_answered_in_order(server: SandboxServer) -> None:
    one = b"GET /one HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    two = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer = raw(server, one + two)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.index(b"HTTP/1.1 404") < answer.index(b"HTTP/1.1 200")


def test_an_oversized_form_is_refused(server: SandboxServer, acme: str) -> None:
    fields = {"client_id": "x" * 2_000_000}
    answer = requests.post(f"{acme}/puboauth/token", data=fields, timeout=10)
    assert answer.status_code == 413


def test_the_log_has_no_secrets(server: SandboxServer, acme: str) -> None:
    issued = server.sandbox.issue("acme", "jsmith")
    assert issued.refresh_token
    fields = CLIENT | {"grant_type": "refresh_token", "refresh_token": issued.refresh_token}
    requests.post(f"{acme}/puboauth/token?code=secret-code", data=fields, timeout=5)
    userinfo(acme, issued.access_token)
    token_call, call = server.sandbox.requests_log
    assert (token_call.method, token_call.path) == ("POST", "/puboauth/token")
    assert (token_call.endpoint, token_call.status) == ("token:refresh_token", 200)
    assert (call.domain, call.endpoint, call.token_id) == ("acme", "userinfo", issued.token_id)
    said = repr([server.sandbox.requests_log, issued, server.sandbox.live_tokens()])
    said += repr([server.sandbox.key("sandbox-code-key"), server.sandbox.user("acme", "jsmith")])
    for secret in (
        issued.access_token,
        issued.refresh_token,
        "secret-code",
        "sandbox-code-secret",
        "demo-password-1",
    ):
        assert secret not in said
    assert server.sandbox.counts == {"token:refresh_token": 1, "token": 1, "userinfo": 1}


def test_refused_and_broken_calls_are_counted_by_endpoint(server: SandboxServer, acme: str) -> None:
    userinfo(acme, "unknown")
    server.sandbox.faults.add(status=503, times=None)
    userinfo(acme, "unknown")
    requests.post(f"{acme}/puboauth/token", data=CLIENT, timeout=5)
    for method, path in (
        ("GET", "fs/Shared"),
        ("POST", "fs/Shared"),
        ("DELETE", "fs/Shared"),
        ("GET", "fs-content/x"),
        ("POST", "fs-content/x"),
        ("POST", "fs-content-chunked/x"),
        ("POST", "tokens/revoke"),
        ("GET", "search"),
        ("GET", "x"),
    ):
        requests.request(method, f"{acme}/pubapi/v1/{path}", timeout=5)
    assert server.sandbox.counts == {
        "userinfo": 2,
        "token": 1,
        "fs:list": 1,
        "fs": 1,
        "fs:delete": 1,
        "fs-content:download": 1,
        "fs-content:upload": 1,
        "fs-content-chunked": 1,
        "revoke": 1,
        "search": 1,
        "other": 1,
    }


def test_many_threads_at_once(server: SandboxServer, acme: str) -> None:
    tokens = [server.sandbox.issue("acme", "jsmith").access_token for _ in range(8)]
    seen: list[int] = []

    def call(token: str) -> None:
        with requests.Session() as session:
            for _ in range(25):
                url = f"{acme}/pubapi/v1/userinfo"
                seen.append(session.get(url, headers=bearer(token), timeout=10).status_code)

    threads = [threading.Thread(target=call, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * 200
    assert server.sandbox.counts["userinfo"] == 200
    assert server.connections_opened == 8


def test_it_is_fast_enough_for_benchmarks(server: SandboxServer) -> None:
    token = server.sandbox.issue("acme", "jsmith").access_token
    request = (
        f"GET /d/acme/pubapi/v1/userinfo HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        start = time.process_time()
        for _ in range(1000):
            sock.sendall(request)
            sock.recv(65_536)
        used = time.process_time() - start
    # The CPU time of both sides, so that the test does not fail on a busy machine.
    assert used < 1000 / 1500


def wsgi(
    sandbox: Sandbox, method: str, path: str, body: bytes = b"", **environ: Any
) -> tuple[str, dict[str, str], bytes]:
    env: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "wsgi.input": io.BytesIO(body),
        "REMOTE_ADDR": "127.0.0.1",
    }
    if body:
        env |= {
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
        }
    env |= environ
    setup_testing_defaults(env)
    started: list[Any] = []

    def start_response(*args: Any) -> Any:
        started.extend(args)
        return lambda data: None

    answer = validator(sandbox.wsgi())(env, start_response)
    try:
        content = b"".join(answer)
    finally:
        answer.close()  # type: ignore[attr-defined]
    return started[0], dict(started[1]), content


def test_it_is_a_wsgi_application() -> None:
    sandbox = Sandbox()
    token = sandbox.issue("acme", "jsmith").access_token
    authorization = f"Bearer {token}"
    status, headers, body = wsgi(
        sandbox, "GET", "/d/acme/pubapi/v1/userinfo", HTTP_AUTHORIZATION=authorization
    )
    assert (status, headers["Content-Length"]) == ("200 OK", str(len(body)))
    status, _, body = wsgi(sandbox, "POST", "/d/acme/puboauth/token", b"client_id=nobody")
    assert status == "401 Unauthorized"
    status, headers, body = wsgi(sandbox, "HEAD", "/")
    assert (status, body) == ("200 OK", b"")
    status, _, body = wsgi(
        sandbox,
        "GET",
        "/d/acme/pubapi/v1/fs-content/Shared/report 2024.txt",
        HTTP_AUTHORIZATION=authorization,
    )
    assert body == b"Quarterly figures: all good.\n"
    sandbox.faults.add(reset=True)
    assert wsgi(sandbox, "GET", "/")[0] == "502 Bad Gateway"
