"""Egnyte's SDK for Python against the sandbox: other areas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_egnyte.sandbox import Sandbox, SandboxServer

egnyte = pytest.importorskip("egnyte", reason="Egnyte's own SDK is not installed")

FILE = "/Shared/Documents/welcome.txt"


@pytest.fixture
def client(server: SandboxServer, acme: str) -> Iterator[Any]:
    token = server.sandbox.issue("acme", "admin").access_token
    client = egnyte.EgnyteClient({"domain": "acme", "access_token": token})
    client._url_prefix = f"{acme}/"
    yield client
    client.close()


def test_links(client: Any) -> None:
    first, second = client.links.create(
        FILE, "file", "anyone", recipients=["a@x.example", "b@x.example"], expiry_clicks=3
    )
    assert first.url != second.url and first.expiry_clicks == 3
    listed = client.links.list(path=FILE)
    assert [link.id for link in listed] == [first.id, second.id]
    assert (listed.total_count, listed.offset) == (2, 0)
    assert client.links.get(first.id).accessibility == "anyone"
    [third] = client.file(FILE).link("password")
    assert third.password
    first.delete()
    assert client.links.list(path=FILE).total_count == 2


def test_notes(client: Any) -> None:
    note = client.file(FILE).add_note("A remark")
    assert (note.message, note.username, note.can_delete) == ("A remark", "admin", True)
    assert [each.id for each in client.notes.list(file=FILE)] == [note.id]
    assert client.folder("/Shared/Documents").get_notes().total_count == 1
    note.delete()
    assert client.file(FILE).get_notes().total_count == 0


def test_users(client: Any) -> None:
    made = client.users.create("nina", "S-1", "nina@acme.example", "Novak", "Nina")
    assert made.name["formatted"] == "Nina Novak"
    assert client.users.by_username("nina").id == made.id
    assert client.users.by_email("jsmith@acme.example").userName == "jsmith"
    assert client.users.by_username("nobody") is None
    made.update(email="other@acme.example", active=False)
    assert client.users.get(made.id).email == "other@acme.example"
    listed = client.users.list(startIndex=2, count=2)
    assert (len(listed), listed.total_count, listed.offset) == (2, 4, 1)
    made.delete()
    assert client.users.list().total_count == 3


def test_groups(client: Any) -> None:
    made = client.groups.create("Finance", [121])
    assert [member["display"] for member in made.members] == ["jsmith"]
    made.full_update("Money", [122])
    assert (made.displayName, made.members[0]["value"]) == ("Money", "122")
    assert client.groups.by_displayName("Money").id == made.id
    made.delete()
    assert client.groups.list().total_count == 0


def test_permissions(client: Any) -> None:
    folder = client.folder("/Shared/Documents")
    folder.set_permissions("Viewer", users=["jsmith"], groups=["Staff"])
    found = folder.get_permissions(users=["jsmith"])
    assert found.user_to_permission == {"jsmith": "Viewer"}
    assert folder.get_effective_permissions("jsmith") == "Viewer"


def test_events(client: Any, sandbox: Sandbox) -> None:
    events = client.events
    start = events.latest_event_id
    sandbox.add_file("acme", "/Shared/new.txt", b"x")
    [event] = events.list(start)
    assert (event.action, event.data["target_path"]) == ("create", "/Shared/new.txt")
    assert events.list(event.id) == ()


def test_search(client: Any) -> None:
    [match] = client.search.files("welcome")
    assert match.path == FILE


def test_an_audit_report(client: Any, sandbox: Sandbox) -> None:
    report = client.audits.files("json", "2026-01-01", "2026-01-02", folders=["/Shared"])
    assert not report.is_ready()
    sandbox.advance(120)
    assert report.is_ready()
    assert report.json()["totalCount"] == len(report.json()["events"])
