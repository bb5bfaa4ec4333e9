"""Files and folders apart from their content: versions, locks, options and ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from django_egnyte.api.areas.base import operation, options_of, segment, twin
from django_egnyte.api.areas.folder_by_id import FolderById
from django_egnyte.api.areas.locks import Lock, LockInfo
from django_egnyte.api.areas.records import Record
from django_egnyte.api.areas.tools import FS, FolderStats, Tools, Version
from django_egnyte.api.paths import fs_path
from django_egnyte.exceptions import NotFoundError, ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


@dataclass(frozen=True, slots=True)
class FolderOptions(Record):
    """How a folder is set up."""

    folder_description: str | None = None
    public_links: str | None = None
    allow_links: bool | None = None
    allow_upload_links: bool | None = None
    restrict_move_delete: bool | None = None
    move_delete_folder_restriction: str | None = None
    inheritance_rule: str | None = None
    email_preferences: Mapping[str, Any] | None = None


class FolderChanges(TypedDict, total=False):
    """The folder options that can be changed. A description has at most 200 characters."""

    folder_description: str
    public_links: Literal["files_folders", "folders", "files", "disabled"]
    allow_links: bool
    allow_upload_links: bool
    restrict_move_delete: bool
    move_delete_folder_restriction: Literal[
        "admins_owners_or_full_access_users", "admins_or_owners", "admins_only"
    ]
    inheritance_rule: str
    email_preferences: Mapping[str, bool]


class Places(Tools):
    """The part of `client.files` that is not about content. Paths are not encoded."""

    __slots__ = ()

    def folder_by_id(self, folder_id: str) -> FolderById:
        """A folder by its id, which stays the same when the folder is renamed or moved."""
        return FolderById(self, folder_id)

    @operation
    def exists(self, path: str) -> Steps[bool]:
        """Whether the user can see a file or a folder at `path`."""
        where = fs_path(path, under=FS)
        try:
            yield from self._described(where)
        except NotFoundError:
            return False
        return True

    aexists = twin(exists)

    @operation
    def versions(self, path: str) -> Steps[tuple[Version, ...]]:
        """The versions of a file, the newest first."""
        return (yield from self._versions(fs_path(path, under=FS)))

    aversions = twin(versions)

    @operation
    def lock(
        self, path: str, *, seconds: int | None = None, token: str | None = None
    ) -> Steps[Lock]:
        """Lock a file against changes by others, for an hour if `seconds` is not given.

        The lock is a context manager that unlocks the file: `with files.lock(path):`, and
        `async with await files.alock(path):`. `token` names the lock; without it Egnyte
        chooses a name.
        """
        return (yield from self._lock(fs_path(path, under=FS), seconds=seconds, token=token))

    alock = twin(lock)

    @operation
    def unlock(self, path: str, token: str | None = None) -> Steps[None]:
        """Unlock a file. The user who locked it needs no token. NotFoundError for a wrong one."""
        yield from self._unlock(fs_path(path, under=FS), token)

    aunlock = twin(unlock)

    @operation
    def lock_info(self, path: str) -> Steps[LockInfo | None]:
        """The holder of the lock on a file. None if it is not locked."""
        return (yield from self._lock_info(fs_path(path, under=FS)))

    alock_info = twin(lock_info)

    @operation
    def stats(self, path: str) -> Steps[FolderStats]:
        """How much is below a folder. It takes two calls: Egnyte counts by the folder's id."""
        folder_id = (yield from self._described(fs_path(path, under=FS))).get("folder_id")
        if not isinstance(folder_id, str):
            raise ResponseError("Egnyte described no folder there.")
        where = f"{FS}/ids/folder/{segment(folder_id)}/stats"
        return FolderStats.of((yield from self._json("GET", where)))

    astats = twin(stats)

    @operation
    def options(self, path: str) -> Steps[FolderOptions]:
        """How a folder is set up."""
        return FolderOptions.of((yield from self._described(fs_path(path, under=FS))))

    aoptions = twin(options)

    @operation
    def set_options(self, path: str, **changes: Unpack[FolderChanges]) -> Steps[None]:
        """Change options of a folder. Egnyte does not allow all of them at a top folder."""
        body = options_of(FolderChanges, changes)
        if not body:
            raise ValueError("give at least one change")
        yield from self._send("PATCH", fs_path(path, under=FS), json=body)

    aset_options = twin(set_options)
