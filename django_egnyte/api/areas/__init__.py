"""The areas of Egnyte's API besides files and folders. Each is an attribute of the client."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from django_egnyte.api.areas.audit import Audit
from django_egnyte.api.areas.base import Area, Caller
from django_egnyte.api.areas.bookmarks import Bookmarks
from django_egnyte.api.areas.comments import Comments
from django_egnyte.api.areas.events import Events
from django_egnyte.api.areas.groups import Groups
from django_egnyte.api.areas.insights import Insights, Salesforce
from django_egnyte.api.areas.links import Links
from django_egnyte.api.areas.metadata import Metadata
from django_egnyte.api.areas.permissions import Permissions
from django_egnyte.api.areas.search import Search
from django_egnyte.api.areas.session import Identity, WebSession, Whoami
from django_egnyte.api.areas.trash import Trash
from django_egnyte.api.areas.users import Users
from django_egnyte.api.areas.webhooks import Webhooks
from django_egnyte.secret import Secret

_A = TypeVar("_A", bound=Area)


class _Attribute(Generic[_A]):
    """An area as an attribute of a client, made when it is read."""

    def __init__(self, kind: type[_A]) -> None:
        self._kind = kind
        self.__doc__ = kind.__doc__

    @overload
    def __get__(self, client: None, owner: Any) -> type[_A]: ...
    @overload
    def __get__(self, client: Caller, owner: Any) -> _A: ...
    def __get__(self, client: Caller | None, owner: Any) -> _A | type[_A]:
        return self._kind if client is None else self._kind(client)


class Areas:
    """The base class through which `EgnyteClient` has all areas."""

    __slots__ = ()

    audit = _Attribute(Audit)
    bookmarks = _Attribute(Bookmarks)
    comments = _Attribute(Comments)
    events = _Attribute(Events)
    groups = _Attribute(Groups)
    insights = _Attribute(Insights)
    links = _Attribute(Links)
    metadata = _Attribute(Metadata)
    permissions = _Attribute(Permissions)
    salesforce = _Attribute(Salesforce)
    search = _Attribute(Search)
    trash = _Attribute(Trash)
    users = _Attribute(Users)
    webhooks = _Attribute(Webhooks)

    def whoami(self: Caller) -> Identity:
        """The token's user, and the scopes that it really has."""
        return Whoami(self).get()

    async def awhoami(self: Caller) -> Identity:
        return await Whoami(self).aget()

    def web_session(self: Caller, path: str | None = None, *, embedded: bool = True) -> Secret:
        """An address that signs a browser in as the user, once, and shows Egnyte at `path`.

        Redirect to it, or put it into an iframe, immediately. Never log or store it.
        """
        return WebSession(self).open(path, embedded=embedded)

    async def aweb_session(
        self: Caller, path: str | None = None, *, embedded: bool = True
    ) -> Secret:
        return await WebSession(self).aopen(path, embedded=embedded)


__all__ = ["Areas"]
