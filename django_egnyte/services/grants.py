"""Grants and their tokens: how a token arrives, who may talk to Egnyte about a grant, and how
accounts come to point to the newest token.

Lock order: grant, then token, then accounts by primary key.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, IntegrityError
from django.db.models import F, Q
from django.utils import timezone

from .. import gateway
from ..choices import LeasedFor, Release
from ..conf import IN_FLIGHT, LEASE, WRITE_PATIENCE
from ..fields import seal
from ..models import EgnyteAccount, EgnyteGrant, EgnyteToken, TokenPair, new_id
from ..oauth import TokenAnswer, fingerprint
from . import agenda
from .transactions import DatabaseNow, hence, in_short_transaction

logger = logging.getLogger("django_egnyte.grants")


def free() -> Q:
    """Grants that nobody holds the lease on, by the database's clock."""
    return Q(leased_until=None) | Q(leased_until__lte=DatabaseNow())


def in_use(grant_id: int) -> bool:
    """Whether an account points into the grant."""
    return EgnyteAccount.objects.filter(token__grant_id=grant_id).exists()


# A token arrives


def write_down(
    answer: TokenAnswer,
    *,
    host: str,
    user_ref: str,
    flow: str = "",
    account_ref: int | None = None,
    refreshed: EgnyteToken | None = None,
) -> EgnyteToken:
    """Store a token that Egnyte has just issued, before anything else is done with it.

    A token that is known, or whose refresh token is, goes into the grant of that one. So does what
    a refresh brought, ``refreshed`` being the token that it was made with. Everything else begins
    a grant, which the revoker leaves alone for ``IN_FLIGHT`` seconds. Tries again for
    ``WRITE_PATIENCE`` seconds when the database fails.
    """

    def write() -> EgnyteToken:
        known = _grants_with(answer, host)
        if refreshed is not None:
            known |= {refreshed.grant_id}
        if known:
            grant = merged(known)
            if grant is not None:
                return _add(grant, answer, user_ref, refreshed)
        grant = EgnyteGrant.objects.create(
            domain=host,
            key_digest=gateway.key_digest(),
            fingerprint=fingerprint(host, answer.access_token),
            next_refresh_at=agenda.next_refresh(_expiry(answer), bool(answer.refresh_token)),
            release_at=hence(IN_FLIGHT) if answer.complete else DatabaseNow(),
            reason=Release.ARRIVED,
            user_ref=user_ref,
            account_ref=account_ref,
            flow=flow,
        )
        return _insert(grant, answer, user_ref, generation=1 if answer.complete else 0)

    try:
        return in_short_transaction(write, patience=WRITE_PATIENCE)
    except IntegrityError:
        # The same token arrived twice at once; by now the first is known.
        return in_short_transaction(write, patience=WRITE_PATIENCE)


def _grants_with(answer: TokenAnswer, host: str) -> set[int]:
    known = Q(fingerprint=fingerprint(host, answer.access_token))
    if answer.refresh_token:
        known |= Q(refresh_fingerprint=fingerprint(host, answer.refresh_token))
    tokens = EgnyteToken.objects.filter(known)
    return set(tokens.values_list("grant_id", flat=True))


def merged(ids: Collection[int]) -> EgnyteGrant | None:
    """The one grant that these turn out to be, locked; ``None`` if none is left.

    The tokens of the others move into it, and accounts, which point to tokens, follow. While one
    of them is being revoked, none moves: nothing in use may come into that one.
    """
    rows = EgnyteGrant.objects.filter(pk__in=ids).order_by("pk").select_for_update()
    found = list(rows)
    if len(found) < 2:
        return found[0] if found else None
    leased = set(EgnyteGrant.objects.filter(~free(), pk__in=ids).values_list("pk", flat=True))
    if any(each.pk in leased and each.leased_for == LeasedFor.REVOKE for each in found):
        return next((each for each in found if each.release_at is None), found[0])
    kept = next((each for each in found if each.pk in leased), found[0])
    for other in found:
        if other is not kept and other.pk not in leased:
            _absorb(kept, other)
    return kept


def _absorb(kept: EgnyteGrant, other: EgnyteGrant) -> None:
    tokens = EgnyteToken.objects.filter(grant=other)
    tokens.exclude(generation=0).write(generation=F("generation") + kept.generation)
    tokens.write(grant=kept)
    in_use = kept.release_at is None or other.release_at is None
    EgnyteGrant.objects.write_to(
        kept,
        generation=kept.generation + other.generation,
        release_at=None if in_use else kept.release_at,
        refresh_refused_at=None,
        next_refresh_at=min(
            filter(None, (kept.next_refresh_at, other.next_refresh_at)), default=None
        ),
    )
    rows = EgnyteGrant.objects.filter(pk=other.pk)
    rows._raw_delete(rows.db)


def _add(
    grant: EgnyteGrant, answer: TokenAnswer, user_ref: str, refreshed: EgnyteToken | None
) -> EgnyteToken:
    """Add to a locked grant. An answer that says nothing new adds at most a copy for this user."""
    if not answer.complete:
        return _insert(grant, answer, user_ref, generation=0)
    newest = EgnyteToken.objects.filter(grant=grant, generation=grant.generation).first()
    if newest is not None and _is_repeated(newest, answer):
        _postpone_release(grant)
        return copied(newest, user_ref)
    if newest is not None and _is_overtaken(grant, answer):
        _insert(grant, answer, user_ref, generation=0)
        _postpone_release(grant)
        return copied(newest, user_ref)
    token = _insert(grant, answer, user_ref, generation=grant.generation + 1, refreshed=refreshed)
    EgnyteGrant.objects.write_to(
        grant,
        generation=token.generation,
        refresh_refused_at=None,
        next_refresh_at=agenda.next_refresh(token.expires_at, bool(token.refresh_fingerprint)),
    )
    if refreshed is None:
        _postpone_release(grant)
    return token


def _is_repeated(newest: EgnyteToken, answer: TokenAnswer) -> bool:
    brought = fingerprint(newest.domain, answer.refresh_token)
    return newest.fingerprint == fingerprint(newest.domain, answer.access_token) and brought in (
        "",
        newest.refresh_fingerprint,
    )


def _is_overtaken(grant: EgnyteGrant, answer: TokenAnswer) -> bool:
    """Whether a refresh has used up this answer's refresh token before the answer was stored."""
    brought = fingerprint(grant.domain, answer.refresh_token)
    if not brought:
        return False
    tokens = EgnyteToken.objects.filter(grant=grant, refreshed_from=brought)
    return tokens.exclude(refresh_fingerprint=brought).exists()


def _postpone_release(grant: EgnyteGrant) -> None:
    """Somebody is about to link this token, and nobody uses the grant yet."""
    if grant.release_at is not None:
        EgnyteGrant.objects.filter(pk=grant.pk).write(release_at=hence(IN_FLIGHT))


def _insert(
    grant: EgnyteGrant,
    answer: TokenAnswer,
    user_ref: str,
    *,
    generation: int,
    refreshed: EgnyteToken | None = None,
) -> EgnyteToken:
    token = EgnyteToken(
        grant=grant,
        domain=grant.domain,
        user_ref=user_ref,
        generation=generation,
        fingerprint=fingerprint(grant.domain, answer.access_token),
        refresh_fingerprint=fingerprint(grant.domain, answer.refresh_token),
        refreshed_from=refreshed.refresh_fingerprint if refreshed is not None else "",
        expires_at=_expiry(answer),
    )
    return _sealed(token, TokenPair(answer.access_token, answer.refresh_token))


def _sealed(token: EgnyteToken, plain: TokenPair) -> EgnyteToken:
    token.access_token = seal(plain.access_token, token.seal_context("access_token"))
    token.refresh_token = seal(plain.refresh_token, token.seal_context("refresh_token"))
    token.save()
    return token


def _expiry(answer: TokenAnswer) -> datetime | None:
    if answer.expires_in is None:
        return None
    return timezone.now() + timedelta(seconds=answer.expires_in)


def copied(token: EgnyteToken, user_ref: str) -> EgnyteToken:
    """The same token sealed for this user of the site; ``token`` itself if it is theirs.

    ``DecryptionError`` if no key opens it.
    """
    if token.user_ref == user_ref:
        return token
    same = EgnyteToken.objects.filter(
        grant_id=token.grant_id, generation=token.generation, user_ref=user_ref
    ).first()
    if same is not None:
        return same
    copy = EgnyteToken(
        grant_id=token.grant_id,
        domain=token.domain,
        user_ref=user_ref,
        generation=token.generation,
        fingerprint=token.fingerprint,
        refresh_fingerprint=token.refresh_fingerprint,
        refreshed_from=token.refreshed_from,
        expires_at=token.expires_at,
        created_at=token.created_at,
    )
    return _sealed(copy, token.open())


# Which token is the one to use


def newest_of(grant_id: int, user_ref: str) -> EgnyteToken | None:
    """The newest token of the grant, this user's own row of it if there is one."""
    tokens = EgnyteToken.objects.select_related("grant").filter(
        grant_id=grant_id, generation=F("grant__generation")
    )
    found = list(tokens)
    return next((each for each in found if each.user_ref == user_ref), next(iter(found), None))


def locked_accounts(grant_id: int) -> list[EgnyteAccount]:
    """The live accounts that point into a grant, which the caller has locked."""
    tokens = EgnyteToken.objects.filter(grant_id=grant_id).values_list("pk", flat=True)
    live = EgnyteAccount.objects.live().filter(token_id__in=list(tokens))
    return list(live.order_by("pk").select_for_update())


# The lease


def lease(grant_id: int, purpose: LeasedFor, *conditions: Q) -> str:
    """Take the lease on a grant if it is free and fits; its nonce, or nothing."""
    nonce = new_id()
    rows = EgnyteGrant.objects.filter(free(), *conditions, pk=grant_id)
    taken = in_short_transaction(
        lambda: rows.write(lease=nonce, leased_until=hence(LEASE), leased_for=purpose)
    )
    return nonce if taken else ""


def release(grant_id: int, nonce: str, **values: Any) -> bool:
    """Give the lease back and write ``values``. ``False`` if it was no longer ours."""
    return bool(
        EgnyteGrant.objects.filter(pk=grant_id, lease=nonce).write(
            lease="", leased_until=None, leased_for="", **values
        )
    )


def release_safely(grant_id: int, nonce: str) -> None:
    """Give the lease back whatever happened. If the database fails, the lease ends by itself."""
    try:
        in_short_transaction(lambda: release(grant_id, nonce))
    except Error:
        logger.exception(
            "The lease on grant %d could not be given back. It ends after %d seconds.",
            grant_id,
            LEASE,
            extra={"event": "lease_not_released"},
        )


def make_due(grant_id: int, reason: Release) -> None:
    """Let the revoker have a grant from now on, unless an account points into it."""
    rows = EgnyteGrant.objects.filter(pk=grant_id)
    rows.write(release_at=DatabaseNow(), reason=reason)
