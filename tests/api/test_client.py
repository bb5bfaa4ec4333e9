from __future__ import annotations

import asyncio
import io
import math
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from django_egnyte.api import (
    Connection,
    Credentials,
    EgnyteClient,
    Rate,
    Source,
    pace,
    steps,
    threads,
)
from django_egnyte.api.call import backoff
from django_egnyte.api.steps import Steps
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidHeaderError,
    InvalidPathError,
    RateLimitedError,
    TokenExpiredError,
    TokenUse,
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
    monkeypatch.setattr("django_egnyte.api.call.backoff", lambda failures: 0.01)


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
        assert EgnyteClient(Line(server.url)).request(method, "/x").status_code == 200
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
        "django_egnyte.api.call.backoff", lambda failures: waits.append(failures) or 0.0
    )
    with serving(always(FINE)) as server:
        url = server.url
    with pytest.raises(UnavailableError):
        EgnyteClient(Line(url)).post("/x", json={})
    assert waits == [1, 2]


def test_the_backoff_grows_with_jitter_and_has_an_end() -> None:
    for failures, least, most in ((1, 0.125, 0.375), (3, 0.5, 1.5), (40, 4.0, 12.0)):
        waits = {backoff(failures) for _ in range(50)}
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
        X_Quota_Reset="Wednesday, April 17, 2024 12:00:00 AM GMT",
    )
    with serving(always(told, FINE)) as server:
        client = EgnyteClient(Line(server.url))
        assert client.rate is None
        client.get("/x")
        assert client.rate == Rate(2, 1, 1000, None, datetime(2024, 4, 17, tzinfo=UTC))
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


class Threaded(Line):
    """Runs its work in a separate thread, and records what ran in which thread."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.mine = ThreadPoolExecutor(1, thread_name_prefix="mine")
        self.ran: dict[str, set[bool]] = {}

    async def run(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.mine, function, *args)

    def note(self, name: str) -> None:
        in_mine = threading.current_thread().name.startswith("mine")
        self.ran.setdefault(name, set()).add(in_mine)

    def credentials(self) -> Credentials:
        self.note("credentials")
        return super().credentials()

    def rejected(self, used: Credentials, *, acting: bool) -> Any:
        self.note("rejected")
        return self.refreshing(used, acting)

    def refreshing(self, used: Credentials, acting: bool) -> Steps[Credentials | None]:
        yield steps.Step("db", self.note, "lease")
        yield steps.Step("io", self.note, "token call")
        new: Credentials | None = yield steps.Step("db", self.stored, used, acting)
        return new

    def stored(self, used: Credentials, acting: bool) -> Credentials | None:
        self.note("store")
        return super().rejected(used, acting=acting)

    def accepted(self, used: Credentials) -> None:
        self.note("accepted")
        super().accepted(used)

    def observed(self, *args: Any) -> None:
        self.note("observed")


def test_each_step_of_an_async_call_runs_where_it_belongs() -> None:
    with serving(always(DEAD, FINE)) as server:
        line = Threaded(server.url, refreshed="second")
        assert asyncio.run(EgnyteClient(line).aget("/x")).status_code == 200
    databases = ("credentials", "rejected", "lease", "store", "accepted")
    assert line.ran == {
        **{name: {True} for name in databases},
        "token call": {False},
        "observed": {False},
    }


def test_a_connection_may_return_its_result_or_the_steps_to_it() -> None:
    class Stepping(Line):
        def credentials(self) -> Any:
            return self.settle(super().credentials())

        def settle(self, found: Credentials) -> Steps[Credentials]:
            yield steps.Step("io", time.sleep, 0)
            return found

    with serving(always(DEAD, FINE)) as server:
        line = Threaded(server.url, refreshed="second")
        assert EgnyteClient(line).get("/x").status_code == 200
        assert EgnyteClient(Stepping(server.url)).get("/x").status_code == 200
    assert b"Bearer second\r\n" in server.requests[1]


def test_a_connection_is_found_at_the_first_call() -> None:
    class Late(Source):
        asked = 0

        def connection(self) -> Connection:
            self.asked += 1
            return Line(server.url)

    with serving(always(FINE)) as server:
        late = Late()
        client = EgnyteClient(late)
        acting = client.act_as(username="x")
        assert "not used yet" in repr(client) + repr(acting.files)
        assert late.asked == 0
        client.get("/x")
        asyncio.run(acting.aget("/x"))
        assert late.asked == 2


@pytest.mark.parametrize("status", ["401 x", "429 x", "404 x"])
def test_a_connection_marks_the_errors_that_end_a_call(status: str) -> None:
    class Marking(Line):
        def failed(self, error: EgnyteError, *, acting: bool) -> None:
            super().failed(error, acting=acting)
            error.used = TokenUse(1, 2, 3, acting=acting)

    with serving(always(answer(status, Retry_After="100"))) as server:
        client = EgnyteClient(Marking(server.url)).act_as(username="x")
        with pytest.raises(EgnyteError) as caught:
            client.userinfo()
    assert caught.value.host == "acme.egnyte.com"
    assert caught.value.used == TokenUse(1, 2, 3, acting=True)
    assert pickle.loads(pickle.dumps(caught.value)).used == caught.value.used


def test_the_event_loop_is_left_free() -> None:
    def script(visitor: Visitor) -> None:
        while visitor.request():
            both.wait()
            visitor.send(FINE)

    both = threading.Barrier(2)

    async def twice() -> list[Any]:
        client = EgnyteClient(Line(server.url))
        return await asyncio.gather(client.aget("/x"), client.aget("/x"))

    with serving(script) as server:
        assert [each.status_code for each in asyncio.run(twice())] == [200, 200]


def test_calls_to_slow_hosts_delay_no_other_host() -> None:
    """Three of them, each with more calls than threads."""
    over = threading.Event()

    def slow(visitor: Visitor) -> None:
        while visitor.request():
            over.wait(20)
            visitor.send(FINE)

    async def beside() -> list[float]:
        hung: list[asyncio.Task[Any]] = []
        for number in range(3):
            client = EgnyteClient(Line(hanging.url, max_retries=0))
            client._source.host = f"slow{number}.egnyte.com"
            hung += [asyncio.create_task(client.aget("/x")) for _ in range(threads.PER_HOST + 8)]
        while len(hanging.requests) < 3 * threads.PER_HOST:
            await asyncio.sleep(0.01)
        took = []
        for _ in range(3):
            began = time.monotonic()
            await EgnyteClient(Line(quick.url)).aget("/x")
            took.append(time.monotonic() - began)
        await asyncio.sleep(0.1)
        assert len(hanging.requests) == 3 * threads.PER_HOST  # no more than that at once
        over.set()
        answers = await asyncio.gather(*hung)
        assert {each.status_code for each in answers} == {200}
        return took

    with serving(slow) as hanging, serving(always(FINE)) as quick:
        assert max(asyncio.run(beside())) < 1


def test_the_threads_of_hosts_that_are_not_called_any_more_end() -> None:
    async def call_many() -> None:
        for number in range(threads.KEPT + 5):
            client = EgnyteClient(Line(server.url))
            client._source.host = f"host{number}.egnyte.com"
            await client.aget("/x")

    with serving(always(FINE)) as server:
        asyncio.run(call_many())
    assert len(threads._pools) <= threads.KEPT + 1
    assert f"host{threads.KEPT + 4}.egnyte.com" in threads._pools
    assert "host0.egnyte.com" not in threads._pools


def test_a_cancelled_call_gives_its_thread_back() -> None:
    over = threading.Event()

    async def cancelled() -> None:
        asked = [
            asyncio.ensure_future(steps.in_pool("cancelled.egnyte.com", over.wait, 20))
            for _ in range(threads.PER_HOST + 8)
        ]
        await asyncio.sleep(0.05)
        for each in asked:
            each.cancel()
        over.set()
        await asyncio.wait_for(steps.in_pool("cancelled.egnyte.com", time.sleep, 0), 5)

    asyncio.run(cancelled())
    ends = time.monotonic() + 5
    while (pool := threads._pools.get("cancelled.egnyte.com")) and pool.busy:
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_refusal_that_trickles_does_not_hold_the_event_loop() -> None:
    """A streamed call reads the body of a refusal, for its code."""
    went_on = threading.Event()

    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\n")
        assert went_on.wait(20)
        visitor.send(b"12345")

    async def beside() -> None:
        call = asyncio.create_task(EgnyteClient(Line(server.url)).aget("/x", stream=True))
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        went_on.set()
        with pytest.raises(UnauthorizedError):
            await call

    with serving(script) as server:
        asyncio.run(beside())


ALLOTTED = answer(X_Accesstoken_Qps_Allotted="20", body=b'{"id": 1}')


def test_calls_keep_to_the_rate_that_egnyte_allots_across_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(steps.time, "sleep", waits.append)
    monkeypatch.setattr(pace, "pace", pace.Pace())
    clock = iter([100.0] * 1000)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with serving(always(ALLOTTED)) as server:
        client = EgnyteClient(Line(server.url, pace_calls=True))
        client.get("/x")
        assert waits == []
        threads = [threading.Thread(target=client.get, args=("/x",)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(waits) == pytest.approx([0.05, 0.1, 0.15, 0.2])
        waits.clear()
        EgnyteClient(Line(server.url)).get("/x")
        assert waits == []
        # A caller that does not wait gets the time of the next turn, and uses none.
        impatient = EgnyteClient(Line(server.url, pace_calls=True, max_throttle_wait=0.1))
        for _ in range(2):
            with pytest.raises(RateLimitedError) as caught:
                impatient.get("/x")
            assert (caught.value.kind, caught.value.retry_after) == ("qps", pytest.approx(0.25))


def test_the_pace_of_tokens_that_are_not_used_is_forgotten() -> None:
    known = pace.Pace()
    for number in range(3000):
        known.learn(number, 2)
        known.learn(number, None)
    assert len(known._tokens) == 1000
    assert known.reserve(2999, 5) == 0
    assert 0 < known.reserve(2999, 5) <= 0.5
    assert known.reserve(0, 5) == known.reserve(0, 5) == 0


def test_an_async_wait_for_a_throttle_does_not_hold_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError("slept in a thread")

    monkeypatch.setattr(steps.time, "sleep", refuse)

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
    body = bytes(40_000_000)

    def script(visitor: Visitor) -> None:
        read = 0
        while read < len(body):
            if read < 20_000_000 and len(pauses) < 6:
                pauses.append(read)
                time.sleep(0.25)
            read += len(visitor.sock.recv(1_000_000))
        visitor.send(FINE)
        visitor.sock.recv(1000)

    pauses: list[int] = []
    with serving(script) as server:
        line = Line(server.url)
        line.timeout = (0.05, 0.3)  # a deadline of 1.25 s
        assert EgnyteClient(line).post("/x", data=body).status_code == 200
    assert len(pauses) == 6
