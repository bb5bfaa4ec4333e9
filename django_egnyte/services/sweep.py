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

from .. import gateway
from ..choices import Status
from ..conf import conf
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

SLICE: Final = 240.0
CLAIM: Final = timedelta(minutes=15)
CHUNK: Final = 500
BATCH: Final = 250
THREADS: Final = 8
FLUSH: Final = 50
PER_DOMAIN: Final = 20_000
FAILURES_OF_A_HOST: Final = 2
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
                outcomes[_settle(account, answer, actor)] += 1
    _write_alive(alive)
    if outcomes["alive"]:
        breaker.note_alive(outcomes["alive"])
    for host, error in asked.unreachable.items():
        hosts.note_unreachable(host, error)
    hosts.note_reached(asked.known_bad & asked.reached)
    return outcomes


class _Asked:
    """Asks Egnyte in threads, and gives up on a host that does not answer."""

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.known_bad = hosts.failed_before()
        self.failures: Counter[str] = Counter()
        self.unreachable: dict[str, EgnyteError] = {}
        self.reached: set[str] = set()
        self.client = functools.cache(gateway.oauth)

    def ask(self, account: EgnyteAccount) -> EgnyteError | str | None:
        """``None`` if the token lives, the error, or a word for why nobody asked."""
        host = account.domain
        if host in self.unreachable:
            return self.unreachable[host]
        if time.monotonic() >= self.ends:
            return "unreached"
        if validate.is_expired(account) and account.refresh_fingerprint:
            return "expired"
        try:
            self.client(host).userinfo(account.access_token)
        except EgnyteError as error:
            if hosts.is_unreachable(error):
                self.failures[host] += 1
                if self.failures[host] >= FAILURES_OF_A_HOST:
                    self.unreachable[host] = error
            return error
        self.failures[host] = 0
        self.reached.add(host)
        return None


def _settle(account: EgnyteAccount, answer: EgnyteError | str | None, actor: str) -> str:
    """What follows from an answer that is not just "alive"."""
    if answer == "unreached":
        return "unreached"
    try:
        if answer is None:
            return validate.settle_alive(account, actor=actor)
        if answer == "expired" or isinstance(answer, UnauthorizedError):
            return validate.settle_refused(account, actor=actor)
    except EgnyteError as error:
        answer = error
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
    """Without a version check: a token that was replaced meanwhile was proved by that."""
    if ids:
        accounts = EgnyteAccount.objects.using(alias()).filter(pk__in=ids, status=Status.ACTIVE)
        accounts.update(**validate.validated())
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
    skip = hosts.held_off()
    for account in _due_for_refresh(skip):
        if time.monotonic() >= ends:
            break
        if account.domain in skip:
            continue
        try:
            refresh(account, actor=actor, patience=0)
            outcomes["refreshed"] += 1
        except InvalidGrantError:
            outcomes["refused"] += 1
        except NotLinkedError:
            outcomes["gone"] += 1
        except RateLimitedError as error:
            if error.kind == "token_endpoint":
                outcomes["budget"] += 1
                break
            outcomes["unknown"] += 1
        except EgnyteError as error:
            outcomes["unknown"] += 1
            if hosts.is_unreachable(error):
                hosts.note_unreachable(account.domain, error)
                skip.add(account.domain)
    warn_of_budget()
    return outcomes


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
