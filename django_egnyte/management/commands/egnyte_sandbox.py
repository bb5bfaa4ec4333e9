"""`manage.py egnyte_sandbox`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.sandbox.commandline import DEFAULT_PORT, serve


class Command(BaseCommand):
    """Serves a sandbox until interrupted."""

    help = "Runs the sandbox: an imitation of Egnyte, for development without an Egnyte account."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """``--port`` and ``--host``."""
        parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 chooses a free port")
        parser.add_argument("--host", default="127.0.0.1", help="a loopback address")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve. ``CommandError`` if the host is not loopback, or the port is invalid or in use."""

        def write(text: str) -> None:
            self.stdout.write(text)
            self.stdout.flush()

        try:
            serve(options["port"], options["host"], write)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from None
