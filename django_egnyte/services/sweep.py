"""The sweeps: what is due, in slices under five minutes and in constant memory.

What is due stands in the database. A sweep claims a chunk by moving it ``CLAIM`` into the
future, so that two sweeps do no work twice, and what a killed worker had claimed comes back.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from django.db import connections
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from .. import gateway
from ..choices import Status
from ..conf import SWEEP_SLICE, conf
from ..exceptions import (
    DecryptionError,
    EgnyteError,
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    UnauthorizedError,
)
from ..models import EgnyteAccount, SpentState
from . import breaker, hosts, validate
from .refresh import refresh
from .transactions import alias, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.sweep")

SLICE: Final = float(SWEEP_SLICE)
CLAIM: Final = timedelta(minutes=15)
CHUNK: Final = 500
BATCH: Final = 250
THREADS: Final = 8
# A few at a time would cost more than the calls do: each is four queries beside busy threads.
FLUSH: Final = 125
PER_DOMAIN: Final = 20_000
SILENCES_OF_A_HOST: Final = 2
IN_USE: Final = timedelta(days=7)


def claim_due(*, seconds: float = SLICE, now_only: int | None = None) -> Iterator[list[int]]:
    """Claim what is due for validation and yield it in lists of ``BATCH`` primary keys.

    Suspects come first, then those who wait longest; no more than ``PER_DOMAIN`` accounts of one
    domain, and none of a host that is held off. Ends after ``seconds``, or ``now_only`` accounts.
    """
    refuse_in_transaction()
    ends = time.monotonic() + seconds
    held, counts, claimed = hosts.held_off(), Counter[str](), 0
    for status in (Status.SUSPECT, Status.ACTIVE):
        while time.monotonic() < ends and (now_only is None or claimed < now_only):
            room = CHUNK if now_only is None else min(CHUNK, now_only - claimed)
            skip = held | {domain for domain, count in counts.items() if count >= PER_DOMAIN}
            rows = _claim_chunk(status, skip, room)
            if not rows:
                break
            claimed += len(rows)
            counts.update(domain for _, domain in rows)
            ids = [pk for pk, _ in rows]
            for start in range(0, len(ids), BATCH):
                yield ids[start : start + BATCH]


def _claim_chunk(status: str, skip: set[str], room: int) -> list[tuple[int, str]]:
    using = alias()
    can_skip = connections[using].features.has_select_for_update_skip_locked

    def claim() -> list[tuple[int, str]]:
        now = timezone.now()
        # One status at a time, so that the index gives the order.
        due = EgnyteAccount.objects.using(using).filter(status=status, next_attempt_at__lte=now)
        if skip:
            due = due.exclude(domain__in=skip)
        rows = list(
            due.order_by("next_attempt_at")
            .select_for_update(skip_locked=can_skip)
            .values_list("pk", "domain")[:room]
        )
        EgnyteAccount.objects.using(using).filter(pk__in=[pk for pk, _ in rows]).update(
            next_attempt_at=now + CLAIM
        )
        return rows

    return in_short_transaction(claim, using)


def validate_batch(ids: Sequence[int], *, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Validate these accounts, ``THREADS`` at a time; returns the outcomes, counted.

    The threads only ask Egnyte; the database's work is done here, and for tokens that live it is
    done in lots. What is not reached in ``seconds`` comes again when its claim runs out.
    """
    refuse_in_transaction()
    outcomes: Counter[str] = Counter()
    asked = _Asked(time.monotonic() + seconds)
    accounts = list(EgnyteAccount.objects.using(alias()).live().filter(pk__in=ids))
    alive: list[int] = []
    with ThreadPoolExecutor(min(THREADS, max(1, len(accounts)))) as pool:
        for account, answer in zip(accounts, pool.map(asked.ask, accounts), strict=True):
            if answer is None and account.status == Status.ACTIVE:
                alive.append(account.pk)
                outcomes["alive"] += 1
                if len(alive) >= FLUSH:
                    _write_alive(alive)
            else:
                outcomes[_settle(account, answer, asked, actor)] += 1
    _write_alive(alive)
    if outcomes["alive"]:
        breaker.note_alive(outcomes["alive"])
    asked.failures.write()
    return outcomes


class _Asked:
    """Asks Egnyte in threads, and gives up on a host that does not answer."""

    def __init__(self, ends: float) -> None:
        self.ends = ends
        # One more than elsewhere: in threads, one lost connection would cost a host the batch.
        self.failures = hosts.Failures(silences=SILENCES_OF_A_HOST)
        self.client = functools.cache(gateway.oauth)

    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    @sensitive_variables()  # a thread's frames end here
    def ask(self, account: EgnyteAccount) -> EgnyteError | str | None:
        """``None`` if the token lives, the error, or a word for why nobody asked."""
        host = account.domain
        if host in self.failures.lost:
            return self.failures.lost[host]
        if self.is_over():
            return "unreached"
        if validate.is_expired(account) and account.refresh_fingerprint:
            return "expired"
        try:
            self.client(host).userinfo(account.access_token)
        except EgnyteError as error:
            self.failures.note(host, error)
            return error
        self.failures.note(host, None)
        return None


def _settle(
    account: EgnyteAccount, answer: EgnyteError | str | None, asked: _Asked, actor: str
) -> str:
    """What follows from an answer that is not just "alive"; it may take a call, the refresh."""
    if answer is None:
        return validate.settle_alive(account, actor=actor)
    if answer == "unreached":
        return "unreached"
    if answer == "expired" or isinstance(answer, UnauthorizedError):
        if asked.is_over():
            return "unreached"
        host = account.domain
        if host in asked.failures.lost:
            answer = asked.failures.lost[host]
        else:
            try:
                outcome = validate.settle_refused(account, actor=actor)
            except EgnyteError as error:
                asked.failures.note(host, error)
                answer = error
            else:
                if outcome != "gone":
                    asked.failures.note(host, None)
                return outcome
    if isinstance(answer, EgnyteError):
        validate.postpone(account, answer)
    if isinstance(answer, DecryptionError):
        logger.error(
            "The token of account %s does not open with any key.",
            account.pk,
            extra={"event": "undecryptable", "account_id": account.pk},
        )
        return "unreadable"
    return "unknown"


def _write_alive(ids: list[int]) -> None:
    """Without a version check: a token that was replaced meanwhile was proved by that.

    Locked in the order in which all lock accounts, since an UPDATE of several rows takes them in
    any, and so does a query by another index than the primary key. Whoever has a row locked is
    about to write it; if not, it is asked about again when its claim runs out.
    """
    using = alias()
    can_skip = connections[using].features.has_select_for_update_skip_locked

    def write() -> None:
        rows = EgnyteAccount.objects.using(using).filter(pk__in=ids).order_by("pk")
        free = rows.select_for_update(skip_locked=can_skip).values_list("pk", "status")
        keys = [pk for pk, status in free if status == Status.ACTIVE]
        EgnyteAccount.objects.using(using).filter(pk__in=keys).update(**validate.validated())

    if ids:
        in_short_transaction(write, using)
        ids.clear()


def validate_due(*, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Claim and validate in this process: the sweep of a site without workers."""
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    for ids in claim_due(seconds=seconds):
        outcomes += validate_batch(ids, actor=actor, seconds=max(1.0, ends - time.monotonic()))
    return outcomes


def refresh_due(*, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Refresh what is due, accounts in use first, until the key's budget says stop.

    Outcomes: ``refreshed``, ``refused``, ``gone``, ``unknown`` (later again), ``budget``.
    """
    refuse_in_transaction()
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    failures = hosts.Failures()
    for account in _due_for_refresh(hosts.held_off()):
        if time.monotonic() >= ends:
            break
        if account.domain in failures.lost or not _claim_refresh(account):
            continue
        outcome, error = _refresh_claimed(account, actor)
        outcomes[outcome] += 1
        failures.note(account.domain, error)
        failures.write()
        if outcome == "budget":
            _put_back(account)
            break
    warn_of_budget()
    return outcomes


def _claim_refresh(account: EgnyteAccount) -> bool:
    """Whether the account is still due, and ours: another sweep may have listed it, too.

    What comes of the refresh moves its time again. If nothing does, it is due after ``CLAIM``.
    """
    now = timezone.now()
    due = EgnyteAccount.objects.using(alias()).live().filter(next_refresh_at__lte=now)
    mine = due.filter(pk=account.pk, token_version=account.token_version)
    return bool(mine.update(next_refresh_at=now + CLAIM))


def _put_back(account: EgnyteAccount) -> None:
    """Nobody was asked: the account keeps its place among those that are due."""
    rows = EgnyteAccount.objects.using(alias()).exclude(next_refresh_at=None)
    rows.filter(pk=account.pk, token_version=account.token_version).update(
        next_refresh_at=account.next_refresh_at, attempts=account.attempts
    )


def _refresh_claimed(account: EgnyteAccount, actor: str) -> tuple[str, EgnyteError | None]:
    try:
        refresh(account, actor=actor, patience=0)
    except InvalidGrantError as error:
        return "refused", error
    except NotLinkedError as error:
        return "gone", error
    except RateLimitedError as error:
        return ("budget" if error.kind == "token_endpoint" else "unknown"), error
    except EgnyteError as error:
        return "unknown", error
    return "refreshed", None


def _due_for_refresh(skip: set[str]) -> Iterable[EgnyteAccount]:
    now = timezone.now()
    due = EgnyteAccount.objects.using(alias()).live().filter(next_refresh_at__lte=now)
    if skip:
        due = due.exclude(domain__in=skip)
    due = due.order_by("next_refresh_at")
    limit = conf.token_requests_per_hour
    yield from list(due.filter(last_used_at__gte=now - IN_USE)[:limit])
    idle = due.exclude(last_used_at__gte=now - IN_USE)
    yield from list(idle[:limit])


def refresh_forecast() -> tuple[int, int]:
    """How many accounts must be refreshed within ``EGNYTE_REFRESH_BEFORE``, and how many can be."""
    horizon = timezone.now() + conf.refresh_before
    needed = EgnyteAccount.objects.using(alias()).live().filter(next_refresh_at__lte=horizon)
    hours = max(conf.refresh_before, timedelta(hours=1)) / timedelta(hours=1)
    return needed.count(), int(hours * conf.token_requests_per_hour)


def warn_of_budget() -> bool:
    """Say so in the log when the key's budget will not reach all accounts in time."""
    needed, possible = refresh_forecast()
    if needed <= possible:
        return False
    logger.warning(
        "%d accounts are to be refreshed within %s, and the API key's budget reaches %d of them. "
        "Ask Egnyte for a higher limit and raise EGNYTE_TOKEN_REQUESTS_PER_HOUR.",
        needed,
        conf.refresh_before,
        possible,
        extra={"event": "refresh_budget_short"},
    )
    return True


def purge_spent_states() -> int:
    """Forget states that could not be used any more anyway. Returns how many."""
    rows = SpentState.objects.using(alias()).filter(expires_at__lte=timezone.now())
    return rows.delete()[0]
