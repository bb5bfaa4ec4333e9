"""Names of files and folders that Egnyte takes, and those it refuses."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from django_egnyte.sandbox import Sandbox

from .calls import Caller

REFUSED = [
    *(f"a{char}b" for char in '\\:*?"<>|'),
    " a",
    "a ",
    "a.",
    "a.tmp",
    "A.TMP",
    "Thumbs.db",
    ".DS_Store",
    "._a",
    "x" * 246,
]
ALLOWED = [
    "& _ % ; # ( ) { } [ ] ^ ~ $ ' ! , = @ + `",
    "%5C %0A %2e%2e",
    "\uff0f\uff3c.txt",
    "..;x",
    "Iñtërnâtiônàlizætiøn☃",
    ".hidden",
    "tmp",
    "x" * 245,
    "a\nb",
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_egnyte_refuses_is_a_400(sandbox: Sandbox, call: Caller, name: str) -> None:
    path = f"Shared/{quote(name, safe='')}"
    destination = {"destination": f"/Shared/{name}"}
    answers = [
        call("POST", f"fs-content/{path}", data=b"x"),
        call("POST", f"fs-content-chunked/{path}", data=b"x"),
        call("POST", f"fs-content/{path}/below.txt", data=b"x"),
        call("POST", f"fs/{path}", json={"action": "add_folder"}),
        call("POST", "fs/Shared/Documents", json={"action": "move", **destination}),
        call("POST", "fs/Shared/Documents", json={"action": "copy", **destination}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 6
    assert call("GET", "fs/Shared").json()["total_count"] == 2


@pytest.mark.parametrize("name", ALLOWED)
def test_a_name_that_egnyte_takes_comes_back(call: Caller, name: str) -> None:
    path = f"Shared/new/{quote(name, safe='')}"
    stored = call("POST", f"fs-content/{path}", data=b"x")
    assert (stored.status_code, stored.json()["path"]) == (200, f"/Shared/new/{name}")
    assert call("GET", "fs/Shared/new").json()["files"][0]["name"] == name
    assert call("GET", f"fs-content/{path}").content == b"x"
    assert call("DELETE", f"fs/{path}").status_code == 200
