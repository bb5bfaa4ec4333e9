"""Progress, and resuming after a broken connection."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient, Files, UploadState, transfers, uploads
from django_egnyte.exceptions import (
    BadRequestError,
    EgnyteError,
    NotFoundError,
    ResponseError,
    UnavailableError,
)
from django_egnyte.sandbox import Sandbox, SandboxServer
from tests.api.connections import Line
from tests.areas.conftest import Way

DATA = os.urandom(2_500_000)
PATH = "/Shared/big.bin"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(server: SandboxServer) -> Sandbox:
    server.sandbox.reset()
    server.sandbox.settings.chunk_minimum = 1
    return server.sandbox


@pytest.fixture
def files(server: SandboxServer, sandbox: Sandbox) -> Files:
    token = sandbox.issue("acme", "admin").access_token
    line = Line(server.base_url.replace("{domain}", "acme"), token, max_retries=0)
    return EgnyteClient(line).files


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SIMPLE_LIMIT", 100_000)
    monkeypatch.setattr(uploads, "SMALLEST_CHUNK", 500_000)


class Steps(list[tuple[int, int | None]]):
    def __call__(self, done: int, total: int | None) -> None:
        self.append((done, total))


def test_a_download_tells_how_far_it_is(files: Files, sandbox: Sandbox, way: Way) -> None:
    sandbox.add_file("acme", PATH, DATA)
    steps, target = Steps(), io.BytesIO()
    way(files, "download", PATH, target, progress=steps)
    assert target.getvalue() == DATA
    assert steps == sorted(set(steps)) and len(steps) > 2
    assert steps[-1] == (len(DATA), len(DATA))


def test_a_download_goes_on_after_a_broken_connection(
    files: Files, sandbox: Sandbox, way: Way
) -> None:
    sandbox.add_file("acme", PATH, DATA)
    breaks = sandbox.faults.add(path="big.bin", times=3, truncate=600_000)
    steps, target = Steps(), io.BytesIO(b"before")
    target.seek(6)
    file = way(files, "download", PATH, target, progress=steps)
    assert target.getvalue() == b"before" + DATA
    assert (file.size, file.path) == (len(DATA), PATH)
    assert sandbox.faults.hits(breaks) == 3
    assert steps == sorted(set(steps))


def test_it_is_the_same_version_that_goes_on(files: Files, sandbox: Sandbox, way: Way) -> None:
    sandbox.add_file("acme", PATH, DATA)
    sandbox.faults.add(path="big.bin", truncate=600_000)

    def replace(done: int, total: int | None) -> None:
        if len(versions) == 1:
            sandbox.add_file("acme", PATH, b"other" * 500_000)
            versions.append(2)

    versions, target = [1], io.BytesIO()
    way(files, "download", PATH, target, progress=replace)
    assert target.getvalue() == DATA


def test_a_version_that_is_gone_ends_the_download(files: Files, sandbox: Sandbox, way: Way) -> None:
    sandbox.add_file("acme", PATH, DATA)
    sandbox.faults.add(path="big.bin", truncate=600_000)
    target = io.BytesIO(b"before")
    target.seek(6)

    def remove(done: int, total: int | None) -> None:
        with sandbox.lock:
            if sandbox.tree("acme").find(PATH):
                sandbox.tree("acme").remove(PATH, sandbox.user("acme", "admin"))

    with pytest.raises(NotFoundError):
        way(files, "download", PATH, target, progress=remove)
    assert target.getvalue() == b"before"


@pytest.mark.parametrize("header", [{"ETag": "other"}, {"Content-Range": "bytes 5-9/10"}])
def test_another_part_or_version_ends_the_download(
    files: Files, sandbox: Sandbox, way: Way, header: dict[str, str]
) -> None:
    sandbox.add_file("acme", PATH, DATA)
    sandbox.faults.add(path="big.bin", truncate=600_000)
    sandbox.faults.add(path="big.bin", acted=True, headers=header)
    target = io.BytesIO()
    with pytest.raises(ResponseError, match="same version"):
        way(files, "download", PATH, target)
    assert target.getvalue() == b""


def test_it_does_not_try_for_ever(files: Files, sandbox: Sandbox, way: Way) -> None:
    sandbox.add_file("acme", PATH, DATA)
    sandbox.faults.add(path="big.bin", truncate=600_000)
    stuck = sandbox.faults.add(path="big.bin", times=None, truncate=0)
    target = io.BytesIO()
    with pytest.raises(EgnyteError):
        way(files, "download", PATH, target)
    assert target.getvalue() == b""
    assert sandbox.faults.hits(stuck) == transfers.TRIES
    # After a refusal it is not repeated at all.
    sandbox.faults.clear()
    sandbox.faults.add(path="big.bin", truncate=600_000)
    refused = sandbox.faults.add(path="big.bin", times=None, status=503)
    with pytest.raises(UnavailableError):
        way(files, "download", PATH, target)
    assert sandbox.faults.hits(refused) == 1


def test_an_error_of_the_callback_is_the_callers(files: Files, sandbox: Sandbox, way: Way) -> None:
    sandbox.add_file("acme", PATH, DATA)
    target = io.BytesIO()

    def stop(done: int, total: int | None) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        way(files, "download", PATH, target, progress=stop)
    assert target.getvalue() == b""


def test_a_small_upload_tells_how_far_it_is(files: Files, sandbox: Sandbox, way: Way) -> None:
    steps = Steps()
    way(files, "upload", PATH, io.BytesIO(DATA), progress=steps)
    assert steps == sorted(set(steps)) and len(steps) > 2
    assert steps[-1] == (len(DATA), len(DATA))
    assert sandbox.read_file("acme", PATH) == DATA


@pytest.mark.usefixtures("small_chunks")
def test_an_upload_in_chunks_tells_how_far_it_is(files: Files, sandbox: Sandbox, way: Way) -> None:
    steps = Steps()
    way(files, "upload", PATH, io.BytesIO(DATA), progress=steps)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (len(DATA), len(DATA))
    unknown = Steps()
    way(files, "upload", PATH, iter([DATA]), progress=unknown)
    assert unknown == [(500_000 * number, None) for number in range(1, 5)]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("sized", [True, False])
def test_an_upload_goes_on_where_it_was(
    files: Files, sandbox: Sandbox, way: Way, sized: bool
) -> None:
    def content() -> Any:
        return io.BytesIO(DATA) if sized else iter([DATA])

    sandbox.faults.add(path="chunked", skip=3, reset=True)
    state = UploadState()
    with pytest.raises(UnavailableError):
        way(files, "upload", PATH, content(), resume=state)
    assert state.upload_id and len(state.digests) == 3
    before = sandbox.counts["fs-content-chunked"]
    # In another process.
    again = UploadState.from_json(json.loads(json.dumps(state.as_json())))
    steps = Steps()
    stored = way(files, "upload", PATH, content(), resume=again, progress=steps)
    assert sandbox.read_file("acme", PATH) == DATA
    assert sandbox.counts["fs-content-chunked"] - before == 2
    assert stored.checksum is not None and stored.checksum.startswith("2-5-500000-")
    assert again == UploadState()
    assert steps[0] == (500_000, len(DATA) if sized else None)


@pytest.mark.usefixtures("small_chunks")
def test_other_content_is_not_added_to_an_upload(files: Files, sandbox: Sandbox, way: Way) -> None:
    sandbox.faults.add(path="chunked", skip=3, reset=True)
    state = UploadState()
    with pytest.raises(UnavailableError):
        way(files, "upload", PATH, io.BytesIO(DATA), resume=state)
    for other in (b"x" + DATA[1:], DATA[:700_000], DATA[:1000]):
        with pytest.raises(ValueError, match="not the content"):
            way(files, "upload", PATH, io.BytesIO(other), resume=state)
    assert not sandbox.tree("acme").find(PATH)


@pytest.mark.usefixtures("small_chunks")
def test_an_upload_that_egnyte_does_not_know(files: Files, way: Way) -> None:
    state = UploadState("unknown", 500_000, [uploads.sha512(DATA[:500_000])])
    with pytest.raises((BadRequestError, NotFoundError)):
        way(files, "upload", PATH, io.BytesIO(DATA), resume=state)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        {"upload_id": 5, "chunk": 1, "digests": []},
        {"upload_id": "x", "chunk": "y", "digests": []},
        {"upload_id": "x", "chunk": -1, "digests": []},
        {"upload_id": "x", "chunk": 10**10, "digests": []},
        {"upload_id": "x", "chunk": 1, "digests": [None]},
    ],
)
def test_a_state_that_is_none(value: Any) -> None:
    with pytest.raises(ValueError, match="state of an upload"):
        UploadState.from_json(value)
