"""Locks on files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django_egnyte.api.areas.records import Record
from django_egnyte.exceptions import NotFoundError, ResponseError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from django_egnyte.api.steps import Steps


@dataclass(frozen=True, slots=True)
class LockInfo(Record):
    """The holder of a lock."""

    owner_id: int | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None


class Unlocker(Protocol):
    """The methods of an area that its locks call."""

    def _run(self, work: Steps[None]) -> None: ...
    async def _arun(self, work: Steps[None]) -> None: ...
    def _unlock(self, where: str, token: str | None) -> Steps[None]: ...


class Lock:
    """A lock on a file. `with`, `async with` or `release` ends it.

    It expires after `seconds`. Releasing a lock that has ended is not an error.
    """

    __slots__ = ("_area", "_where", "seconds", "token")

    def __init__(self, area: Unlocker, where: str, token: str, seconds: int | None) -> None:
        self.token = token
        """What another process needs to unlock the file: `files.unlock(path, token)`."""
        self.seconds = seconds
        self._area = area
        self._where = where

    @classmethod
    def at(cls, value: Mapping[str, Any], area: Unlocker, where: str) -> Self:
        """The lock that an answer describes."""
        token, seconds = value.get("lock_token"), value.get("timeout")
        if not isinstance(token, str):
            raise ResponseError("Egnyte locked a file and gave no token for it.")
        return cls(area, where, token, seconds if isinstance(seconds, int) else None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self.seconds} s>"

    def release(self) -> None:
        """Unlock the file."""
        self._area._run(self._release())

    async def arelease(self) -> None:
        await self._area._arun(self._release())

    def _release(self) -> Steps[None]:
        try:
            yield from self._area._unlock(self._where, self.token)
        except NotFoundError:
            # The lock ended, or the file was moved or deleted.
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.arelease()
