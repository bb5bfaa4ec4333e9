"""Operations that are the same for a place named by its path and one named by its id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django_egnyte.api.areas.base import Area, flag, present
from django_egnyte.api.areas.locks import Lock, LockInfo
from django_egnyte.api.areas.records import Record, records

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

FS = "/pubapi/v1/fs"


@dataclass(frozen=True, slots=True)
class Version(Record):
    """A version of a file. Open it with its `entry_id`."""

    entry_id: str
    size: int | None = None
    checksum: str | None = None
    last_modified: datetime | None = None
    uploaded: datetime | None = None
    uploaded_by: str | None = None


@dataclass(frozen=True, slots=True)
class FolderStats(Record):
    """How much is in a folder and in all folders below it. Sizes are in bytes."""

    files_count: int | None = None
    folders_count: int | None = None
    file_versions_count: int | None = None
    all_files_size: int | None = None
    all_versions_size: int | None = None


class Tools(Area):
    """Operations at one place, whose address is `where`."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    def _described(self, where: str, **params: str) -> Steps[dict[str, Any]]:
        params = {"list_content": "false", **params}
        return (yield from self._json("GET", where, params=params))

    def _versions(self, where: str) -> Steps[tuple[Version, ...]]:
        """The versions of a file, the newest first."""
        value = yield from self._described(where, list_content="true")
        # Egnyte's list of versions lacks the newest one.
        older = value.pop("versions", None)
        return (Version.of(value), *records(Version, older))

    def _lock(
        self, where: str, *, seconds: int | None = None, token: str | None = None
    ) -> Steps[Lock]:
        """As `files.lock`."""
        asked = present(action="lock", lock_timeout=seconds, lock_token=token)
        value = yield from self._json("POST", where, json=asked)
        return Lock.at(value, self, where)

    def _unlock(self, where: str, token: str | None = None) -> Steps[None]:
        """As `files.unlock`."""
        asked = present(action="unlock", lock_token=token)
        yield from self._send("POST", where, json=asked)

    def _lock_info(self, where: str) -> Steps[LockInfo | None]:
        """As `files.lock_info`."""
        value = yield from self._described(where, include_locks=str(flag(True)))
        return LockInfo.of(value.get("lock_info") or {}) if value.get("locked") is True else None
