"""Key rotation: seal everything anew with the newest key, while the site runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..exceptions import DecryptionError
from ..fields import needs_reseal, seal, unseal
from ..models import EgnyteToken

CHUNK: Final = 200
FIELDS: Final = ("access_token", "refresh_token")


@dataclass
class Rotation:
    """What became of the rows looked at so far; ``unreadable`` names them by table and key."""

    looked_at: int = 0
    resealed: int = 0
    overtaken: int = 0
    unreadable: list[str] = field(default_factory=list)


def count() -> int:
    """How many rows there are to look at."""
    return EgnyteToken.objects.count()


def rotate(*, dry_run: bool = False) -> Iterator[Rotation]:
    """Re-seal in chunks by primary key, yielding the running totals after each.

    Every write compares and swaps the old ciphertext, so a row that was deleted or sealed anew
    meanwhile stays as it is (``overtaken``). Can be stopped anywhere and started again.
    """
    done = Rotation()
    last = 0
    while rows := list(EgnyteToken.objects.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        for row in rows:
            _reseal(row, done, dry_run)
        last = rows[-1].pk
        done.looked_at += len(rows)
        yield done


def _reseal(row: EgnyteToken, done: Rotation, dry_run: bool) -> None:
    for name in FIELDS:
        old = getattr(row, name)
        try:
            if not old or not needs_reseal(old):
                continue
            context = row.seal_context(name)
            new = seal(unseal(old, context), context)
        except DecryptionError:
            done.unreadable.append(f"{row._meta.model_name}:{row.pk}.{name}")
            continue
        if dry_run or EgnyteToken.objects.filter(pk=row.pk, **{name: old}).write(**{name: new}):
            done.resealed += 1
        else:
            done.overtaken += 1
