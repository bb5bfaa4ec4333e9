"""Egnyte's events on their way to the site's receivers: stored first, then handled.

An event is stored once, whatever brings it, and handled by whichever pass claims it. Its row stays
for ``KEPT``, so that the same event is not taken again.
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
from ..models import EgnyteAccount, ReceivedEvent
from ..signals import egnyte_event
from . import agenda
from .runner import Pass, waiting
from .sweep import CLAIM, SLICE
from .transactions import DatabaseNow, alias, hence, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.events")

# How long a handled event is remembered. Egnyte repeats a delivery for about an hour.
KEPT: Final = timedelta(days=7)
# With the waits between them, about eight hours pass before an event is given up.
TRIES: Final = 10
LONGEST_WAIT: Final = 6 * agenda.HOUR
BATCH: Final = 200

RECORDS: Final[dict[str, type[Event | Notification]]] = {
    EventSource.CURSOR: Event,
    EventSource.WEBHOOK: Notification,
}


def receive(account_id: int, events: Iterable[Notification]) -> bool:
    """Store what a webhook of this account delivered, and hurry its handling.

    ``False`` if the account is gone; then the events are dropped.
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
    """Insert these events in the caller's transaction. Those that are known already stay as they
    are."""
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
        # A digest: an id may be long, and MariaDB would not tell its upper case from its lower.
        digest=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
        account_ref=account.pk,
        domain=account.domain,
        source=source,
        payload=json.dumps(event.raw),
        received_at=now,
        due_at=now,
    )


def handle_due(*, seconds: float = SLICE) -> Counter[str]:
    """Send ``egnyte_event`` for the events that are due, those that came first before the others.

    Outcomes: ``handled``, ``failed`` (a receiver raised; the event comes again later, or is given
    up after ``TRIES``), ``gone`` (its account is disconnected), ``skipped`` (another pass is at
    it). An event comes a second time if the process was killed while a receiver was at work.
    """
    refuse_in_transaction()
    this: Pass[ReceivedEvent] = Pass("events", seconds=seconds, put_off=_put_off)
    # Not those of a host that is held off, which receivers could not ask either.
    due = waiting(this, ReceivedEvent.objects.filter(due_at__lte=DatabaseNow()))
    return this.run(due, _handle, host_of=lambda row: row.domain)


def _handle(row: ReceivedEvent) -> str:
    # Counted before it is tried, so that an event that kills its worker is given up as well.
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
        wait = agenda.wait_after(row.attempts - 1, agenda.as_egnytes(error), longest=LONGEST_WAIT)
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
    """Unless another pass has claimed the row since, because this one took too long."""
    ReceivedEvent.objects.filter(pk=row.pk, attempts=row.attempts).update(**values)


def purge() -> int:
    """Forget events that were handled, or given up, and came over ``KEPT`` ago. Returns how
    many."""
    old = ReceivedEvent.objects.filter(due_at=None, received_at__lte=timezone.now() - KEPT)
    return old.delete()[0]
