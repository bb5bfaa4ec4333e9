"""One refresh or verdict at a time for each refresh token, over all processes.

The lease stands on every account that holds the refresh token, with its owner's nonce. Only the
database's clock decides whether it has run out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.db.models import Case, Q, QuerySet, Value, When
from django.db.models.fields import BooleanField

from ..conf import LEASE
from ..exceptions import TokenExpiredError
from ..models import EgnyteAccount, new_id
from .transactions import DatabaseNow, alias, hence, in_short_transaction

POLL: Final = 0.15


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to speak for an account's token. ``account`` is as it was when this began."""

    account: EgnyteAccount
    nonce: str
    rows: tuple[int, ...]
    """The primary keys of all accounts that it stands on."""


class Moved(Exception):
    """The account's token is not the one that the caller knew; ``account`` is None if it left."""

    def __init__(self, account: EgnyteAccount | None) -> None:
        super().__init__()
        self.account = account


def holders(account: EgnyteAccount, using: str) -> QuerySet[EgnyteAccount]:
    """The live accounts that hold this account's refresh token, itself among them."""
    which = Q(pk=account.pk)
    if account.refresh_fingerprint:
        which |= Q(domain=account.domain, refresh_fingerprint=account.refresh_fingerprint)
    return EgnyteAccount.objects.using(using).live().filter(which)


@contextmanager
def hold(account: EgnyteAccount, *, patience: float) -> Iterator[Lease]:
    """Take the lease, waiting up to ``patience`` seconds for its owner.

    ``Moved`` if the token was replaced meanwhile or the account is no longer live,
    ``TokenExpiredError`` (retryable) if the owner takes longer.
    """
    using = alias()
    until = time.monotonic() + patience
    while (lease := _take(account, using)) is None:
        if time.monotonic() >= until:
            raise TokenExpiredError(
                "Another process is refreshing this token.", host=account.domain
            )
        time.sleep(POLL)
    try:
        yield lease
    finally:
        in_short_transaction(lambda: _release(lease, using), using)


def _take(account: EgnyteAccount, using: str) -> Lease | None:
    nonce = new_id()

    def take() -> Lease | None:
        # The order keeps two takers from locking each other out.
        rows = list(
            holders(account, using)
            .order_by("pk")
            .select_for_update()
            .annotate(
                is_leased=Case(
                    When(leased_until__gt=DatabaseNow(), then=Value(True)),
                    default=Value(False),
                    output_field=BooleanField(),
                )
            )
        )
        mine = next((row for row in rows if row.pk == account.pk), None)
        if mine is None or mine.token_version != account.token_version:
            raise Moved(mine)
        if any(row.is_leased for row in rows):  # pyright: ignore[reportAttributeAccessIssue]
            return None
        keys = tuple(row.pk for row in rows)
        EgnyteAccount.objects.using(using).filter(pk__in=keys).write(
            lease=nonce, leased_until=hence(LEASE)
        )
        return Lease(mine, nonce, keys)

    return in_short_transaction(take, using)


def _release(lease: Lease, using: str) -> None:
    # In the order of the takers: an UPDATE of several rows locks them in any order.
    rows = EgnyteAccount.objects.using(using).filter(pk__in=lease.rows, lease=lease.nonce)
    mine = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
    EgnyteAccount.objects.using(using).filter(pk__in=mine).write(lease="", leased_until=None)
