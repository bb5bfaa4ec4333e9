"""Files and folders by path and by id: versions, locks, options, numbers and paths."""

from __future__ import annotations

from typing import Any

import pytest

from django_egnyte.sandbox import Sandbox

from .calls import Caller

FILE = "fs/Shared/report%202024.txt"
CONTENT = "fs-content/Shared/report%202024.txt"


@pytest.fixture
def bob(sandbox: Sandbox, acme: str) -> Caller:
    return Caller(acme, sandbox.issue("acme", "bdoe").access_token)


def act(call: Caller, path: str, action: str, **more: Any) -> Any:
    return call("POST", path, json={"action": action, **more})


def test_the_newest_version_is_not_among_the_versions(call: Caller) -> None:
    assert "versions" not in call("GET", FILE).json()
    first = call("GET", FILE).json()
    for data in (b"two", b"three"):
        call("POST", CONTENT, data=data)
    file = call("GET", FILE).json()
    assert [version["size"] for version in file["versions"]] == [3, 29]
    assert file["num_versions"] == 3
    assert file["entry_id"] not in [version["entry_id"] for version in file["versions"]]
    assert file["versions"][-1] == {
        "checksum": first["checksum"],
        "size": 29,
        "entry_id": first["entry_id"],
        "is_folder": False,
        "last_modified": first["last_modified"],
        "uploaded": first["uploaded"],
        "uploaded_by": "jsmith",
        "custom_metadata": [],
    }
    assert "versions" not in call("GET", "fs/Shared").json()["files"][0]
    old = call("GET", FILE, params={"entry_id": first["entry_id"]}).json()
    assert (old["size"], "versions" in old) == (29, False)
    assert call("GET", FILE, params={"key": "none"}).status_code == 404


def test_an_upload_may_say_when_it_was_modified(call: Caller) -> None:
    moment = "Mon, 03 Aug 2026 11:48:35 GMT"
    stored = call("POST", CONTENT, {"Last-Modified": moment}, data=b"x")
    assert stored.headers["Last-Modified"] == moment
    file = call("GET", FILE).json()
    assert file["last_modified"] == moment
    assert file["uploaded"] > 1_785_757_715_000
    assert call("POST", CONTENT, {"Last-Modified": "yesterday"}, data=b"x").status_code == 400


def test_everything_works_by_id_and_ids_stay(sandbox: Sandbox, call: Caller) -> None:
    file_id = call("GET", FILE).json()["group_id"]
    folder_id = call("GET", "fs/Shared/Documents").json()["folder_id"]
    assert call("GET", f"fs/ids/file/{file_id}").json() == call("GET", FILE).json()
    moved = act(call, f"fs/ids/file/{file_id}", "move", destination="/Shared/Documents/r.txt")
    assert (moved.status_code, moved.json()["group_id"]) == (200, file_id)
    assert call("GET", f"fs/ids/file/{file_id}").json()["path"] == "/Shared/Documents/r.txt"
    stored = call("POST", f"fs-content/ids/file/{file_id}", data=b"new").json()
    assert (stored["path"], stored["group_id"]) == ("/Shared/Documents/r.txt", file_id)
    assert call("GET", f"fs-content/ids/file/{file_id}").content == b"new"
    listing = call("GET", f"fs/ids/folder/{folder_id}").json()
    assert [file["name"] for file in listing["files"]] == ["r.txt", "welcome.txt"]
    assert call("DELETE", f"fs/ids/folder/{folder_id}").status_code == 200
    for wrong in (f"fs/ids/file/{file_id}", f"fs/ids/folder/{folder_id}", "fs/ids/file/x"):
        assert call("GET", wrong).status_code == 404


def test_an_id_is_of_one_kind_and_of_what_the_user_may_see(
    sandbox: Sandbox, call: Caller, bob: Caller
) -> None:
    sandbox.add_file("acme", "/Private/bdoe/a", b"a", username="bdoe")
    file_id = bob("GET", "fs/Private/bdoe/a").json()["group_id"]
    assert bob("GET", f"fs-content/ids/file/{file_id}").content == b"a"
    assert bob("GET", f"fs/ids/folder/{file_id}").status_code == 404
    assert call("GET", f"fs-content/ids/file/{file_id}").status_code == 404
    assert call("DELETE", f"fs/ids/file/{file_id}").status_code == 404


def test_stats_and_parents(sandbox: Sandbox, call: Caller) -> None:
    sandbox.add_file("acme", "/Shared/Documents/a/b.txt", b"x" * 2048)
    sandbox.add_file("acme", "/Shared/Documents/a/b.txt", b"12345")
    folder_id = call("GET", "fs/Shared/Documents").json()["folder_id"]
    assert call("GET", f"fs/ids/folder/{folder_id}/stats").json() == {
        "filesCount": 2,
        "foldersCount": 1,
        "fileVersionsCount": 3,
        "allFilesSize": 36,
        "allVersionsSize": 2084,
        "allFilesSizeInKB": 0,
        "allVersionsSizeInKB": 2,
    }
    inside = call("GET", "fs/Shared/Documents/a").json()["folder_id"]
    told = call("GET", f"fs/ids/folder/{inside}/parents").json()
    assert told["self"]["path"] == "/Shared/Documents/a"
    assert [each["path"] for each in told["parents"]] == ["/Shared/Documents", "/Shared"]


def test_a_lock_is_shown_and_keeps_others_out(sandbox: Sandbox, call: Caller, bob: Caller) -> None:
    locked = act(call, FILE, "lock").json()
    assert (locked["timeout"], locked["path"]) == (3599, "/Shared/report 2024.txt")
    plain = bob("GET", FILE).json()
    assert plain["locked"] is True
    assert "lock_info" not in plain
    (shown,) = bob("GET", "fs/Shared", params={"include_locks": "true"}).json()["files"]
    assert shown["lock_info"] == {
        "owner_id": 121,
        "first_name": "Jane",
        "last_name": "Smith",
        "email": "jsmith@acme.example",
    }
    moved = {"destination": "/Shared/other.txt"}
    for status in (403, 409, 423):
        sandbox.settings.locked_status = status
        answers = [
            bob("POST", CONTENT, data=b"x"),
            bob("DELETE", FILE),
            act(bob, FILE, "move", **moved),
            act(bob, FILE, "lock"),
        ]
        assert [answer.status_code for answer in answers] == [status] * 4
    assert call("POST", CONTENT, data=b"mine").status_code == 200
    assert act(bob, FILE, "unlock").status_code == 404
    assert set(act(bob, FILE, "unlock", lock_token="wrong").json()) == {"errorMessage"}
    unlocked = act(call, FILE, "unlock", lock_token=locked["lock_token"])
    assert (unlocked.status_code, unlocked.content) == (200, b"")
    assert bob("POST", CONTENT, data=b"x").status_code == 200


def test_a_lock_ends_and_may_have_its_own_token(sandbox: Sandbox, call: Caller) -> None:
    told = act(call, FILE, "lock", lock_token="mine", lock_timeout=60).json()
    assert (told["lock_token"], told["timeout"]) == ("mine", 59)
    sandbox.advance(61)
    assert call("GET", FILE).json()["locked"] is False
    assert act(call, FILE, "unlock", lock_token="mine").status_code == 404
    assert act(call, FILE, "lock").status_code == 200
    assert act(call, FILE, "unlock").status_code == 200
    assert act(call, "fs/Shared/Documents", "lock").status_code == 400
    assert act(call, FILE, "lock", lock_timeout="long").status_code == 400


def test_options_of_a_folder(call: Caller) -> None:
    given = {"folder_description": "All", "public_links": "disabled", "allow_links": False}
    changed = call("PATCH", "fs/Shared/Documents", json=given)
    assert (changed.status_code, changed.json()["folder_description"]) == (200, "All")
    folder = call("GET", "fs/Shared/Documents").json()
    assert {name: folder[name] for name in given} == given
    bad = [
        ("fs/Shared", given),
        (FILE, given),
        ("fs/Shared/Documents", {"folder_description": "x" * 201}),
        ("fs/Shared/Documents", {"public_links": "all"}),
        ("fs/Shared/Documents", {"colour": "red"}),
    ]
    assert [call("PATCH", path, json=body).status_code for path, body in bad] == [400] * 5
    assert call("PATCH", "fs/Shared/none", json=given).status_code == 404


def test_a_listing_has_a_hundred_entries_at_first_and_a_thousand_at_most(
    sandbox: Sandbox, call: Caller
) -> None:
    for number in range(102):
        sandbox.add_folder("acme", f"/Shared/many/{number:03}")
    page = call("GET", "fs/Shared/many").json()
    assert (page["count"], page["total_count"]) == (100, 102)
    assert call("GET", "fs/Shared/many", params={"count": 1000}).json()["count"] == 102
    assert call("GET", "fs/Shared/many", params={"count": 1001}).status_code == 400
    sandbox.settings.list_limit = 10
    sandbox.settings.count_over_limit = "cut"
    assert call("GET", "fs/Shared/many", params={"count": 50}).json()["count"] == 10


def test_a_listing_is_sorted(sandbox: Sandbox, call: Caller) -> None:
    for name, size in (("a", 3), ("b", 1), ("c", 2)):
        sandbox.add_file("acme", f"/Shared/s/{name}", b"x" * size)
        sandbox.advance(1)

    def names(**params: str) -> str:
        return "".join(f["name"] for f in call("GET", "fs/Shared/s", params=params).json()["files"])

    assert names(sort_by="size") == "bca"
    assert names(sort_by="last_modified", sort_direction="descending") == "cba"
    assert names(sort_direction="descending") == "cba"
    assert call("GET", "fs/Shared/s", params={"sort_by": "colour"}).status_code == 400


def test_what_is_asked_for_is_told(sandbox: Sandbox, call: Caller) -> None:
    node = call("GET", FILE).json()
    sandbox.shelf("acme", "properties")[f"{node['group_id']}/ours"] = {"colour": "red"}
    asked = {"include_perm": "true", "list_custom_metadata": "true"}
    file = call("GET", FILE, params=asked).json()
    assert file["permission"] == "Full"
    assert file["custom_metadata"] == [
        {"scope": "public", "namespace": "ours", "key": "colour", "value": "red"}
    ]
    assert call("GET", "fs/Shared", params=asked).json()["permission"] == "Full"
    assert node["custom_metadata"] == []


def test_the_second_version_of_the_address_lists_too(call: Caller) -> None:
    assert call("GET", "../v2/fs/Shared").json() == call("GET", "fs/Shared").json()
