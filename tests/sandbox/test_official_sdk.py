from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_egnyte.sandbox import Sandbox, SandboxServer

egnyte = pytest.importorskip("egnyte", reason="Egnyte's own SDK is not installed")


@pytest.fixture
def client(server: SandboxServer, acme: str) -> Iterator[Any]:
    token = server.sandbox.issue("acme", "jsmith").access_token
    client = egnyte.EgnyteClient({"domain": "acme", "access_token": token})
    client._url_prefix = f"{acme}/"
    yield client
    client.close()


def test_user_info(client: Any) -> None:
    assert client.user_info["username"] == "jsmith"


def test_listing(client: Any) -> None:
    folder = client.folder("/Shared")
    folder.list()
    assert [f.path for f in folder.folders] == ["/Shared/Documents"]
    assert [f.name for f in folder.files] == ["report 2024.txt"]
    assert folder.files[0].size == 29
    assert client.get("/Shared/report 2024.txt").is_folder is False


def test_upload_and_download(client: Any, tmp_path: Path) -> None:
    client.folder("/Shared/sdk").create()
    client.folder("/Shared/sdk").create(ignore_if_exists=True)
    with pytest.raises(egnyte.exc.InsufficientPermissions):
        client.folder("/Shared/sdk").create(ignore_if_exists=False)
    file = client.file("/Shared/sdk/ü 1.txt")
    file.upload(b"hello")
    file.download().save_to(str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"hello"
    assert file.download((1, 3)).read() == b"ell"


def test_a_chunked_upload(client: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egnyte.resources.File, "_upload_chunk_size", 1000)
    sandbox.settings.chunk_minimum = 1000
    data = bytes(range(250)) * 10
    client.file("/Shared/chunks.bin").upload(io.BytesIO(data))
    assert sandbox.read_file("acme", "/Shared/chunks.bin") == data
    assert sandbox.counts["fs-content-chunked"] == 3


def test_move_copy_and_delete(client: Any) -> None:
    client.file("/Shared/report 2024.txt").copy("/Shared/copy.txt")
    client.file("/Shared/copy.txt").move("/Shared/moved.txt")
    client.file("/Shared/moved.txt").delete()
    client.folder("/Shared/Documents").delete()
    with pytest.raises(egnyte.exc.NotFound):
        client.file("/Shared/moved.txt").check()
    folder = client.folder("/Shared")
    folder.list()
    assert [f.name for f in folder.files] == ["report 2024.txt"]
    assert folder.folders == []


def test_search(client: Any) -> None:
    (match,) = client.search.files("report")
    assert match.file().path == "/Shared/report 2024.txt"


def test_impersonation_and_dead_tokens(client: Any, sandbox: Sandbox, acme: str) -> None:
    client.impersonate("bdoe")
    with pytest.raises(egnyte.exc.InsufficientPermissions):
        _ = client.user_info
    client.stop_impersonating()
    sandbox.set_password("acme", "jsmith", "changed")
    with pytest.raises(egnyte.exc.NotAuthorized):
        _ = client.user_info
