"""What Egnyte's own SDK for JavaScript does beside files, against the sandbox."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from django_egnyte.sandbox import SandboxServer

from .test_official_js_sdk import sdk

__all__ = ["sdk"]  # a fixture

pytestmark = pytest.mark.service("node")

SCRIPT = Path(__file__).with_name("official_sdk_areas.js")


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


def test_links(told: dict[str, Any]) -> None:
    assert told["links"] == {
        "url": True,
        "path": "/Shared/Documents/welcome.txt",
        "ids": True,
        "found": True,
        "removed": 200,
        "gone": 404,
        "none": None,
    }


def test_notes(told: dict[str, Any]) -> None:
    assert told["notes"] == {"message": "A remark", "listed": [True], "gone": 404}


def test_events(told: dict[str, Any]) -> None:
    assert told["events"] == {"emitted": [["create", "/Shared/js events"]], "elsewhere": 204}


def test_users(told: dict[str, Any]) -> None:
    assert told["users"] == ["jsmith@acme.example", 404]


def test_permissions(told: dict[str, Any]) -> None:
    assert told["permissions"] == {
        "users": [{"subject": "jsmith", "permission": "Viewer"}],
        "effective": "Viewer",
        "own": "Owner",
        "byId": "Viewer",
    }


def test_search(told: dict[str, Any]) -> None:
    assert told["search"] == [1, "/Shared/Documents/welcome.txt", 0]
