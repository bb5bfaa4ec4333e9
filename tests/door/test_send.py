from __future__ import annotations

import gc
import io
import socket
import ssl
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from django_egnyte import http
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidHeaderError,
    ResponseError,
    UnavailableError,
)
from django_egnyte.http import door
from django_egnyte.secret import Secret
from tests.rawserver import Visitor, always, answer, serving

TOKEN = "tokentokentoken12345"


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
        response = http.send(
            "POST", server.url, bearer=Secret(TOKEN), data={"client_secret": "s3cret"}
        )
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


def test_connections_are_shared_only_for_one_origin_and_ca_bundle(tmp_path: Path) -> None:
    bundles = [str(tmp_path / name) for name in ("one.pem", "two.pem")]
    urls = ("https://a.example/x", "https://a.example:444/x", "http://a.example/x")
    adapter = door._Adapter()

    def pool(url: str, verify: str | bool) -> Any:
        request = requests.Request("GET", url).prepare()
        return adapter.get_connection_with_tls_context(request, verify, {})

    wanted = [(url, verify) for url in urls for verify in (True, *bundles)]
    pools = [pool(*each) for each in wanted]
    assert len(set(map(id, pools))) == len(wanted)
    assert [pool(*each) for each in wanted] == pools
    assert pool("https://a.example/y?z", True) is pools[0]


def test_only_so_many_hosts_have_idle_connections() -> None:
    adapter = door._Adapter()
    pools = weakref.WeakSet[Any]()
    for number in range(4 * door._HOSTS):
        request = requests.Request("GET", f"https://h{number}.example/").prepare()
        pools.add(adapter.get_connection_with_tls_context(request, True, {}))
    gc.collect()
    assert door._HOSTS <= len(pools) <= 2 * door._HOSTS
    adapter.close()
    gc.collect()
    assert len(pools) == 0


def test_close_pools_closes_what_is_idle() -> None:
    with serving(always(answer())) as server:
        http.send("GET", server.url)
        http.close_pools()
        http.send("GET", server.url)
        assert server.connections == 2


def test_cookies_are_neither_kept_nor_sent() -> None:
    with serving(always(answer(Set_Cookie="session=stolen; Path=/"))) as server:
        response = http.send("GET", server.url)
        http.send("GET", server.url)
    assert b"cookie" not in server.requests[1].lower()
    assert response.cookies["session"] == "stolen"


def test_a_redirect_is_returned_and_never_followed() -> None:
    with (
        serving(always(answer())) as elsewhere,
        serving(always(answer("302 Found", b"", Location=f"{elsewhere.url}/x"))) as server,
    ):
        response = http.send("GET", server.url, bearer=Secret(TOKEN))
    assert response.status_code == 302
    assert elsewhere.requests == []


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(always(answer())) as server:
        http.send("GET", server.url)
    assert b"authorization" not in server.requests[0].lower()


def test_a_password_in_the_url_is_not_sent() -> None:
    with serving(always(answer())) as server:
        http.send("GET", server.url.replace("://", "://me:mine@"))
    assert b"authorization" not in server.requests[0].lower()


HOSTS = (
    *("acme.egnyte.com", "127.0.0.1", "localhost:8000", "h:65535", "h:65536", "h:70000", "h:080"),
    *("ACME.egnyte.com", "me:pw@h", "[::1]", "h:", "*.h", ".h", "h..", "\u0430.h", "h\n", ""),
)
PATHS = (
    *("", "/", "/pubapi/v1/fs/Shared/a-b_c.pdf", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b"),
    *("/...", "/a.", "/a..b", "/a%20b", "/a%2fb", "/a b", "/a?b=c", "/a#b", "/\u0430", "/a\n"),
    *("/a;b", "/a:b", "/-a", "/a\\b", "/~a", "/A.B-C"),
)


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP", "ftp"])
def test_a_url_that_is_sent_unchanged_is_one_that_requests_would_not_change(scheme: str) -> None:
    urls = [f"{scheme}://{host}{path}" for host in HOSTS for path in PATHS]
    unchanged = {url for url in urls if door._PLAIN_URL(url)}
    for url in unchanged:
        assert requests.Request("GET", url).prepare().url == url
    usual = f"{scheme}://acme.egnyte.com/pubapi/v1/fs/Shared/a-b_c.pdf"
    assert (usual in unchanged) == (scheme in ("http", "https"))


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
            http.send("GET", "https://acme.egnyte.com/", bearer=Secret(TOKEN))
    assert "HTTPS_PROXY" in caught.value.hint
    assert not caught.value.sent
    assert TOKEN.encode() not in b"".join(proxy.requests)


def test_a_refused_connection_was_surely_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnavailableError, match="refused") as caught:
        http.send("GET", f"http://127.0.0.1:{port}/secretpath", bearer=Secret(TOKEN))
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
        http.send("POST", server.url, bearer=Secret(TOKEN), json={"a": "b"}, deadline=deadline)
    assert caught.value.sent is True


def test_silence_is_a_timeout() -> None:
    with (
        serving(lambda visitor: time.sleep(5)) as server,
        pytest.raises(UnavailableError, match="in time"),
    ):
        http.send("GET", server.url, timeout=(1, 0.2))


def test_what_is_not_http_is_an_error() -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(b"SSH-2.0-OpenSSH_9.2\r\n")

    with serving(script) as server, pytest.raises(ResponseError, match="HTTP"):
        http.send("GET", server.url)


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
        {b"Host": "evil.example"},
    ],
)
def test_a_header_that_would_break_out_is_refused(headers: dict[Any, str]) -> None:
    with serving(always(answer())) as server:
        with pytest.raises(InvalidHeaderError):
            http.send("GET", server.url, headers=headers)
        assert server.requests == []


@pytest.mark.parametrize("token", ["", f"{TOKEN}\r\nX: y", f"{TOKEN}\u2603"])
def test_a_token_that_would_break_out_is_refused_unseen(token: str) -> None:
    with pytest.raises(InvalidHeaderError) as caught:
        http.send("GET", "http://127.0.0.1:9/", bearer=Secret(token))
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
                    bearer=Secret(TOKEN),
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


def test_a_bad_certificate_is_refused_with_a_hint(
    certified: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with serving(always(answer()), certified) as server:
        with pytest.raises(UnavailableError, match="certificate") as caught:
            http.send("GET", server.url, bearer=Secret(TOKEN))
        assert "REQUESTS_CA_BUNDLE" in caught.value.hint
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        assert http.send("GET", server.url, bearer=Secret(TOKEN), deadline=5).content == b"{}"


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("odd")


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"json": {"when": date(2026, 1, 1)}}, EgnyteError, "date is not JSON"),
        ({"json": {"price": Decimal(1)}}, EgnyteError, "Decimal is not JSON"),
        ({"params": 5}, EgnyteError, "cannot be sent"),
        ({"data": 5}, TypeError, "bytes-like"),
        ({"params": {"a": Odd()}}, RuntimeError, "odd"),
        ({"headers": {"X-A": Odd()}}, RuntimeError, "odd"),
    ],
)
def test_a_callers_mistake_shows_no_token(
    given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        http.send("POST", "http://127.0.0.1:9/", bearer=Secret(TOKEN), **given)
    assert TOKEN not in everything_in(caught.value)


def test_a_bug_in_the_callers_generator_is_shown_without_the_token() -> None:
    def rows() -> Iterator[bytes]:
        yield b"a"
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ZeroDivisionError("then") from error

    with (
        serving(lambda visitor: visitor.request() and None) as server,
        pytest.raises(ZeroDivisionError) as caught,
    ):
        http.send("POST", server.url, bearer=Secret(TOKEN), data=rows())
    assert TOKEN not in everything_in(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    for error in (caught.value, caught.value.__cause__):
        assert traceback.extract_tb(error.__traceback__)[-1].name == "rows"


class TimeLimit(BaseException):
    """The exception of a worker's time limit or Ctrl-C, which any code can raise."""


def frames_of(error: BaseException) -> set[str]:
    """The modules of all frames that an error reporter would show, causes and contexts included."""
    found: set[str] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None:
            found |= {f.f_globals["__name__"] for f, _ in traceback.walk_tb(one.__traceback__)}
            waiting += [one.__cause__, one.__context__]
    return found


@pytest.mark.parametrize(
    "place",
    [
        "urllib.parse.quote",  # writes the form
        "requests.models.PreparedRequest.prepare_body",
        "requests.adapters.HTTPAdapter.send",
        "urllib3.connection.HTTPConnection.request",
        "urllib3.util.connection.create_connection",
        "http.client.HTTPConnection.putheader",
        "http.client.HTTPResponse.begin",
        "http.client.HTTPResponse.read1",
        "ssl.SSLSocket.send",
    ],
)
@pytest.mark.parametrize("data", ["form", "text", "file"])
def test_whatever_ends_a_call_shows_no_secret(
    certified: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    data: str,
) -> None:
    def out_of_time(*args: Any, **kw: Any) -> None:
        try:
            raise OSError("an error that is being handled")
        except OSError:
            raise TimeLimit from None

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    form = {"code": Secret("s3cret"), "client_secret": Secret("s3cret"), "scope": "a b"}
    given: Any = {"form": form, "text": "s3cret", "file": io.BytesIO(b"s3cret")}[data]
    with serving(always(answer()), certified) as server:
        monkeypatch.setattr(place, out_of_time)
        with pytest.raises(TimeLimit) as caught:
            http.send("POST", server.url, bearer=Secret(TOKEN), params={"a": "b"}, data=given)
    assert frames_of(caught.value) <= {__name__, "django_egnyte.http.opaque"}
    assert TOKEN not in everything_in(caught.value)


def test_secrets_are_sent_in_clear_and_nowhere_else() -> None:
    form = {"code": Secret("a b&c"), "client_id": "key"}
    with serving(always(answer())) as server:
        http.send("POST", server.url, data=form)
        http.send("POST", server.url, json={"password": Secret("a b&c"), "path": "/x"})
    assert server.requests[0].endswith(b"code=a+b%26c&client_id=key")
    assert server.requests[1].endswith(b'{"password": "a b&c", "path": "/x"}')
    assert isinstance(form["code"], Secret)


def test_an_error_that_is_its_own_cause_ends_the_call() -> None:
    class Circular:
        def __str__(self) -> str:
            error = RuntimeError("around")
            raise error from error

    with pytest.raises(RuntimeError, match="around"):
        http.send("GET", "http://127.0.0.1:9/", bearer=Secret(TOKEN), params={"a": Circular()})
