"""``manage.py egnyte_status``."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.services.status import Overview, overview


class Command(BaseCommand):
    """Exit code 0 if there are no problems, and 1 if an operator must act."""

    help = "Shows the linked accounts, pending work, and the limits of the API key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON, for monitoring")

    def handle(self, *args: Any, **options: Any) -> None:
        seen = overview()
        if options["json"]:
            self.stdout.write(json.dumps(seen.as_dict(), indent=2))
        else:
            self._table(seen)
        if seen.problems:
            raise CommandError("\n".join(seen.problems), returncode=1)

    def _table(self, seen: Overview) -> None:
        never = seen.last_sweep_seconds is None
        rows: list[tuple[str, object]] = [
            *((f"accounts {status}", count) for status, count in seen.accounts.items()),
            ("validations due", seen.validations_due),
            ("  of them over an hour late", seen.validations_late),
            ("refreshes due", seen.refreshes_due),
            ("  of them over an hour late", seen.refreshes_late),
            ("refreshes failing", seen.refreshes_failing),
            ("  in EGNYTE_REFRESH_BEFORE", seen.refreshes_in_horizon),
            ("  that the limit allows", seen.refreshes_possible),
            (
                "token requests this hour",
                f"{seen.token_requests_this_hour} of {seen.token_requests_per_hour}",
            ),
            ("grants to revoke", seen.revocations),
            ("  the oldest, hours", f"{seen.revocations_oldest_seconds / 3600:.1f}"),
            ("  stuck for over a day", seen.revocations_stuck),
            ("events waiting", seen.events_waiting),
            ("  whose receivers failed", seen.events_failing),
            ("  of them over an hour late", seen.events_late),
            ("accounts polled over an hour late", seen.polls_late),
            (f"unreadable, of the {seen.tokens_tried} oldest", seen.tokens_unreadable),
            ("linked with another API key", seen.accounts_of_another_key),
            ("API key", "in doubt" if seen.verdicts_paused else "as usual"),
            ("last sweep, seconds ago", "never" if never else seen.last_sweep_seconds),
        ]
        for key in seen.key_held_off_at:
            rows.append((f"no token requests at {key['host']}", f"until {key['until']}"))
        for host in seen.hosts_held_off:
            rows.append((f"held off: {host['host']}", f"{host['failures']} failures"))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.stdout.write(f"{name:<{width}}  {value}")
