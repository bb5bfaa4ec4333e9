from __future__ import annotations

import hashlib
import tracemalloc
from typing import Any

import pytest
import requests

from django_egnyte.sandbox import Sandbox, SandboxServer

from .calls import API, Caller, bearer, sha512


def test_a_folder_is_listed(call: Caller) -> None:
    body = call("GET", "fs/Shared").json()
    assert set(body) == {
        "name",
        "path",
        "folder_id",
        "is_folder",
        "lastModified",
        "uploaded",
        "parent_id",
        "count",
        "offset",
        "total_count",
        "folders",
        "files",
    }
    assert (body["name"], body["path"], body["is_folder"]) == ("Shared", "/Shared", True)
    assert [folder["path"] for folder in body["folders"]] == ["/Shared/Documents"]
    assert isinstance(body["folders"][0]["lastModified"], int)
    (file,) = body["files"]
    assert set(file) == {
        "name",
        "path",
        "checksum",
        "size",
        "entry_id",
        "group_id",
        "last_modified",
        "uploaded",
        "uploaded_by",
        "num_versions",
        "is_folder",
        "locked",
        "parent_id",
        "custom_metadata",
    }
    assert file["path"] == "/Shared/report 2024.txt"
    assert file["checksum"] == sha512(b"Quarterly figures: all good.\n")


def test_a_listing_has_pages(sandbox: Sandbox, call: Caller) -> None:
    for name in "abc":
        sandbox.add_file("acme", f"/Shared/pages/{name}.txt", b"x")
    sandbox.add_folder("acme", "/Shared/pages/sub")
    page = call("GET", "fs/Shared/pages", params={"count": 2, "offset": 1}).json()
    assert [file["name"] for file in page["files"]] == ["a.txt", "b.txt"]
    assert (page["count"], page["offset"], page["total_count"]) == (2, 1, 4)
    assert page["folders"] == []
    bare = call("GET", "fs/Shared/pages", params={"list_content": "false"}).json()
    assert "files" not in bare
    assert call("GET", "fs/Shared", params={"count": "x"}).status_code == 400


def test_a_file_is_described_and_a_missing_one_is_404(call: Caller) -> None:
    assert call("GET", "fs/Shared/report%202024.txt").json()["is_folder"] is False
    assert call("GET", "fs/shared/REPORT%202024.TXT").status_code == 200
    missing = call("GET", "fs/Shared/nothing")
    assert (missing.status_code, set(missing.json())) == (404, {"errorMessage"})


def test_the_root_lists_the_top_folders_and_others_private_folders_stay_hidden(
    call: Caller,
) -> None:
    names = [folder["name"] for folder in call("GET", "fs").json()["folders"]]
    private = [folder["name"] for folder in call("GET", "fs/Private").json()["folders"]]
    assert names == ["Private", "Shared"]
    assert private == ["jsmith"]
    assert call("GET", "fs/Private/bdoe").status_code == 403


def test_an_upload_comes_back_and_makes_its_folders(sandbox: Sandbox, call: Caller) -> None:
    data = bytes(range(256)) * 1000
    stored = call("POST", "fs-content/Shared/new/%C3%BC%20%23.bin", data=data)
    assert stored.status_code == 200
    assert set(stored.json()) == {"checksum", "path", "group_id", "entry_id"}
    assert stored.json()["path"] == "/Shared/new/ü #.bin"
    assert stored.headers["X-Sha512-Checksum"] == sha512(data) == stored.json()["checksum"]
    # Without quotes, as in a recording of Egnyte.
    assert stored.headers["ETag"] == stored.json()["entry_id"]
    got = call("GET", "fs-content/Shared/new/%C3%BC%20%23.bin")
    assert got.content == data
    assert got.headers["Content-Length"] == str(len(data))
    assert got.headers["ETag"] == stored.headers["ETag"]
    assert got.headers["X-Sha512-Checksum"] == sha512(data)
    assert sandbox.read_file("acme", "/Shared/new/ü #.bin") == data
    head = call("HEAD", "fs-content/Shared/new/%C3%BC%20%23.bin")
    assert (head.headers["Content-Length"], head.content) == (str(len(data)), b"")


def test_a_second_upload_is_a_second_version(call: Caller) -> None:
    first = call("POST", "fs-content/Shared/v.txt", data=b"one").json()
    second = call("POST", "fs-content/Shared/v.txt", data=b"two").json()
    assert first["group_id"] == second["group_id"]
    assert call("GET", "fs/Shared/v.txt").json()["num_versions"] == 2
    assert call("GET", "fs-content/Shared/v.txt").content == b"two"
    old = {"entry_id": first["entry_id"]}
    assert call("GET", "fs-content/Shared/v.txt", params=old).content == b"one"
    assert call("DELETE", "fs/Shared/v.txt", params=old).status_code == 200
    assert call("GET", "fs-content/Shared/v.txt", params=old).status_code == 404
    assert call("DELETE", "fs/Shared/v.txt", params=old).status_code == 404
    assert call("GET", "fs-content/Shared/v.txt").content == b"two"


def test_a_body_of_unknown_length_is_stored(sandbox: Sandbox, call: Caller) -> None:
    stored = call("POST", "fs-content/Shared/stream.bin", data=iter([b"ab", b"cd", b"e" * 70_000]))
    assert stored.status_code == 200
    assert sandbox.read_file("acme", "/Shared/stream.bin") == b"abcd" + b"e" * 70_000


def test_a_wrong_checksum_is_refused(call: Caller) -> None:
    headers = {"X-Sha512-Checksum": sha512(b"other")}
    assert call("POST", "fs-content/Shared/c.txt", headers, data=b"data").status_code == 400
    assert call("GET", "fs/Shared/c.txt").status_code == 404
    headers = {"X-Sha512-Checksum": sha512(b"data").upper()}
    assert call("POST", "fs-content/Shared/c.txt", headers, data=b"data").status_code == 200


def test_an_upload_over_the_limit_is_refused(sandbox: Sandbox, call: Caller) -> None:
    assert sandbox.settings.upload_limit == 100 * 1024 * 1024
    sandbox.settings.upload_limit = 200_000
    assert call("POST", "fs-content/Shared/big", data=b"x" * 200_001).status_code == 413
    assert call("POST", "fs-content/Shared/big", data=iter([b"x" * 200_001])).status_code == 413
    assert call("POST", "fs-content/Shared/big", data=b"x" * 200_000).status_code == 200


@pytest.mark.parametrize("path", ["Shared", "Shared/Documents", "Elsewhere/x", "Private/bdoe/x"])
def test_an_upload_must_be_allowed_at_its_place(call: Caller, path: str) -> None:
    assert call("POST", f"fs-content/{path}", data=b"x").status_code == 403


def test_a_part_of_a_file_is_downloaded(call: Caller) -> None:
    call("POST", "fs-content/Shared/r.txt", data=b"0123456789")

    def part(asked: str) -> tuple[int, bytes, str | None]:
        answer = call("GET", "fs-content/Shared/r.txt", {"Range": asked})
        return answer.status_code, answer.content, answer.headers.get("Content-Range")

    assert part("bytes=2-4") == (206, b"234", "bytes 2-4/10")
    assert part("bytes=7-") == (206, b"789", "bytes 7-9/10")
    assert part("bytes=-2") == (206, b"89", "bytes 8-9/10")
    assert part("bytes=10-")[0] == 416
    assert part("lines=1-2")[:2] == (200, b"0123456789")


def test_a_folder_is_made_once(call: Caller) -> None:
    made = call("POST", "fs/Shared/deep/er", json={"action": "add_folder"})
    assert (made.status_code, made.json()["path"]) == (201, "/Shared/deep/er")
    assert made.json()["folder_id"]
    again = call("POST", "fs/Shared/deep/er", json={"action": "add_folder"})
    assert again.status_code == 403
    assert again.json() == {"errorMessage": "Folder already exists at this location"}
    inside_a_file = call("POST", "fs/Shared/report%202024.txt/x", json={"action": "add_folder"})
    assert inside_a_file.status_code == 403


def test_move_and_copy(sandbox: Sandbox, call: Caller) -> None:
    def act(path: str, action: str, destination: Any) -> requests.Response:
        return call("POST", f"fs{path}", json={"action": action, "destination": destination})

    assert act("/Shared/Documents", "copy", "/Shared/Twin").json()["folder_id"]
    assert act("/Shared/Twin/welcome.txt", "move", "/Shared/moved.txt").json()["group_id"]
    assert sandbox.read_file("acme", "/Shared/moved.txt").startswith(b"Welcome")
    assert sandbox.read_file("acme", "/Shared/Documents/welcome.txt").startswith(b"Welcome")
    assert call("GET", "fs/Shared/Twin").json()["total_count"] == 0
    assert call("GET", "fs/Shared/moved.txt").json()["name"] == "moved.txt"
    assert act("/Shared/Twin", "move", "/Shared/Documents").status_code == 409
    assert act("/Shared/Twin", "move", "/Shared/Twin/inside").status_code == 400
    assert act("/Shared/Twin", "move", "relative").status_code == 400
    assert act("/Shared/Twin", "move", None).status_code == 400
    assert act("/Shared/Twin", "dance", "/Shared/x").status_code == 400
    assert act("/Shared/Twin", "move", "/Private/bdoe/x").status_code == 403
    assert act("/Shared/none", "copy", "/Shared/x").status_code == 404
    assert act("", "copy", "/Shared/x").status_code == 403


def test_delete(call: Caller) -> None:
    assert call("DELETE", "fs/Shared/Documents").status_code == 200
    assert call("GET", "fs/Shared/Documents").status_code == 404
    assert call("DELETE", "fs/Shared/Documents").status_code == 404
    assert call("DELETE", "fs/Shared").status_code == 403
    assert call("GET", "fs-content/Shared").status_code == 400


def test_a_token_without_the_scope_is_refused_plainly(sandbox: Sandbox, acme: str) -> None:
    linked = Caller(acme, sandbox.issue("acme", "jsmith", scopes=["Egnyte.link"]).access_token)
    everything = Caller(acme, sandbox.issue("acme", "jsmith").access_token)
    for path in ("fs/Shared", "fs-content/Shared/report%202024.txt", "search?query=report"):
        refused = linked("GET", path)
        assert (refused.status_code, refused.content) == (403, b"")
        assert "X-Mashery-Error-Code" not in refused.headers
        assert everything("GET", path).status_code == 200
    assert linked("GET", "userinfo").status_code == 200


def test_search_finds_names(sandbox: Sandbox, call: Caller) -> None:
    sandbox.add_file("acme", "/Private/bdoe/report.txt", b"secret", username="bdoe")
    body = call("GET", "search", params={"query": "report*"}).json()
    assert [found["path"] for found in body["results"]] == ["/Shared/report 2024.txt"]
    assert (body["total_count"], body["offset"]) == (1, 0)


def test_an_administrators_upload_under_another_name_is_the_others(
    sandbox: Sandbox, acme: str
) -> None:
    admin = Caller(acme, sandbox.issue("acme", "admin").access_token)
    admin("POST", "fs-content/Private/bdoe/x", {"X-Egnyte-Act-As": "bdoe"}, data=b"x")
    assert admin("GET", "fs/Private/bdoe/x").json()["uploaded_by"] == "bdoe"


def test_a_climbing_path_reaches_where_it_climbs_to(
    server: SandboxServer, sandbox: Sandbox, acme: str
) -> None:
    token = sandbox.issue("acme", "jsmith").access_token
    for path in ("fs/../userinfo", "fs/%2e%2e/userinfo", "fs/./../fs/../userinfo"):
        prepared = requests.Request("GET", "http://x", headers=bearer(token)).prepare()
        prepared.url = f"{acme}{API}{path}"
        answer = requests.Session().send(prepared, timeout=10)
        assert answer.json()["username"] == "jsmith"
        assert sandbox.requests_log[-1].path == "/pubapi/v1/userinfo"


def test_a_big_upload_and_a_synthetic_download_keep_memory_flat(
    sandbox: Sandbox, call: Caller
) -> None:
    size = 48 * 1024 * 1024
    sandbox.add_synthetic_file("acme", "/Shared/synthetic.bin", size)
    tracemalloc.start()
    try:
        upload = call("POST", "fs-content/Shared/big", data=(b"x" * 65_536 for _ in range(768)))
        digest = hashlib.sha512()
        with call("GET", "fs-content/Shared/synthetic.bin", stream=True) as answer:
            for block in answer.iter_content(65_536):
                digest.update(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert upload.status_code == 200
    assert answer.headers["Content-Length"] == str(size)
    assert answer.headers["X-Sha512-Checksum"] == digest.hexdigest()
    assert peak < 8 * 1024 * 1024
