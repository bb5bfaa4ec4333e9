"""Names of users to which rows refer by primary key, without a foreign key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import EgnyteAccount
from .links import row_address

MOST_FOUND: Final = 20


class NamingList(ChangeList):
    """A list that reads the names of all users on its page in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = named(list(self.result_list))


def named(rows: list[Any]) -> list[Any]:
    """Add the names of their users to the rows, with one query."""
    names = names_of(ref for row in rows for ref in _refs(row))
    for row in rows:
        row.names_of_users = names
    return rows


def names_of(refs: Iterable[str]) -> Mapping[str, str]:
    """The usernames of the users whose primary keys, as text, are ``refs``; one query."""
    users: Any = get_user_model()
    keys = set()
    for ref in refs:
        with suppress(ValidationError):
            keys.add(users._meta.pk.to_python(ref))
    found = users._base_manager.in_bulk(list(keys)) if keys else {}
    return {str(key): user.get_username() for key, user in found.items()}


def refs_of(name: str) -> list[str]:
    """The primary keys, as text, of the users with exactly this username."""
    users: Any = get_user_model()
    found = users._base_manager.filter(**{f"{users.USERNAME_FIELD}__in": {name, name.lower()}})
    return [str(key) for key in found.values_list("pk", flat=True)[:MOST_FOUND]]


def user_name(row: Any) -> str:
    """The name of the row's user, or the primary key if the user was deleted."""
    return _names(row).get(row.user_ref) or row.user_ref


def user_page(site: AdminSite, row: Any) -> str | None:
    """The name of the row's user, as a link if the admin has a page of that user."""
    name = user_name(row)
    address = row_address(site, get_user_model(), row.user_ref) if name != row.user_ref else ""
    return format_html('<a href="{}">{}</a>', address, name) if address else name or None


def account_page(site: AdminSite, row: Any) -> str | None:
    """The account of a row, as a link if it exists and the admin has a page of it."""
    key = row.account_ref
    if key is None:
        return None
    address = row_address(site, EgnyteAccount, key)
    if not address or not EgnyteAccount.objects.filter(pk=key).exists():
        return str(key)
    return format_html('<a href="{}">{}</a>', address, key)


def of_domain(name: str, domain: str) -> SafeString:
    """An Egnyte user in a list: the name, and below it the domain."""
    label, dot, rest = domain.partition(".")
    return format_html(
        '{} <span class="egnyte-of-domain">{}{}<wbr>{}</span>', name, label, dot, rest
    )


def actor_name(row: Any) -> str:
    """The actor of an event, in words."""
    kind, _separator, ref = row.actor.partition(":")
    if kind == "user" and ref == row.user_ref:
        return _("the user")
    words: dict[str, str] = {
        "user": _("user %(name)s"),
        "admin": _("administrator %(name)s"),
        "task": _("background task"),
        "command": _("command"),
        "client": _("API call"),
        "reassign": _("code of this site"),
        "delete": _("deletion"),
    }
    text = words.get(kind) or str(row.actor)
    return text % {"name": _names(row).get(ref) or ref} if ref else text


def reason_of(event: Any) -> str:
    """The reason of an event. Reasons of this app are translated."""
    return _(event.reason) if event.reason else ""


def _names(row: Any) -> Mapping[str, str]:
    names: Mapping[str, str] | None = getattr(row, "names_of_users", None)
    return names_of(_refs(row)) if names is None else names


def _refs(row: Any) -> list[str]:
    refs = [row.user_ref, getattr(row, "actor", "").partition(":")[2]]
    return [ref for ref in refs if ref]
