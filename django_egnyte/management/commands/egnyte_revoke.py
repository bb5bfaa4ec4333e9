"""``manage.py egnyte_revoke``."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.management.selection import (
    add_selection,
    in_words,
    listed,
    progress,
    selected,
    told,
)
from django_egnyte.models import EgnyteGrant
from django_egnyte.services.disconnect import disconnect, revoke
from django_egnyte.services.revoke import process_revocations

SECONDS: Final = 3600.0
CHUNK: Final = 500


class Command(BaseCommand):
    """Exit code 1 if some tokens could not be revoked yet. The sweep tries again later."""

    help = "Revokes the tokens of accounts at Egnyte. The accounts stay, and can be reconnected."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--delete", action="store_true", help="delete the accounts, including revoked ones"
        )
        parser.add_argument("--dry-run", action="store_true", help="only list the accounts")
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="do not ask for confirmation (for cron and scripts)",
        )
        parser.add_argument(
            "--reason", default="by an administrator", help="the reason to record in the history"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = selected(options, live=not options["delete"])
        total = accounts.count()
        verb = "deleted" if options["delete"] else "revoked"
        if options["dry_run"]:
            for line in listed(accounts):
                self.stdout.write(line)
            self.stdout.write(f"{in_words(total, 'account')} would be {verb}.")
            return
        if not total:
            self.stdout.write(f"0 accounts to be {verb}.")
            return
        if options["interactive"]:
            try:
                answer = input(
                    f"{in_words(total, 'account')} will be {verb}. Type 'yes' to continue: "
                )
            except EOFError:  # no terminal, for example in cron
                answer = ""
            if answer != "yes":
                raise CommandError("Cancelled: nothing was changed.")
        done = 0
        keys = list(accounts.order_by("pk").values_list("pk", flat=True))
        grants = list(accounts.exclude(token=None).values_list("token__grant", flat=True))
        with progress(keys, total, "Revoking", self.stderr) as bar:
            for pk in bar:
                if options["delete"]:
                    done += disconnect(pk, actor="command", reason=options["reason"]) is not None
                else:
                    done += revoke(accounts.model(pk=pk), actor="command", reason=options["reason"])
        outcomes = _work_off()
        grants_told = told(outcomes) or "nothing to revoke"
        self.stdout.write(f"{in_words(done, 'account')} {verb}. Grants: {grants_told}.")
        if left := _left(grants):
            raise CommandError(
                f"Grants that could not be revoked yet: {left}. The sweep tries again. "
                "'manage.py egnyte_status' shows how many are left.",
                returncode=1,
            )


def _work_off() -> Counter[str]:
    """Run the revoker until a pass revokes nothing: one pass takes a few grants of a domain."""
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + SECONDS
    while (left := ends - time.monotonic()) > 0:
        made = process_revocations(seconds=left, actor="command")
        outcomes += made
        if set(made) <= {"failed", "held", "skipped"}:
            break
    return outcomes


def _left(grants: Sequence[int]) -> int:
    """The number of these grants that are not revoked yet."""
    rows = EgnyteGrant.objects.exclude(release_at=None)
    return sum(
        rows.filter(pk__in=grants[start : start + CHUNK]).count()
        for start in range(0, len(grants), CHUNK)
    )
