"""``manage.py egnyte_events``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.accounts import follow, unfollow
from django_egnyte.exceptions import EgnyteError
from django_egnyte.management.selection import add_account, one_account
from django_egnyte.models import EgnyteAccount, EventCursor


class Command(BaseCommand):
    """Exit code 1 if Egnyte refuses, or if the choice does not fit one account."""

    help = "Chooses the accounts whose events are polled, where webhooks are not possible."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="follow|unfollow|list")
        start = acts.add_parser("follow", help="poll the events of an account, from now on")
        start.add_argument(
            "--after", type=int, metavar="ID", help="the id of an event: those after"
        )
        stop = acts.add_parser("unfollow", help="poll them no more")
        acts.add_parser("list", help="the accounts that are followed")
        for act in (start, stop):
            add_account(act)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["act"] == "list":
            self._list()
            return
        account = one_account(options, live=options["act"] == "follow")
        if options["act"] == "unfollow":
            done = unfollow(account)
            self.stdout.write(f"{account}: {'not followed any more' if done else 'not followed'}")
            return
        try:
            follow(account, after=options["after"])
        except EgnyteError as error:
            raise CommandError(f"{error} {error.hint}".strip(), returncode=1) from None
        self.stdout.write(f"{account}: followed")

    def _list(self) -> None:
        rows = {row.account_ref: row for row in EventCursor.objects.order_by("account_ref")}
        for account in EgnyteAccount.objects.filter(pk__in=rows).order_by("pk"):
            row = rows[account.pk]
            trouble = f", last error {row.last_error}" if row.last_error else ""
            self.stdout.write(
                f"{account.pk}: {account}, after event {row.position}, "
                f"next poll at {row.next_poll_at:%Y-%m-%d %H:%M:%S}{trouble}"
            )
