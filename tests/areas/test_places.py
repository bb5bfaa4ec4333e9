"""Files and folders: versions, locks, options and ids."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient, uploads
from django_egnyte.exceptions import (
    APIError,
    BadRequestError,
    ForbiddenError,
    InvalidPathError,
    LockedError,
    NotFoundError,
    ResponseError,
)
from django_egnyte.sandbox import Sandbox
from tests.api.connections import Line
from tests.areas.conftest import MakeClient, Way
from tests.rawserver import always, answer, serving

FILE = "/Shared/Documents/welcome.txt"
FOLDER = "/Shared/Documents"


@pytest.fixture
def ids(jane: EgnyteClient) -> tuple[str, str]:
    """The ids of the file and of the folder."""
    file: Any = jane.files.info(FILE)
    folder: Any = jane.files.info(FOLDER)
    return file.group_id, folder.folder_id


def test_what_exists(jane: EgnyteClient, client_of: MakeClient, sandbox: Sandbox, way: Way) -> None:
    assert way(jane.files, "exists", FILE) is True
    assert way(jane.files, "exists", "/shared/DOCUMENTS/") is True
    assert way(jane.files, "exists", "/Shared/none.txt") is False
    with pytest.raises(ForbiddenError) as caught:
        way(jane.files, "exists", "/Private/bdoe/x.txt")
    assert caught.value.scope == "Egnyte.filesystem"
    with pytest.raises(InvalidPathError):
        way(jane.files, "exists", "/Shared/../x")


def test_versions_come_with_the_newest_first(
    jane: EgnyteClient, sandbox: Sandbox, way: Way, ids: tuple[str, str]
) -> None:
    [only] = way(jane.files, "versions", FILE)
    assert only.entry_id and only.size == 31
    for text in (b"two", b"three"):
        jane.files.upload(FILE, text)
    versions = way(jane.files, "versions", FILE)
    assert [version.size for version in versions] == [5, 3, 31]
    assert versions[2].entry_id == only.entry_id
    assert all(version.last_modified is not None for version in versions)
    assert jane.files.download(FILE, entry_id=versions[1].entry_id) == b"two"
    assert way(jane.files.by_id(ids[0]), "versions") == versions
    with pytest.raises(ResponseError):
        way(jane.files, "versions", FOLDER)


def test_a_lock_keeps_others_out(
    jane: EgnyteClient, client_of: MakeClient, way: Way, ids: tuple[str, str]
) -> None:
    bob = client_of("bdoe")
    assert way(jane.files, "lock_info", FILE) is None
    lock = way(jane.files, "lock", FILE)
    assert lock.seconds == 3599 and lock.token
    assert lock.token not in repr(lock)
    info = way(bob.files, "lock_info", FILE)
    assert (info.owner_id, info.first_name, info.email) == (121, "Jane", "jsmith@acme.example")
    assert way(bob.files.by_id(ids[0]), "lock_info") == info
    with pytest.raises(LockedError):
        way(bob.files, "upload", FILE, b"x")
    with pytest.raises(APIError):
        way(bob.files, "lock", FILE)
    with pytest.raises(NotFoundError):
        way(bob.files, "unlock", FILE, "wrong")
    jane.files.upload(FILE, b"mine")
    way(bob.files, "unlock", FILE, lock.token)  # With the token, another user may unlock.
    way(bob.files, "upload", FILE, b"x")
    with pytest.raises(NotFoundError):
        way(jane.files, "unlock", FILE)


def test_an_own_token_and_time(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    lock = way(jane.files, "lock", FILE, seconds=60, token="mine")
    assert (lock.token, lock.seconds) == ("mine", 59)
    sandbox.advance(61)
    assert way(jane.files, "lock_info", FILE) is None
    lock.release()  # It has expired already.


def test_a_lock_is_a_context_manager(
    jane: EgnyteClient, sandbox: Sandbox, ids: tuple[str, str]
) -> None:
    with jane.files.lock(FILE) as lock:
        assert jane.files.lock_info(FILE) is not None and lock.token
    assert jane.files.lock_info(FILE) is None
    with pytest.raises(KeyError), jane.files.by_id(ids[0]).lock():
        raise KeyError
    assert jane.files.lock_info(FILE) is None

    async def use() -> None:
        async with await jane.files.alock(FILE):
            assert await jane.files.alock_info(FILE) is not None
        assert await jane.files.alock_info(FILE) is None

    asyncio.run(use())
    with jane.files.lock(FILE):
        jane.files.move(
            FILE, "/Shared/elsewhere.txt"
        )  # A file that does not exist cannot be unlocked.


def test_options_of_a_folder(jane: EgnyteClient, way: Way) -> None:
    way(
        jane.files, "set_options", FOLDER, folder_description="All of them", public_links="disabled"
    )
    way(jane.files, "set_options", FOLDER, allow_links=False)
    options = way(jane.files, "options", FOLDER)
    assert (options.folder_description, options.public_links, options.allow_links) == (
        "All of them",
        "disabled",
        False,
    )
    assert options.inheritance_rule is None
    with pytest.raises(ValueError, match="change"):
        way(jane.files, "set_options", FOLDER)
    with pytest.raises(TypeError, match="colour"):
        way(jane.files, "set_options", FOLDER, colour="red")
    with pytest.raises(BadRequestError):
        way(jane.files, "set_options", FOLDER, folder_description="x" * 201)


def test_statistics_of_a_folder(
    jane: EgnyteClient, sandbox: Sandbox, way: Way, ids: tuple[str, str]
) -> None:
    sandbox.add_file("acme", f"{FOLDER}/below/a.txt", b"12345")
    sandbox.add_file("acme", f"{FOLDER}/below/a.txt", b"123")
    stats = way(jane.files, "stats", FOLDER)
    assert (stats.files_count, stats.folders_count, stats.file_versions_count) == (2, 1, 3)
    assert (stats.all_files_size, stats.all_versions_size) == (34, 39)
    assert way(jane.files.folder_by_id(ids[1]), "stats") == stats
    with pytest.raises(ResponseError):
        way(jane.files, "stats", FILE)


def test_an_id_stays_over_renames(
    jane: EgnyteClient, way: Way, ids: tuple[str, str], sandbox: Sandbox
) -> None:
    file, folder = jane.files.by_id(ids[0]), jane.files.folder_by_id(ids[1])
    way(folder, "move", "/Shared/Papers")
    way(file, "move", "/Shared/Papers/hello.txt")
    assert way(file, "info").path == "/Shared/Papers/hello.txt"
    found = way(folder, "info")
    assert (found.path, found.folder_id) == ("/Shared/Papers", ids[1])
    way(file, "copy", "/Shared/copy.txt")
    assert sandbox.read_file("acme", "/Shared/copy.txt").startswith(b"Welcome")
    way(file, "delete")
    for gone in (file, jane.files.by_id(ids[1]), jane.files.folder_by_id(ids[0])):
        with pytest.raises(NotFoundError):
            way(gone, "info")


def test_content_by_id(
    jane: EgnyteClient, way: Way, ids: tuple[str, str], sandbox: Sandbox
) -> None:
    file = jane.files.by_id(ids[0])
    jane.files.move(FILE, "/Shared/moved.txt")
    stored = way(file, "upload", b"new content")
    assert (stored.path, stored.group_id) == ("/Shared/moved.txt", ids[0])
    assert way(file, "read") == b"new content"
    target = io.BytesIO()
    assert way(file, "download", target).size == 11
    assert target.getvalue() == b"new content"
    old = file.versions()[1].entry_id
    assert way(file, "read", entry_id=old).startswith(b"Welcome")
    with pytest.raises(ResponseError):
        way(file, "read", max_bytes=5)
    with file.open() as download:
        assert (download.file.path, download.read()) == ("/Shared/moved.txt", b"new content")

    async def read() -> bytes:
        async with await file.aopen() as download:
            return b"".join([piece async for piece in download])

    assert asyncio.run(read()) == b"new content"
    with pytest.raises(NotFoundError):
        way(jane.files.by_id("unknown"), "read")
    for name in ("fs-content", "fs-content-chunked"):
        assert not any("/Shared/moved" in r.path for r in sandbox.requests_log if name in r.path)


def test_large_content_by_id(
    jane: EgnyteClient, ids: tuple[str, str], monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    monkeypatch.setattr(uploads, "SIMPLE_LIMIT", 9_000)
    monkeypatch.setattr(uploads, "SMALLEST_CHUNK", 10_000)
    data = bytes(range(250)) * 100
    sandbox.settings.chunk_minimum = 1_000
    stored = jane.files.by_id(ids[0]).upload(data)
    assert sandbox.read_file("acme", FILE) == data
    assert sandbox.counts["fs-content-chunked"] == 3
    assert stored.checksum is not None and stored.checksum.startswith("2-3-10000-")


def test_a_folder_is_listed_by_its_id(
    jane: EgnyteClient, sandbox: Sandbox, way: Way, ids: tuple[str, str]
) -> None:
    sandbox.add_folder("acme", f"{FOLDER}/below")
    for number in range(6):
        sandbox.add_file("acme", f"{FOLDER}/{number}.txt", b"x")
    folder = jane.files.folder_by_id(ids[1])
    listing = folder.list(page_size=3)
    assert [entry.name for entry in way.list(listing)] == [
        "below",
        *(f"{number}.txt" for number in range(6)),
        "welcome.txt",
    ]
    assert way.total(listing) == 8
    for size in (0, 1001):
        with pytest.raises(ValueError, match="page_size"):
            folder.list(page_size=size)


def test_the_folders_above(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    sandbox.add_folder("acme", f"{FOLDER}/a/b")
    deep: Any = jane.files.info(f"{FOLDER}/a/b")
    parents = way(jane.files.folder_by_id(deep.folder_id), "parents")
    assert [folder.path for folder in parents] == [f"{FOLDER}/a", FOLDER, "/Shared"]


def test_an_id_of_another_domain_is_not_found(
    client_of: MakeClient, way: Way, ids: tuple[str, str]
) -> None:
    mia = client_of("mmiller", domain="globex")
    with pytest.raises(NotFoundError):
        way(mia.files.by_id(ids[0]), "info")


@pytest.mark.parametrize("wrong", ["", "..", "a/b"])
def test_an_id_that_is_none(jane: EgnyteClient, wrong: str) -> None:
    for named in (jane.files.by_id, jane.files.folder_by_id):
        with pytest.raises(InvalidPathError):
            named(wrong)


@pytest.mark.parametrize("body", [b'{"parents": {}}', b'{"parents": [1]}', b"{}"])
def test_parents_in_another_form(body: bytes, way: Way) -> None:
    with serving(always(answer(body=body))) as server, pytest.raises(ResponseError):
        way(EgnyteClient(Line(server.url)).files.folder_by_id("x"), "parents")


def test_a_lock_without_a_token_is_an_error(way: Way) -> None:
    with serving(always(answer())) as server, pytest.raises(ResponseError):
        way(EgnyteClient(Line(server.url)).files, "lock", FILE)
