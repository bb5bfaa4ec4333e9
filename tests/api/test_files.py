from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient, File, Files, Folder
from django_egnyte.api import files as module
from django_egnyte.exceptions import (
    APIError,
    EgnyteError,
    ForbiddenError,
    InvalidPathError,
    NotFoundError,
    RateLimitedError,
    ResponseError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.sandbox import Sandbox, SandboxServer
from tests.api.connections import Line
from tests.rawserver import always, answer, serving

DATA = os.urandom(25_000)


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(server: SandboxServer) -> Sandbox:
    server.sandbox.reset()
    return server.sandbox


@pytest.fixture
def files(server: SandboxServer, sandbox: Sandbox) -> Files:
    token = sandbox.issue("acme", "admin").access_token
    line = Line(server.base_url.replace("{domain}", "acme"), token)
    return EgnyteClient(line).files


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIMPLE_LIMIT", 9_000)
    monkeypatch.setattr(module, "UPLOAD_CHUNK", 10_000)


def test_a_folder_is_listed_page_by_page(files: Files, sandbox: Sandbox) -> None:
    for number in range(7):
        sandbox.add_file("acme", f"/Shared/many/{number}.txt", b"x")
    sandbox.add_folder("acme", "/Shared/many/below")
    listing = files.list("/Shared/many", page_size=3)
    assert (listing.name, listing.path, listing.total_count) == ("many", "/Shared/many", 8)
    assert sandbox.counts["fs:list"] == 1
    names = [entry.name for entry in listing]
    assert names == ["below", *(f"{number}.txt" for number in range(7))]
    assert sandbox.counts["fs:list"] == 3
    assert [folder.path for folder in listing.folders] == ["/Shared/many/below"]
    first = listing.files[0]
    assert (first.size, first.checksum) == (1, sha512(b"x"))
    assert first.last_modified is not None
    assert first.entry_id
    complete = asyncio.run(files.alist("/Shared/many", page_size=3))
    assert complete.complete
    assert list(complete) == list(listing)


def test_a_file_is_not_listed(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_file("acme", "/Shared/a.txt", b"x")
    with pytest.raises(InvalidPathError):
        files.list("/Shared/a.txt")
    with pytest.raises(ValueError, match="page_size"):
        files.list("/", page_size=0)


def test_walking_gives_a_folder_before_what_is_in_it(files: Files, sandbox: Sandbox) -> None:
    for path in ("a/b/deep.txt", "a/1.txt", "c/2.txt", "top.txt"):
        sandbox.add_file("acme", f"/Shared/tree/{path}", b"x")
    expected = ["a", "c", "top.txt", "a/b", "a/1.txt", "a/b/deep.txt", "c/2.txt"]
    walked = [entry.path.removeprefix("/Shared/tree/") for entry in files.walk("/Shared/tree")]
    assert walked == expected

    async def awalked() -> list[str]:
        return [entry.path async for entry in files.awalk("/Shared/tree", page_size=1)]

    assert [p.removeprefix("/Shared/tree/") for p in asyncio.run(awalked())] == expected


def test_walking_is_lazy_and_passes_over_what_vanished(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_file("acme", "/Shared/tree/a/1.txt", b"x")
    sandbox.add_file("acme", "/Shared/tree/b/2.txt", b"x")
    walk = files.walk("/Shared/tree")
    assert next(walk).path == "/Shared/tree/a"
    files.delete("/Shared/tree/a")
    assert [entry.path for entry in walk] == ["/Shared/tree/b", "/Shared/tree/b/2.txt"]
    with pytest.raises(NotFoundError):
        list(files.walk("/Shared/none"))


@pytest.mark.parametrize("name", ["50% off #1?.txt", "a+b;c=d&e.txt", "\u00fc \u2603.txt", "%41"])
def test_any_name_goes_up_and_comes_down(files: Files, sandbox: Sandbox, name: str) -> None:
    path = f"/Shared/{name}"
    stored = files.upload(path, b"content")
    assert sandbox.read_file("acme", path) == b"content"
    assert (stored.path, stored.name, stored.size) == (path, name, 7)
    assert stored.checksum == sha512(b"content")
    assert stored.entry_id
    assert stored.group_id
    assert files.download(path) == b"content"
    info = files.info(path)
    assert isinstance(info, File)
    assert (info.path, info.entry_id) == (path, stored.entry_id)


@pytest.mark.parametrize("size", [0, 1, 8_999, 9_000, 9_001, 10_000, 20_000, 25_000])
@pytest.mark.parametrize("kind", ["bytes", "file", "temporary", "pipe", "pieces", "generator"])
@pytest.mark.usefixtures("small_chunks")
def test_content_of_any_kind_and_size_is_uploaded(
    files: Files, sandbox: Sandbox, size: int, kind: str
) -> None:
    data = DATA[:size]
    content: Any = {"bytes": data, "file": io.BytesIO(data)}.get(kind)
    if kind == "pipe":
        reading, writing = os.pipe()
        with open(writing, "wb") as pipe:
            pipe.write(data)
        content = open(reading, "rb")  # noqa: SIM115
    elif kind == "pieces":
        content = [data[i : i + 3_000] for i in range(0, size, 3_000)]
    elif kind == "generator":
        content = (data[i : i + 30_000] for i in range(0, size, 30_000))
    elif kind == "temporary":
        content = tempfile.TemporaryFile()  # noqa: SIM115
        content.write(b"before" + data)
        content.seek(6)
    stored = files.upload("/Shared/up.bin", content)
    if hasattr(content, "close"):
        content.close()
    assert sandbox.read_file("acme", "/Shared/up.bin") == data
    assert (stored.size, stored.checksum) == (size, sha512(data))
    assert stored.entry_id
    assert ("fs-content-chunked" in sandbox.counts) is (size >= 10_000)


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_that_is_lost_is_sent_again(files: Files, sandbox: Sandbox) -> None:
    sandbox.faults.add(path="fs-content-chunked", skip=1, status=503)
    sandbox.faults.add(path="fs-content-chunked", skip=0, reset=True)
    asyncio.run(files.aupload("/Shared/up.bin", DATA))
    assert sandbox.read_file("acme", "/Shared/up.bin") == DATA
    assert sandbox.counts["fs-content-chunked"] >= 3


def test_what_is_stored_differently_is_an_error() -> None:
    wrong = answer(body=b'{"checksum": "' + b"0" * 128 + b'"}')
    with serving(always(wrong)) as server, pytest.raises(ResponseError, match="SHA-512"):
        EgnyteClient(Line(server.url)).files.upload("/a", b"x")


@pytest.mark.parametrize("content", ["text", io.StringIO("text"), 5, ["text"]])
def test_text_is_not_uploaded(content: Any) -> None:
    with (
        serving(always(answer())) as server,
        pytest.raises(TypeError),
    ):
        EgnyteClient(Line(server.url)).files.upload("/a", content)
    assert server.requests == []


class Failing(io.BytesIO):
    """A file that breaks when it is read for the second time, after its checksum was made."""

    failure: Exception | None = None

    def seek(self, position: int, whence: int = 0) -> int:
        if whence == 0 and self.tell() == len(self.getvalue()) and self.getvalue():
            self.broken = getattr(self, "broken", -1) + 1
        return super().seek(position, whence)

    def read(self, size: int | None = -1) -> bytes:
        if getattr(self, "broken", 0) >= 1:
            if self.failure:
                raise self.failure
            return b""
        return super().read(size)


@pytest.mark.parametrize("failure", [OSError("disk"), None])
def test_a_file_that_breaks_meanwhile_is_no_trouble_of_the_network(
    failure: Exception | None,
) -> None:
    content = Failing(b"a" * 100)
    content.failure = failure
    with serving(always(answer())) as server, pytest.raises(EgnyteError) as caught:
        EgnyteClient(Line(server.url)).files.upload("/a", content)
    assert not isinstance(caught.value, UnavailableError)
    assert not caught.value.retryable


def test_a_download_goes_to_a_file(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_file("acme", "/Shared/a.bin", DATA)
    for download in (files.download, lambda *args: asyncio.run(files.adownload(*args))):
        to = io.BytesIO(b"head")
        to.seek(4)
        got = download("/Shared/a.bin", to)
        assert to.getvalue() == b"head" + DATA
        assert (got.name, got.size, got.checksum) == ("a.bin", len(DATA), sha512(DATA))
        assert got.entry_id
        assert got.last_modified


@pytest.mark.parametrize("to", ["/tmp/a", Path("/tmp/a"), b"/tmp/a", 5, io.StringIO()])
def test_a_download_to_no_binary_file_is_refused_before_anything_is_asked(to: Any) -> None:
    with serving(always(answer())) as server:
        files = EgnyteClient(Line(server.url)).files
        with pytest.raises(TypeError, match=r"binary file, and not to (str|PosixPath|bytes|int|S)"):
            files.download("/a", to)
        with pytest.raises(TypeError, match="binary file"):
            asyncio.run(files.adownload("/a", to))
    assert server.requests == []


def test_a_download_into_memory_is_bounded(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_file("acme", "/Shared/a.bin", DATA)
    assert asyncio.run(files.adownload("/Shared/a.bin")) == DATA
    assert files.download("/Shared/a.bin", max_bytes=len(DATA)) == DATA
    with pytest.raises(ResponseError, match="more than"):
        files.download("/Shared/a.bin", max_bytes=len(DATA) - 1)
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + DATA

    def script(visitor: Any) -> None:
        visitor.request()
        visitor.send(endless)

    with serving(script) as server, pytest.raises(ResponseError, match="more than"):
        EgnyteClient(Line(server.url)).files.download("/a", max_bytes=100)


def test_an_open_download_streams_and_tells_what_it_is(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_synthetic_file("acme", "/Shared/big.bin", 3_000_000)
    with files.open("/Shared/big.bin") as download:
        assert download.file.size == 3_000_000
        assert download.content_type == "application/octet-stream"
        pieces = list(download)
    assert sum(map(len, pieces)) == 3_000_000
    assert max(map(len, pieces)) <= 65536
    with pytest.raises(EgnyteError, match="once"):
        iter(download)

    async def stream() -> int:
        async with await files.aopen("/Shared/big.bin") as download:
            return sum([len(piece) async for piece in download])

    assert asyncio.run(stream()) == 3_000_000


def test_an_old_version_is_downloaded_and_deleted_by_its_id(files: Files) -> None:
    old = files.upload("/Shared/a.txt", b"old")
    files.upload("/Shared/a.txt", b"new")
    assert files.download("/Shared/a.txt", entry_id=old.entry_id) == b"old"
    files.delete("/Shared/a.txt", entry_id=old.entry_id)
    with pytest.raises(NotFoundError):
        files.download("/Shared/a.txt", entry_id=old.entry_id)
    assert files.download("/Shared/a.txt") == b"new"


@pytest.mark.parametrize("trouble", ["checksum", "short"])
def test_a_wrong_file_never_looks_complete(trouble: str) -> None:
    # Several pieces, so that some were written before the error.
    data = DATA * 10
    claimed = sha512(b"something else")
    raw = answer(body=data, X_Sha512_Checksum=claimed if trouble == "checksum" else sha512(data))

    def script(visitor: Any) -> None:
        visitor.request()
        visitor.send(raw if trouble == "checksum" else raw[:-10])

    with serving(script) as server:
        files = EgnyteClient(Line(server.url)).files
        to = io.BytesIO(b"before")
        to.seek(6)
        with pytest.raises(ResponseError):
            files.download("/a", to)
        assert to.getvalue() == b"before"
        to.seek(0)  # old bytes behind new ones could be taken for a file
        with pytest.raises(ResponseError):
            files.download("/a", to)
        assert to.getvalue() == b""
        got = b""
        with pytest.raises(ResponseError):  # noqa: PT012
            for piece in files.open("/a"):
                got += piece
        assert len(got) < len(data) - 10


def test_folders_are_made_moved_copied_and_deleted(files: Files, sandbox: Sandbox) -> None:
    made = files.create_folder("/Shared/new one")
    assert isinstance(made, Folder)
    assert (made.path, made.name) == ("/Shared/new one", "new one")
    assert made.folder_id
    files.upload("/Shared/new one/a#.txt", b"x")
    files.copy("/Shared/new one/a#.txt", "/Shared/new one/b?.txt")
    files.move("/Shared/new one", "/Shared/old one/")
    assert {entry.name for entry in files.list("/Shared/old one")} == {"a#.txt", "b?.txt"}
    files.delete("/Shared/old one")
    with pytest.raises(NotFoundError):
        files.info("/Shared/old one")

    async def again() -> None:
        await files.acreate_folder("/Shared/x")
        await files.aupload("/Shared/x/a", b"1")
        await files.acopy("/Shared/x/a", "/Shared/x/b")
        await files.amove("/Shared/x/b", "/Shared/x/c")
        assert isinstance(await files.ainfo("/Shared/x/c"), File)
        await files.adelete("/Shared/x/a")

    asyncio.run(again())
    assert [entry.name for entry in files.list("/Shared/x")] == ["c"]


def test_the_root_is_listed_but_neither_moved_nor_deleted(files: Files, sandbox: Sandbox) -> None:
    assert {entry.name for entry in files.list()} >= {"Shared"}
    for refused in (
        lambda: files.delete("/"),
        lambda: files.move("/", "/Shared/x"),
        lambda: files.copy("/Shared/x", "//"),
        lambda: files.upload("/", b""),
        lambda: files.create_folder(""),
        lambda: files.move("/Shared/a", "/Shared/../b"),
        lambda: files.copy("/Shared/a", "/Shared/%2e%2e/b"),
        lambda: files.download("/Shared/..%2fb"),
    ):
        with pytest.raises(InvalidPathError):
            refused()
    assert sandbox.counts == {"fs:list": 1}


@pytest.mark.parametrize("shape", ["errorCode", "error", "Errors", "inputErrors", "html"])
def test_every_refusal_is_an_exception(files: Files, sandbox: Sandbox, shape: str) -> None:
    sandbox.settings.error_shape = shape  # type: ignore[assignment]
    with pytest.raises(NotFoundError) as caught:
        files.download("/Shared/none")
    assert caught.value.status == 404
    assert caught.value.host
    with pytest.raises(APIError):
        asyncio.run(files.adelete("/Shared/none"))
    sandbox.settings.error_shape = "errorCode"


def test_what_a_user_may_not_do_is_forbidden(server: SandboxServer, sandbox: Sandbox) -> None:
    token = sandbox.issue("acme", "jsmith").access_token
    files = EgnyteClient(Line(server.base_url.replace("{domain}", "acme"), token)).files
    with pytest.raises(ForbiddenError):
        files.upload("/Private/bdoe/a.txt", b"x")


def test_acting_as_another_reaches_the_files(files: Files, sandbox: Sandbox) -> None:
    files._client.act_as(username="jsmith").files.upload("/Shared/by.txt", b"x")
    entry = files.info("/Shared/by.txt")
    assert isinstance(entry, File)
    assert entry.uploaded_by == "jsmith"


def test_a_dead_token_a_throttle_and_trouble_are_told_apart(files: Files, sandbox: Sandbox) -> None:
    sandbox.faults.add(status=500)
    with pytest.raises(UnavailableError):
        files.list("/")
    sandbox.faults.add(
        status=403,
        headers={"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_RATE", "Retry-After": "7200"},
    )
    with pytest.raises(RateLimitedError) as caught:
        files.list("/")
    assert (caught.value.kind, caught.value.retry_after) == ("daily", 7200)
    sandbox.faults.add(html=True)
    with pytest.raises(ResponseError):
        files.list("/")
    sandbox.set_password("acme", "admin", "another")
    with pytest.raises(UnauthorizedError):
        files.list("/")
