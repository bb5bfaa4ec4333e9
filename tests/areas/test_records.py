from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

from django_egnyte.api.areas.records import Record, records
from django_egnyte.exceptions import ResponseError
from django_egnyte.secret import Secret


@dataclass(frozen=True, slots=True)
class Inner(Record):
    id: str


@dataclass(frozen=True, slots=True)
class Thing(Record):
    id: str
    size: int | None = None
    score: float | None = None
    is_open: bool | None = None
    last_modified: datetime | None = None
    due: date | None = None
    names: tuple[str, ...] = ()
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    more: Mapping[str, Any] | None = None
    anything: Any = None
    password: Secret | None = None


def test_what_is_missing_is_none_and_what_is_new_is_raw() -> None:
    thing = Thing.of({"id": 7, "novelty": [1]})
    assert thing == Thing("7")
    assert thing.raw == {"id": 7, "novelty": [1]}


def test_a_required_field_is_required() -> None:
    for wrong in ({}, {"id": None}, {"id": []}, [], None, "text"):
        with pytest.raises(ResponseError, match="thing"):
            Thing.of(wrong)


@pytest.mark.parametrize("name", ["last_modified", "lastModified", "LastModified", "lastmodified"])
@pytest.mark.parametrize(
    "value",
    [
        1_785_757_715_000,
        "1785757715000",
        "2026-08-03T11:48:35Z",
        "2026-08-03T11:48:35.000+0000",
        "2026-08-03T13:48:35+02:00",
        "Mon, 03 Aug 2026 11:48:35 GMT",
    ],
)
def test_a_time_is_aware_however_it_is_spelled(name: str, value: Any) -> None:
    expected = datetime(2026, 8, 3, 11, 48, 35, tzinfo=UTC)
    assert Thing.of({"id": "x", name: value}).last_modified == expected


def test_values_are_read_in_each_form() -> None:
    thing = Thing.of(
        {
            "id": "x",
            "size": "12",
            "score": 1,
            "isOpen": "TRUE",
            "due": "2026-01-31",
            "names": ["a", 5, None, {}],
            "inner": {"ID": "i"},
            "inners": [{"id": "j"}, "no"],
            "more": {"k": 1},
            "anything": [0],
        }
    )
    assert (thing.size, thing.score, thing.is_open, thing.due) == (12, 1.0, True, date(2026, 1, 31))
    assert thing.names == ("a", "5")
    assert thing.inner == Inner("i")
    assert thing.inners == (Inner("j"),)
    assert (thing.more, thing.anything) == ({"k": 1}, [0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", True),
        ("size", "many"),
        ("size", "9" * 4000),
        ("score", "x"),
        ("is_open", 1),
        ("is_open", "maybe"),
        ("last_modified", "yesterday"),
        ("last_modified", True),
        ("last_modified", 10**30),
        ("due", {}),
        ("names", "abc"),
        ("inner", []),
        ("inners", {}),
        ("more", []),
        ("password", 5),
        ("password", ""),
    ],
)
def test_nonsense_counts_as_missing(name: str, value: Any) -> None:
    assert Thing.of({"id": "x", name: value}) == Thing("x")


def test_a_secret_shows_neither_in_the_record_nor_in_its_raw_json() -> None:
    thing = Thing.of({"id": "x", "Password": "open sesame"})
    assert thing.password == Secret("open sesame")
    assert "sesame" not in repr(thing) + repr(thing.raw) + str(dict(thing.raw))
    assert thing.raw["Password"] == Secret("open sesame")


def test_a_record_cannot_be_changed_and_can_be_a_key() -> None:
    inner = Inner.of({"id": "i"})
    with pytest.raises(FrozenInstanceError):
        inner.id = "j"  # type: ignore[misc]
    assert {inner: 1}[Inner("i")] == 1


def test_lists_of_records() -> None:
    assert records(Inner, None) == ()
    assert records(Inner, [{"id": 1}]) == (Inner("1"),)
    for wrong in ({}, "x", [1]):
        with pytest.raises(ResponseError):
            records(Inner, wrong)
