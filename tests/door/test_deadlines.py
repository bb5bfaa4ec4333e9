from __future__ import annotations

import contextlib
import functools
import gzip
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_egnyte import http
from django_egnyte.exceptions import UnavailableError
from tests.rawserver import Visitor, always, answer, serving, tunnel_to


def slowly(data: bytes) -> bytes:
    """Marks what a server sends byte by byte."""
    return b"\0" + data


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PACKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
# A gzip header, and then empty stored blocks of deflate, none of which is the last.
EMPTY_BLOCKS = gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 500
TRICKLES = {
    "status line": [slowly(b"HTTP/1.1 200 OK" + b" " * 500)],
    "headers": [b"HTTP/1.1 200 OK\r\n", slowly(b"X-Long: " + b"a" * 500)],
    "interim answers": [slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)],
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", slowly(b"a" * 500)],
    "body without length": [b"HTTP/1.1 200 OK\r\n\r\n", slowly(b"a" * 500)],
    "chunks": [CHUNKED, slowly(b"1\r\na\r\n" * 100)],
    "chunk size": [CHUNKED, slowly(b"0" * 500)],
    "chunk extension": [CHUNKED, slowly(b"1;" + b"x" * 500)],
    "trailers": [CHUNKED, b"1\r\na\r\n0\r\n", slowly(b"X-A: a\r\n" * 70)],
    "empty blocks": [PACKED, slowly(EMPTY_BLOCKS)],
}


def trickling(pieces: list[bytes]) -> Any:
    """A script that sends pieces, the marked ones slowly, and then waits until the visitor left."""

    def script(visitor: Visitor) -> None:
        visitor.request()
        for piece in pieces:
            if piece[:1] == b"\0":
                visitor.trickle(piece[1:])
            else:
                visitor.send(piece)
        visitor.sock.recv(1)

    return script


@pytest.fixture(params=["plain", "tls", "proxy", "tunnel"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """How to reach a server: returns a context manager that gives its URL."""
    if request.param in ("tls", "tunnel"):
        certificate = request.getfixturevalue("tmp_path") / "cert.pem"
        context = request.getfixturevalue("certified")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    else:
        context = None

    @contextlib.contextmanager
    def serve(script: Any) -> Iterator[str]:
        with serving(script, context) as server:
            if request.param == "proxy":
                monkeypatch.setenv("http_proxy", server.url)
                yield "http://acme.example/"
            elif request.param == "tunnel":
                with serving(tunnel_to(server.port)) as proxy:
                    monkeypatch.setenv("https_proxy", proxy.url)
                    yield server.url
            else:
                yield server.url

    return serve


@pytest.mark.parametrize("part", TRICKLES)
def test_a_server_that_trickles_is_cut_off_at_the_deadline(way: Any, part: str) -> None:
    expected = pytest.raises(UnavailableError, match=r"within 0\.2 s")
    with way(trickling(TRICKLES[part])) as url, expected:
        http.send("GET", url, timeout=(1, 60), deadline=0.2)


@pytest.mark.parametrize("part", ["body", "chunks", "chunk extension", "trailers", "empty blocks"])
def test_a_streamed_body_may_have_a_deadline_of_its_own(part: str) -> None:
    with serving(trickling(TRICKLES[part])) as server:
        response = http.send("GET", server.url, timeout=(1, 60), deadline=5, stream=True)
        with pytest.raises(UnavailableError, match=r"within 0\.2 s"):
            list(http.iter_body(response, deadline=0.2))


def test_what_came_before_the_deadline_is_not_lost() -> None:
    with serving(trickling(TRICKLES["trailers"])) as server:
        response = http.send("GET", server.url, timeout=(1, 60), stream=True)
        assert http.read(response, 100, 0.2) == b"a"


def test_a_proxy_that_trickles_is_cut_off_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    script = trickling([b"HTTP/1.1 200 Connection established\r\n", slowly(b"X-A: a\r\n" * 70)])
    with serving(script) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(UnavailableError, match=r"within 0\.2 s"):
            http.send("GET", "https://acme.example/", timeout=(60, 60), deadline=0.2)


@pytest.mark.parametrize("trickles", [False, True])
def test_tls_within_tls_obeys_the_deadline(
    certified: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trickles: bool
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    script = trickling(TRICKLES["headers"]) if trickles else always(answer())
    with serving(script, certified) as server, serving(tunnel_to(server.port), certified) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        call = functools.partial(http.send, "GET", server.url, timeout=(5, 60), deadline=1)
        if trickles:
            with pytest.raises(UnavailableError, match="within 1 s"):
                call()
        else:
            assert [call().content, call().content] == [b"{}", b"{}"]
            assert server.connections == 1


def test_a_server_that_reads_slowly_is_left_at_the_deadline(way: Any) -> None:
    def script(visitor: Visitor) -> None:
        with contextlib.suppress(OSError):
            while visitor.sock.recv(2000):
                time.sleep(0.02)

    with way(script) as url, pytest.raises(UnavailableError, match=r"within 0\.5 s"):
        http.send("POST", url, data=bytes(30_000_000), timeout=(1, 60), deadline=0.5)


def test_the_deadline_of_a_large_body_begins_when_it_is_sent() -> None:
    def script(visitor: Visitor) -> None:
        time.sleep(2.5)  # over the deadline: the body does not fit into the buffers
        visitor.request()
        if len(visitor.requests) == 1:
            visitor.send(answer(body=b"got it"))
        else:
            visitor.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500)

    body = bytes(12_000_000)
    with serving(script) as server:
        call = functools.partial(
            http.send, "POST", server.url, data=body, timeout=(1, 60), deadline=2, large=True
        )
        assert call().content == b"got it"
        http.close_pools()
        with pytest.raises(UnavailableError, match=r"within 2 s"):
            call()


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
    answered = threading.Event()

    def slow(*args: object, **kw: object) -> object:
        answered.wait()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(UnavailableError) as caught:
        http.send("GET", "http://acme.example/", deadline=0.3)
    assert caught.value.sent is False
    answered.set()


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
        # A server that never answers the handshake.
        http.send("GET", mute.url.replace("http:", "https:"), timeout=(5, 5), deadline=0.2)


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
