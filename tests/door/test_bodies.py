from __future__ import annotations

import gzip
import time
import zlib

import pytest

from django_egnyte import http
from django_egnyte.exceptions import ResponseError, UnavailableError
from tests.rawserver import Visitor, always, answer, serving


@pytest.mark.parametrize("length", ["100", "2"])
def test_a_body_cut_off_is_an_error(length: str) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + b"a")

    with serving(script) as server, pytest.raises(ResponseError, match="cut off"):
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


@pytest.mark.parametrize(
    "framing",
    [
        b"-1\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
        b"\r\n",
        b"five\r\nhello\r\n",
        b"f" * 16 + b"\r\n",
        b"5\r\nhello there\r\n0\r\n\r\n",
        b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\n" + b"X-A: a\r\n" * 200 + b"\r\n",
        b"5\r\nhel",
        b"5\r\nhello\r\n",
    ],
)
def test_a_chunk_that_is_none_is_an_error(framing: bytes) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framing)

    with serving(script) as server:
        with pytest.raises(ResponseError, match="cut off"):
            http.send("GET", server.url)
        response = http.send("GET", server.url, stream=True)
        with pytest.raises(ResponseError, match="cut off"):
            list(http.iter_body(response))


@pytest.mark.parametrize("size", [b"-1", b"7fffffffffffff"])
def test_what_a_chunk_claims_is_not_read_past_the_limit(size: bytes) -> None:
    sent = 0

    def script(visitor: Visitor) -> None:
        nonlocal sent
        visitor.request()
        visitor.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        for _ in range(1000):
            visitor.send(bytes(100_000))
            sent += 100_000

    with serving(script) as server, pytest.raises(ResponseError):
        http.send("GET", server.url, max_bytes=1_000_000)
    assert sent < 20_000_000


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200],
)
def test_a_head_without_end_is_not_read(head: bytes) -> None:
    with serving(always(head)) as server, pytest.raises(ResponseError, match="HTTP"):
        http.send("GET", server.url)


def test_empty_blocks_without_end_are_not_read() -> None:
    blocks = gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 1_000_000
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + blocks
    with serving(always(packed)) as server, pytest.raises(ResponseError):
        http.send("GET", server.url, max_bytes=1000)


def test_a_chunked_body_is_read_and_its_connection_used_again() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n"
        b"5;a=b\r\nhello\r\n" + b"1f400\r\n" + b"x" * 128_000 + b"\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    with serving(always(chunked)) as server:
        for stream in (False, True, False):
            response = http.send("GET", server.url, stream=stream)
            body = b"".join(http.iter_body(response)) if stream else response.content
            assert body == b"hello" + b"x" * 128_000
        assert http.send("HEAD", server.url).content == b""
        assert server.connections == 1


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "chunked, chunked"])
def test_an_unknown_transfer_coding_is_an_error(coding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
    with serving(always(head.encode())) as server, pytest.raises(ResponseError, match="HTTP"):
        http.send("GET", server.url)


def test_a_refusals_body_is_read_as_far_as_it_goes() -> None:
    with serving(always(answer(body=b"a" * 1000))) as server:
        assert http.read(http.send("GET", server.url, stream=True), 2000, 5) == b"a" * 1000
        assert http.read(http.send("GET", server.url, stream=True), 10, 5) == b"a" * 10
        assert server.connections == 1


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
