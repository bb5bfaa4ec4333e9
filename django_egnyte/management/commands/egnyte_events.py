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
    """Exit code 1 if Egnyte refuses, or if the options do not select exactly one account."""

    help = "Starts and stops polling the events of accounts, where webhooks are not possible."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="follow|unfollow|list")
        start = acts.add_parser("follow", help="start polling the events of an account")
        start.add_argument(
            "--after", type=int, metavar="ID", help="begin after the event with this id"
        )
        stop = acts.add_parser("unfollow", help="stop polling")
        acts.add_parser("list", help="list the accounts that are polled")
        for act in (start, stop):
            add_account(act)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["act"] == "list":
            self._list()
            return
        account = one_account(options, live=options["act"] == "follow")
        if options["act"] == "unfollow":
            done = unfollow(account)
            self.stdout.write(f"{account}: {'no longer followed' if done else 'was not followed'}")
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
