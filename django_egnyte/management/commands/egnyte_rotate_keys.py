"""``manage.py egnyte_rotate_keys``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.exceptions import DecryptionError
from django_egnyte.management.selection import in_words, progress
from django_egnyte.services.rotate import Rotation, count, rotate


class Command(BaseCommand):
    """Exit code 1, and the names of the rows, if values cannot be decrypted."""

    help = (
        "Encrypts every stored token again with the newest key and the first cipher. "
        "The site can stay online. You can stop the command and start it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the values")

    def handle(self, *args: Any, **options: Any) -> None:
        done, seen = Rotation(), 0
        with progress((), count(), "Rotating", self.stderr) as bar:
            for done in rotate(dry_run=options["dry_run"]):
                bar.update(done.looked_at - seen)
                seen = done.looked_at
        verb = "to re-encrypt" if options["dry_run"] else "re-encrypted"
        self.stdout.write(
            f"{in_words(done.looked_at, 'row')}: {in_words(done.resealed, 'value')} {verb}, "
            f"{done.overtaken} replaced meanwhile, {len(done.unreadable)} unreadable."
        )
        if done.unreadable:
            rows = ", ".join(done.unreadable)
            raise CommandError(f"No key decrypts: {rows}. {DecryptionError.hint}", returncode=1)
