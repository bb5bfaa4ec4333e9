"""The permissions of users and groups in a folder below /Shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from django_egnyte.api.areas.base import Area, one_of, operation, present, segment, twin
from django_egnyte.api.areas.records import Record
from django_egnyte.api.paths import clean_path, fs_path
from django_egnyte.exceptions import ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

PERMS = "/pubapi/v2/perms"

Level = Literal["None", "Nav", "Viewer Only", "Viewer", "Editor", "Full", "Owner"]
LEVELS: tuple[str, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class FolderPermissions(Record):
    """The permission levels set at a folder, by the names of users and groups."""

    users: Mapping[str, str]
    groups: Mapping[str, str]
    inherits: bool | None = None

    @classmethod
    def _prepare(cls, members: dict[str, Any]) -> dict[str, Any]:
        return {
            "users": _levels(members.get("userperms")),
            "groups": _levels(members.get("groupperms")),
            "inherits": members.get("inheritspermissions"),
        }


class Permissions(Area):
    """`client.permissions`. Only an owner of the folder or an administrator may read and set."""

    __slots__ = ()
    scope = "Egnyte.permission"

    @operation
    def get(self, folder: str) -> Steps[FolderPermissions]:
        """The levels set at a folder, for users and for groups."""
        return FolderPermissions.of((yield from self._json("GET", fs_path(folder, under=PERMS))))

    aget = twin(get)

    @operation
    def set(
        self,
        folder: str,
        *,
        users: Mapping[str, Level] | None = None,
        groups: Mapping[str, Level] | None = None,
        inherits: bool | None = None,
        keep_parent: bool | None = None,
    ) -> Steps[None]:
        """Change the levels that are named, and no others. "None" removes a level.

        `inherits=False` ends the inheritance. `keep_parent` then says whether the inherited levels
        become levels of this folder. ValueError for an unknown level.
        """
        for level in [*(users or {}).values(), *(groups or {}).values()]:
            one_of("a level", level, LEVELS)
        if keep_parent is not None and inherits is not False:
            raise ValueError("keep_parent needs inherits=False")
        body = present(
            userPerms=dict(users) if users else None,
            groupPerms=dict(groups) if groups else None,
            inheritsPermissions=inherits,
            keepParentPermissions=keep_parent,
        )
        yield from self._send("POST", fs_path(folder, under=PERMS), json=body)

    aset = twin(set)

    @operation
    def effective(self, folder: str, *, username: str | None = None) -> Steps[str]:
        """The effective level of the user, or of another one, in a folder."""
        where = "/pubapi/v1/perms/user"
        if username is not None:
            where += f"/{segment(username)}"
        value = yield from self._json("GET", where, params={"folder": clean_path(folder)})
        level = value.get("permission")
        if not isinstance(level, str):
            raise ResponseError("Egnyte did not say which permission the user has.")
        return level

    aeffective = twin(effective)


def _levels(value: Any) -> dict[str, str]:
    """A dictionary of levels by name, from a JSON object or from an array.

    One of Egnyte's SDKs expects arrays.
    """
    if isinstance(value, list):
        pairs = [
            (item.get("subject") or item.get("name"), item.get("permission"))
            for item in value
            if isinstance(item, dict)
        ]
    else:
        pairs = [*value.items()] if isinstance(value, dict) else []
    return {str(name): str(level) for name, level in pairs if name and level}
