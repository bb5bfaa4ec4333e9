"""The users of a domain, for administrators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from django_egnyte.api.areas.base import camel, operation, options_of, present, segment, twin
from django_egnyte.api.areas.paging import Listing, Paged
from django_egnyte.api.areas.records import Record
from django_egnyte.api.areas.scim import SCIM, scim_options

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

USERS = "/pubapi/v2/users"


@dataclass(frozen=True, slots=True)
class User(Record):
    """A user of the domain. `name` is the full name."""

    id: int
    user_name: str | None = None
    external_id: str | None = None
    email: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    name: str | None = None
    active: bool | None = None
    locked: bool | None = None
    auth_type: str | None = None
    user_type: str | None = None
    role: str | None = None
    idp_user_id: str | None = None
    user_principal_name: str | None = None
    language: str | None = None
    created_date: datetime | None = None
    last_modification_date: datetime | None = None
    last_active_date: datetime | None = None
    expiry_date: datetime | None = None
    delete_on_expiry: bool | None = None
    groups: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def _prepare(cls, members: dict[str, Any]) -> dict[str, Any]:
        name = members.get("name")
        if not isinstance(name, dict):
            return members
        parts = {key.lower(): value for key, value in name.items()}
        return {**parts, **members, "name": parts.get("formatted")}


class UserOptions(TypedDict, total=False):
    """The attributes of a new user."""

    user_type: Literal["admin", "power", "standard"]
    auth_type: Literal["egnyte", "sso", "ad"]
    active: bool
    external_id: str
    role: str
    language: str


class UserChanges(UserOptions, total=False):
    """The attributes of a user that can be changed."""

    email: str
    given_name: str
    family_name: str


class Users(Paged):
    """`client.users`."""

    __slots__ = ()
    scope = "Egnyte.user"

    def list(
        self,
        *,
        user_name: str | None = None,
        email: str | None = None,
        external_id: str | None = None,
        page_size: int | None = None,
    ) -> Listing[User]:
        """All users, or the one with this name, e-mail address or external id."""
        params = scim_options(
            ("userName", "eq", user_name),
            ("email", "eq", email),
            ("externalId", "eq", external_id),
            page_size=page_size,
        )
        return self._listing(USERS, SCIM, User.of, params)

    @operation
    def get(self, user_id: int) -> Steps[User]:
        """The user with this id."""
        return User.of((yield from self._json("GET", f"{USERS}/{segment(user_id)}")))

    aget = twin(get)

    @operation
    def create(
        self,
        user_name: str,
        email: str,
        given_name: str,
        family_name: str,
        *,
        send_invite: bool | None = None,
        **options: Unpack[UserOptions],
    ) -> Steps[User]:
        """Add a user. The default is a standard user who signs in at Egnyte."""
        body = {
            "userName": user_name,
            "email": email,
            "name": {"givenName": given_name, "familyName": family_name},
            "userType": "standard",
            "authType": "egnyte",
            "active": True,
            **present(sendInvite=send_invite),
            **camel(options_of(UserOptions, options)),
        }
        return User.of((yield from self._json("POST", USERS, json=body)))

    acreate = twin(create)

    @operation
    def change(self, user_id: int, **changes: Unpack[UserChanges]) -> Steps[User]:
        """Change the given attributes, and no others. ValueError if none is given."""
        body = camel(options_of(UserChanges, changes))
        if not body:
            raise ValueError("give at least one change")
        return User.of((yield from self._json("PATCH", f"{USERS}/{segment(user_id)}", json=body)))

    achange = twin(change)

    @operation
    def delete(self, user_id: int) -> Steps[None]:
        """Delete a user. The user's tokens become invalid."""
        yield from self._send("DELETE", f"{USERS}/{segment(user_id)}")

    adelete = twin(delete)
