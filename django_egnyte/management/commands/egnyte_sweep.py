"""``manage.py egnyte_sweep``."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.services import sweep
from django_egnyte.services.revoke import process_revocations


class Command(BaseCommand):
    """For cron, and for sites without Celery."""

    help = "Does one pass of everything that is due: refreshes, validations and revocations."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--seconds",
            type=float,
            default=sweep.SLICE,
            help="after so many, each of the three begins nothing new (default: %(default)g)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        seconds = options["seconds"]
        # With none, nothing would be found due, ever. NaN is not above anything.
        if not 0 < seconds < math.inf:
            raise CommandError("--seconds takes a finite number above 0.")
        passes: list[tuple[str, Callable[..., Counter[str]]]] = [
            ("refreshes", sweep.refresh_due),
            ("validations", sweep.validate_due),
            ("revocations", process_revocations),
        ]
        for name, work in passes:
            counted = work(actor="command", seconds=seconds)
            outcomes = ", ".join(f"{n} {what}" for what, n in sorted(counted.items()))
            self.stdout.write(f"{name}: {outcomes or 'nothing due'}")
        self.stdout.write(f"forgotten grants: {sweep.release_forgotten(seconds=seconds)}")
        if inactive := sweep.revoke_inactive(actor="command", seconds=seconds):
            self.stdout.write(f"revoked, of deactivated users: {inactive}")
        sweep.purge()
