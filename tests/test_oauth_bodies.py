from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from django_egnyte import exceptions as errors
from django_egnyte import http, oauth
from django_egnyte.oauth import (
    OAuthClient,
    TokenAnswer,
)


@pytest.fixture
def client() -> OAuthClient:
    return OAuthClient(
        host="acme.egnyte.com",
        base_url="https://acme.egnyte.com",
        client_id="a key",
        client_secret="a secret",
        timeout=(1.0, 5.0),
        deadline=5.0,
    )


class Answer:
    """An answer of the door's, as far as the client looks at it."""

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
    """Lets the client get this answer, whatever it asks for; returns the answer."""

    def answer_with(body: bytes, status: int = 200, error: Exception | None = None) -> Answer:
        answer = Answer(body, status)

        def iter_body(response: Answer, *, chunk_size: int) -> Iterator[bytes]:
            for start in range(0, len(body), chunk_size):
                yield body[start : start + chunk_size]
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
    assert client.refresh("def") == TokenAnswer("abc")
    assert answer.closed
    answer = answering(body % (b"x" * (padding + 1)))
    assert client.refresh("def") == TokenAnswer("abc", complete=False)
    assert answer.closed
    answering(b"x" * (http.TOKEN_MAX_BYTES + 1))
    with pytest.raises(errors.ResponseError, match="too large") as caught:
        client.refresh("def")
    assert caught.value.host == "acme.egnyte.com"


def test_an_answer_is_waited_for_byte_by_byte(
    client: OAuthClient, answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its deadline for no byte more: each is worth a read timeout."""
    answering(b'{"access_token": "abc"} and so on')
    clock = count()
    monkeypatch.setattr(oauth, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    # The clock is read at the beginning, and once for each byte.
    assert replace(client, deadline=len('{"access_token": "abc"')).refresh("def").access_token
    with pytest.raises(errors.UnavailableError, match="too long") as caught:
        replace(client, deadline=len('{"access_token": "ab')).refresh("def")
    assert caught.value.host == "acme.egnyte.com"


def test_an_answer_may_come_at_the_very_deadline(
    client: OAuthClient, answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(b'{"access_token": "abc"}')
    monkeypatch.setattr(oauth, "time", SimpleNamespace(monotonic=lambda: 1.0))
    assert replace(client, deadline=0.0).refresh("def") == TokenAnswer("abc")


@pytest.mark.parametrize("status", [199, 300, 500])
def test_a_body_that_breaks_off_is_what_is_told_of_a_refusal(
    client: OAuthClient, answering: Any, status: int
) -> None:
    broken = errors.UnavailableError("broke off")
    answer = answering(b'{"access_token": "abc"}', status, broken)
    with pytest.raises(errors.UnavailableError, match="broke off") as caught:
        client.refresh("def")
    assert caught.value.host == "acme.egnyte.com"
    assert answer.closed


@pytest.mark.parametrize("status", [200, 299])
def test_a_token_is_found_in_a_body_that_breaks_off(
    client: OAuthClient, answering: Any, status: int
) -> None:
    answering(b'{"access_token": "abc"}', status, errors.UnavailableError("broke off"))
    assert client.refresh("def") == TokenAnswer("abc", complete=False)


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b' {"a": 1}'])
def test_a_revocation_is_believed(client: OAuthClient, answering: Any, body: bytes) -> None:
    answer = answering(body)
    client.revoke("abc")
    assert answer.asked == [("POST", "https://acme.egnyte.com/pubapi/v1/tokens/revoke")]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"OK", b" <!doctype html>"])
def test_a_page_of_a_proxys_revokes_nothing(
    client: OAuthClient, answering: Any, body: bytes
) -> None:
    answering(body)
    with pytest.raises(errors.ResponseError, match="not Egnyte's") as caught:
        client.revoke("abc")
    assert caught.value.host == "acme.egnyte.com"
