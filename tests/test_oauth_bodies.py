from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from django_egnyte import exceptions as errors
from django_egnyte import http
from django_egnyte.oauth import OAuthClient, TokenAnswer
from django_egnyte.secret import Secret
from tests.rawserver import Visitor, serving

ABC, DEF = Secret("abc"), Secret("def")


@pytest.fixture
def client() -> OAuthClient:
    return OAuthClient(
        host="acme.egnyte.com",
        base_url="https://acme.egnyte.com",
        client_id="a key",
        client_secret=Secret("a secret"),
        timeout=(1.0, 5.0),
        deadline=5.0,
    )


class Answer:
    """An answer of ``http.send``, with what the client reads of it."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.content = body
        self.status_code = status
        self.headers: dict[str, str] = {}
        self.closed = False
        self.asked: list[tuple[str, str]] = []

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def answering(client: OAuthClient, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the client receive this answer to any request. Returns the answer."""

    def answer_with(body: bytes, status: int = 200, error: Exception | None = None) -> Answer:
        answer = Answer(body, status)

        def iter_body(response: Answer, *, deadline: float) -> Iterator[bytes]:
            assert 4 < deadline <= 5
            for start in range(0, len(body), 10_000):
                yield body[start : start + 10_000]
            if error is not None:
                raise error

        def send(method: str, url: str, **options: Any) -> Answer:
            answer.asked.append((method, url))
            return answer

        monkeypatch.setattr(http, "send", send)
        monkeypatch.setattr(http, "iter_body", iter_body)
        return answer

    return answer_with


def test_an_answer_may_be_as_large_as_the_limit(client: OAuthClient, answering: Any) -> None:
    body = b'{"access_token": "abc", "more": "%s"}'
    padding = http.TOKEN_MAX_BYTES - len(body % b"")
    answer = answering(body % (b"x" * padding))
    assert client.refresh(DEF) == TokenAnswer(ABC)
    assert answer.closed
    answer = answering(body % (b"x" * (padding + 1)))
    assert client.refresh(DEF) == TokenAnswer(ABC, complete=False)
    assert answer.closed
    answering(b"x" * (http.TOKEN_MAX_BYTES + 1))
    with pytest.raises(errors.ResponseError, match="too large") as caught:
        client.refresh(DEF)
    assert caught.value.host == "acme.egnyte.com"


@pytest.mark.parametrize("status", [199, 300, 500])
def test_a_body_that_breaks_off_is_what_is_told_of_a_refusal(
    client: OAuthClient, answering: Any, status: int
) -> None:
    broken = errors.UnavailableError("broke off")
    answer = answering(b'{"access_token": "abc"}', status, broken)
    with pytest.raises(errors.UnavailableError, match="broke off") as caught:
        client.refresh(DEF)
    assert caught.value.host == "acme.egnyte.com"
    assert answer.closed


@pytest.mark.parametrize("status", [200, 299])
def test_a_token_is_found_in_a_body_that_breaks_off(
    client: OAuthClient, answering: Any, status: int
) -> None:
    broken = errors.UnavailableError("broke off")
    answering(b'{"access_token": "abc", "refresh_token": "def", "scope": "Egn', status, broken)
    salvaged = TokenAnswer(ABC, Secret("def"), complete=False)
    assert client.refresh(DEF) == salvaged
    # An error after the complete answer does not matter.
    answering(b'{"access_token": "abc", "expires_in": 60}', status, broken)
    assert client.refresh(DEF) == TokenAnswer(ABC, expires_in=60)


@pytest.mark.parametrize("framing", ["trailers", "chunk extension", "length"])
def test_a_token_whose_answer_never_ends_is_not_lost(client: OAuthClient, framing: str) -> None:
    body = b'{"access_token": "abc", "expires_in": 60}'
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"

    def script(visitor: Visitor) -> None:
        visitor.request()
        if framing == "length":
            visitor.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + body)
            visitor.trickle(b" " * 500)
        else:
            visitor.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
            visitor.trickle(b"0\r\nX: y" if framing == "trailers" else b"1;" + b"x" * 500)
            visitor.trickle(b"z" * 500)

    with serving(script) as server:
        local = replace(client, base_url=server.url, timeout=(1.0, 60.0), deadline=0.5)
        assert local.refresh(DEF) == TokenAnswer(ABC, expires_in=60)


def test_a_refusal_that_trickles_is_trouble(client: OAuthClient) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 400 No\r\nContent-Length: 500\r\n\r\n")
        visitor.trickle(b'{"error": "invalid_grant"' + b" " * 500)

    with serving(script) as server:
        local = replace(client, base_url=server.url, timeout=(1.0, 60.0), deadline=0.5)
        with pytest.raises(errors.UnavailableError, match="within"):
            local.refresh(DEF)


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b' {"a": 1}'])
def test_a_revocation_is_believed(client: OAuthClient, answering: Any, body: bytes) -> None:
    answer = answering(body)
    client.revoke(ABC)
    assert answer.asked == [("POST", "https://acme.egnyte.com/pubapi/v1/tokens/revoke")]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"OK", b" <!doctype html>"])
def test_a_page_of_a_proxys_revokes_nothing(
    client: OAuthClient, answering: Any, body: bytes
) -> None:
    answering(body)
    with pytest.raises(errors.ResponseError, match="does not look like one from Egnyte") as caught:
        client.revoke(ABC)
    assert caught.value.host == "acme.egnyte.com"
