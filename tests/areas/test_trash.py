from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from django_egnyte import answers
from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import BadRequestError, ForbiddenError, PartialFailureError
from django_egnyte.sandbox import Sandbox
from tests.areas.conftest import Way


@pytest.fixture
def deleted(admin: EgnyteClient, sandbox: Sandbox) -> list[str]:
    paths = [f"/Shared/old/{number:02}.txt" for number in range(23)]
    for path in paths:
        sandbox.add_file("acme", path, b"content")
        admin.files.delete(path)
    return paths


def test_the_trash_is_listed_over_pages(admin: EgnyteClient, deleted: list[str], way: Way) -> None:
    items = way.list(admin.trash.list(sort_by="name", page_size=10))
    assert [item.path for item in items] == deleted
    first = items[0]
    assert (first.name, first.type, first.size, first.deleted_by) == ("00.txt", "file", 7, "admin")
    assert first.delete_date < first.purge_date
    assert way(admin.trash, "count") == 23
    down = admin.trash.list(sort_by="name", descending=True)
    assert way.list(down)[0].name == "22.txt"


def test_what_was_deleted_is_restored_and_purged(
    admin: EgnyteClient, sandbox: Sandbox, deleted: list[str], way: Way
) -> None:
    ids = [item.id for item in admin.trash.list(sort_by="name")]
    way(admin.trash, "restore", ids[:21])  # At most ten in one call.
    assert sandbox.counts["trash:act"] == 3
    assert sandbox.read_file("acme", deleted[20]) == b"content"
    way(admin.trash, "purge", ids[21:])
    assert admin.trash.count() == 0


def test_a_partial_failure_says_what_failed(
    admin: EgnyteClient, sandbox: Sandbox, deleted: list[str], way: Way
) -> None:
    ids = [item.id for item in admin.trash.list(sort_by="name")][:12]
    sandbox.add_file("acme", deleted[0], b"taken meanwhile")
    with pytest.raises(PartialFailureError) as caught:
        way(admin.trash, "restore", [*ids, "unknown"])
    assert caught.value.status == 207
    assert caught.value.failures == {
        ids[0]: "File or folder already exists at this location",
        "unknown": "Not in the trash",
    }
    # The others are restored.
    assert admin.trash.count() == 12
    assert sandbox.read_file("acme", deleted[0]) == b"taken meanwhile"


@pytest.mark.parametrize("ids", [[], "abc"])
def test_ids_are_a_sequence(admin: EgnyteClient, ids: Any, way: Way) -> None:
    for name in ("restore", "purge"):
        with pytest.raises(ValueError, match="ids"):
            way(admin.trash, name, ids)


def test_filters_go_together(admin: EgnyteClient, deleted: list[str], way: Way) -> None:
    with pytest.raises(ValueError, match="together"):
        admin.trash.list(deleted_by="admin")
    day = date(2026, 1, 1)
    assert len(way.list(admin.trash.list(deleted_by="admin", start=day, end=day))) == 23
    assert way.list(admin.trash.list(deleted_by="bdoe", start=day, end=day)) == []
    response = admin.get("/pubapi/v2/fs/trash?deletedBy=admin")
    with pytest.raises(BadRequestError) as caught:
        answers.raise_for_status(response)
    assert caught.value.code == "INVALID_DATE_RANGE"


def test_the_trash_is_for_administrators(jane: EgnyteClient, way: Way) -> None:
    with pytest.raises(ForbiddenError):
        way(jane.trash, "count")
