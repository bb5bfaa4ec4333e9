"""One use of each area of the API, as in a site's code."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import IO, Any, assert_type

from django_egnyte.access import EgnyteHttpRequest, LinkedClient
from django_egnyte.api import (
    AsyncDownload,
    EgnyteClient,
    File,
    Folder,
    Rate,
    Source,
    UploadState,
)
from django_egnyte.api.areas.audit import Entry as AuditEntry
from django_egnyte.api.areas.events import Event
from django_egnyte.api.areas.groups import Group
from django_egnyte.api.areas.links import Link
from django_egnyte.api.areas.locks import Lock
from django_egnyte.api.areas.paging import Listing, Page, Stream
from django_egnyte.api.areas.permissions import FolderPermissions
from django_egnyte.api.areas.search import Hit, Where
from django_egnyte.api.areas.session import Identity
from django_egnyte.api.areas.users import User
from django_egnyte.api.areas.webhooks import Webhook
from django_egnyte.contrib.storage import EgnyteStorage
from django_egnyte.exceptions import (
    APIError,
    EventsExpiredError,
    ForbiddenError,
    PartialFailureError,
    TokenUse,
)
from django_egnyte.secret import Secret

reports = EgnyteStorage(account=1, root="/Shared/reports", link_days=7)


def find(client: LinkedClient, words: str) -> list[str]:
    hits = client.search(words, folder="/Shared", kind="FILE", page_size=20)
    assert_type(hits, Listing[Hit])
    assert_type(hits.total, int | None)
    page = hits.page(20)
    assert_type(page, Page[Hit])
    bills = client.search.with_metadata(where=[Where("bill", "amount", "EQUALS", 5)])
    return [hit.path for hit in page] + [hit.path for hit in bills]


def share(client: LinkedClient, path: str) -> str | None:
    try:
        link = client.links.create(path, expiry_date=datetime.date(2030, 1, 1), type="file")
    except ForbiddenError as error:
        return error.scope
    assert_type(link, Link)
    assert_type(client.links.send(path, ["a@example.com"]), tuple[Link, ...])
    client.links.delete(link.id)
    return link.url


def change(client: LinkedClient, path: str, file: IO[bytes]) -> File:
    state = UploadState()
    with client.files.lock(path, seconds=60) as lock:
        assert_type(lock, Lock)
        stored = client.files.upload(path, file, resume=state, progress=lambda done, total: None)
    known = client.files.by_id(stored.group_id or "")
    assert_type(known.read(), bytes)
    assert_type(client.files.exists(path), bool)
    assert_type(client.files.folder_by_id("id").list(), Listing[File | Folder])
    return known.upload(b"more")


def put_back(client: LinkedClient) -> Mapping[str, str]:
    try:
        client.trash.restore([item.id for item in client.trash.list()])
    except PartialFailureError as error:
        return error.failures
    return {}


def follow(client: LinkedClient, position: int) -> str:
    try:
        stream = client.events.after(position, kinds=["file_system"])
        assert_type(stream, Stream[Event])
        for event in stream:
            assert_type(event.timestamp, datetime.datetime | None)
    except EventsExpiredError:
        return str(client.events.cursor().oldest_event_id)
    return stream.position


def administer(client: LinkedClient) -> None:
    user = client.users.create("nina", "nina@example.com", "Nina", "Novak", user_type="power")
    assert_type(user, User)
    assert_type(client.users.change(user.id, active=False), User)
    assert_type(client.groups.create("Staff", [user.id]), Group)
    client.permissions.set("/Shared", users={"nina": "Editor"})
    assert_type(client.permissions.get("/Shared"), FolderPermissions)
    assert_type(client.permissions.effective("/Shared"), str)
    assert_type(client.webhooks.register("https://example.com/", value=None), Webhook)
    assert_type(client.metadata.get("bill", file="id"), Mapping[str, Any])
    assert_type(client.audit.stream(cursor="c"), Stream[AuditEntry])


def told(error: APIError) -> tuple[str | None, TokenUse | None]:
    return error.path, error.used


async def beginning(source: Source, path: str) -> tuple[bytes, bytes]:
    client = EgnyteClient(source)
    with client.files.open(path) as download:
        first = download.read1(100)
    rate = client.rate
    if rate is not None:
        assert_type(rate.of({}), Rate | None)
    async with await client.files.aopen(path) as download:
        assert_type(download, AsyncDownload)
        return first, await download.read(100)


async def enter(request: EgnyteHttpRequest) -> Secret:
    client = await request.aegnyte()
    assert_type(await client.awhoami(), Identity)
    async for hit in client.search("report"):
        assert_type(hit, Hit)
    assert_type(await client.links.aget("id"), Link)
    async with await client.files.alock("/Shared/a.txt"):
        await client.comments.aadd("/Shared/a.txt", "Done.")
    await client.bookmarks.acreate(folder_id="id")
    recent = await client.insights.arecent_files()
    assert_type(recent[0].last_accessed, datetime.datetime | None)
    folder = await client.salesforce.afolder("0015000000abcdeAAA")
    return await client.aweb_session(folder.path)
