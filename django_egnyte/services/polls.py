"""Polling the events of accounts, where webhooks are not possible."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from itertools import islice
from typing import Final

from django.db.models import F

from .. import queue
from ..api.areas.events import Event
from ..choices import EventKind
from ..exceptions import EventsExpiredError, NotLinkedError
from ..models import EgnyteAccount, EventCursor
from . import agenda, events, history
from .runner import Pass, waiting
from .sweep import CLAIM, SLICE, note_run
from .transactions import DatabaseNow, alias, hence, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.polls")

# Egnyte asks clients to poll at most every five minutes.
EVERY: Final = timedelta(minutes=5)
LONGEST_WAIT: Final = 6 * agenda.HOUR
# The pause for an account that is not live.
PAUSE: Final = timedelta(hours=1)
PAGE: Final = 100
# Calls per account and pass: catching up must not use all calls of the user's day.
PAGES: Final = 20


def follow(account: EgnyteAccount, *, after: int | None = None) -> None:
    """Start polling this account's events: those from now on, or those after the id ``after``.

    Without ``after`` it makes one call, for the id of the newest event, and raises what that call
    raises. ``NotLinkedError`` for an account that is not live. If the account is already polled, it
    continues from its position, or from ``after``.
    """
    if not account.is_live or account.pk is None:
        raise NotLinkedError("This Egnyte account is not connected.", host=account.domain)
    rows = EventCursor.objects.filter(account_ref=account.pk)
    if after is None:
        if rows.exists():
            return
        after = account.client.events.cursor().latest_event_id
    elif rows.update(position=after, next_poll_at=DatabaseNow(), attempts=0):
        return
    row = EventCursor(account_ref=account.pk, domain=account.domain, position=after)
    EventCursor.objects.bulk_create([row], ignore_conflicts=True)


def unfollow(account: EgnyteAccount) -> bool:
    """Stop polling this account's events. ``False`` if they were not polled."""
    return bool(EventCursor.objects.filter(account_ref=account.pk).delete()[0])


def poll_due(*, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Store the new events of the due accounts, for ``events.handle_due``.

    Outcomes: ``polled``, ``failed`` (tried again later), ``unlinked`` (the account is not live),
    ``gone`` (it is disconnected), ``skipped`` (another pass polls it).
    """
    refuse_in_transaction()
    note_run("polls")
    this: Pass[EventCursor] = Pass("polls", seconds=seconds, put_off=_put_off)
    due = waiting(this, EventCursor.objects.filter(next_poll_at__lte=DatabaseNow()))
    return this.run(due, lambda row: _poll(this, row, actor), host_of=lambda row: row.domain)


def _poll(this: Pass[EventCursor], row: EventCursor, actor: str) -> str:
    mine = EventCursor.objects.filter(pk=row.pk)
    unclaimed = mine.filter(next_poll_at__lte=DatabaseNow())
    if not unclaimed.update(next_poll_at=hence(CLAIM.total_seconds())):
        return "skipped"
    account = EgnyteAccount.objects.for_calls().filter(pk=row.account_ref).first()
    if account is None:
        mine.delete()
        logger.info(
            "The events of account %s are no longer polled, because it is disconnected.",
            row.account_ref,
            extra={"event": "unfollowed", "account_id": row.account_ref},
        )
        return "gone"
    if not account.is_live:
        mine.update(next_poll_at=hence(PAUSE.total_seconds()))
        return "unlinked"
    try:
        _take(this, row, account)
    except EventsExpiredError:
        _begin_again(this, row, account, actor)
    mine.update(next_poll_at=hence(EVERY.total_seconds()), attempts=0, last_error="")
    return "polled"


def _take(this: Pass[EventCursor], row: EventCursor, account: EgnyteAccount) -> None:
    """Store the events after the row's position, page by page, each with the new position."""
    stream = account.client.events.after(row.position, page_size=PAGE)
    coming = iter(stream)
    for _ in range(PAGES):
        page = list(islice(coming, PAGE))
        ended = len(page) < PAGE
        # The end of the stream can be later than the last event that the user may see.
        reached = int(stream.position) if ended else page[-1].id
        if not _keep(row, account, page, reached) or ended or this.is_over():
            return


def _keep(row: EventCursor, account: EgnyteAccount, page: list[Event], reached: int) -> bool:
    """Store events and the new position in one transaction. ``False`` if another pass did."""

    def work() -> bool:
        if reached != row.position:
            same = EventCursor.objects.filter(pk=row.pk, position=row.position)
            if not same.update(position=reached):
                return False
        if page:
            events.store(account, page)
            queue.hurry("handle_events", using=alias())
        return True

    kept = in_short_transaction(work)
    row.position = reached
    return kept


def _begin_again(
    this: Pass[EventCursor], row: EventCursor, account: EgnyteAccount, actor: str
) -> None:
    """Egnyte has deleted the events after the row's position: continue with its oldest event."""
    lost_after = row.position
    oldest = account.client.events.cursor().oldest_event_id
    try:
        # Egnyte returns the events after an id, and may not accept the id before the oldest event.
        _move(row, oldest - 1)
        _take(this, row, account)
    except EventsExpiredError:
        _move(row, oldest)
        _take(this, row, account)
    reason = f"Egnyte no longer has the events between {lost_after} and {oldest}"
    history.record(EventKind.EVENTS_LOST, account, actor=actor, reason=reason)
    logger.warning(
        "Account %s: %s. List its folders to find out what changed meanwhile.",
        account.pk,
        reason,
        extra={"event": "events_lost", "account_id": account.pk, "domain": account.domain},
    )


def _move(row: EventCursor, position: int) -> None:
    EventCursor.objects.filter(pk=row.pk, position=row.position).update(position=position)
    row.position = position


def _put_off(row: EventCursor, error: Exception) -> None:
    name = type(error).__name__
    wait = agenda.wait_after(row.attempts, error, first=EVERY.total_seconds(), longest=LONGEST_WAIT)
    EventCursor.objects.filter(pk=row.pk).update(
        next_poll_at=hence(wait.total_seconds()), attempts=F("attempts") + 1, last_error=name
    )
    logger.warning(
        "The events of account %s could not be polled (%s). The next attempt is in %d seconds.",
        row.account_ref,
        name,
        wait.total_seconds(),
        extra={"event": "not_polled", "account_id": row.account_ref, "domain": row.domain},
    )
