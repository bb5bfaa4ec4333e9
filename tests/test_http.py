from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import threading
import time
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_egnyte import http
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidHeaderError,
    ResponseError,
    UnavailableError,
)
from tests.rawserver import Visitor, always, answer, serving

TOKEN = "tokentokentoken12345"


@pytest.fixture(autouse=True)
def _fresh_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    yield
    http.close_pools()


def everything_in(error: BaseException) -> str:
    """The exception as an error reporter shows it: traceback with locals, notes and context."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    mine = [frame for frame in report.stack if "/tests/" not in frame.filename]
    shown = "".join(str(frame.locals) for frame in mine)
    return shown + str(error) + repr(error) + repr(error.__context__) + repr(error.__cause__)


def test_an_answer_comes_back_whatever_its_status() -> None:
    with serving(always(answer("418 I'm a teapot", b"short and stout"))) as server:
        response = http.send("GET", f"{server.url}/pot", params={"a": "b c"})
    assert (response.status_code, response.content) == (418, b"short and stout")
    assert server.requests[0].startswith(b"GET /pot?a=b+c HTTP/1.1\r\n")
    assert b"User-Agent: django-egnyte/" in server.requests[0]
    assert response.elapsed.total_seconds() > 0


def test_the_token_is_sent_and_then_gone_from_the_answer() -> None:
    with serving(always(answer())) as server:
        response = http.send("POST", server.url, bearer=TOKEN, data={"client_secret": "s3cret"})
    assert f"Authorization: Bearer {TOKEN}\r\n".encode() in server.requests[0]
    assert server.requests[0].endswith(b"client_secret=s3cret")
    assert "Authorization" not in response.request.headers
    assert response.request.body is None


def test_connections_are_kept_and_used_again() -> None:
    with serving(always(answer())) as server:
        for _ in range(5):
            http.send("GET", server.url)
        threads = [threading.Thread(target=http.send, args=("GET", server.url)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.connections <= 2


def test_close_pools_closes_what_is_idle() -> None:
    with serving(always(answer())) as server:
        http.send("GET", server.url)
        http.close_pools()
        http.send("GET", server.url)
        assert server.connections == 2


def test_cookies_are_neither_kept_nor_sent() -> None:
    with serving(always(answer(Set_Cookie="session=stolen; Path=/"))) as server:
        http.send("GET", server.url)
        http.send("GET", server.url)
    assert b"cookie" not in server.requests[1].lower()


def test_a_redirect_is_returned_and_never_followed() -> None:
    with (
        serving(always(answer())) as elsewhere,
        serving(always(answer("302 Found", b"", Location=f"{elsewhere.url}/x"))) as server,
    ):
        response = http.send("GET", server.url, bearer=TOKEN)
    assert response.status_code == 302
    assert elsewhere.requests == []


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(always(answer())) as server:
        http.send("GET", server.url)
    assert b"authorization" not in server.requests[0].lower()


def test_the_environments_proxy_is_used_as_soon_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(always(answer())) as server, serving(always(answer(body=b"proxy"))) as proxy:
        assert http.send("GET", f"{server.url}/a").content == b"{}"
        monkeypatch.setenv("http_proxy", proxy.url)
        assert http.send("GET", f"{server.url}/a").content == b"proxy"
        assert proxy.requests[0].startswith(f"GET {server.url}/a HTTP".encode())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert http.send("GET", f"{server.url}/a").content == b"{}"


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = answer("403 Forbidden", b"")
    with serving(always(refused)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(UnavailableError, match="proxy") as caught:
            http.send("GET", "https://acme.egnyte.com/", bearer=TOKEN)
    assert "HTTPS_PROXY" in caught.value.hint
    assert not caught.value.sent
    assert TOKEN.encode() not in b"".join(proxy.requests)


def test_a_refused_connection_was_surely_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnavailableError, match="refused") as caught:
        http.send("GET", f"http://127.0.0.1:{port}/secretpath", bearer=TOKEN)
    assert caught.value.sent is False
    assert caught.value.retryable
    assert caught.value.host == f"127.0.0.1:{port}"


def test_an_unknown_name_is_said_to_be_one() -> None:
    with pytest.raises(UnavailableError, match="resolved") as caught:
        http.send("GET", "http://nowhere.invalid/", deadline=20)
    assert caught.value.sent is False


@pytest.mark.parametrize("deadline", [None, 10.0])
def test_a_reset_before_the_answer_may_have_been_sent(deadline: float | None) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.reset()

    with serving(script) as server, pytest.raises(UnavailableError) as caught:
        http.send("POST", server.url, bearer=TOKEN, json={"a": "b"}, deadline=deadline)
    assert caught.value.sent is True


def test_silence_is_a_timeout() -> None:
    with (
        serving(lambda visitor: time.sleep(5)) as server,
        pytest.raises(UnavailableError, match="in time"),
    ):
        http.send("GET", server.url, timeout=(1, 0.2))


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


@pytest.mark.parametrize("length", ["100", "2"])
def test_a_body_cut_off_is_an_error(length: str) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + b"a")

    with serving(script) as server, pytest.raises(ResponseError, match="cut off"):
        http.send("GET", server.url)


def test_what_is_not_http_is_an_error() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"SSH-2.0-OpenSSH_9.2\r\n")

    with serving(script) as server, pytest.raises(ResponseError, match="HTTP"):
        http.send("GET", server.url)


def test_a_huge_content_length_is_refused_without_reading() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
        time.sleep(5)

    with serving(script) as server:
        started = time.monotonic()
        with pytest.raises(ResponseError, match="larger"):
            http.send("GET", server.url)
        assert time.monotonic() - started < 1


def test_a_body_without_length_is_bounded() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 3000)

    with serving(script) as server:
        with pytest.raises(ResponseError, match=r"larger than 1,000"):
            http.send("GET", server.url, max_bytes=1000)
        assert len(http.send("GET", server.url, max_bytes=3000).content) == 3000


def test_a_head_answer_may_announce_any_length() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n"
    with serving(always(head)) as server:
        assert http.send("HEAD", server.url).headers["Content-Length"] == "10737418240"


def test_a_gzip_bomb_is_stopped() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
    assert len(bomb) < http.MAX_BYTES
    with (
        serving(always(answer(body=bomb, Content_Encoding="gzip"))) as server,
        pytest.raises(ResponseError, match="larger"),
    ):
        http.send("GET", server.url)


def test_gzip_is_unpacked_also_from_several_members() -> None:
    packed = gzip.compress(b"one " * 50000, mtime=0) + gzip.compress(b"two")
    with serving(always(answer(body=packed, Content_Encoding="gzip"))) as server:
        assert http.send("GET", server.url).content == b"one " * 50000 + b"two"


def test_a_packed_stream_never_has_more_than_a_piece_in_memory() -> None:
    packed = gzip.compress(bytes(5_000_000), 9)
    with serving(always(answer(body=packed, Content_Encoding="gzip"))) as server:
        pieces = list(http.iter_body(http.send("GET", server.url, stream=True), 10_000))
    assert sum(map(len, pieces)) == 5_000_000
    assert max(map(len, pieces)) <= 10_000


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not packed"),
        ("gzip", gzip.compress(b"a" * 1000, mtime=0)[:-6]),
        ("br", b"whatever"),
        ("deflate", zlib.compress(b"unasked")),
    ],
)
def test_what_cannot_be_unpacked_is_an_error(encoding: str, body: bytes) -> None:
    with (
        serving(always(answer(body=body, Content_Encoding=encoding))) as server,
        pytest.raises(ResponseError),
    ):
        http.send("GET", server.url)


def test_a_stream_is_read_piece_by_piece() -> None:
    with serving(always(answer(body=b"a" * 200_000))) as server:
        response = http.send("GET", server.url, stream=True, max_bytes=10)
        pieces = list(http.iter_body(response, 65536))
    assert b"".join(pieces) == b"a" * 200_000
    assert max(map(len, pieces)) <= 65536
    assert b"Accept-Encoding: identity" in server.requests[0]


def test_a_stream_cut_off_or_silent_is_an_error() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"a" * 50)
        if len(server.requests) > 1:
            time.sleep(3)

    with serving(script) as server:
        with pytest.raises(ResponseError, match="cut off"):
            list(http.iter_body(http.send("GET", server.url, stream=True)))
        with pytest.raises(UnavailableError, match="middle"):
            list(http.iter_body(http.send("GET", server.url, stream=True, timeout=(1, 0.3))))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-B: b"},
        {"X-A": "a\nb"},
        {"X-A": "a\x00b"},
        {"X-A\r\nX-B": "b"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": "\u2603"},
    ],
)
def test_a_header_that_would_break_out_is_refused(headers: dict[str, str]) -> None:
    with serving(always(answer())) as server:
        with pytest.raises(InvalidHeaderError):
            http.send("GET", server.url, headers=headers)
        assert server.requests == []


@pytest.mark.parametrize("token", ["", f"{TOKEN}\r\nX: y", f"{TOKEN}\u2603"])
def test_a_token_that_would_break_out_is_refused_unseen(token: str) -> None:
    with pytest.raises(InvalidHeaderError) as caught:
        http.send("GET", "http://127.0.0.1:9/", bearer=token)
    assert TOKEN not in everything_in(caught.value)


def test_no_exception_holds_a_secret() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        number = len(server.requests)
        if number == 1:
            visitor.reset()
        elif number == 2:
            visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + TOKEN.encode()[:3])
        elif number == 3:
            visitor.send(b"garbage\r\n")
        else:
            time.sleep(2)

    with serving(script) as server:
        for _ in range(4):
            with pytest.raises(EgnyteError) as caught:
                http.send(
                    "POST",
                    f"{server.url}/?state=querysecret",
                    bearer=TOKEN,
                    headers={"X-Egnyte-Act-As": "headersecret"},
                    data={"password": "bodysecret"},
                    timeout=(1, 0.3),
                    deadline=1,
                )
            shown = everything_in(caught.value)
            assert TOKEN not in shown
            assert "bodysecret" not in shown
            assert "headersecret" not in shown
            assert "querysecret" not in str(caught.value)
            assert caught.value.__context__ is None
            assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["http://", "ftp://acme.egnyte.com/", "nothing", "http://[::1/"])
def test_a_url_that_is_none_is_our_own_error(url: str) -> None:
    with pytest.raises(EgnyteError):
        http.send("GET", url)


def test_a_body_that_is_no_json_is_our_own_error() -> None:
    with pytest.raises(EgnyteError, match="JSON"):
        http.send("POST", "http://127.0.0.1:9/", json={"a": float("nan")})


def test_a_large_body_may_take_longer_than_connecting() -> None:
    def script(visitor: Visitor) -> None:
        visitor.sock.recv(1000)
        for _ in range(6):
            time.sleep(0.1)
            visitor.sock.recv(100_000)
        visitor.request()
        visitor.send(answer(body=b"got it"))

    # Connecting may take 0.2 s and a silence 0.4 s; this takes 0.6 s and more.
    with serving(script) as server:
        response = http.send("POST", server.url, data=b"\r\n\r\n" * 4_000_000, timeout=(0.2, 0.4))
    assert response.content == b"got it"


def certificate(folder: Path) -> ssl.SSLContext:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            str(key),
            "-out",
            str(cert),
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_a_bad_certificate_is_refused_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with serving(always(answer()), certificate(tmp_path)) as server:
        with pytest.raises(UnavailableError, match="certificate") as caught:
            http.send("GET", server.url, bearer=TOKEN)
        assert "REQUESTS_CA_BUNDLE" in caught.value.hint
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        assert http.send("GET", server.url, bearer=TOKEN, deadline=5).content == b"{}"


def test_a_deadline_holds_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500)

    context = certificate(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    with (
        serving(script, context) as server,
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
