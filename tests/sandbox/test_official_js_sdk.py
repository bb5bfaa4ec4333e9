"""What Egnyte's own SDK for JavaScript does with files, against the sandbox."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from django_egnyte.sandbox import SandboxServer
from tests.conftest import REQUIRED

pytestmark = pytest.mark.service("node")

SDK = "egnyte-js-sdk@2.10.1"
SCRIPT = Path(__file__).with_name("official_sdk.js")


@pytest.fixture(scope="module")
def sdk(request: pytest.FixtureRequest) -> Path:
    """The folder of the SDK, which npm puts into pytest's cache at first."""
    cache: Any = request.config.cache
    home: Path = cache.mkdir(SDK.replace("@", "-"))
    folder = home / "node_modules" / "egnyte-js-sdk"
    if not (home / "complete").exists():
        npm = shutil.which("npm")
        assert npm
        command = [npm, "install", "--prefix", str(home), "--ignore-scripts", "--no-audit"]
        done = subprocess.run([*command, "--no-fund", SDK], capture_output=True, text=True)
        if done.returncode != 0 and "node" not in REQUIRED:
            pytest.skip("npm could not install Egnyte's SDK")
        assert done.returncode == 0, done.stderr
        (home / "complete").touch()
    return folder


@pytest.fixture(scope="module")
def told(sdk: Path) -> dict[str, Any]:
    """What each step of the script tells."""
    with SandboxServer() as server:
        token = server.sandbox.issue("acme", "admin").access_token
        address = server.base_url.format(domain="acme")
        command = ["node", str(SCRIPT), str(sdk), address, token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


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
