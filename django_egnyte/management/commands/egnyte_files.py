"""``manage.py egnyte_files``."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_egnyte.api import File, UploadState
from django_egnyte.exceptions import EgnyteError
from django_egnyte.management.selection import add_account, one_account, progress
from django_egnyte.models import EgnyteAccount

STATE = ".egnyte-upload"
"""Behind the name of a local file: what is known of its upload, until that is done."""


class Command(BaseCommand):
    """Exit code 1 if Egnyte refuses, or if the options do not select exactly one account."""

    help = "Lists, downloads and uploads files with one account of the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="ls|get|put")
        listing = acts.add_parser("ls", help="list a folder")
        listing.add_argument(
            "path", nargs="?", default="/", help="the path at Egnyte, e.g. /Shared"
        )
        get = acts.add_parser("get", help="download a file")
        get.add_argument("path", help="the path at Egnyte")
        get.add_argument("to", nargs="?", help="the path on this machine (default: the same name)")
        get.add_argument("--force", action="store_true", help="overwrite an existing file")
        put = acts.add_parser("put", help="upload a file, or continue an upload that failed")
        put.add_argument("file", help="the path on this machine")
        put.add_argument("path", help="the path at Egnyte; a folder if it ends with a slash")
        for act in (listing, get, put):
            add_account(act)

    def handle(self, *args: Any, **options: Any) -> None:
        account = one_account(options)
        try:
            getattr(self, f"_{options['act']}")(account, options)
        except EgnyteError as error:
            raise CommandError(f"{error} {error.hint}".strip(), returncode=1) from None
        except OSError as error:
            raise CommandError(f"{error.strerror}: {error.filename}", returncode=1) from None

    def _ls(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        for entry in account.client.files.list(options["path"]):
            when = f"{entry.last_modified:%Y-%m-%d %H:%M}" if entry.last_modified else ""
            size = str(entry.size) if isinstance(entry, File) else "folder"
            self.stdout.write(f"{size:>14}  {when:16}  {entry.name}")

    def _get(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        target = Path(options["to"] or PurePosixPath(options["path"]).name)
        if target.is_dir():
            target /= PurePosixPath(options["path"]).name
        if target.exists() and not options["force"]:
            raise CommandError(f"{target} exists already. To overwrite it, give --force.")
        part = target.parent / f"{target.name}.part"
        file = part.open("xb")  # fails if a file of that name exists
        try:
            with file, self._bar(target.name) as bar:
                account.client.files.download(options["path"], file, progress=_follow(bar))
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        self.stdout.write(f"{target}: {target.stat().st_size:,} bytes")

    def _put(self, account: EgnyteAccount, options: dict[str, Any]) -> None:
        source = Path(options["file"])
        path = options["path"] + (source.name if options["path"].endswith("/") else "")
        kept = source.parent / f"{source.name}{STATE}"
        state = _state_in(kept, account, path)
        try:
            with source.open("rb") as file, self._bar(source.name) as bar:
                stored = account.client.files.upload(
                    path, file, progress=_follow(bar), resume=state
                )
        except EgnyteError:
            raise
        except ValueError:
            state.clear()
            raise CommandError(
                f"{source} has changed since its upload began. Run this again to upload it anew.",
                returncode=1,
            ) from None
        finally:
            _keep(kept, account, path, state)
        self.stdout.write(f"{stored.path}: {stored.size or 0:,} bytes")

    def _bar(self, label: str) -> AbstractContextManager[Any]:
        return progress((), 0, label, self.stderr)


def _follow(bar: Any) -> Callable[[int, int | None], None]:
    """A function that moves the bar to the progress of a transfer, and never backwards."""

    def follow(done: int, total: int | None) -> None:
        bar.length = total or max(done, 1)
        if done > bar.pos:
            bar.update(done - bar.pos)

    return follow


def _state_in(kept: Path, account: EgnyteAccount, path: str) -> UploadState:
    """The stored state of an upload to this path, or a new state."""
    try:
        value = json.loads(kept.read_text())
        if (value["account"], value["path"]) == (account.pk, path):
            return UploadState.from_json(value["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return UploadState()
    return UploadState()


def _keep(kept: Path, account: EgnyteAccount, path: str, state: UploadState) -> None:
    if not state.upload_id:
        kept.unlink(missing_ok=True)
        return
    value = {"account": account.pk, "path": path, "state": state.as_json()}
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(value))
