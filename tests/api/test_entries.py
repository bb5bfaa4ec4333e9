from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_egnyte.api.entries import (
    File,
    Folder,
    FolderListing,
    Page,
    entry_of,
    moment_of,
    page_of,
)
from django_egnyte.exceptions import InvalidPathError, ResponseError, UnavailableError

ROOT = Folder("", "/")


def files(*names: str) -> tuple[File, ...]:
    return tuple(File(name, f"/{name}") for name in names)


def test_a_file_is_read_with_all_that_is_said_of_it() -> None:
    value = {
        "name": "a.txt",
        "path": "/Shared/a.txt",
        "size": "5",
        "checksum": "ab",
        "entry_id": "e",
        "group_id": "g",
        "last_modified": "Tue, 03 Mar 2020 10:00:00 GMT",
        "uploaded_by": "jsmith",
        "num_versions": 2,
        "is_folder": False,
        "unknown": {},
    }
    moment = datetime(2020, 3, 3, 10, tzinfo=UTC)
    entry = entry_of(value)
    assert entry == File("a.txt", "/Shared/a.txt", 5, "ab", "e", "g", moment, "jsmith", 2)
    assert not entry.is_folder


def test_what_is_missing_is_none() -> None:
    assert entry_of({"name": "a"}, "/x") == File("a", "/x/a")
    assert entry_of({"path": "/x/a"}) == File("a", "/x/a")
    folder = entry_of({"path": "/x/a", "is_folder": True, "lastModified": 1000})
    assert folder == Folder("a", "/x/a", None, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    assert folder.is_folder
    with pytest.raises(ResponseError):
        entry_of({"size": 5})


@pytest.mark.parametrize(
    "value",
    [
        1583229600000,
        "1583229600000",
        1583229600000.0,
        "Tue, 03 Mar 2020 10:00:00 GMT",
        "2020-03-03T10:00:00Z",
        "2020-03-03T11:00:00+01:00",
        "2020-03-03 10:00:00",
    ],
)
def test_a_time_is_understood_in_every_form(value: object) -> None:
    moment = moment_of(value)
    assert moment == datetime(2020, 3, 3, 10, tzinfo=UTC)
    assert moment is not None
    assert moment.utcoffset() == timedelta(0)


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.lists(st.integers(), max_size=2)
)
def test_no_time_upsets(value: object) -> None:
    moment = moment_of(value)
    assert moment is None or moment.tzinfo is not None


@given(
    st.dictionaries(
        st.sampled_from(["name", "path", "size", "is_folder", "last_modified", "folder_id"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just({}),
    )
)
def test_no_entry_upsets(value: dict[str, object]) -> None:
    try:
        entry = entry_of(value)
    except ResponseError:
        return
    assert isinstance(entry.name, str)
    assert isinstance(entry.path, str)


@pytest.mark.parametrize("value", [{"files": "x"}, {"folders": [1]}, {"files": {"a": 1}}])
def test_a_listing_of_another_form_is_an_error(value: dict[str, object]) -> None:
    with pytest.raises(ResponseError):
        page_of(value, "/x", 0)


def test_a_listing_fetches_pages_as_it_is_read_and_keeps_them() -> None:
    asked: list[int] = []

    def fetch(offset: int) -> Page:
        asked.append(offset)
        names = "abcde"[offset : offset + 2]
        return Page(ROOT, offset + len(names), 5, files(*names))

    listing = FolderListing(Page(ROOT, 2, 5, files("a", "b")), fetch)
    first = iter(listing)
    assert [next(first).name, next(first).name] == ["a", "b"]
    assert asked == []
    assert not listing.complete
    assert [entry.name for entry in listing] == list("abcde")
    assert [entry.name for entry in listing.files] == list("abcde")
    assert listing.folders == []
    assert len(listing) == 5
    assert listing.complete
    assert asked == [2, 4]


def test_a_listing_goes_on_after_an_error() -> None:
    failures = [UnavailableError("down")]

    def fetch(offset: int) -> Page:
        if failures:
            raise failures.pop()
        return Page(ROOT, offset + 1, 2, files("b"))

    listing = FolderListing(Page(ROOT, 1, 2, files("a")), fetch)
    with pytest.raises(UnavailableError):
        list(listing)
    assert [entry.name for entry in listing] == ["a", "b"]


def test_a_server_that_knows_no_offsets_does_not_list_for_ever() -> None:
    for total in (None, 1_000_000):
        page = Page(ROOT, 2, total, files("a", "b"))
        assert len(FolderListing(page, lambda offset, page=page: page)) == 2


def test_without_a_total_an_empty_page_is_the_last() -> None:
    def fetch(offset: int) -> Page:
        names = ["c"] if offset == 2 else []
        return Page(ROOT, offset + len(names), None, files(*names))

    assert len(FolderListing(Page(ROOT, 2, None, files("a", "b")), fetch)) == 3
    assert not FolderListing(Page(ROOT, 0, None, ()), fetch)


@pytest.mark.parametrize(
    ("value", "is_folder"),
    [
        ({"name": "a", "is_folder": "true"}, True),
        ({"name": "a", "is_folder": "True"}, True),
        ({"name": "a", "is_folder": "false", "folder_id": "x"}, False),
        ({"name": "a", "is_folder": True}, True),
        ({"name": "a", "is_folder": "what"}, False),
        ({"name": "a", "folder_id": "x"}, True),
    ],
)
def test_a_boolean_may_be_text(value: dict[str, object], is_folder: bool) -> None:
    assert entry_of(value).is_folder is is_folder


def test_the_next_page_begins_where_this_one_ends() -> None:
    listed = {"files": [{"name": "a"}, {"name": "b"}]}
    assert page_of({**listed, "count": "100"}, "/x", 200).following == 300
    assert page_of(listed, "/x", 200).following == 202
    # A count that is smaller than the number of entries is ignored.
    assert page_of({**listed, "count": 1}, "/x", 200).following == 202
    with pytest.raises(InvalidPathError):
        page_of({"is_folder": "false"}, "/x", 0)
