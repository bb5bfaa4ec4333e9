from __future__ import annotations

import json
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.api.areas.notifications import (
    MAX_BYTES,
    MAX_EVENTS,
    is_from_egnyte,
    parse_delivery,
)
from django_egnyte.exceptions import ResponseError
from django_egnyte.sandbox import Sandbox
from django_egnyte.secret import Secret


def delivery(*numbers: int) -> bytes:
    return json.dumps([{"eventId": str(n), "eventType": "fs:add_file"} for n in numbers]).encode()


def test_what_the_sandbox_would_send_is_read(admin: EgnyteClient, sandbox: Sandbox) -> None:
    hook = admin.webhooks.register("https://site.example/hook")
    sandbox.add_file("acme", "/Shared/a.txt", b"x")
    events = [told["event"] for told in sandbox.notifications("acme")]
    [event] = parse_delivery(json.dumps(events).encode())
    assert (event.event_type, event.domain, event.webhook_id) == (
        "fs:add_file",
        "acme",
        hook.webhook_id,
    )
    assert event.data is not None and event.data["target_path"] == "/Shared/a.txt"
    assert event.user is not None and event.user["username"] == "jsmith"
    assert event.timestamp is not None and event.timestamp.tzinfo is not None


def test_the_same_event_thrice_comes_once() -> None:
    assert [each.event_id for each in parse_delivery(delivery(3, 1, 3, 2, 3))] == ["3", "1", "2"]
    assert parse_delivery(b"[]") == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b"[{}]",
        b'[{"eventId": "x"}]',
        b'[{"eventType": "fs:add_file", "eventId": null}]',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" + b" " * MAX_BYTES + b"]",
        delivery(*range(MAX_EVENTS + 1)),
        b"x" * 10_000_000,
    ],
    ids=range(12),
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(ResponseError) as caught:
        parse_delivery(body)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("sent", "expected", "right"),
    [
        ("hush", "hush", True),
        ("Hush", "hush", False),
        ("hush ", "hush", False),
        ("", "hush", False),
        (None, "hush", False),
        ("", "", False),
        ("größe", "größe", True),
        ("\udc80", "hush", False),
    ],
)
def test_the_header_proves_the_sender(sent: Any, expected: str, right: bool) -> None:
    assert is_from_egnyte(sent, Secret(expected)) is right
