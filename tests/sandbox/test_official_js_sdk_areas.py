"""Egnyte's SDK for JavaScript against the sandbox: other areas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# At first, npm fetches the SDK.
pytestmark = [pytest.mark.service("node"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def told(run_js: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The output of each step of the script."""
    return run_js("official_sdk_areas.js")


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
