"""The groups of users that the administrators of a domain have made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django_egnyte.api.areas.base import operation, segment, twin
from django_egnyte.api.areas.paging import Listing, Paged
from django_egnyte.api.areas.records import Record
from django_egnyte.api.areas.scim import SCIM, scim_options

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

GROUPS = "/pubapi/v2/groups"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass(frozen=True, slots=True)
class Member(Record):
    """A member of a group: `value` is the user's id, `display` the name."""

    value: int
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Group(Record):
    """A group. In a list it has no members. `id` is a UUID."""

    id: str
    display_name: str | None = None
    members: tuple[Member, ...] = ()


class Groups(Paged):
    """`client.groups`, for administrators."""

    __slots__ = ()
    scope = "Egnyte.group"

    def list(
        self,
        *,
        name: str | None = None,
        name_starts_with: str | None = None,
        name_contains: str | None = None,
        page_size: int | None = None,
    ) -> Listing[Group]:
        """All groups, or those whose name equals, begins with or contains a text."""
        params = scim_options(
            ("displayName", "eq", name),
            ("displayName", "sw", name_starts_with),
            ("displayName", "co", name_contains),
            page_size=page_size,
        )
        return self._listing(GROUPS, SCIM, Group.of, params)

    @operation
    def get(self, group_id: str) -> Steps[Group]:
        """The group with this id, and its members."""
        return Group.of((yield from self._json("GET", f"{GROUPS}/{segment(group_id)}")))

    aget = twin(get)

    @operation
    def create(self, name: str, members: Sequence[int] = ()) -> Steps[Group]:
        """Create a group of users, by their ids. ConflictError for a name that is taken."""
        body = {"displayName": name, "members": _members(members)}
        return Group.of((yield from self._json("POST", GROUPS, json=body)))

    acreate = twin(create)

    @operation
    def replace(self, group_id: str, name: str, members: Sequence[int]) -> Steps[Group]:
        """Give a group this name and exactly these members."""
        body = {"displayName": name, "members": _members(members)}
        return Group.of((yield from self._json("PUT", f"{GROUPS}/{segment(group_id)}", json=body)))

    areplace = twin(replace)

    @operation
    def rename(self, group_id: str, name: str) -> Steps[Group]:
        """Give a group another name. Its members stay."""
        return (yield from self._patch(group_id, "replace", "displayName", name))

    arename = twin(rename)

    @operation
    def add_members(self, group_id: str, members: Sequence[int]) -> Steps[Group]:
        """Add users to a group, by their ids."""
        return (yield from self._patch(group_id, "add", "members", _members(members)))

    aadd_members = twin(add_members)

    @operation
    def remove_members(self, group_id: str, members: Sequence[int]) -> Steps[Group]:
        """Remove users from a group, by their ids."""
        return (yield from self._patch(group_id, "remove", "members", _members(members)))

    aremove_members = twin(remove_members)

    @operation
    def delete(self, group_id: str) -> Steps[None]:
        """Delete a group. Its members remain users."""
        yield from self._send("DELETE", f"{GROUPS}/{segment(group_id)}")

    adelete = twin(delete)

    def _patch(self, group_id: str, op: str, path: str, value: Any) -> Steps[Group]:
        body = {"schemas": [PATCH], "Operations": [{"op": op, "path": path, "value": value}]}
        return Group.of(
            (yield from self._json("PATCH", f"{GROUPS}/{segment(group_id)}", json=body))
        )


def _members(ids: Sequence[int]) -> list[dict[str, str]]:
    # A text in Egnyte's own answers and in its Go SDK.
    return [{"value": str(int(each))} for each in ids]
