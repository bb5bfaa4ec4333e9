"""Answers as frozen dataclasses that tolerate missing and additional members."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from django_egnyte.api.entries import moment_of
from django_egnyte.exceptions import ResponseError
from django_egnyte.secret import Secret

_R = TypeVar("_R", bound="Record")
_MISSING: Any = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A thing that Egnyte describes. A value that it did not send is None, or an empty tuple.

    A field takes the JSON member of its name in any spelling: `last_modified`, `lastModified` and
    `LastModified` are the same. Times become aware datetimes, from milliseconds, ISO 8601 or HTTP
    dates. `raw` is the JSON itself. A secret in it is a `Secret`.
    """

    raw: Mapping[str, Any] = dataclasses.field(
        default_factory=dict, kw_only=True, repr=False, compare=False
    )

    @classmethod
    def of(cls: type[_R], value: Any) -> _R:
        """Make one from JSON. ResponseError if a field without a default is missing."""
        if not isinstance(value, dict):
            raise ResponseError(f"Egnyte described {_named(cls)} in a form that is not known.")
        raw = dict(value)
        spelled = {_plain(name): name for name in reversed(raw)}
        members = cls._prepare({name: raw[at] for name, at in spelled.items()})
        found: dict[str, Any] = {}
        for part in _parts(cls):
            result = part.read(members.get(part.key))
            if result is not _MISSING:
                found[part.name] = result
            elif part.required:
                raise ResponseError(f"Egnyte described {_named(cls)} without its {part.name}.")
            if part.secret and part.key in spelled:
                raw[spelled[part.key]] = found.get(part.name)
        return cls(raw=raw, **found)

    @classmethod
    def _prepare(cls, members: dict[str, Any]) -> dict[str, Any]:
        """Overridden to move nested members to the top. Names are in lower case without `_`."""
        return members


def records(kind: type[_R], values: Any) -> tuple[_R, ...]:
    """The records of a JSON array. None counts as an empty array."""
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ResponseError("Egnyte sent a list in a form that is not known.")
    return tuple(kind.of(value) for value in values)


class _Part(NamedTuple):
    name: str
    key: str
    read: Callable[[Any], Any]
    required: bool
    secret: bool


_known: dict[type[Record], tuple[_Part, ...]] = {}


def _parts(cls: type[Record]) -> tuple[_Part, ...]:
    if cls in _known:
        return _known[cls]
    hints = get_type_hints(cls)
    parts = _known[cls] = tuple(
        _Part(
            field.name,
            _plain(field.name),
            _reader(hints[field.name]),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            Secret in (hints[field.name], *get_args(hints[field.name])),
        )
        for field in dataclasses.fields(cls)
        if field.name != "raw"
    )
    return parts


def _reader(hint: Any) -> Callable[[Any], Any]:
    """A function that converts a JSON value to this type, or to `_MISSING`."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        # X | None: JSON's null counts as a missing member.
        return _reader(next(kind for kind in get_args(hint) if kind is not type(None)))
    if origin is tuple:
        return functools.partial(_read_all, _reader(get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, Record):
        return functools.partial(_read_record, hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _read_mapping
    return _READERS[hint]


def _read_all(read: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, list):
        return _MISSING
    return tuple(item for item in map(read, value) if item is not _MISSING)


def _read_record(kind: type[Record], value: Any) -> Any:
    return kind.of(value) if isinstance(value, dict) else _MISSING


def _read_mapping(value: Any) -> Any:
    return value if isinstance(value, dict) else _MISSING


def _read_text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _MISSING


def _read_number(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Egnyte sends some numbers as text.
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
        return int(value)
    return _MISSING


def _read_float(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else _MISSING


def _read_truth(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), _MISSING)
    return value if isinstance(value, bool) else _MISSING


def _read_moment(value: Any) -> Any:
    moment = moment_of(value)
    return _MISSING if moment is None else moment


def _read_date(value: Any) -> Any:
    moment = moment_of(value)
    return _MISSING if moment is None else moment.date()


def _read_secret(value: Any) -> Any:
    return Secret(value) if isinstance(value, str) and value else _MISSING


_READERS: dict[Any, Callable[[Any], Any]] = {
    Any: lambda value: _MISSING if value is None else value,
    bool: _read_truth,
    date: _read_date,
    datetime: _read_moment,
    float: _read_float,
    int: _read_number,
    Secret: _read_secret,
    str: _read_text,
}


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _named(cls: type[Record]) -> str:
    return f"a {cls.__name__.lower()}"
