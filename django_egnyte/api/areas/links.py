"""Links: URLs at which others see a file or a folder, or upload files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from django_egnyte.api.areas.base import iso, operation, options_of, present, segment, twin
from django_egnyte.api.areas.paging import Listing, Paged, Paging
from django_egnyte.api.areas.records import Record, records
from django_egnyte.api.paths import clean_path
from django_egnyte.exceptions import ResponseError
from django_egnyte.secret import Secret

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

LINKS = "/pubapi/v1/links"
USUAL = {"type": "file", "accessibility": "anyone"}
LIST = Paging("links", size=100, largest=500)

Kind = Literal["file", "folder", "upload"]
Accessibility = Literal["anyone", "password", "domain", "recipients"]


@dataclass(frozen=True, slots=True)
class Link(Record):
    """A link. `password` is set only in the answer to its creation."""

    id: str
    url: str | None = None
    path: str | None = None
    type: str | None = None
    accessibility: str | None = None
    protection: str | None = None
    recipients: tuple[str, ...] = ()
    notify: bool | None = None
    link_to_current: bool | None = None
    created_by: str | None = None
    creation_date: datetime | None = None
    expiry_date: date | None = None
    expiry_clicks: int | None = None
    last_accessed: datetime | None = None
    resource_id: str | None = None
    password: Secret | None = None


class LinkOptions(TypedDict, total=False):
    """Options of a new link. It expires after `expiry_date`, or after 1 to 10 clicks."""

    type: Kind
    accessibility: Accessibility
    expiry_date: date | None
    expiry_clicks: int | None
    protection: Literal["PREVIEW", "NONE"]
    notify: bool
    link_to_current: bool
    add_file_name: bool


class LinkFilters(TypedDict, total=False):
    """Filters of the list: by path, user, kind, or day of creation."""

    path: str | None
    username: str | None
    type: Kind | None
    accessibility: Accessibility | None
    created_before: date | None
    created_after: date | None
    page_size: int | None


class Links(Paged):
    """`client.links`."""

    __slots__ = ()
    scope = "Egnyte.link"

    @operation
    def create(
        self, path: str, *, password: Secret | None = None, **options: Unpack[LinkOptions]
    ) -> Steps[Link]:
        """Create a link to a file or a folder, or a link for uploads to a folder.

        By default, anyone may use it; see `accessibility`. If that is "password" and none is
        given, Egnyte chooses one, and `link.password` is the only place to read it. ValueError if
        both an expiry date and a number of clicks are given.
        """
        return (yield from self._make(path, options, **present(password=password)))[0]

    acreate = twin(create)

    @operation
    def send(
        self,
        path: str,
        recipients: Sequence[str],
        *,
        send_email: bool = True,
        message: str | None = None,
        copy_me: bool | None = None,
        **options: Unpack[LinkOptions],
    ) -> Steps[tuple[Link, ...]]:
        """Create a link for each of these email addresses. By default, Egnyte sends them."""
        if isinstance(recipients, str) or not recipients:
            raise ValueError("recipients must be a sequence of one or more email addresses")
        extra = present(
            recipients=[*recipients], send_email=send_email, message=message, copy_me=copy_me
        )
        return (yield from self._make(path, options, **extra))

    asend = twin(send)

    def list(self, **filters: Unpack[LinkFilters]) -> Listing[Link]:
        """The links of the user. For an administrator, the links of all users."""
        params = options_of(
            LinkFilters, filters, path=clean_path, created_before=iso, created_after=iso
        )
        return self._listing("/pubapi/v2/links", LIST, Link.of, params)

    @operation
    def get(self, link_id: str) -> Steps[Link]:
        """The link with this id."""
        value = yield from self._json("GET", f"{LINKS}/{segment(link_id)}")
        return Link.of({"id": link_id, **value})

    aget = twin(get)

    @operation
    def delete(self, link_id: str) -> Steps[None]:
        """Delete a link. Its URL no longer works."""
        yield from self._send("DELETE", f"{LINKS}/{segment(link_id)}")

    adelete = twin(delete)

    def _make(self, path: str, options: LinkOptions, **extra: Any) -> Steps[tuple[Link, ...]]:
        given = options_of(LinkOptions, options, expiry_date=lambda day: f"{day:%Y-%m-%d}")
        if {"expiry_date", "expiry_clicks"} <= given.keys():
            raise ValueError("a link expires on a date or after a number of clicks, not both")
        if not 1 <= given.get("expiry_clicks", 1) <= 10:
            raise ValueError("a link expires after 1 to 10 clicks")
        body = {"path": clean_path(path), **USUAL, **given, **extra}
        value = yield from self._json("POST", LINKS, json=body)
        made = value.pop("links", None)
        if not made or not isinstance(made, list) or not all(isinstance(e, dict) for e in made):
            raise ResponseError("Egnyte made a link but did not describe it.")
        return records(Link, [{**value, **each} for each in made])
