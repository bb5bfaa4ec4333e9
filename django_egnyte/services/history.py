"""The history in the database and the log, and the signals for the site's own code."""

from __future__ import annotations

import logging
from typing import Any

from django.dispatch import Signal

from ..choices import EventKind
from ..models import AccountEvent, EgnyteAccount, EgnyteGrant
from .inserts import insert
from .transactions import after_commit

logger = logging.getLogger("django_egnyte")


def record(
    kind: EventKind, of: EgnyteAccount | EgnyteGrant, *, actor: str, reason: str = ""
) -> None:
    """Write one ``AccountEvent`` in the caller's transaction, and a log line."""
    record_all(kind, [of], actor=actor, reason=reason)


def record_all(
    kind: EventKind,
    rows: list[EgnyteAccount] | list[EgnyteGrant] | list[EgnyteAccount | EgnyteGrant],
    *,
    actor: str,
    reason: str = "",
) -> None:
    """The same as ``record``, for many rows in one statement."""
    events = [_event(kind, row, actor, reason) for row in rows]
    if len(events) == 1:
        insert(events[0])
    else:
        AccountEvent.objects.bulk_create(events, batch_size=500)
    for event in events:
        logger.info(
            "%s: account %s at %s (%s)%s",
            kind.value,
            event.account_ref,
            event.domain,
            actor,
            f": {reason}" if reason else "",
            extra={
                "event": kind.value,
                "account_id": event.account_ref,
                "domain": event.domain,
                "actor": actor,
            },
        )


def _event(
    kind: EventKind, of: EgnyteAccount | EgnyteGrant, actor: str, reason: str
) -> AccountEvent:
    if isinstance(of, EgnyteAccount):
        account_ref: int | None = of.pk
        user_ref = str(of.user_id)
    else:
        account_ref, user_ref = of.account_ref, of.user_ref
    return AccountEvent(
        kind=kind,
        actor=actor,
        account_ref=account_ref,
        user_ref=user_ref,
        domain=of.domain,
        username=of.username,
        reason=reason[:255],
    )


def announce(signal: Signal, account: EgnyteAccount, **values: Any) -> None:
    """Send a signal after the commit. An exception of a receiver is only logged."""

    def send() -> None:
        for receiver, answer in signal.send_robust(EgnyteAccount, account=account, **values):
            if isinstance(answer, Exception):
                logger.error(
                    "A receiver of an Egnyte signal failed: %r",
                    receiver,
                    exc_info=answer,
                    extra={"event": "receiver_failed", "account_id": account.pk},
                )

    after_commit(send)
