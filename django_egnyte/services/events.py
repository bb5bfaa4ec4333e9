"""Egnyte's events: store them, then send them to the site's receivers.

Each event is stored once, whether a webhook or polling delivers it. The pass that claims it sends
it to the receivers. Its row stays for ``KEPT``, so that a repeated delivery is recognised.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from django.db.models import F
from django.utils import timezone

from .. import queue
from ..api.areas.events import Event
from ..api.areas.notifications import Notification
from ..choices import EventSource
from ..conf import conf
from ..models import EgnyteAccount, ReceivedEvent
from ..signals import egnyte_event
from . import agenda
from .runner import Pass, waiting
from .sweep import CLAIM, SLICE
from .transactions import DatabaseNow, alias, hence, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.events")

# How long to keep handled events. Egnyte repeats a delivery for about an hour.
KEPT: Final = timedelta(days=7)
# With the pauses between them, the attempts take about eight hours.
TRIES: Final = 10
BATCH: Final = 200

RECORDS: Final[dict[str, type[Event | Notification]]] = {
    EventSource.CURSOR: Event,
    EventSource.WEBHOOK: Notification,
}


def is_flooded(account_id: int) -> bool:
    """Whether the webhooks of this account have brought ``EGNYTE_EVENTS_PER_HOUR`` new events.

    An administrator of the customer can read the secret at Egnyte. Without a limit, they could fill
    this site's database.
    """
    recent = ReceivedEvent.objects.filter(
        account_ref=account_id,
        source=EventSource.WEBHOOK,
        received_at__gt=timezone.now() - timedelta(hours=1),
    )
    return recent[conf.events_per_hour - 1 :].exists()


def receive(account_id: int, events: Iterable[Notification]) -> bool:
    """Store the events that a webhook of this account delivered, and start a task for them.

    ``False`` if the account was deleted. The events are then dropped.
    """
    account = EgnyteAccount.objects.filter(pk=account_id).first()
    if account is None:
        logger.info(
            "Events for account %s were dropped, because it is disconnected. Remove its webhook at "
            "Egnyte.",
            account_id,
            extra={"event": "events_dropped", "account_id": account_id},
        )
        return False

    def work() -> None:
        store(account, events)
        queue.hurry("handle_events", using=alias())

    in_short_transaction(work)
    return True


def store(account: EgnyteAccount, events: Iterable[Event | Notification]) -> None:
    """Insert these events in the caller's transaction. Known events are not changed."""
    rows = [_row(account, event) for event in events]
    ReceivedEvent.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


def _row(account: EgnyteAccount, event: Event | Notification) -> ReceivedEvent:
    if isinstance(event, Event):
        source, name = EventSource.CURSOR, str(event.id)
    else:
        source, name = EventSource.WEBHOOK, event.event_id
    text = f"{account.pk}\0{source}\0{name}"
    now = timezone.now()
    return ReceivedEvent(
        # A digest, because ids can be long, and MariaDB ignores case in a unique text column.
        digest=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
        account_ref=account.pk,
        domain=account.domain,
        source=source,
        payload=json.dumps(event.raw),
        received_at=now,
        due_at=now,
    )


def handle_due(*, seconds: float = SLICE) -> Counter[str]:
    """Send ``egnyte_event`` for the due events, oldest first.

    Outcomes: ``handled``, ``failed`` (a receiver raised; the event is sent again later, at most
    ``TRIES`` times), ``gone`` (the account is disconnected), ``skipped`` (another pass handles it).
    If the process is terminated while a receiver runs, the event is sent again.
    """
    refuse_in_transaction()
    this: Pass[ReceivedEvent] = Pass("events", seconds=seconds, put_off=_put_off)
    # Skip events of a host that is held off, because receivers could not call it either.
    due = waiting(this, ReceivedEvent.objects.filter(due_at__lte=DatabaseNow()))
    return this.run(due, _handle, host_of=lambda row: row.domain)


def _handle(row: ReceivedEvent) -> str:
    # Count the attempt first, so that an event that crashes its worker is not tried forever.
    unclaimed = ReceivedEvent.objects.filter(
        pk=row.pk, attempts=row.attempts, due_at__lte=DatabaseNow()
    )
    if not unclaimed.update(due_at=hence(CLAIM.total_seconds()), attempts=F("attempts") + 1):
        return "skipped"
    row.attempts += 1
    if row.attempts > TRIES:
        _give_up(row, "its worker was terminated")
        return "failed"
    account = EgnyteAccount.objects.filter(pk=row.account_ref).first()
    if account is not None:
        event = RECORDS[row.source].of(json.loads(row.payload))
        answers = egnyte_event.send_robust(EgnyteAccount, account=account, event=event)
        for _, answer in answers:
            if isinstance(answer, Exception):
                raise answer
    else:
        logger.info(
            "An event for account %s was dropped, because it is disconnected.",
            row.account_ref,
            extra={"event": "events_dropped", "account_id": row.account_ref},
        )
    _write(row, due_at=None, payload="", last_error="")
    return "handled" if account is not None else "gone"


def _put_off(row: ReceivedEvent, error: Exception) -> None:
    name = type(error).__name__
    if row.attempts < TRIES:
        wait = agenda.wait_after(row.attempts - 1, error)
        _write(row, due_at=hence(wait.total_seconds()), last_error=name)
        return
    _give_up(row, name)


def _give_up(row: ReceivedEvent, why: str) -> None:
    _write(row, due_at=None, last_error=why)
    logger.error(
        "The receivers of egnyte_event failed %d times for event %s of account %s, the last time "
        "with: %s. There is no further attempt. Its row is kept for %d days.",
        TRIES,
        row.pk,
        row.account_ref,
        why,
        KEPT.days,
        extra={"event": "event_given_up", "account_id": row.account_ref},
    )


def _write(row: ReceivedEvent, **values: Any) -> None:
    """Write ``values``, unless another pass has claimed the row because this one took too long."""
    ReceivedEvent.objects.filter(pk=row.pk, attempts=row.attempts).update(**values)


def purge() -> int:
    """Delete events that are older than ``KEPT`` and have no attempt left. Returns how many."""
    old = ReceivedEvent.objects.filter(due_at=None, received_at__lte=timezone.now() - KEPT)
    return old.delete()[0]
