from __future__ import annotations

import asyncio
import io
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_egnyte.api import Credentials, EgnyteClient, Rate, flows
from django_egnyte.api.client import _backoff
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidHeaderError,
    InvalidPathError,
    RateLimitedError,
    TokenExpiredError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.secret import Secret
from tests.api.connections import Line
from tests.rawserver import Visitor, always, answer, serving

DEAD = answer("401 Unauthorized", b"")
QPS = answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_QPS", Retry_After="0.2")
DAILY = answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_RATE", Retry_After="1")
DOWN = answer("503 Service Unavailable", b"")
FINE = answer(body=b'{"id": 1}')


@pytest.fixture(autouse=True)
def _no_long_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_egnyte.api.client._backoff", lambda failures: 0.01)


def resetting(times: int) -> Any:
    def script(visitor: Visitor) -> None:
        while visitor.request():
            if len(visitor.requests) <= times:
                visitor.reset()
                return
            visitor.send(FINE)

    return script


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 409, 500])
def test_a_raw_call_returns_the_answer_whatever_its_status(status: int) -> None:
    with serving(always(answer(f"{status} x", b"body", Location="http://x/"))) as server:
        line = Line(server.url)
        response = EgnyteClient(line).get("/pubapi/v1/x", params={"a": 1})
    assert (response.status_code, response.content) == (status, b"body")
    assert len(server.requests) == 1
    assert b"Authorization: Bearer first\r\n" in server.requests[0]
    assert line.told == ([("accepted", 1, False)] if status == 200 else [])


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_every_method_has_two_forms(method: str) -> None:
    with serving(always(FINE)) as server:
        client = EgnyteClient(Line(server.url))
        assert getattr(client, method)("/x").json() == {"id": 1}
        response = asyncio.run(getattr(client, f"a{method}")("/x"))
        assert response.json() == {"id": 1}
    assert [r.split()[0].decode() for r in server.requests] == [method.upper()] * 2


def test_userinfo_is_the_answer_and_raises_for_errors() -> None:
    with serving(always(FINE, FINE, answer("404 x"))) as server:
        client = EgnyteClient(Line(server.url))
        assert client.userinfo() == {"id": 1}
        assert asyncio.run(client.auserinfo()) == {"id": 1}
        with pytest.raises(EgnyteError):
            client.userinfo()
    assert server.requests[0].startswith(b"GET /pubapi/v1/userinfo ")


@pytest.mark.parametrize("path", ["/a/../b", "https://evil.org/", "/a%2f%2e%2e", "", "/a\r\nb"])
def test_a_path_that_leaves_is_refused_before_anything_is_asked(path: str) -> None:
    with serving(always(FINE)) as server:
        line = Line(server.url)
        with pytest.raises(InvalidPathError):
            EgnyteClient(line).get(path)
        assert server.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "host",
        "COOKIE",
        "X-Egnyte-Act-As",
        "x-egnyte-act-as-email",
        " Host ",
        "Transfer-Encoding",
        "Content-Length",
    ],
)
def test_a_callers_header_never_replaces_the_clients(name: str) -> None:
    with serving(always(FINE)) as server:
        with pytest.raises(InvalidHeaderError):
            EgnyteClient(Line(server.url)).get("/x", headers={name: "y"})
        assert server.requests == []


@pytest.mark.parametrize(
    "timeout",
    [0, -1, math.nan, math.inf, (0, 5), (5, 0), (5, math.nan), (5,), (1, 2, 3), (3, None), "soon"],
)
def test_a_timeout_that_is_none_is_refused_before_anything_is_asked(timeout: Any) -> None:
    with serving(always(FINE)) as server:
        client = EgnyteClient(Line(server.url))
        with pytest.raises(ValueError, match="timeout must be a number of seconds above 0"):
            client.get("/x", timeout=timeout)
        with pytest.raises(ValueError, match="timeout"):
            asyncio.run(client.aget("/x", timeout=timeout))
        assert client.get("/x", timeout=5).status_code == 200
        assert client.get("/x", timeout=(0.5, 5)).status_code == 200
    assert len(server.requests) == 2


def test_a_callers_other_headers_are_sent() -> None:
    with serving(always(FINE)) as server:
        EgnyteClient(Line(server.url)).get("/x", headers={"If-None-Match": '"a"'})
        with pytest.raises(InvalidHeaderError):
            EgnyteClient(Line(server.url)).get("/x", headers={"X-A": "a\r\nHost: b"})
    assert len(server.requests) == 1
    assert b'If-None-Match: "a"\r\n' in server.requests[0]


def test_a_method_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidHeaderError):
        EgnyteClient(Line("http://127.0.0.1:9")).request("GET / HTTP/1.1\r\nX: y\r\n", "/x")


def test_acting_as_another_sends_the_header_and_leaves_the_client_as_it_is() -> None:
    with serving(always(FINE)) as server:
        client = EgnyteClient(Line(server.url))
        client.act_as(username="j smith").get("/x")
        client.act_as(username="x").act_as(email="j@acme.example").get("/x")
        client.get("/x")
    assert b"X-Egnyte-Act-As: j smith\r\n" in server.requests[0]
    assert b"X-Egnyte-Act-As-Email: j@acme.example\r\n" in server.requests[1]
    assert b"X-Egnyte-Act-As:" not in server.requests[1]
    assert b"X-Egnyte-Act-As" not in server.requests[2]


@pytest.mark.parametrize(
    "name", ["", " ", "a\r\nX: y", "a\nb", "a\x00", "a\t", "\u2603", "a" * 300]
)
def test_a_name_that_would_break_out_of_its_header_is_refused(name: str) -> None:
    client = EgnyteClient(Line("http://127.0.0.1:9"))
    with pytest.raises(InvalidHeaderError):
        client.act_as(username=name)
    with pytest.raises(InvalidHeaderError):
        client.act_as(email=name)


def test_acting_takes_one_name_exactly() -> None:
    client = EgnyteClient(Line("http://127.0.0.1:9"))
    with pytest.raises(TypeError):
        client.act_as()
    with pytest.raises(TypeError):
        client.act_as(username="a", email="b")


class Sub(EgnyteClient):
    __slots__ = ("extra",)


def test_a_subclass_stays_one_when_it_acts() -> None:
    client = Sub(Line("http://127.0.0.1:9"))
    client.extra = 5
    acting = client.act_as(username="x")
    assert type(acting) is Sub
    assert acting.extra == 5


def test_nothing_shows_the_token() -> None:
    credentials = Credentials(Secret("s3cr3t"), 4)
    client = EgnyteClient(Line("http://127.0.0.1:9", "s3cr3t"))
    assert "s3cr3t" not in repr(credentials) + repr(client) + repr(client.files)
    assert "acme.egnyte.com" in repr(client)
    assert "jsmith" not in repr(client.act_as(username="jsmith"))


def test_a_dead_token_is_told_and_raised() -> None:
    with serving(always(DEAD)) as server:
        line = Line(server.url)
        with pytest.raises(UnauthorizedError):
            EgnyteClient(line).get("/x")
        with pytest.raises(UnauthorizedError):
            EgnyteClient(line).act_as(username="x").get("/x")
    assert line.told == [("rejected", 1, False), ("rejected", 1, True)]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"a": 1}},
        {"data": b"abc"},
        {"data": "abc"},
        {"data": {"a": "b"}},
        {"data": io.BytesIO(b"abc")},
        {},
    ],
)
def test_after_a_refresh_the_same_call_is_made_again(body: dict[str, Any]) -> None:
    with serving(always(DEAD, FINE)) as server:
        line = Line(server.url, refreshed="second")
        assert EgnyteClient(line).post("/x", **body).status_code == 200
    first, second = server.requests
    assert b"Bearer second\r\n" in second
    assert first.replace(b"first", b"second") == second
    assert line.told == [("rejected", 1, False), ("accepted", 2, False)]


def test_a_file_is_sent_again_from_where_it_stood() -> None:
    body = io.BytesIO(b"0123456789")
    body.seek(4)
    with serving(always(DEAD, FINE)) as server:
        EgnyteClient(Line(server.url, refreshed="second")).post("/x", data=body)
    assert [request[-6:] for request in server.requests] == [b"456789", b"456789"]


def test_a_body_that_cannot_be_sent_again_is_not() -> None:
    def once() -> Iterator[bytes]:
        yield b"abc"

    with serving(always(DEAD, FINE)) as server:
        line = Line(server.url, refreshed="second")
        with pytest.raises(TokenExpiredError):
            EgnyteClient(line).post("/x", data=once())
        assert len(server.requests) == 1
    assert len(server.requests) == 1


def test_one_refresh_is_enough() -> None:
    with serving(always(DEAD)) as server:
        line = Line(server.url, refreshed="second")
        with pytest.raises(UnauthorizedError):
            EgnyteClient(line).get("/x")
    assert len(server.requests) == 2
    assert line.told == [("rejected", 1, False), ("rejected", 2, False)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_throttle_by_the_second_is_waited_out(method: str) -> None:
    with serving(always(QPS, FINE)) as server:
        started = time.monotonic()
        assert EgnyteClient(Line(server.url)).request(method, "/x").status_code == 200
        assert 0.2 <= time.monotonic() - started < 2
    assert len(server.requests) == 2


def test_the_waits_of_one_call_are_bounded_together() -> None:
    with serving(always(QPS)) as server:
        with pytest.raises(RateLimitedError) as caught:
            EgnyteClient(Line(server.url, max_throttle_wait=0.5)).get("/x")
        assert len(server.requests) == 3
        with pytest.raises(RateLimitedError):
            EgnyteClient(Line(server.url, max_throttle_wait=0)).get("/x")
        assert len(server.requests) == 4
    assert (caught.value.kind, caught.value.retry_after) == ("qps", 0.2)


def test_a_daily_throttle_is_never_waited_out() -> None:
    with serving(always(DAILY, FINE)) as server, pytest.raises(RateLimitedError) as caught:
        EgnyteClient(Line(server.url, max_throttle_wait=60)).get("/x")
    assert caught.value.kind == "daily"
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_an_idempotent_call_is_repeated_when_egnyte_is_down(method: str) -> None:
    bad = answer("502 Bad Gateway", b"")
    with serving(always(DOWN, bad, answer(body=b""))) as server:
        response = EgnyteClient(Line(server.url)).request(method, "/x", data=b"")
    assert response.status_code == 200
    assert len(server.requests) == 3


def test_in_the_end_the_answer_is_the_callers() -> None:
    with serving(always(DOWN)) as server:
        assert EgnyteClient(Line(server.url)).get("/x").status_code == 503
        assert len(server.requests) == 3
        assert EgnyteClient(Line(server.url, max_retries=0)).get("/x").status_code == 503
        assert len(server.requests) == 4


def test_an_answer_that_asks_for_too_long_a_wait_is_returned() -> None:
    with serving(always(answer("503 x", b"", Retry_After="600"))) as server:
        assert EgnyteClient(Line(server.url)).get("/x").status_code == 503
    assert len(server.requests) == 1


def test_a_call_that_is_not_idempotent_is_not_repeated_unless_told() -> None:
    with serving(always(DOWN)) as server:
        assert EgnyteClient(Line(server.url)).post("/x").status_code == 503
        assert len(server.requests) == 1
        EgnyteClient(Line(server.url)).post("/x", retry=True)
        assert len(server.requests) == 4
        EgnyteClient(Line(server.url)).get("/x", retry=False)
        assert len(server.requests) == 5


@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_lost_connection_is_tried_again(form: str) -> None:
    with serving(resetting(2)) as server:
        client = EgnyteClient(Line(server.url))
        response = client.get("/x") if form == "sync" else asyncio.run(client.aget("/x"))
        assert response.status_code == 200
    assert len(server.requests) == 3


def test_a_lost_connection_does_not_repeat_what_may_have_happened() -> None:
    with serving(resetting(1)) as server, pytest.raises(UnavailableError):
        EgnyteClient(Line(server.url)).post("/x", json={})
    assert len(server.requests) == 1


def test_what_never_left_is_repeated_even_if_not_idempotent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(
        "django_egnyte.api.client._backoff", lambda failures: waits.append(failures) or 0.0
    )
    with serving(always(FINE)) as server:
        url = server.url
    with pytest.raises(UnavailableError):
        EgnyteClient(Line(url)).post("/x", json={})
    assert waits == [1, 2]


def test_the_backoff_grows_with_jitter_and_has_an_end() -> None:
    for failures, least, most in ((1, 0.125, 0.375), (3, 0.5, 1.5), (40, 4.0, 12.0)):
        waits = {_backoff(failures) for _ in range(50)}
        assert len(waits) > 1
        assert least <= min(waits) <= max(waits) <= most


def test_a_bare_403_is_never_retried() -> None:
    with serving(always(answer("403 Forbidden", b"<h1>Developer Over Qps</h1>"))) as server:
        assert EgnyteClient(Line(server.url)).get("/x").status_code == 403
    assert len(server.requests) == 1


def test_rate_tells_what_the_last_answer_said() -> None:
    told = answer(
        X_Accesstoken_Qps_Allotted="2",
        X_Accesstoken_Qps_Current="1",
        X_Accesstoken_Quota_Allotted="1000",
        X_Accesstoken_Quota_Current="many",
        X_Quota_Reset="tomorrow",
    )
    with serving(always(told, FINE)) as server:
        client = EgnyteClient(Line(server.url))
        assert client.rate is None
        client.get("/x")
        assert client.rate == Rate(2, 1, 1000, None, "tomorrow")
        client.get("/x")
        assert client.rate is None


def test_a_redirect_is_not_followed_with_the_token() -> None:
    with (
        serving(always(FINE)) as elsewhere,
        serving(always(answer("307 x", b"", Location=elsewhere.url))) as server,
    ):
        response = EgnyteClient(Line(server.url)).post("/x", json={})
        assert response.status_code == 307
        with pytest.raises(EgnyteError, match="redirect"):
            EgnyteClient(Line(server.url)).userinfo()
    assert elsewhere.requests == []
    assert "Authorization" not in response.request.headers


def test_a_streamed_answer_is_left_to_be_read() -> None:
    with serving(always(answer(body=b"a" * 100_000))) as server:
        response = EgnyteClient(Line(server.url)).get("/x", stream=True, max_bytes=1)
        assert b"".join(response.iter_content(1000)) == b"a" * 100_000


def test_async_calls_leave_the_event_loop_free_and_database_work_to_the_hook() -> None:
    class Hooked(EgnyteClient):
        __slots__ = ("steps",)

        async def _run_db(self, function: Any, *args: Any) -> Any:
            self.steps.append(function.__name__)
            return function(*args)

    def script(visitor: Visitor) -> None:
        while visitor.request():
            time.sleep(0.3)
            visitor.send(FINE)

    async def both() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        ticker = asyncio.create_task(tick())
        await asyncio.gather(client.aget("/x"), client.aget("/x"))
        ticker.cancel()
        return ticks

    with serving(script) as server:
        client = Hooked(Line(server.url))
        client.steps = []
        started = time.monotonic()
        ticks = asyncio.run(both())
        assert time.monotonic() - started < 0.58
    assert ticks > 5
    assert sorted(client.steps) == ["_open", "_open", "accepted", "accepted"]


def test_an_async_wait_for_a_throttle_does_not_hold_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError("slept in a thread")

    monkeypatch.setattr(flows.time, "sleep", refuse)

    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(QPS)
        visitor.request()
        visitor.send(FINE)

    with serving(script) as server:
        response = asyncio.run(EgnyteClient(Line(server.url)).aget("/x"))
    assert response.status_code == 200


def test_each_request_is_observed_with_its_outcome() -> None:
    lost = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    found = b"HTTP/1.1 200 OK\r\nX-Egnyte-Request-Id: r-1\r\nContent-Length: 0\r\n\r\n"
    with serving(always(lost, found)) as server:
        line = Line(server.url)
        EgnyteClient(line).get("/x")
    assert line.seen == [("GET", 502, None), ("GET", 200, "r-1")]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get("/x"),
        lambda client: client.post("/x", data=b"a", retry=False),
        lambda client: client.post("/x", data={"a": "b"}),
        lambda client: client.files.upload("/a", b"hello"),
        lambda client: client.files.upload("/a", io.BytesIO(b"hello")),
    ],
)
def test_what_carries_little_is_not_held_up_by_a_server_that_trickles(call: Any) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 500)

    with serving(script) as server:
        line = Line(server.url, max_retries=0)
        line.timeout = (0.1, 0.1)  # a deadline of half a second
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="within"):
            call(EgnyteClient(line))
    assert time.monotonic() - started < 5


def test_a_large_body_may_take_its_time() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.trickle(FINE)

    with serving(script) as server:
        line = Line(server.url)
        line.timeout = (0.1, 0.1)
        body = bytes(1024 * 1024 + 1)
        assert EgnyteClient(line).post("/x", data=body).status_code == 200
