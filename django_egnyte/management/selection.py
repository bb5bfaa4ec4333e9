"""Which accounts a command is about, and how it shows that it is getting on."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import click
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, OutputWrapper
from django.utils.translation import ngettext

from django_egnyte import gateway
from django_egnyte.exceptions import InvalidDomainError
from django_egnyte.models import EgnyteAccount, EgnyteAccountQuerySet


def add_selection(parser: ArgumentParser) -> None:
    """``--account``, ``--user``, ``--domain``; or ``--all``."""
    parser.add_argument("--account", type=int, metavar="ID", help="the account with this id")
    parser.add_argument("--user", help="all accounts of this user of the site")
    parser.add_argument("--domain", help="all accounts at this domain, e.g. acme")
    parser.add_argument("--all", action="store_true", help="all accounts")


def add_account(parser: ArgumentParser) -> None:
    """``--account``; or ``--user`` and ``--domain``."""
    parser.add_argument("--account", type=int, metavar="ID", help="the account with this id")
    parser.add_argument("--user", help="the account of this user of the site")
    parser.add_argument("--domain", help="the account at this domain, e.g. acme")


def are_named(options: dict[str, Any]) -> bool:
    """Whether an option selects accounts. An empty value counts, and matches no account."""
    return any(options[name] is not None for name in ("account", "user", "domain"))


def selected(options: dict[str, Any], *, live: bool = True) -> EgnyteAccountQuerySet:
    """The selected accounts. Only the live ones, unless ``live`` is false.

    ``CommandError`` if no option selects accounts, if ``--all`` comes with another option, or if
    the account, user or domain is unknown.
    """
    if options["all"] is are_named(options):
        raise CommandError("Say which accounts: give --account, --user or --domain, or give --all.")
    accounts = EgnyteAccount.objects.all()
    if options["account"] is not None:
        accounts = accounts.filter(pk=options["account"])
        if not accounts.exists():
            raise CommandError(f"There is no account {options['account']}.")
    if options["user"] is not None:
        accounts = accounts.filter(user=user_named(options["user"]))
    if options["domain"] is not None:
        accounts = accounts.filter(domain=_domain_of_accounts(options["domain"]))
    return accounts.live() if live else accounts


def one_account(options: dict[str, Any], *, live: bool = True) -> EgnyteAccount:
    """The selected account; ``CommandError`` with exit code 1 unless it is exactly one."""
    accounts = selected({**options, "all": False}, live=live)
    found = list(accounts[:2])
    if len(found) != 1:
        number = accounts.count()
        raise CommandError(
            ngettext("%d account matches.", "%d accounts match.", number) % number
            + " Choose one with --account, or with --user and --domain.",
            returncode=1,
        )
    return found[0]


def user_named(name: str) -> Any:
    """The site's user with this username; ``CommandError`` if there is none."""
    users: Any = get_user_model()
    try:
        return users._default_manager.get_by_natural_key(name)
    except users.DoesNotExist:
        raise CommandError(f"This site has no user {name!r}.") from None


def host_named(text: str) -> str:
    """The full host; ``CommandError`` if this site may not link accounts at it."""
    try:
        return gateway.host_of(text)
    except InvalidDomainError as error:
        raise CommandError(str(error)) from None


def _domain_of_accounts(text: str) -> str:
    """The full host, even if the site may no longer link it. ``CommandError`` without accounts."""
    try:
        host, trouble = gateway.host_of(text), ""
    except InvalidDomainError as error:
        host, trouble = error.host or text.strip().lower(), str(error)
    if not EgnyteAccount.objects.filter(domain=host).exists():
        raise CommandError(trouble or f"This site has no account at {host}.")
    return host


def in_words(number: int, noun: str) -> str:
    """``1 account``, ``3 accounts``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def told(outcomes: Counter[str]) -> str:
    """``2 failed, 3 refreshed``; empty if there were none."""
    return ", ".join(f"{number} {what}" for what, number in sorted(outcomes.items()))


def listed(accounts: EgnyteAccountQuerySet) -> Iterator[str]:
    """A line per account: id, Egnyte user and domain, the user of this site, status."""
    for account in accounts.select_related("user").order_by("pk").iterator():
        yield f"{account.pk:>8}  {account}  ({account.user.get_username()}, {account.status})"


def progress(
    items: Iterable[Any], total: int, label: str, stream: OutputWrapper
) -> AbstractContextManager[Any]:
    """A progress bar on a terminal. Elsewhere only the label."""
    # click would not recognise an OutputWrapper as a terminal, so pass what it wraps.
    return click.progressbar(
        items, length=total, label=label, file=getattr(stream, "_out", sys.stderr)
    )
