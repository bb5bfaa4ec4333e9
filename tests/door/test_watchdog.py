from __future__ import annotations

import os
import socket
import ssl
import time
from pathlib import Path

import pytest

from django_egnyte import http
from django_egnyte.exceptions import UnavailableError
from tests.rawserver import Visitor, always, answer, serving


@pytest.mark.parametrize("part", ["head", "body", "endless body", "chunks"])
def test_a_server_that_trickles_is_cut_off_at_the_deadline(part: str) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        if part == "head":
            visitor.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500)
        elif part == "body":
            visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            visitor.trickle(b"a" * 500)
        elif part == "chunks":
            visitor.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            visitor.trickle(b"1\r\na\r\n" * 100)
        else:
            visitor.send(b"HTTP/1.1 200 OK\r\n\r\n")
            visitor.trickle(b"a" * 500)

    with serving(script) as server:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=r"within 0\.4 s"):
            http.send("GET", server.url, timeout=(1, 5), deadline=0.4)
        assert 0.3 < time.monotonic() - started < 1.5


def test_a_deadline_holds_on_a_connection_that_is_used_again() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(answer())
        visitor.request()
        visitor.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500)

    with serving(script) as server:
        http.send("GET", server.url, deadline=5)
        with pytest.raises(UnavailableError, match="within"):
            http.send("GET", server.url, deadline=0.3)
        assert server.connections == 1


def test_a_deadline_does_not_outlive_its_call() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(answer())
        visitor.request()
        time.sleep(0.6)
        visitor.send(answer(body=b"late"))

    with serving(script) as server:
        http.send("GET", server.url, deadline=0.3)
        assert http.send("GET", server.url, timeout=(1, 5)).content == b"late"


def test_a_slow_resolver_is_left_behind_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def slow(*args: object, **kw: object) -> object:
        time.sleep(1)
        return real(*args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with serving(always(answer())) as server:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            http.send("GET", server.url, deadline=0.3)
        assert time.monotonic() - started < 0.9
        time.sleep(1)


@pytest.mark.parametrize("deadline", [None, 5])
def test_names_below_localhost_are_this_machine_s_whatever_the_resolver_knows(
    monkeypatch: pytest.MonkeyPatch, deadline: float | None
) -> None:
    """RFC 6761 section 6.3."""
    real = socket.getaddrinfo

    def ignorant(host: object, *args: object, **kw: object) -> object:
        if str(host).endswith(".localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", ignorant)
    with serving(always(answer())) as server:
        url = server.url.replace("127.0.0.1", "acme.localhost")
        assert http.send("GET", url, deadline=deadline).status_code == 200
        assert f"Host: acme.localhost:{server.port}".encode() in server.requests[0]


def test_a_deadline_holds_over_tls(
    certified: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    with (
        serving(script, certified) as server,
        pytest.raises(UnavailableError, match="within"),
    ):
        http.send("GET", server.url, timeout=(2, 5), deadline=0.5)
    with (
        serving(lambda visitor: time.sleep(3)) as mute,
        pytest.raises(UnavailableError, match="within"),
    ):
        # A handshake that never answers.
        http.send("GET", mute.url.replace("http:", "https:"), timeout=(5, 5), deadline=0.4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own() -> None:
    with serving(always(answer())) as server:
        http.send("GET", server.url, deadline=5)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                http.send("GET", server.url, deadline=5)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        http.send("GET", server.url, deadline=5)
        assert server.connections == 2
