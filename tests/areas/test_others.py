"""Bookmarks, metadata, web sessions, whoami, audit, insights, Salesforce and webhooks."""

from __future__ import annotations

import traceback
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests

from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidPathError,
    NotFoundError,
    ResponseError,
)
from django_egnyte.sandbox import Sandbox
from django_egnyte.secret import Secret
from tests.api.connections import Line
from tests.areas.conftest import MakeClient, Way
from tests.rawserver import always, answer, serving

TODAY = date(2026, 1, 2)


def test_bookmarks(jane: EgnyteClient, client_of: MakeClient, sandbox: Sandbox, way: Way) -> None:
    made = way(jane.bookmarks, "create", "/Shared/Documents")
    assert made.path == "/Shared/Documents" and made.folder_id and made.creation_date
    by_id = way(jane.bookmarks, "create", folder_id=made.folder_id)
    assert by_id.path == made.path
    for number in range(5):
        sandbox.add_folder("acme", f"/Shared/{number}")
        jane.bookmarks.create(f"/Shared/{number}")
    listing = jane.bookmarks.list(page_size=3)
    assert len(way.list(listing)) == 7
    assert sandbox.counts["bookmarks:list"] == 3
    assert way(jane.bookmarks, "get", made.id) == made
    with pytest.raises(NotFoundError):
        way(client_of("bdoe").bookmarks, "get", made.id)
    way(jane.bookmarks, "delete", made.id)
    with pytest.raises(NotFoundError):
        way(jane.bookmarks, "get", made.id)
    for wrong in ({}, {"path": "/Shared", "folder_id": "x"}):
        with pytest.raises(ValueError, match="either"):
            way(jane.bookmarks, "create", **wrong)


def test_metadata(admin: EgnyteClient, jane: EgnyteClient, way: Way) -> None:
    keys = {"amount": {"type": "decimal", "helpText": "In euros"}, "client": {"type": "string"}}
    way(admin.metadata, "create", "bill", keys, scope="public")
    with pytest.raises(ConflictError):
        way(admin.metadata, "create", "bill", keys)
    with pytest.raises(ValueError, match="hyphen"):
        way(admin.metadata, "create", "a-b", keys)
    with pytest.raises(ForbiddenError):
        way(jane.metadata, "create", "other", keys)
    [namespace] = way(jane.metadata, "namespaces")
    assert (namespace.name, namespace.scope) == ("bill", "public")
    assert namespace.keys["amount"]["helpText"] == "In euros"
    assert way(jane.metadata, "namespace", "bill") == namespace
    [hit] = jane.search("welcome")
    folder = jane.bookmarks.create("/Shared/Documents").folder_id
    for place in ({"file": hit.group_id}, {"file": hit.entry_id}, {"folder": folder}):
        way(jane.metadata, "set", "bill", {"amount": 5}, **place)
        way(jane.metadata, "set", "bill", {"client": "acme"}, **place)
        assert way(jane.metadata, "get", "bill", **place) == {"amount": 5, "client": "acme"}
    with pytest.raises(BadRequestError):
        way(jane.metadata, "set", "bill", {"other": 1}, folder=folder)
    with pytest.raises(NotFoundError):
        way(jane.metadata, "get", "bill", file="unknown")
    with pytest.raises(ValueError, match="either"):
        way(jane.metadata, "get", "bill")
    with pytest.raises(ConflictError):
        way(admin.metadata, "delete", "bill")
    way(admin.metadata, "delete", "bill", force=True)
    assert way(jane.metadata, "namespaces") == ()


def test_a_web_session_is_a_secret_address_that_works_once(jane: EgnyteClient, way: Way) -> None:
    address = way(jane, "web_session", "/Shared/Documents")
    assert isinstance(address, Secret)
    assert "/sandbox/web-session/" in address.reveal()
    assert requests.get(address.reveal(), timeout=5).text.endswith("Signed in as jsmith.")
    assert requests.get(address.reveal(), timeout=5).status_code == 404
    with pytest.raises(NotFoundError):
        way(jane, "web_session", "/Shared/none")


def test_a_web_session_that_fails_shows_nothing() -> None:
    script = always(answer(body=b'{"redirect": 5, "other": "https://x.example/?bearer=sesame"}'))
    with serving(script) as server:
        client = EgnyteClient(Line(server.url))
        with pytest.raises(ResponseError) as caught:
            client.web_session()
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "sesame" not in "".join(report.format())


def test_whoami_tells_the_scopes_by_their_names(client_of: MakeClient, way: Way) -> None:
    some = way(client_of("jsmith", "Egnyte.filesystem", "Egnyte.link"), "whoami")
    assert (some.username, some.domain, some.client_id) == ("jsmith", "acme", "sandbox-code-key")
    assert some.scopes == ("Egnyte.filesystem", "Egnyte.link")
    assert some.raw["scopes"] == ["fs", "link"]
    assert "Egnyte.launchwebsession" in way(client_of("jsmith"), "whoami").scopes


def test_whoami_keeps_what_it_does_not_know() -> None:
    body = b'{"username": "x", "scopes": ["fs", "FILESYSTEM", "novelty", "Egnyte.link"]}'
    with serving(always(answer(body=body))) as server:
        said = EgnyteClient(Line(server.url)).whoami()
    assert said.scopes == ("Egnyte.filesystem", "Egnyte.filesystem", "novelty", "Egnyte.link")


def test_an_audit_report(admin: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    for number in range(7):
        sandbox.add_file("acme", f"/Shared/{number}.txt", b"x")
    job = way(admin.audit, "create", "files", TODAY, TODAY, folders=["/Shared"])
    assert way(admin.audit, "is_ready", job) is False
    with pytest.raises(NotFoundError):
        way.list(admin.audit.report("files", job))
    sandbox.advance(120)
    assert way(admin.audit, "is_ready", job) is True
    listing = admin.audit.report("files", job, page_size=4)
    lines = way.list(listing)
    assert lines[-1]["target"] == "/Shared/6.txt"
    assert way.total(listing) == len(lines)
    way(admin.audit, "delete", "files", job)
    with pytest.raises(NotFoundError):
        way(admin.audit, "is_ready", job)


def test_audit_bad_input(admin: EgnyteClient, jane: EgnyteClient, way: Way) -> None:
    with pytest.raises(ValueError, match="events"):
        way(admin.audit, "create", "logins", TODAY, TODAY)
    with pytest.raises(ValueError, match="folders"):
        way(admin.audit, "create", "files", TODAY, TODAY)
    with pytest.raises(BadRequestError) as caught:
        way(admin.audit, "create", "users", TODAY, TODAY - timedelta(days=1))
    assert caught.value.code == "INVALID_DATE_RANGE"
    with pytest.raises(ForbiddenError):
        way(jane.audit, "create", "users", TODAY, TODAY)
    with pytest.raises(ValueError, match="either"):
        admin.audit.stream()


def test_the_audit_stream_goes_on_where_it_was(
    admin: EgnyteClient, sandbox: Sandbox, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_egnyte.sandbox.areas.audit.PART", 3)
    before = len(way.list(admin.audit.stream(start=datetime.now(UTC) - timedelta(days=1))))
    for number in range(5):
        sandbox.add_file("acme", f"/Shared/{number}.txt", b"x")
    stream = admin.audit.stream(start=datetime.now(UTC) - timedelta(days=1))
    assert len(way.list(stream)) == before + 5
    sandbox.add_file("acme", "/Shared/late.txt", b"x")
    late = way.list(admin.audit.stream(cursor=stream.position))
    assert [line["target"] for line in late] == ["/Shared/late.txt"]
    with pytest.raises(BadRequestError):
        way.list(admin.audit.stream(cursor="stale"))
    with pytest.raises(BadRequestError):
        way.list(admin.audit.stream(start=datetime.now(UTC) - timedelta(days=9)))


def test_recent_files(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    for number in range(12):
        sandbox.advance(1)
        sandbox.add_file("acme", f"/Shared/x/{number}.txt", b"x")
    recent = way(jane.insights, "recent_files")
    assert [file.name for file in recent] == [f"{number}.txt" for number in range(11, 1, -1)]
    assert recent[0].last_accessed.tzinfo is not None and recent[0].size == 1
    assert len(way(jane.insights, "recent_files", "/Shared/Documents")) == 1


def test_the_folder_of_a_salesforce_record(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    record = "0015000000abcdeAAA"
    sandbox.map_salesforce("acme", record, "/Shared/Documents")
    mapped = way(jane.salesforce, "folder", record)
    assert mapped.path == "/Shared/Documents" and mapped.folder_id
    with pytest.raises(NotFoundError):
        way(jane.salesforce, "folder", "x" * 18)
    with pytest.raises(ValueError, match="18"):
        way(jane.salesforce, "folder", "short")
    with pytest.raises(InvalidPathError):
        way(jane.salesforce, "folder", "../../../../../..1")


def test_webhooks(admin: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    url = "https://site.example/egnyte/webhook/"
    made = way(
        admin.webhooks,
        "register",
        url,
        events=["fs:add_file"],
        paths=["/Shared/in"],
        header="X-Hook",
        value=Secret("hush"),
    )
    assert (made.url, made.status, made.event_type) == (url, "enabled", ("fs:add_file",))
    assert made.expires > datetime.now(UTC)
    assert "hush" not in repr(made) + repr(made.raw)
    assert [each.webhook_id for each in way(admin.webhooks, "list")] == [made.webhook_id]
    assert way(admin.webhooks, "get", made.webhook_id).path == "/Shared/in"
    sandbox.add_file("acme", "/Shared/in/a.txt", b"x")
    sandbox.add_file("acme", "/Shared/other.txt", b"x")
    [told] = sandbox.notifications("acme")
    assert (told["url"], told["headers"]) == (url, {"X-Hook": "hush"})
    assert told["event"]["eventType"] == "fs:add_file"
    assert told["event"]["data"]["target_path"] == "/Shared/in/a.txt"
    way(admin.webhooks, "disable", made.webhook_id)
    sandbox.add_file("acme", "/Shared/in/b.txt", b"x")
    assert sandbox.notifications("acme") == []
    way(admin.webhooks, "enable", made.webhook_id)
    assert way(admin.webhooks, "get", made.webhook_id).status == "enabled"
    way(admin.webhooks, "delete", made.webhook_id)
    assert way(admin.webhooks, "list") == ()
    with pytest.raises(NotFoundError):
        way(admin.webhooks, "delete", made.webhook_id)


def test_webhooks_bad_input(admin: EgnyteClient, jane: EgnyteClient, way: Way) -> None:
    url = "https://site.example/hook"
    wrong: list[dict[str, Any]] = [
        {"url": "http://site.example/hook"},
        {"url": url, "header": "X-Hook"},
        {"url": url, "value": Secret("x")},
        {"url": url, "paths": [f"/Shared/{number}" for number in range(101)]},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"https|neither|100"):
            way(admin.webhooks, "register", **arguments)
    with pytest.raises(ForbiddenError):
        way(jane.webhooks, "list")
    for _ in range(10):
        admin.webhooks.register(url)
    with pytest.raises(ConflictError) as caught:
        way(admin.webhooks, "register", url)
    assert caught.value.code == "QUOTA_EXCEEDED"


@pytest.mark.parametrize("body", [b"{}", b"nonsense", b"[1]"])
def test_a_bare_list_that_is_none(body: bytes) -> None:
    with serving(always(answer(body=body))) as server, pytest.raises(ResponseError):
        EgnyteClient(Line(server.url)).webhooks.list()
