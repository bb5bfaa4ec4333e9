"""``manage.py egnyte_sweep``."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from django_egnyte.exceptions import InTransactionError
from django_egnyte.management.selection import told
from django_egnyte.services import events, polls, sweep
from django_egnyte.services.revoke import process_revocations

# Outcomes of rows that are still due afterwards, though nobody else is at them.
NOT_DONE: Final = frozenset({"budget", "failed", "limited", "paused", "unreached"})


class Command(BaseCommand):
    """For cron, and for sites without Celery. Exit code 1 if work was due and none was done."""

    help = "Runs each background job once: refreshes, validations, revocations and events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--seconds",
            type=float,
            default=sweep.SLICE,
            help="each job starts no new work after this time (default: %(default)g)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        seconds = options["seconds"]
        # Without time no work would ever start. The comparison excludes NaN, too.
        if not 0 < seconds < math.inf:
            raise CommandError("--seconds takes a finite number above 0.")
        passes: list[tuple[str, Callable[[], Counter[str]]]] = [
            ("refreshes", lambda: sweep.refresh_due(actor="command", seconds=seconds)),
            ("validations", lambda: sweep.validate_due(actor="command", seconds=seconds)),
            ("revocations", lambda: process_revocations(actor="command", seconds=seconds)),
            ("polls", lambda: polls.poll_due(actor="command", seconds=seconds)),
            ("events", lambda: events.handle_due(seconds=seconds)),
        ]
        outcomes: Counter[str] = Counter()
        began = timezone.now()
        try:
            for name, work in passes:
                counted = work()
                outcomes += counted
                self.stdout.write(f"{name}: {told(counted) or 'nothing to do'}")
            self.stdout.write(f"forgotten grants: {sweep.release_forgotten(seconds=seconds)}")
            if inactive := sweep.revoke_inactive(actor="command", seconds=seconds):
                self.stdout.write(f"revoked, of deactivated users: {inactive}")
            sweep.purge()
            events.purge()
            done = outcomes.keys() - NOT_DONE
            is_stuck = not done and (bool(outcomes) or sweep.is_anything_due(began))
        except (ImproperlyConfigured, InTransactionError) as error:
            raise CommandError(str(error), returncode=1) from None
        if is_stuck:
            raise CommandError(
                "Work is due, and none of it succeeded "
                f"({told(outcomes) or 'hosts are held off'}). See the log and egnyte_status.",
                returncode=1,
            )
