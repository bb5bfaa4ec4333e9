"""How to write an area of Egnyte's API: each operation once, as a generator.

`operation` turns the generator into a method, and `twin` makes the asynchronous form of the method:

    class Things(Area):
        scope = "Egnyte.thing"

        @operation
        def get(self, thing_id: str) -> Steps[Thing]:
            value = yield from self._json("GET", f"/pubapi/v1/things/{segment(thing_id)}")
            return Thing.of(value)

        aget = twin(get)

Only `Area` uses the client. The areas use the methods of `Area`.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

from django_egnyte import answers
from django_egnyte.api import steps
from django_egnyte.api.paths import fs_path
from django_egnyte.exceptions import ForbiddenError, InvalidPathError, ResponseError

if TYPE_CHECKING:
    import requests

    from django_egnyte.api.steps import Steps

_A = TypeVar("_A", bound="Area")
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Caller(Protocol):
    """The part of a client that an area uses."""

    @property
    def _call(self) -> Callable[..., Steps[requests.Response]]: ...

    @property
    def _host(self) -> str: ...

    async def _arun(self, work: Steps[_T]) -> _T: ...


class Area:
    """A part of the API, such as `client.links`.

    Each of its methods raises an exception for every error: APIError for a refusal,
    UnavailableError, RateLimitedError, ResponseError, and, before anything is sent, ValueError
    (InvalidPathError for a path or an id).
    """

    __slots__ = ("_client",)

    scope: ClassVar[str]
    """The scope that a token needs for this area."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    def _run(self, work: Steps[_T]) -> _T:
        return steps.run(work)

    async def _arun(self, work: Steps[_T]) -> _T:
        return await self._client._arun(work)

    def _send(self, method: str, path: str, **kw: Any) -> Steps[requests.Response]:
        """Make a call and return the answer, which is a 2xx.

        Keywords are those of `EgnyteClient.request`, and `about`, the path for an error.
        """
        return (yield from self._scoped(self._client._call(method, path, checked=True, **kw)))

    def _see_other(self, method: str, path: str, **kw: Any) -> Steps[requests.Response]:
        """Like `_send`, but also returns a 303. The caller reads its Location."""
        return (yield from self._scoped(self._unless_other(method, path, **kw)))

    def _unless_other(self, method: str, path: str, **kw: Any) -> Steps[requests.Response]:
        response = yield from self._client._call(method, path, **kw)
        if response.status_code != 303:
            answers.raise_for_status(response)
        return response

    def _scoped(self, work: Steps[_T]) -> Steps[_T]:
        """Add the needed scope to a ForbiddenError."""
        try:
            return (yield from work)
        except ForbiddenError as error:
            error.scope = self.scope
            error.hint = (
                f"The user may not do this, or the token was granted without {self.scope}: "
                "egnyte_required(scopes=...) asks the user for it."
            )
            raise

    def _json(self, method: str, path: str, **kw: Any) -> Steps[dict[str, Any]]:
        """The JSON object of the answer."""
        return answers.json_of((yield from self._send(method, path, **kw)))

    def _array(self, method: str, path: str, **kw: Any) -> Steps[list[Any]]:
        """The JSON array of the answer, for the few lists without an object around them."""
        response = yield from self._send(method, path, **kw)
        try:
            value = json.loads(response.content)
        except (ValueError, RecursionError):
            value = None
        # Raise outside the handler: the decoder's exception holds the whole body.
        if not isinstance(value, list):
            raise ResponseError("Egnyte did not answer with a list.", status=response.status_code)
        return value


def operation(
    operation: Callable[Concatenate[_A, _P], Steps[_T]],
) -> Callable[Concatenate[_A, _P], _T]:
    """The method that runs this generator and returns its result."""

    @functools.wraps(operation)
    def method(area: _A, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return area._run(operation(area, *args, **kwargs))

    return method


def twin(
    method: Callable[Concatenate[_A, _P], _T],
) -> Callable[Concatenate[_A, _P], Coroutine[Any, Any, _T]]:
    """The asynchronous form of an `operation`. Its name begins with an `a`."""
    operation: Callable[Concatenate[_A, _P], Steps[_T]] = inspect.unwrap(method)

    @functools.wraps(operation)
    async def coroutine(area: _A, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await area._arun(operation(area, *args, **kwargs))

    coroutine.__name__ = f"a{operation.__name__}"
    return coroutine


def at(
    where: Callable[[Any], str], steps: Callable[Concatenate[_A, str, _P], Steps[_T]]
) -> Callable[Concatenate[_A, _P], _T]:
    """The operation that calls `steps` with the address of its area, `where(area)`.

    For an area that is about one file or folder.
    """

    def placed(area: _A, /, *args: _P.args, **kwargs: _P.kwargs) -> Steps[_T]:
        return steps(area, where(area), *args, **kwargs)

    first, _, *others = inspect.signature(steps).parameters.values()
    placed.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
    placed.__name__, placed.__doc__ = steps.__name__.removeprefix("_"), steps.__doc__
    return operation(placed)


def segment(value: str | int) -> str:
    """An id as one segment of a path. InvalidPathError if it is not exactly one segment."""
    text = str(value)
    if text == "" or "/" in text:
        raise InvalidPathError("The id must be one segment of a path.")
    return fs_path(text).removeprefix("/")


def present(**values: Any) -> dict[str, Any]:
    """The given parameters as a query: without None, with times and flags as text."""
    return {name: value for name, value in values.items() if value is not None}


def options_of(
    kind: type[Any], given: Mapping[str, Any], **forms: Callable[[Any], Any]
) -> dict[str, Any]:
    """The keywords that a TypedDict describes, without None. TypeError for others.

    `forms` say in which form Egnyte takes an option: `folder=clean_path`.
    """
    if unknown := given.keys() - kind.__annotations__.keys():
        raise TypeError(f"unexpected keyword argument: {', '.join(sorted(unknown))}")
    said = present(**given)
    return said | {name: form(said[name]) for name, form in forms.items() if name in said}


def camel(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same members as Egnyte's SCIM services spell them: `user_type` becomes `userType`."""
    return {_camel(name): value for name, value in options.items()}


def flag(value: bool | None) -> str | None:
    """A truth value in a query."""
    return None if value is None else str(value).lower()


def iso(moment: date | datetime | None) -> str | None:
    """A date or an aware time in a query: ISO 8601, a time in UTC. ValueError for a naive time."""
    if not isinstance(moment, datetime):
        return None if moment is None else moment.isoformat()
    return _utc(moment).isoformat().replace("+00:00", "Z")


def milliseconds(moment: datetime | None) -> int | None:
    """An aware time as Egnyte's JSON has it, in milliseconds. ValueError for a naive one."""
    return None if moment is None else int(_utc(moment).timestamp() * 1000)


def one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    """The value, if it is one of those that Egnyte knows. ValueError otherwise."""
    if value is not None and value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    return value


def partial_failures(value: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(id, reason) of each resource that a 207 reports as failed."""
    failed = []
    for item in value.get("resources") or []:
        if isinstance(item, dict):
            why = item.get("descriptions") or item.get("code") or ""
            text = ", ".join(map(str, why)) if isinstance(why, list) else str(why)
            failed.append((str(item.get("id", "")), text))
    return tuple(failed)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("an aware datetime is needed: this one has no time zone")
    return moment.astimezone(UTC)
