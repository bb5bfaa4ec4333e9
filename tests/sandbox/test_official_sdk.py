"""Egnyte's SDK for Python against the sandbox: files, folders and user info."""

from __future__ import annotations

import importlib
import io
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from django_egnyte.sandbox import Sandbox, SandboxServer

egnyte = pytest.importorskip("egnyte", reason="Egnyte's own SDK is not installed")

FILE = "/Shared/report 2024.txt"


@pytest.fixture
def client(server: SandboxServer, acme: str) -> Iterator[Any]:
    token = server.sandbox.issue("acme", "jsmith").access_token
    client = egnyte.EgnyteClient({"domain": "acme", "access_token": token})
    client._url_prefix = f"{acme}/"
    yield client
    client.close()


class Progress(egnyte.client.ProgressCallbacks):  # type: ignore[misc]
    """Notes what the SDK tells of a transfer."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def download_finish(self, file: Any) -> None:
        self.told.append(file.path)

    def upload_finish(self, file: Any) -> None:
        self.told.append(file.path)


def names(things: Any) -> list[str]:
    return [thing.name for thing in things]


def test_user_info(client: Any) -> None:
    assert client.user_info == {
        "id": 121,
        "first_name": "Jane",
        "last_name": "Smith",
        "username": "jsmith",
        "email": "jsmith@acme.example",
        "user_type": "power",
    }


def test_listing(client: Any) -> None:
    folder = client.folder("/Shared")
    folder.list()
    assert [f.path for f in folder.folders] == ["/Shared/Documents"]
    assert names(folder.files) == ["report 2024.txt"]
    assert folder.files[0].size == 29
    assert client.get(FILE).is_folder is False
    assert client.get("/Shared").folder_id == folder.folder_id


def test_the_attributes_of_a_file(client: Any, sandbox: Sandbox) -> None:
    file = client.file(FILE)
    assert (file.name, file.size, file.num_versions) == ("report 2024.txt", 29, 1)
    assert (file.uploaded_by, file.is_folder) == ("jsmith", False)
    assert len(file.checksum) == 128
    assert file.entry_id
    assert file.last_modified.endswith("GMT")
    assert file.check() is None


def test_upload_and_download(client: Any, tmp_path: Path) -> None:
    client.folder("/Shared/sdk").create()
    client.folder("/Shared/sdk").create(ignore_if_exists=True)
    with pytest.raises(egnyte.exc.InsufficientPermissions):
        client.folder("/Shared/sdk").create(ignore_if_exists=False)
    file = client.folder("/Shared/sdk").file("ü 1.txt")
    file.upload(b"hello")
    file.download().save_to(str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"hello"
    assert file.download((1, 3)).read() == b"ell"
    with file.download() as download:
        assert len(download) == 5
        assert b"".join(download) == b"hello"
    file.upload(io.BytesIO(b"again"), size=5)
    assert client.file("/Shared/sdk/ü 1.txt").num_versions == 2


def test_a_chunked_upload(client: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egnyte.resources.File, "_upload_chunk_size", 1000)
    sandbox.settings.chunk_minimum = 1000
    data = bytes(range(250)) * 10
    progress: list[int] = []
    client.file("/Shared/chunks.bin").upload(
        io.BytesIO(data), progress_callback=lambda file, size, done: progress.append(done)
    )
    assert sandbox.read_file("acme", "/Shared/chunks.bin") == data
    assert sandbox.counts["fs-content-chunked"] == 3
    assert progress == [1000, 2000, 3000]
    assert client.file("/Shared/chunks.bin").checksum.startswith("2-3-1000-")


def test_move_copy_and_delete(client: Any) -> None:
    client.file(FILE).copy("/Shared/copy.txt")
    client.file("/Shared/copy.txt").move("/Shared/moved.txt")
    client.file("/Shared/moved.txt").delete()
    client.folder("/Shared/Documents").copy("/Shared/Twin")
    client.folder("/Shared/Twin").move("/Shared/Moved")
    client.folder("/Shared/Documents").delete()
    for gone in (client.file("/Shared/moved.txt"), client.folder("/Shared/Twin")):
        with pytest.raises(egnyte.exc.NotFound):
            gone.check()
    folder = client.folder("/Shared")
    folder.list()
    assert names(folder.files) == ["report 2024.txt"]
    assert names(folder.folders) == ["Moved"]
    with pytest.raises(egnyte.exc.NotFound):
        client.folder("/Shared/Documents").delete()


def test_whole_trees_go_up_and_come_down(client: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "one.txt").write_bytes(b"one")
    (source / "deep" / "er" / "two.txt").write_bytes(b"two")
    up, down = Progress(), Progress()
    client.bulk_upload([str(source)], "/Shared/up", progress_callbacks=up)
    client.bulk_download(["/Shared/up"], str(tmp_path / "down"), progress_callbacks=down)
    assert sorted(up.told) == sorted(down.told)
    got = {path.name: path.read_bytes() for path in (tmp_path / "down").rglob("*.txt")}
    assert got == {"one.txt": b"one", "two.txt": b"two"}


def test_impersonation_and_dead_tokens(
    client: Any, server: SandboxServer, sandbox: Sandbox, acme: str
) -> None:
    client.impersonate("bdoe")
    with pytest.raises(egnyte.exc.InsufficientPermissions):
        _ = client.user_info
    client.stop_impersonating()
    token = sandbox.issue("acme", "admin").access_token
    admin = egnyte.EgnyteClient({"domain": "acme", "access_token": token})
    admin._url_prefix = f"{acme}/"
    for name in ("bdoe", "bdoe@acme.example"):
        admin.impersonate(name)
        assert admin.user_info["username"] == "bdoe"
        admin.stop_impersonating()
    admin.impersonate("nobody")
    with pytest.raises(egnyte.exc.RequestError):
        _ = admin.user_info
    admin.close()
    sandbox.set_password("acme", "jsmith", "changed")
    with pytest.raises(egnyte.exc.NotAuthorized):
        _ = client.user_info


# The SDK's own live tests, without those that treat text as bytes, as on Python 2.
OWN_TESTS = [
    ("test_folders", "TestFolders", ()),
    ("test_files", "TestFiles", ("test_download_file",)),
    ("test_users", "TestUserInfo", ()),
    ("test_comments", "TestComments", ()),
    ("test_links", "TestLinks", ()),
]


def upload_file(client: Any, filename: str, path: str) -> Any:
    """Replaces the SDK's helper, which reads pictures that are not in its package."""
    file = client.file(path)
    file.upload(filename.encode())
    return file


@pytest.mark.parametrize(("module", "name", "left_out"), OWN_TESTS)
def test_the_sdks_own_tests_pass(
    sandbox: Sandbox,
    acme: str,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
    left_out: tuple[str, ...],
) -> None:
    monkeypatch.setitem(
        sys.modules, "helpers", cast("Any", SimpleNamespace(upload_file=upload_file))
    )
    token = sandbox.issue("acme", "admin").access_token
    config = {"domain": "acme", "access_token": token, "login": "admin"}
    monkeypatch.setattr(egnyte.configuration, "load", lambda name: config)
    begin = egnyte.base.Session.__init__

    def begin_here(session: Any, *args: Any) -> None:
        begin(session, *args)
        session._url_prefix = f"{acme}/"

    monkeypatch.setattr(egnyte.base.Session, "__init__", begin_here)
    case = getattr(importlib.import_module(f"egnyte.tests.{module}"), name)
    chosen = [each for each in unittest.TestLoader().getTestCaseNames(case) if each not in left_out]
    assert chosen
    result = unittest.TestResult()
    unittest.TestSuite(case(each) for each in chosen).run(result)
    assert result.failures == []
    assert result.errors == []
    assert result.testsRun == len(chosen)
