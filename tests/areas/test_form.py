"""The common behaviour of all areas."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient, areas
from django_egnyte.api.areas import Areas
from django_egnyte.api.areas.base import Area, iso, milliseconds, options_of, segment
from django_egnyte.api.areas.file_by_id import FileById
from django_egnyte.api.areas.folder_by_id import FolderById
from django_egnyte.api.areas.locks import Lock
from django_egnyte.api.areas.notifications import Notification
from django_egnyte.api.areas.places import Places
from django_egnyte.exceptions import ForbiddenError, InvalidPathError
from tests.areas.conftest import MakeClient, Way

NAMES = [name for name in vars(Areas) if isinstance(getattr(Areas, name), type)]
KINDS = [getattr(Areas, name) for name in NAMES]


def test_each_area_is_an_attribute_of_the_client_and_shows_no_token(jane: EgnyteClient) -> None:
    assert len(NAMES) >= 14
    for name in NAMES:
        area = getattr(jane, name)
        assert isinstance(area, Area)
        assert area.scope.startswith("Egnyte.")
        assert repr(area) == f"<{type(area).__name__} of <EgnyteClient acme.egnyte.com>>"
        assert getattr(Areas, name).__doc__
        assert not hasattr(area, "__dict__")


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_each_operation_has_an_asynchronous_twin_of_its_name(kind: type[Area]) -> None:
    operations = {
        name: method
        for name, method in vars(kind).items()
        if not name.startswith("_") and hasattr(method, "__wrapped__")
    }
    for name, method in operations.items():
        if inspect.iscoroutinefunction(method):
            assert method.__name__ == name
            assert operations[name.removeprefix("a")].__wrapped__ is method.__wrapped__
        else:
            assert method.__name__ == name
            twin = operations[f"a{name}"]
            assert inspect.iscoroutinefunction(twin)
            assert twin.__doc__ == method.__doc__


@pytest.mark.parametrize("kind", [*KINDS, FileById, FolderById, Places, Lock, Notification])
def test_an_area_is_short(kind: type) -> None:
    assert len(inspect.getsource(inspect.getmodule(kind)).splitlines()) <= 150  # type: ignore[arg-type]


CALLS: dict[str, tuple[str, str, tuple[Any, ...]]] = {
    "Egnyte.audit": ("audit", "is_ready", ("x",)),
    "Egnyte.bookmark": ("bookmarks", "get", ("x",)),
    "Egnyte.filesystem": ("comments", "get", ("x",)),
    "Egnyte.group": ("groups", "get", ("x",)),
    "Egnyte.link": ("links", "get", ("x",)),
    "Egnyte.permission": ("permissions", "get", ("/Shared",)),
    "Egnyte.salesforce": ("salesforce", "folder", ("0" * 18,)),
    "Egnyte.user": ("users", "get", (1,)),
    "Egnyte.webhooks": ("webhooks", "get", ("x",)),
}


@pytest.mark.parametrize("scope", CALLS)
def test_a_403_says_which_scope_the_area_needs(scope: str, client_of: MakeClient, way: Way) -> None:
    area, name, args = CALLS[scope]
    client = client_of("admin", "Egnyte.ai")
    with pytest.raises(ForbiddenError) as caught:
        way(getattr(client, area), name, *args)
    assert caught.value.scope == scope
    assert scope in caught.value.hint
    assert "egnyte_required" in caught.value.hint


def test_a_list_says_it_too(client_of: MakeClient, way: Way) -> None:
    client = client_of("jsmith", "Egnyte.filesystem")
    with pytest.raises(ForbiddenError) as caught:
        way.list(client.links.list())
    assert caught.value.scope == "Egnyte.link"
    with pytest.raises(ForbiddenError) as caught:
        way(client, "web_session")
    assert caught.value.scope == "Egnyte.launchwebsession"


@pytest.mark.parametrize("wrong", ["", "a/b", "..", ".", "%2e%2e", "..;x", "a\\b", "a\nb", "/"])
def test_an_id_is_one_segment_of_a_path(wrong: str, jane: EgnyteClient) -> None:
    with pytest.raises(InvalidPathError):
        jane.links.get(wrong)


def test_what_an_id_holds_is_encoded() -> None:
    assert segment("a b?c#d") == "a%20b%3Fc%23d"
    assert segment(12) == "12"


def test_a_naive_time_is_refused() -> None:
    from datetime import UTC, date, datetime, timedelta, timezone

    naive = datetime(2026, 1, 2, 3, 4, 5)
    for convert in (iso, milliseconds):
        with pytest.raises(ValueError, match="time zone"):
            convert(naive)
    east = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert iso(east) == "2026-01-02T01:04:05Z"
    assert iso(date(2026, 1, 2)) == "2026-01-02"
    assert milliseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1000
    assert iso(None) is milliseconds(None) is None


def test_an_option_that_is_not_there_is_a_type_error(jane: EgnyteClient) -> None:
    with pytest.raises(TypeError, match="expires"):
        jane.links.create("/Shared/a.txt", expires="2026-01-01")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="folders"):
        jane.search("abc", folders="/Shared")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="emial"):
        options_of(areas.users.UserChanges, {"emial": "x"})


def test_areas_act_as_another_user(admin: EgnyteClient) -> None:
    other = admin.act_as(username="jsmith")
    mark = other.bookmarks.create("/Shared/Documents")
    assert [each.id for each in other.bookmarks.list()] == [mark.id]
    assert not admin.bookmarks.list()
