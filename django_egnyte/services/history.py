"""What happened, for people and for the site's own code."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.dispatch import Signal

from ..choices import EventKind
from ..models import AccountEvent, EgnyteAccount, PendingRevocation

logger = logging.getLogger("django_egnyte")


def record(
    kind: EventKind,
    of: EgnyteAccount | PendingRevocation,
    *,
    using: str,
    actor: str,
    reason: str = "",
) -> None:
    """Write one ``AccountEvent`` in the caller's transaction, and a log line."""
    account_ref = of.pk if isinstance(of, EgnyteAccount) else of.account_ref
    user_ref = str(of.user_id) if isinstance(of, EgnyteAccount) else of.user_ref
    AccountEvent.objects.using(using).create(
        kind=kind,
        actor=actor,
        account_ref=account_ref,
        user_ref=user_ref,
        domain=of.domain,
        username=of.username,
        reason=reason[:255],
    )
    logger.info(
        "%s: account %s at %s (%s)%s",
        kind.value,
        account_ref,
        of.domain,
        actor,
        f": {reason}" if reason else "",
        extra={"event": kind.value, "account_id": account_ref, "domain": of.domain, "actor": actor},
    )


def announce(signal: Signal, account: EgnyteAccount, *, using: str, **values: Any) -> None:
    """Send a signal after the commit. A receiver that raises is logged and breaks nothing."""

    def send() -> None:
        for receiver, answer in signal.send_robust(EgnyteAccount, account=account, **values):
            if isinstance(answer, Exception):
                logger.error(
                    "A receiver of an Egnyte signal failed: %r",
                    receiver,
                    exc_info=answer,
                    extra={"event": "receiver_failed", "account_id": account.pk},
                )

    transaction.on_commit(send, using=using, robust=True)
