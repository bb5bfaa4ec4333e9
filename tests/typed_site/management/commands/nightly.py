"""``manage.py nightly``, for cron."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand

from tests.typed_site.accounts import overdue
from tests.typed_site.jobs import count_files

STEPS = ["egnyte_sweep", "egnyte_rotate_keys", "egnyte_status"]
BY_HAND = [
    *("egnyte_link", "egnyte_validate", "egnyte_revoke", "egnyte_files", "egnyte_sandbox"),
    *("egnyte_events", "egnyte_webhooks"),
]


class Command(BaseCommand):
    """Runs the app's commands one after the other."""

    help = "Looks after the linked accounts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("accounts", type=int, nargs="*", help="count the files of these")

    def handle(self, *args: Any, **options: Any) -> None:
        for step in STEPS:
            call_command(step, stdout=self.stdout, stderr=self.stderr)
        for pk in options["accounts"]:
            self.stdout.write(f"{pk}: {count_files(pk)} files")
        if late := overdue():
            raise CommandError(f"{len(late)} accounts are overdue. See also: {', '.join(BY_HAND)}")
