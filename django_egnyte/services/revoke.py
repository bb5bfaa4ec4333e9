"""The revoker: works the outbox off at Egnyte, and never kills a token that an account holds."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Final

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop
from django.views.decorators.debug import sensitive_variables

from .. import gateway
from ..choices import EventKind, Flow
from ..conf import CLAIM, REVOKE_SLICE
from ..exceptions import (
    EgnyteError,
    InvalidGrantError,
    RateLimitedError,
    ResponseError,
    UnauthorizedError,
)
from ..models import EgnyteAccount, PendingRevocation, new_id
from ..oauth import TokenAnswer
from . import agenda, breaker, history, hosts, outbox, verdict
from .obtain import obtain
from .transactions import DatabaseNow, alias, hence, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.revoke")

PER_DOMAIN: Final = 200
CHUNK: Final = 100
OVERDUE: Final = timedelta(days=1)


def process_revocations(*, seconds: float = REVOKE_SLICE, actor: str = "task") -> Counter[str]:
    """One pass over what is due, for ``seconds`` at most. Returns the outcomes, counted.

    Outcomes: ``revoked``, ``expired``, ``dead`` (at Egnyte already), ``held`` (by an account after
    all), ``waiting`` (for its grant), ``skipped`` (another worker, or in flight) and ``failed``
    (later again). Safe to run at once in many workers, and to kill.
    """
    refuse_in_transaction()
    outcomes: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    failures = hosts.Failures()
    # Twice, since the end of a grant's last token lets go of those that were superseded in it.
    for row in chain(_due(failures), _due(failures)):
        outcomes[revoke_row(row, actor=actor, failures=failures)] += 1
        failures.write()
        if time.monotonic() >= ends:
            break
    return outcomes


def _due(failures: hosts.Failures) -> Iterator[PendingRevocation]:
    """Each due row once, by primary key; no more than ``PER_DOMAIN`` of one domain, and none of a
    host that is held off or that is lost on the way."""
    using, last, held = alias(), 0, hosts.held_off()
    seen: Counter[str] = Counter()
    while True:
        full = {domain for domain, count in seen.items() if count >= PER_DOMAIN}
        rows = list(
            PendingRevocation.objects.using(using)
            .filter(Q(claimed_until=None) | Q(claimed_until__lte=DatabaseNow()))
            .filter(pk__gt=last, not_before__lte=DatabaseNow())
            .exclude(domain__in=full | held | failures.lost.keys())
            .order_by("pk")[:CHUNK]
        )
        if not rows:
            return
        for row in rows:
            last = row.pk
            seen[row.domain] += 1
            if seen[row.domain] <= PER_DOMAIN and row.domain not in failures.lost:
                yield row


def revoke_row(row: PendingRevocation, *, actor: str, failures: hosts.Failures) -> str:
    """Claim a row's token, end it at Egnyte, and write down how that went."""
    using = alias()
    nonce = new_id()
    claimed = in_short_transaction(lambda: _claim(row, nonce, using))
    if isinstance(claimed, str):
        return claimed
    try:
        outcome = _end_token(claimed.row)
    except EgnyteError as error:
        _put_off(claimed, error, using)
        failures.note(row.domain, error)
        return "failed"
    failures.note(row.domain, None)
    in_short_transaction(lambda: _finish(claimed, outcome, using, actor))
    return outcome.value.removeprefix("token_")


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A row, and the primary keys of all that were claimed with it, and their grants' names."""

    row: PendingRevocation
    nonce: str
    keys: tuple[int, ...]
    grants: frozenset[str]


def _claim(row: PendingRevocation, nonce: str, using: str) -> _Claimed | str:
    """The row, claimed; or why it must not be revoked now."""
    rows = list(outbox.family(row, using))
    found = next((each for each in rows if each.pk == row.pk), None)
    if found is None or any(each.is_claimed for each in rows):  # type: ignore[attr-defined]
        return "skipped"
    which = Q(token_fingerprint=found.fingerprint) | Q(grant_id__in={e.grant_id for e in rows})
    if shared := {each.refresh_fingerprint for each in rows} - {""}:
        which |= Q(refresh_fingerprint__in=shared)
    # Locked, or an account could come to hold the token in between.
    holders = list(
        EgnyteAccount.objects.using(using)
        .live()
        .filter(which, domain=row.domain)
        .order_by("pk")
        .select_for_update()
    )
    mine = PendingRevocation.objects.using(using).filter(pk=found.pk)
    # What waits for its grant hinders nobody: the holders say whether that is held.
    others = [each for each in rows if each.reason != outbox.SUPERSEDED or each.pk == found.pk]
    if not all(each.is_due for each in others):  # type: ignore[attr-defined]
        mine.write(not_before=max(each.not_before for each in others))
        return "skipped"
    names = {each.grant_id for each in rows} | {each.grant_id for each in holders}
    if holders:
        outbox.join_grants(names, holders[0].grant_id, using=using)
    known = {"", *(each.refresh_fingerprint for each in holders)}
    if found.refresh_fingerprint in known and any(
        each.token_fingerprint == found.fingerprint for each in holders
    ):
        # The account's own end will bring a row of its own.
        mine.delete()
        return "held"
    if holders:
        ended = found.expires_at is not None and found.expires_at <= timezone.now()
        if ended and not found.refresh_fingerprint:
            mine.delete()
            return "expired"
        mine.write(
            reason=outbox.SUPERSEDED,
            not_before=hence(outbox.DAY) if ended or not found.expires_at else found.expires_at,
        )
        return "waiting"
    claimed = _Claimed(found, nonce, tuple(each.pk for each in rows), frozenset(names))
    PendingRevocation.objects.using(using).filter(pk__in=claimed.keys).write(
        claim=nonce, claimed_until=hence(CLAIM)
    )
    return claimed


@sensitive_variables()
def _end_token(row: PendingRevocation) -> EventKind:
    """Have Egnyte end the token, or learn that it has ended. Raises if neither is certain."""
    client = gateway.oauth(row.domain)
    access_token, refresh_token = row.access_token, row.refresh_token
    # By our clock, and in the implicit flow by a browser's word: Egnyte is asked all the same.
    expired = row.expires_at is not None and row.expires_at <= timezone.now()
    try:
        client.revoke(access_token)
    except UnauthorizedError:
        pass
    else:
        breaker.note_alive()
        return EventKind.TOKEN_REVOKED
    if not expired:
        try:
            client.userinfo(access_token)
        except UnauthorizedError:
            pass
        else:
            raise ResponseError("Egnyte revokes the token not, and says that it lives.")
    if refresh_token:
        # It may still live, and an access token that is dead cannot revoke it: use it up, and
        # revoke what it brings, which is in the outbox from here on.
        try:
            obtained = obtain(
                lambda client: _keeping(client.refresh(refresh_token), refresh_token),
                host=row.domain,
                user_ref=row.user_ref,
                reason="revocation",
                account_ref=row.account_ref,
                grant_id=row.grant_id,
                refresh=True,
            )
        except InvalidGrantError:
            pass
        else:
            outbox.make_due(obtained.row, using=alias())
            return EventKind.TOKEN_DEAD
    if expired:
        return EventKind.TOKEN_EXPIRED
    # A verdict has counted the one already; the other has died with its grant; and what a browser
    # brought was perhaps never a token of this API key, whose health it says nothing about.
    counted = row.reason in (outbox.GIVEN_UP, outbox.SUPERSEDED, Flow.IMPLICIT)
    if breaker.is_paused() if counted else not breaker.may_pass():
        raise ResponseError("Egnyte refuses many tokens at once: its no is not believed now.")
    return EventKind.TOKEN_DEAD


def _finish(claimed: _Claimed, outcome: EventKind, using: str, actor: str) -> None:
    """The token is dead: no row needs to ask for that, and no account should trust it."""
    row, rows = claimed.row, PendingRevocation.objects.using(using)
    same = rows.filter(domain=row.domain, fingerprint=row.fingerprint)
    if outcome != EventKind.TOKEN_REVOKED:
        # Found dead, it took no refresh token with it but the one that was asked for. A row that
        # came since may be what that one brought.
        same = same.filter(
            pk__in=claimed.keys, refresh_fingerprint__in={"", row.refresh_fingerprint}
        )
    # As named now, too: they may have turned out to mean another's grant.
    names = {*claimed.grants, *same.values_list("grant_id", flat=True)}
    same.delete()
    rows.filter(pk__in=claimed.keys, claim=claimed.nonce).write(claim="", claimed_until=None)
    outbox.release_grants(names, using=using)
    history.record(outcome, row, using=using, actor=actor, reason=row.reason)
    if outcome != EventKind.TOKEN_REVOKED:
        return
    left = EgnyteAccount.objects.using(using).live()
    for account in left.filter(
        Q(token_fingerprint=row.fingerprint) | Q(grant_id__in=names), domain=row.domain
    ):
        verdict.suspect(
            account, reason=gettext_noop("Its grant was revoked at Egnyte"), actor=actor
        )


def _put_off(claimed: _Claimed, error: EgnyteError, using: str) -> None:
    row = claimed.row
    pause = agenda.wait_after(row.attempts)
    if isinstance(error, RateLimitedError):
        pause = max(pause, timedelta(seconds=error.retry_after))

    def write() -> None:
        rows = PendingRevocation.objects.using(using).filter(claim=claimed.nonce)
        rows.filter(pk__in=claimed.keys).exclude(pk=row.pk).write(claim="", claimed_until=None)
        rows.filter(pk=row.pk).write(
            claim="",
            claimed_until=None,
            attempts=row.attempts + 1,
            not_before=hence(pause.total_seconds()),
            last_error=f"{type(error).__name__}: {error}"[:255],
        )

    in_short_transaction(write)
    overdue = timezone.now() - row.created_at > OVERDUE
    logger.log(
        logging.ERROR if overdue else logging.WARNING,
        "A token at %s could not be revoked (%s, attempt %d); it stays in the outbox.",
        row.domain,
        type(error).__name__,
        row.attempts + 1,
        extra={"event": "revocation_failed", "domain": row.domain, "account_id": row.account_ref},
    )


def _keeping(answer: TokenAnswer, refresh_token: str) -> TokenAnswer:
    """An answer without a refresh token leaves the old one alive."""
    return replace(answer, refresh_token=answer.refresh_token or refresh_token)


def abandon(row: PendingRevocation, *, actor: str) -> bool:
    """An administrator gives a row up, on record: its token may live on at Egnyte.

    ``False`` for a row that is gone, that a worker is at, or that waits and never failed: it may
    belong to a call in flight, whose user would be left without the token.
    """

    def work() -> bool:
        using = alias()
        now = DatabaseNow()
        rows = PendingRevocation.objects.using(using).filter(
            Q(claimed_until=None) | Q(claimed_until__lte=now),
            Q(not_before__lte=now) | Q(attempts__gt=0),
            pk=row.pk,
        )
        found = rows.select_for_update().first()
        if found is None:
            return False
        history.record(EventKind.ABANDONED, found, using=using, actor=actor)
        found.delete(using=using)
        outbox.release_grants({found.grant_id}, using=using)
        return True

    return in_short_transaction(work)
