"""Key rotation: seal all tokens again with the newest key, while the site runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from django.db import connections

from ..exceptions import DecryptionError
from ..fields import needs_reseal, seal, unseal
from ..models import EgnyteToken
from .transactions import alias, in_short_transaction

CHUNK: Final = 200
FIELDS: Final = ("access_token", "refresh_token")


@dataclass
class Rotation:
    """Totals of the rows done so far. ``unreadable`` names rows by table and primary key."""

    looked_at: int = 0
    resealed: int = 0
    overtaken: int = 0
    unreadable: list[str] = field(default_factory=list)


def count() -> int:
    """The number of rows."""
    return EgnyteToken.objects.count()


def rotate(*, dry_run: bool = False) -> Iterator[Rotation]:
    """Re-seal in chunks by primary key, yielding the running totals after each.

    Each write compares the old ciphertext, so a row that was deleted or sealed again meanwhile
    stays as it is (``overtaken``). You can stop it at any point and start it again.
    """
    done = Rotation()
    last = 0
    while rows := list(EgnyteToken.objects.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        changed: dict[int, list[_Change]] = {}
        for row in rows:
            fields, change = _reseal(row, done)
            if fields:
                changed.setdefault(fields, []).append(change)
        for fields, changes in changed.items():
            written = len(changes) if dry_run else _write(changes)
            done.resealed += fields * written
            done.overtaken += fields * (len(changes) - written)
        last = rows[-1].pk
        done.looked_at += len(rows)
        yield done


_Change = tuple[str, str, int, str, str]
"""The new values of ``FIELDS``, the row's primary key, and the old values."""

_UPDATE: Final = (
    f"UPDATE {EgnyteToken._meta.db_table} SET access_token = %s, refresh_token = %s "  # noqa: S608
    "WHERE id = %s AND access_token = %s AND refresh_token = %s"
)


def _reseal(row: EgnyteToken, done: Rotation) -> tuple[int, _Change]:
    """How many fields of the row are to be written, and the change."""
    old, new = [str(getattr(row, name)) for name in FIELDS], []
    fields = 0
    for name, sealed in zip(FIELDS, old, strict=True):
        new.append(sealed)
        try:
            if sealed and needs_reseal(sealed):
                context = row.seal_context(name)
                new[-1] = str(seal(unseal(sealed, context), context))
                fields += 1
        except DecryptionError:
            done.unreadable.append(f"{row._meta.model_name}:{row.pk}.{name}")
    return fields, (new[0], new[1], row.pk, old[0], old[1])


def _write(changes: list[_Change]) -> int:
    """Write a chunk with one statement; how many rows still had their old values."""

    def write() -> int:
        with connections[alias()].cursor() as cursor:
            cursor.executemany(_UPDATE, changes)
            return int(cursor.rowcount)

    return in_short_transaction(write)
