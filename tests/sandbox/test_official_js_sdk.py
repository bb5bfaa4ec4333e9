"""Egnyte's SDK for JavaScript against the sandbox: files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# At first, npm fetches the SDK.
pytestmark = [pytest.mark.service("node"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def told(run_js: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The output of each step of the script."""
    return run_js("official_sdk.js")


def test_user_info(told: dict[str, Any]) -> None:
    assert told["userInfo"] == "admin"


def test_listing(told: dict[str, Any]) -> None:
    assert told["list"] == [["/Shared/Documents"], ["report 2024.txt"]]
    assert told["exists"] == [True, False]


def test_upload_and_download(told: dict[str, Any]) -> None:
    assert told["upload"] == {"same": True, "size": 5, "body": "hello", "etag": True}
    assert told["stream"] == "Quarterly figures: all good.\n"


def test_a_chunked_upload(told: dict[str, Any]) -> None:
    upload = told["chunked"]
    assert upload["verified"] is True
    assert upload["stored"] is True
    assert upload["size"] == 2 * 10 * 1024 * 1024 + 7
    assert upload["checksum"] == upload["expected"]


def test_versions(told: dict[str, Any]) -> None:
    assert told["versions"] == {
        "count": 3,
        "newest": True,
        "others": True,
        "old": "one",
        "one": 3,
        "removed": 200,
        "left": 2,
        "list": False,
    }


def test_locks(told: dict[str, Any]) -> None:
    assert told["lock"] == {
        "own": "a-token-of-mine",
        "timeout": 1799,
        "locked": True,
        "wrong": 404,
        "ended": "/Shared/Documents/welcome.txt",
        "made": "string",
        "after": False,
    }


def test_files_and_folders_by_id(told: dict[str, Any]) -> None:
    assert told["byId"] == {
        "path": "/Shared/report 2024.txt",
        "body": "Quarterly figures: all good.\n",
        "moved": "/Shared/js/moved report.txt",
        "version": 2,
        "folder": "/Shared/js",
        "parents": ["/Shared"],
        "removed": 200,
        "gone": 404,
    }


def test_folders(told: dict[str, Any]) -> None:
    assert told["folders"] == {
        "made": "/Shared/js/folder",
        "again": [403, "Folder already exists at this location"],
        "root": 409,
        "inside": ["inside"],
        "removed": 200,
        "missing": 404,
    }


def test_names(told: dict[str, Any]) -> None:
    names = told["names"]
    refused = {name for name, answer in names.items() if answer == 400}
    assert refused == {"a.tmp", "Thumbs.db", "ends with a dot.", " begins with a space"}
    assert all(name == answer for name, answer in names.items() if name not in refused)


def test_impersonation(told: dict[str, Any]) -> None:
    assert told["impersonate"] == {"seen": ["jsmith"], "byEmail": True, "unknown": 400}
