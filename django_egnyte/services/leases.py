"""The lease on a grant: one refresh, verdict or revocation at a time, over all processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.db.models import Q

from ..api import steps
from ..api.steps import Step, Steps
from ..choices import LeasedFor
from ..exceptions import TokenExpiredError
from ..models import EgnyteAccount, EgnyteGrant, EgnyteToken
from . import grants

POLL: Final = 0.15


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease on a grant, with the rows as they were when it began."""

    account: EgnyteAccount
    token: EgnyteToken
    grant: EgnyteGrant
    nonce: str


class Moved(Exception):
    """The account has another token by now. ``account`` is None if it is gone or revoked."""

    def __init__(self, account: EgnyteAccount | None) -> None:
        super().__init__()
        self.account = account


@contextmanager
def hold(account: EgnyteAccount, purpose: LeasedFor, *, patience: float) -> Iterator[Lease]:
    """Hold the lease on the account's grant. Waits and raises as ``taken``."""
    lease = steps.run(taken(account, purpose, patience=patience))
    try:
        yield lease
    finally:
        give_back(lease)


def taken(account: EgnyteAccount, purpose: LeasedFor, *, patience: float) -> Steps[Lease]:
    """Take the lease on the account's grant, waiting up to ``patience`` seconds for its owner.

    ``Moved`` if the account has another token by now or is no longer live, ``TokenExpiredError``
    (retryable) if the owner takes longer.
    """
    until = time.monotonic() + patience
    while True:
        lease: Lease | None = yield Step("db", _take, account, purpose)
        if lease is not None:
            return lease
        if time.monotonic() >= until:
            raise TokenExpiredError(
                "Another process is refreshing this token.", host=account.domain, retry_after=1.0
            )
        yield steps.sleep(POLL)


def give_back(lease: Lease) -> None:
    """End the lease. If the database fails, that is only logged, because the lease expires."""
    grants.release_safely(lease.grant.pk, lease.nonce)


def _take(account: EgnyteAccount, purpose: LeasedFor) -> Lease | None:
    current = EgnyteAccount.objects.with_token().live().filter(pk=account.pk).first()
    if current is None or current.token is None:
        raise Moved(None)
    if current.token_id != account.token_id:
        raise Moved(current)
    grant = current.token.grant
    # Only if the grant is unchanged: otherwise read what another process has tried or stored.
    unchanged = Q(generation=grant.generation, refresh_attempts=grant.refresh_attempts)
    nonce = grants.lease(grant.pk, purpose, unchanged)
    return Lease(current, current.token, grant, nonce) if nonce else None
