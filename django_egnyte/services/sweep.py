"""The sweeps: do the work that is due, in slices under five minutes and in constant memory.

The database holds the time at which work is due. A sweep claims a chunk by moving that time
``CLAIM`` into the future. So two sweeps do no work twice, and the claims of a killed worker become
due again.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import F, Q
from django.utils import timezone

from .. import gateway
from ..choices import Release, Status
from ..conf import SWEEP_SLICE, conf
from ..exceptions import (
    DecryptionError,
    EgnyteError,
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    TokenExpiredError,
    UnauthorizedError,
)
from ..models import EgnyteAccount, EgnyteGrant, SpentState, SweepState
from ..oauth import OAuthClient
from . import disconnect, grants, hosts, keys, ledger, validate
from .agenda import validated
from .refresh import refresh
from .runner import Pass
from .transactions import DatabaseNow, alias, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.sweep")

SLICE: Final = float(SWEEP_SLICE)
CLAIM: Final = timedelta(minutes=15)
CHUNK: Final = 500
BATCH: Final = 250
THREADS: Final = 8
# Read these before the rest of a batch, so that the threads can start.
AHEAD: Final = 50
# Write in lots: a write costs some queries, and waits for busy threads. The threads ask about the
# last accounts of a batch during the first write, and the last write is a small one.
FLUSH: Final = BATCH - AHEAD
PER_DOMAIN: Final = 20_000
# One more than elsewhere: in threads, one lost connection would stop a host's whole batch.
SILENCES_OF_A_HOST: Final = 2
IN_USE: Final = timedelta(days=7)
FORGOTTEN_CHUNK: Final = 2000


def note_run(name: str) -> None:
    """Store that this sweep has run, for ``egnyte_status``."""
    rows = SweepState.objects.filter(name=name)
    if not rows.update(ran_at=DatabaseNow()):
        SweepState.objects.bulk_create([SweepState(name=name)], ignore_conflicts=True)
        rows.update(ran_at=DatabaseNow())


# Validation


def claim_due(*, seconds: float = SLICE, now_only: int | None = None) -> Iterator[list[int]]:
    """Claim what is due for validation and yield it in lists of ``BATCH`` primary keys.

    Suspects come first, then those that have waited longest. It takes at most ``PER_DOMAIN``
    accounts of one domain, and none of a host that is held off. It ends after ``seconds``, or after
    ``now_only`` accounts.
    """
    refuse_in_transaction()
    note_run("validations")
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
    can_skip = connections[alias()].features.has_select_for_update_skip_locked

    def claim() -> list[tuple[int, str]]:
        now = timezone.now()
        # Read one status at a time: then the index gives the order.
        due = EgnyteAccount.objects.filter(status=status, next_validation_at__lte=now)
        if skip:
            due = due.exclude(domain__in=skip)
        rows = list(
            due.order_by("next_validation_at")
            .select_for_update(skip_locked=can_skip)
            .values_list("pk", "domain")[:room]
        )
        EgnyteAccount.objects.filter(pk__in=[pk for pk, _ in rows]).update(
            next_validation_at=now + CLAIM
        )
        return rows

    return in_short_transaction(claim)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Egnyte's answer about an account, or the error, or the reason why it was not asked.

    ``asked`` and ``refused`` are the ``time.monotonic()`` of the question and of a refusal.
    """

    asked: float = 0.0
    error: Exception | None = None
    word: str = ""
    refused: float | None = None

    @property
    def is_good(self) -> bool:
        return self.error is None and not self.word


def validate_batch(ids: Sequence[int], *, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Validate these accounts, ``THREADS`` at a time. Returns counted outcomes.

    The threads only ask Egnyte. This thread does the database's work, in batches for tokens that
    Egnyte accepts. Accounts not reached within ``seconds`` become due when their claim ends.
    """
    refuse_in_transaction()
    this: Pass[EgnyteAccount] = Pass(
        "validations", seconds=seconds, put_off=_put_off, silences=SILENCES_OF_A_HOST
    )
    client = functools.cache(gateway.oauth)
    alive = _Alive(this)
    with ThreadPoolExecutor(min(THREADS, max(1, len(ids)))) as pool:
        asked: list[tuple[EgnyteAccount, Future[_Answer]]] = []
        for part in (ids[:AHEAD], ids[AHEAD:]):  # the threads ask while the others are read
            rows = EgnyteAccount.objects.with_token().live().filter(pk__in=part)
            asked += [(each, pool.submit(_ask, this, client, each)) for each in rows]
        for account, asking in asked:
            answer = asking.result()
            if answer.is_good and account.status == Status.ACTIVE:
                alive.add(account, answer.asked)
            else:
                work = functools.partial(_settle, this, answer, actor)
                this.settle(account, work, account.domain, noted=answer.error)
    alive.write()
    this.write_failures()
    return this.outcomes


def _ask(
    this: Pass[EgnyteAccount], client: Callable[[str], OAuthClient], account: EgnyteAccount
) -> _Answer:
    host = account.domain
    if host in this.failures.lost:
        return _Answer(error=this.failures.lost[host])
    if this.is_over() or this.is_lost(host):
        return _Answer(word="unreached")
    if validate.needs_refresh(account):
        return _Answer(word="expired")
    started = time.monotonic()
    try:
        client(host).userinfo(account.opened_access_token())
    except Exception as error:
        if isinstance(error, EgnyteError):
            this.failures.note(host, error)
        return _Answer(error=error, refused=time.monotonic())
    finally:
        # All threads share it, and the time of the pass.
        this.spend(host, (time.monotonic() - started) / THREADS)
    this.failures.note(host, None)
    return _Answer(asked=started)


def _settle(this: Pass[EgnyteAccount], answer: _Answer, actor: str, account: EgnyteAccount) -> str:
    """Handle an answer other than "alive". This may make calls, for example a refresh."""
    if answer.word == "expired" or isinstance(answer.error, UnauthorizedError):
        if this.is_over() or this.is_lost(account.domain):
            return "unreached"
        return validate.settle_refused(account, answer.refused, actor=actor)
    if answer.word:
        return answer.word
    if answer.error is not None:
        raise answer.error
    return validate.settle_alive(account, asked=answer.asked, actor=actor)


def _put_off(account: EgnyteAccount, error: Exception) -> None:
    validate.postpone(account, error if isinstance(error, EgnyteError) else EgnyteError())
    if isinstance(error, DecryptionError):
        logger.error(
            "The token of account %s cannot be decrypted. %s",
            account.pk,
            error.hint,
            extra={"event": "undecryptable", "account_id": account.pk},
        )


class _Alive:
    """The accounts of a batch that Egnyte accepted, stored in lots of ``FLUSH``."""

    def __init__(self, this: Pass[EgnyteAccount]) -> None:
        self._this = this
        self._lot: list[tuple[EgnyteAccount, float]] = []
        self._key_is_noted = False

    def add(self, account: EgnyteAccount, asked: float) -> None:
        self._lot.append((account, asked))
        if len(self._lot) >= FLUSH:
            self.write()

    def write(self) -> None:
        """Store what is left, and once in a batch that Egnyte accepted the API key."""
        if not self._lot:
            return
        lot, self._lot = self._lot, []
        try:
            _write_alive([account.pk for account, _ in lot])
            if not self._key_is_noted:
                self._key_is_noted = _note_key(lot)
        except Exception:
            # They become due again when their claim ends.
            logger.exception(
                "The database did not store %d validations. The next sweep makes them again.",
                len(lot),
                extra={"event": "validations_not_noted"},
            )
            self._this.outcomes["failed"] += len(lot)
        else:
            self._this.outcomes["alive"] += len(lot)


def _note_key(lot: list[tuple[EgnyteAccount, float]]) -> bool:
    """Note the last acceptance of the API key. ``False`` if these accounts are another key's."""
    digest = gateway.key_digest()
    proofs = [(asked, each.domain) for each, asked in lot if _key_of(each) == digest]
    if proofs:
        asked, host = max(proofs)
        keys.note_accepted(host, asked=asked)
    return bool(proofs)


def _key_of(account: EgnyteAccount) -> str:
    return account.token.grant.key_digest if account.token is not None else ""


def _write_alive(ids: list[int]) -> None:
    """Write without comparing tokens: if one was replaced meanwhile, the new one is valid too.

    Lock the accounts in the usual order first, because an UPDATE of several rows locks them in any
    order. Skip rows that are locked: another process is about to write them, or they become due
    again when their claim ends.
    """
    can_skip = connections[alias()].features.has_select_for_update_skip_locked

    def write() -> None:
        rows = EgnyteAccount.objects.filter(pk__in=ids).order_by("pk")
        free = rows.select_for_update(skip_locked=can_skip).values_list("pk", "status")
        pks = [pk for pk, status in free if status == Status.ACTIVE]
        EgnyteAccount.objects.filter(pk__in=pks).update(**validated())

    in_short_transaction(write)


def validate_due(*, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Claim and validate in this process, for a site without workers."""
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    for ids in claim_due(seconds=seconds):
        outcomes += validate_batch(ids, actor=actor, seconds=max(1.0, ends - time.monotonic()))
    return outcomes


# Refreshing


def refresh_due(*, actor: str, seconds: float = SLICE) -> Counter[str]:
    """Refresh the grants that are due, accounts in use first, within the key's budget.

    Outcomes: ``refreshed``, ``refused``, ``gone``, ``skipped`` (another process has it), ``failed``
    (it is tried again later), ``limited`` (its host takes no more for now), ``budget`` (used up).
    """
    refuse_in_transaction()
    note_run("refreshes")
    this: Pass[EgnyteAccount] = Pass("refreshes", seconds=seconds, put_off=_put_off_refresh)
    this.run(
        _due_for_refresh(this),
        lambda account: _refresh_one(this, account, actor),
        host_of=lambda account: account.domain,
        until="budget",
    )
    warn_of_budget()
    return this.outcomes


def _refresh_one(this: Pass[EgnyteAccount], account: EgnyteAccount, actor: str) -> str:
    """The lease is the claim: if another sweep has it or had it, make no call."""
    try:
        refresh(account, actor=actor, patience=0)
    except InvalidGrantError:
        return "refused"
    except NotLinkedError:
        return "gone"
    except TokenExpiredError:
        return "skipped"
    except RateLimitedError as error:
        if error.status is not None:
            raise
        if ledger.is_used_up():
            return "budget"
        this.leave(account.domain)
        return "limited"
    return "refreshed"


def _put_off_refresh(account: EgnyteAccount, error: Exception) -> None:
    """Put the grant off after an error that is not Egnyte's, so that it is not first again."""
    grant = EgnyteGrant.objects.filter(tokens=account.token_id, next_refresh_at__lte=timezone.now())
    for pk in list(grant.values_list("pk", flat=True)):
        EgnyteGrant.objects.filter(pk=pk).write(
            next_refresh_at=timezone.now() + CLAIM, refresh_attempts=F("refresh_attempts") + 1
        )


def _due_for_refresh(this: Pass[EgnyteAccount]) -> Iterator[EgnyteAccount]:
    """Accounts in use first, then those that have waited longest, except at skipped hosts."""
    now = timezone.now()
    held = hosts.held_off() | {state.host for state in ledger.held_off_until()}
    due = (
        EgnyteAccount.objects.with_token()
        .live()
        .filter(
            token__grant__next_refresh_at__lte=now,
            token__grant__release_at=None,
            token__grant__key_digest=gateway.key_digest(),
        )
        .order_by("token__grant__next_refresh_at", "pk")
    )
    in_use = Q(last_used_at__gte=now - IN_USE)
    for rows in (due.filter(in_use), due.exclude(in_use)):
        after = Q()
        while chunk := list(rows.filter(after).exclude(domain__in=held | this.lost())[:CHUNK]):
            yield from chunk
            last = chunk[-1]
            due_at = last.token.grant.next_refresh_at if last.token is not None else now
            # The first condition says where the index is to be read from.
            after = Q(token__grant__next_refresh_at__gte=due_at) & (
                Q(token__grant__next_refresh_at__gt=due_at) | Q(pk__gt=last.pk)
            )


def refresh_forecast() -> tuple[int, int]:
    """The number of grants to refresh within ``EGNYTE_REFRESH_BEFORE``, and how many can be."""
    horizon = timezone.now() + conf.refresh_before
    needed = EgnyteGrant.objects.filter(release_at=None, next_refresh_at__lte=horizon)
    hours = max(conf.refresh_before, timedelta(hours=1)) / timedelta(hours=1)
    return needed.count(), int(hours * conf.token_requests_per_hour)


def warn_of_budget() -> bool:
    """Log a warning if the key's budget will not reach all accounts in time."""
    needed, possible = refresh_forecast()
    if needed <= possible:
        return False
    logger.warning(
        "%d tokens must be refreshed within %s, but the API key's limit allows only %d of them. "
        "Ask Egnyte for a higher limit and raise EGNYTE_TOKEN_REQUESTS_PER_HOUR.",
        needed,
        conf.refresh_before,
        possible,
        extra={"event": "refresh_budget_short"},
    )
    return True


def is_anything_due(since: datetime) -> bool:
    """Whether a validation, a refresh or a revocation has been due since then.

    A grant that another process has leased does not count.
    """
    free = EgnyteGrant.objects.filter(grants.free())
    to_refresh = Q(release_at=None, next_refresh_at__lte=since, key_digest=gateway.key_digest())
    return (
        EgnyteAccount.objects.due_for_validation(since).exists()
        or free.filter(to_refresh).exists()
        or free.filter(release_at__lte=since).exists()
    )


# Work that nothing else finds


def release_forgotten(*, seconds: float = SLICE) -> int:
    """Release grants whose accounts were deleted without Django's signals. Returns how many.

    Raw SQL, ``TRUNCATE`` and ``_raw_delete`` send no signal. It goes through all grants in chunks
    by primary key. It starts where the last run ended, and after the last grant it starts again.
    """
    refuse_in_transaction()
    state, _ = SweepState.objects.get_or_create(name="forgotten")
    ends, last, found = time.monotonic() + seconds, state.last_pk, 0
    while time.monotonic() < ends:
        rows = EgnyteGrant.objects.filter(release_at=None, pk__gt=last).order_by("pk")
        pks = list(rows.values_list("pk", flat=True)[:FORGOTTEN_CHUNK])
        if not pks:
            last = 0
            break
        last = pks[-1]
        found += _release_unused(pks)
    SweepState.objects.filter(pk=state.pk).update(last_pk=last, ran_at=DatabaseNow())
    if found:
        logger.warning(
            "%d accounts were deleted without Django's signals. Their tokens will be revoked.",
            found,
            extra={"event": "forgotten_grants"},
        )
    return found


def _release_unused(pks: list[int]) -> int:
    used = EgnyteAccount.objects.filter(token__grant__in=pks)
    unused = sorted(set(pks) - set(used.values_list("token__grant", flat=True)))

    def release() -> int:
        locked = grants.lock(EgnyteGrant.objects.filter(pk__in=unused, release_at=None))
        rows = EgnyteGrant.objects.filter(pk__in=locked)
        return rows.write(release_at=DatabaseNow(), reason=Release.FORGOTTEN)

    # The revoker checks once more whether an account points into it.
    return in_short_transaction(release) if unused else 0


def revoke_inactive(*, actor: str, seconds: float = SLICE) -> int:
    """Revoke accounts of deactivated users that were not used for
    ``EGNYTE_REVOKE_INACTIVE_AFTER``. Returns how many: none if that is not set."""
    after, active = conf.revoke_inactive_after, _active_users()
    if after is None or active is None:
        return 0
    since, ends, revoked = timezone.now() - after, time.monotonic() + seconds, 0
    rows = EgnyteAccount.objects.live().exclude(active).filter(connected_at__lte=since)
    rows = rows.filter(Q(last_used_at=None) | Q(last_used_at__lte=since)).order_by("pk")
    last = 0
    while time.monotonic() < ends and (chunk := list(rows.filter(pk__gt=last)[:CHUNK])):
        last = chunk[-1].pk
        revoked += sum(_revoke_inactive(account, actor) for account in chunk)
    return revoked


def _revoke_inactive(account: EgnyteAccount, actor: str) -> bool:
    try:
        return disconnect.revoke(account, actor=actor, reason="The user was deactivated")
    except Exception:
        logger.exception(
            "Account %s of a deactivated user could not be revoked. The next run tries again.",
            account.pk,
            extra={"event": "row_failed", "account_id": account.pk},
        )
        return False


def _active_users() -> Q | None:
    """``None`` for a user model that cannot be deactivated."""
    users: Any = get_user_model()
    try:
        users._meta.get_field("is_active")
    except FieldDoesNotExist:
        return None
    return Q(user__is_active=True)


def purge() -> int:
    """Delete expired states, and token requests that no limit counts. Returns how many."""
    states = SpentState.objects.filter(expires_at__lte=timezone.now()).delete()[0]
    return states + ledger.purge()
