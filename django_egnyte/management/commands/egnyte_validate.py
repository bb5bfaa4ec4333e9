"""``manage.py egnyte_validate``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.management.selection import (
    add_selection,
    are_named,
    in_words,
    listed,
    progress,
    selected,
    told,
)
from django_egnyte.services import keys as api_key
from django_egnyte.services.sweep import validate_batch

BATCH = 100


class Command(BaseCommand):
    """Exit code 1 if Egnyte gave no answer for some accounts."""

    help = "Asks Egnyte whether it accepts the tokens of accounts, and revokes those it refuses."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection(parser)
        parser.add_argument("--dry-run", action="store_true", help="only list the accounts")
        parser.add_argument(
            "--resume-verdicts",
            action="store_true",
            help="let the next validation check the API key at once, instead of after an hour",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["resume_verdicts"] and not options["dry_run"]:
            resumed = api_key.forget_doubt()
            self.stdout.write(
                "The API key will be checked again." if resumed else "The API key was not in doubt."
            )
            if not (options["all"] or are_named(options)):
                return
        accounts = selected(options)
        total = accounts.count()
        if options["dry_run"]:
            for line in listed(accounts):
                self.stdout.write(line)
            self.stdout.write(f"{in_words(total, 'account')} would be validated.")
            return
        outcomes: Counter[str] = Counter()
        keys, last = accounts.order_by("pk").values_list("pk", flat=True), 0
        with progress((), total, "Validating", self.stderr) as bar:
            while batch := list(keys.filter(pk__gt=last)[:BATCH]):
                outcomes += validate_batch(batch, actor="command", seconds=3600)
                last = batch[-1]
                bar.update(len(batch))
        self.stdout.write(told(outcomes) or in_words(0, "account"))
        if any(outcomes[each] for each in ("failed", "unreached")):
            raise CommandError(
                "Egnyte gave no answer for some accounts. See the log.", returncode=1
            )
