"""Key rotation: seal everything anew with the newest key, while the site runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.views.decorators.debug import sensitive_variables

from ..exceptions import DecryptionError
from ..fields import needs_reseal, seal, unseal
from ..managers import GuardedQuerySet
from ..models import EgnyteAccount, GuardedModel, PendingRevocation
from .transactions import alias

CHUNK: Final = 200
MODELS: Final[tuple[type[GuardedModel], ...]] = (
    EgnyteAccount,
    PendingRevocation,
)


@dataclass
class Rotation:
    """What became of the rows looked at so far; ``unreadable`` names them by table and key."""

    looked_at: int = 0
    resealed: int = 0
    overtaken: int = 0
    unreadable: list[str] = field(default_factory=list)


def count() -> int:
    """How many rows there are to look at."""
    return sum(model._base_manager.using(alias()).count() for model in MODELS)


def rotate(*, dry_run: bool = False) -> Iterator[Rotation]:
    """Re-seal in chunks by primary key, yielding the running totals after each.

    Every write compares and swaps the old ciphertext, so a token refreshed meanwhile wins
    (``overtaken``). Can be stopped anywhere and started again.
    """
    done = Rotation()
    for model in MODELS:
        last = 0
        while True:
            rows = list(
                model._base_manager.using(alias()).filter(pk__gt=last).order_by("pk")[:CHUNK]
            )
            if not rows:
                break
            for row in rows:
                _reseal(row, done, dry_run)
            last = rows[-1].pk
            done.looked_at += len(rows)
            yield done


@sensitive_variables()
def _reseal(row: GuardedModel, done: Rotation, dry_run: bool) -> None:
    for column in row.sealed_fields():
        name = column.attname
        old = column.stored(row)
        try:
            if not old or not needs_reseal(old):
                continue
            context: str = row.seal_context(name)  # type: ignore[attr-defined]
            new = seal(unseal(old, context), context)
        except DecryptionError:
            done.unreadable.append(f"{row._meta.model_name}:{row.pk}.{name}")
            continue
        if dry_run:
            done.resealed += 1
            continue
        rows: GuardedQuerySet[Any] = type(row)._default_manager.using(alias())  # type: ignore[assignment]
        if rows.filter(pk=row.pk, **{name: old}).write(**{name: new}):
            done.resealed += 1
        else:
            done.overtaken += 1
