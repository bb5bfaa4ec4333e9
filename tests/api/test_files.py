from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from django.core.files import File as DjangoFile
from django.http import FileResponse

from django_egnyte.api import EgnyteClient, Entry, File, Files, Folder, uploads
from django_egnyte.exceptions import (
    APIError,
    ConflictError,
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
from tests.api.storage import Storage, sha512
from tests.rawserver import Visitor, always, answer, serving

DATA = os.urandom(25_000)


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
    monkeypatch.setattr(uploads, "SIMPLE_LIMIT", 9_000)
    monkeypatch.setattr(uploads, "SMALLEST_CHUNK", 10_000)


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
    for size in (0, 1001):
        with pytest.raises(ValueError, match="page_size"):
            files.list("/", page_size=size)


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


@pytest.mark.parametrize(
    "name",
    ["50% off #1!.txt", "a+b;c=d&e.txt", "\u00fc \u2603.txt", "%41", "%5C", "..;x", "%2e%2e"],
)
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
def test_content_of_any_kind_and_size_is_uploaded(size: int, kind: str) -> None:
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
    storage = Storage()
    with serving(storage) as server:
        stored = EgnyteClient(Line(server.url)).files.upload("/Shared/up.bin", content)
    if hasattr(content, "close"):
        content.close()
    assert storage.files == {"Shared/up.bin": data}
    assert (stored.size, stored.checksum) == (size, storage.checksums["Shared/up.bin"])
    assert stored.entry_id
    chunked = size > 10_000
    assert stored.checksum.startswith("2-") is chunked
    assert len(storage.sizes) == (-(-size // 10_000) if chunked else 1)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("sized", [True, False])
def test_a_chunk_that_is_lost_is_sent_again(sized: bool) -> None:
    storage = Storage()
    storage.trouble = [503, None, "reset", None]
    content = DATA if sized else (DATA[i : i + 7] for i in range(0, len(DATA), 7))
    with serving(storage) as server:
        client = EgnyteClient(Line(server.url))
        asyncio.run(client.files.aupload("/Shared/up.bin", content))
    assert storage.files == {"Shared/up.bin": DATA}


@pytest.mark.usefixtures("small_chunks")
def test_the_last_chunk_is_not_sent_again() -> None:
    storage = Storage()
    storage.trouble = [None, None, 503]
    with serving(storage) as server, pytest.raises(UnavailableError):
        EgnyteClient(Line(server.url)).files.upload("/Shared/up.bin", DATA)
    assert storage.sizes == [10_000, 10_000]


@pytest.mark.parametrize(
    ("size", "chunk"),
    [
        (None, 10_485_760),
        (99_999_999, 100_000_000),
        (100_000_001, 10_485_760),
        (2_000_000_000, 20_000_000),
        (10_000_000_000, 100_000_000),
        (10_000_000_001, 100_000_001),
        (10**13, 10**9),
    ],
)
def test_chunks_grow_with_the_size(size: int | None, chunk: int) -> None:
    assert uploads.chunk_for(size) == chunk


class Zeros(io.RawIOBase):
    """A file of zeros that takes no memory."""

    def __init__(self, size: int, *, seeks: bool) -> None:
        self.size = size
        self.seeks = seeks
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.seeks

    def seek(self, position: int, whence: int = 0) -> int:
        self.at = position + (self.size if whence == 2 else 0)
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.size - self.at)
        self.at += size
        return bytes(size)


@pytest.mark.parametrize("seeks", [True, False])
def test_a_large_upload_fits_in_little_memory(seeks: bool) -> None:
    storage = Storage(keeps=False)
    tracemalloc.start()
    try:
        with serving(storage) as server:
            before = tracemalloc.get_traced_memory()[0]
            files = EgnyteClient(Line(server.url)).files
            stored = files.upload("/Shared/big", Zeros(1_000_000_000, seeks=seeks))
            peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024
    assert sum(storage.sizes) == stored.size == 1_000_000_000
    assert len(storage.sizes) <= 100
    assert len(set(storage.sizes[:-1])) == 1
    assert stored.checksum == storage.checksums["Shared/big"]


def test_the_time_of_a_file_may_be_told() -> None:
    moment = datetime(2026, 8, 3, 13, 48, 35, tzinfo=timezone(timedelta(hours=2)))
    storage = Storage()
    with serving(storage) as server:
        files = EgnyteClient(Line(server.url)).files
        files.upload("/Shared/a", b"x", last_modified=moment)
        asyncio.run(files.aupload("/Shared/a", b"x", last_modified=moment))
        files.upload("/Shared/a", b"x")
        with pytest.raises(ValueError, match="aware"):
            files.upload("/Shared/a", b"x", last_modified=datetime(2026, 8, 3))
    told = [headers.get("Last-Modified") for headers in storage.headers]
    assert told == ["Mon, 03 Aug 2026 11:48:35 GMT"] * 2 + [None]


BAD_NAMES = [
    *("a:b", "a*b", "a?b", 'a"b', "a<b", "a>b", "a|b", " a", "a ", "a.", "a.tmp", "A.TMP"),
    *("Thumbs.db", "thumbs.DB", ".DS_Store", "._a", "x" * 246),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_egnyte_refuses_is_told_before_a_call(name: str) -> None:
    with serving(always(answer())) as server:
        files = EgnyteClient(Line(server.url)).files
        for path in (f"/Shared/{name}", f"/Shared/{name}/below"):
            for act in (
                lambda path=path: files.upload(path, b"x"),
                lambda path=path: files.create_folder(path),
                lambda path=path: files.move("/Shared/a", path),
                lambda path=path: files.copy("/Shared/a", path),
            ):
                with pytest.raises(InvalidPathError, match="no such name") as caught:
                    act()
                assert "Names may not" in caught.value.hint
        assert server.requests == []
        # An existing file with such a name can be downloaded and renamed.
        files.info(f"/Shared/{name}")
        files.move(f"/Shared/{name}", "/Shared/better")
        assert len(server.requests) == 2


@pytest.mark.parametrize("name", ["a&b", "_", "%", ";", "#", "(){}[]", "^~$'!,=@+`", ".a", "a..b"])
def test_a_name_that_egnyte_takes_is_sent(name: str) -> None:
    storage = Storage()
    with serving(storage) as server:
        EgnyteClient(Line(server.url)).files.upload(f"/Shared/{name}", b"x")
    assert [unquote(path) for path in storage.files] == [f"Shared/{name}"]


def page(entries: Sequence[tuple[str, bool]], **said: Any) -> bytes:
    listed: dict[str, Any] = {"is_folder": "true", "folders": [], "files": [], **said}
    for name, is_folder in entries:
        listed["folders" if is_folder else "files"].append(
            {"name": name, "path": f"/Shared/{name}", "is_folder": str(is_folder).lower()}
        )
    return answer(body=json.dumps(listed).encode())


class Filtering:
    """A folder of many files, some of which the user may not see."""

    def __init__(self, *, counts: str, total: bool, most: int = 1000) -> None:
        self.names = [f"{number:03}" for number in range(250)]
        self.counts = counts
        self.total = total
        self.most = most

    def __call__(self, visitor: Visitor) -> None:
        while request := visitor.request():
            query = dict(parse_qsl(urlsplit(request.split()[1].decode()).query))
            offset, count = int(query["offset"]), min(int(query["count"]), self.most)
            part = self.names[offset : offset + count]
            seen = [(name, False) for name in part if not name.endswith("7")]
            said: dict[str, Any] = {"offset": offset}
            if self.total:
                said["total_count"] = str(len(self.names))
            if self.counts == "asked":
                said["count"] = count
            elif self.counts == "listed":
                said["count"] = len(seen)
            visitor.send(page(seen, **said))


@pytest.mark.parametrize("counts", ["asked", "listed", "nothing"])
@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("most", [1000, 50])
def test_a_server_that_filters_loses_nothing_and_repeats_nothing(
    counts: str, total: bool, most: int
) -> None:
    folder = Filtering(counts=counts, total=total, most=most)
    expected = [name for name in folder.names if not name.endswith("7")]
    with serving(folder) as server:
        files = EgnyteClient(Line(server.url)).files
        assert [entry.name for entry in files.list("/Shared")] == expected
        listing = asyncio.run(files.alist("/Shared", page_size=60))
        assert [entry.name for entry in listing] == expected


def test_a_server_that_knows_no_offsets_is_not_asked_for_ever() -> None:
    with serving(always(page([("a", False), ("b", True)], total_count=9))) as server:
        listing = EgnyteClient(Line(server.url)).files.list("/Shared")
        assert [entry.name for entry in listing] == ["b", "a"]
        assert [type(entry) for entry in listing] == [Folder, File]
        assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["walk", "awalk"])
def test_a_walk_goes_on_past_what_it_may_not_read(form: str) -> None:
    def script(visitor: Visitor) -> None:
        while request := visitor.request():
            path = urlsplit(request.split()[1].decode()).path.removeprefix("/pubapi/v1/fs")
            visitor.send(
                {
                    "/Shared": page([("no", True), ("gone", True), ("yes", True)]),
                    "/Shared/no": answer("403 No", b'{"errorMessage": "Not yours"}'),
                    "/Shared/gone": answer("404 No"),
                    "/Shared/yes": page([("yes/a", False)]),
                }[path]
                if b"offset=0" in request
                else page([])
            )

    def walk(files: Files, path: str, **kw: Any) -> list[Entry]:
        async def collect() -> list[Entry]:
            return [entry async for entry in files.awalk(path, **kw)]

        return list(files.walk(path, **kw)) if form == "walk" else asyncio.run(collect())

    with serving(script) as server:
        files = EgnyteClient(Line(server.url)).files
        expected = ["/Shared/no", "/Shared/gone", "/Shared/yes", "/Shared/yes/a"]
        assert [entry.path for entry in walk(files, "/Shared")] == expected
        errors: list[Any] = []
        assert [entry.path for entry in walk(files, "/Shared", onerror=errors.append)] == expected
        assert [type(error) for error in errors] == [ForbiddenError, NotFoundError]
        assert [error.path for error in errors] == ["/Shared/no", "/Shared/gone"]

        def complain(error: EgnyteError) -> None:
            raise error

        with pytest.raises(ForbiddenError):
            walk(files, "/Shared", onerror=complain)
        with pytest.raises(ForbiddenError):
            walk(files, "/Shared/no", onerror=errors.append)


def test_an_error_carries_the_path_and_its_message_does_not(files: Files) -> None:
    for call in (
        lambda: files.info("Shared/s3cret//plan"),
        lambda: files.download("/Shared/s3cret/plan"),
        lambda: asyncio.run(files.adelete("/Shared/s3cret/plan")),
    ):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.path == "/Shared/s3cret/plan"
        assert "s3cret" not in str(caught.value)
        assert caught.value.host == "acme.egnyte.com"


@pytest.mark.parametrize("status", [403, 409])
def test_a_folder_that_exists_is_a_conflict_or_is_taken_as_it_is(status: int) -> None:
    exists = answer(f"{status} x", b'{"errorMessage": "Folder already exists at this location"}')
    folder = answer(body=b'{"name": "a", "path": "/a", "folder_id": "f", "is_folder": true}')
    with serving(always(exists, exists, folder, exists, folder)) as server:
        files = EgnyteClient(Line(server.url)).files
        with pytest.raises(ConflictError) as caught:
            files.create_folder("/a")
        assert (caught.value.status, caught.value.path) == (status, "/a")
        assert files.create_folder("/a", exist_ok=True).folder_id == "f"
        assert asyncio.run(files.acreate_folder("/a", exist_ok=True)).folder_id == "f"
    file = answer(body=b'{"name": "a", "path": "/a", "is_folder": false}')
    with serving(always(exists, file)) as server, pytest.raises(ConflictError):
        EgnyteClient(Line(server.url)).files.create_folder("/a", exist_ok=True)


def composite(data: bytes, chunk: int) -> str:
    digests = [sha512(data[i : i + chunk]) for i in range(0, len(data), chunk)]
    return f"2-{len(digests)}-{chunk}-{sha512(''.join(digests).encode())}"


@pytest.mark.parametrize("chunk", [7, 10_000, 65_536, 249_999, 250_000, 10**9])
def test_a_file_that_came_in_chunks_is_checked_while_it_is_read(chunk: int) -> None:
    data = DATA * 10
    checksum = composite(data, chunk)
    with serving(always(answer(body=data, X_Sha512_Checksum=checksum.upper()))) as server:
        files = EgnyteClient(Line(server.url)).files
        assert files.download("/a") == data
        to = io.BytesIO()
        assert files.download("/a", to).checksum == checksum
        assert to.getvalue() == data
    wrong = checksum[:-1] + ("0" if checksum[-1] != "0" else "1")
    for claimed in (wrong, composite(data + b"x", chunk)):
        with serving(always(answer(body=data, X_Sha512_Checksum=claimed))) as server:
            files = EgnyteClient(Line(server.url)).files
            with pytest.raises(ResponseError, match="checksum"):
                files.download("/a")


@pytest.mark.parametrize("claimed", ["", "nonsense", "2-0-0-" + "a" * 128, "3-1-5-" + "a" * 128])
def test_a_checksum_of_no_known_kind_is_not_compared(claimed: str) -> None:
    with serving(always(answer(body=b"x", X_Sha512_Checksum=claimed))) as server:
        files = EgnyteClient(Line(server.url)).files
        with files.open("/a") as download:
            assert download.file.checksum is None
        assert files.download("/a", io.BytesIO()).checksum == sha512(b"x")


class Slow(io.RawIOBase):
    """Writes at most 1,000 bytes at a time."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self.content += bytes(piece[:1000])
        return min(len(piece), 1000)


class Silent:
    """Writes everything, and returns None."""

    content = b""

    def write(self, piece: Any) -> None:
        self.content += piece


class Full(io.RawIOBase):
    def __init__(self, written: int | None) -> None:
        self.written = written

    def write(self, piece: Any) -> Any:
        return self.written


def test_a_write_that_is_short_is_gone_on_with(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_file("acme", "/Shared/a.bin", DATA)
    for to in (Slow(), Silent()):
        assert files.download("/Shared/a.bin", to).size == len(DATA)  # type: ignore[call-overload]
        assert to.content == DATA
    for written in (None, 0):
        with pytest.raises(EgnyteError, match="accepts no more data"):
            files.download("/Shared/a.bin", Full(written))  # type: ignore[call-overload]


def test_a_download_is_a_file_to_read_from(files: Files, sandbox: Sandbox) -> None:
    data = b"a line\nanother\n" * 20_000
    sandbox.add_file("acme", "/Shared/a.txt", data)
    with files.open("/Shared/a.txt") as download:
        assert isinstance(download, io.RawIOBase)
        assert download.name == "/Shared/a.txt"
        assert download.readable() and not download.seekable() and not download.writable()
        assert download.read(0) == b""
        assert download.read(100_000) == data[:100_000]
        buffer = bytearray(10)
        assert download.readinto(buffer) == 10
        assert download.read(5) == data[100_010:100_015]
        assert buffer == data[100_000:100_010]
        assert download.read() == data[100_015:]
        assert download.read() == download.read(10) == b"" == download.read(None)
    assert download.closed
    with pytest.raises(ValueError, match="closed"):
        download.read(1)
    to = io.BytesIO()
    shutil.copyfileobj(files.open("/Shared/a.txt"), to)
    assert to.getvalue() == data
    with io.TextIOWrapper(io.BufferedReader(files.open("/Shared/a.txt"))) as text:
        assert sum(1 for _ in text) == 40_000
    assert b"".join(chunk for chunk in DjangoFile(files.open("/Shared/a.txt")).chunks()) == data

    async def read() -> bytes:
        async with await files.aopen("/Shared/a.txt") as download:
            return await download.read(100_000) + await download.read()

    assert asyncio.run(read()) == data


@pytest.mark.django_db  # at the end of a response, Django closes the database connections
def test_a_download_is_what_a_file_response_takes(files: Files, sandbox: Sandbox) -> None:
    sandbox.add_file("acme", "/Shared/a.bin", DATA)
    response = FileResponse(files.open("/Shared/a.bin"), as_attachment=True)
    assert response["Content-Disposition"] == 'attachment; filename="a.bin"'
    assert b"".join(response.streaming_content) == DATA  # type: ignore[arg-type]
    response.close()


def test_what_is_stored_differently_is_an_error() -> None:
    wrong = answer(body=b'{"checksum": "' + b"0" * 128 + b'"}')
    with serving(always(wrong)) as server, pytest.raises(ResponseError, match="checksum"):
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
    with pytest.raises(ValueError, match="closed"):
        next(iter(download))

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
        to.seek(0)  # old bytes after the new ones would look like a complete file
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
    files.copy("/Shared/new one/a#.txt", "/Shared/new one/b!.txt")
    files.move("/Shared/new one", "/Shared/old one/")
    assert {entry.name for entry in files.list("/Shared/old one")} == {"a#.txt", "b!.txt"}
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
        lambda: files.copy("/Shared/a", "/Shared/./b"),
        lambda: files.download("/Shared/..\\b"),
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
