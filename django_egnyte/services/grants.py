"""Grants and their tokens: storing a token, joining grants, and the lease on a grant.

Lock order: grant, then token, then accounts by primary key.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import Error, IntegrityError, connections, models
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from .. import gateway
from ..choices import LeasedFor, Release
from ..conf import IN_FLIGHT, LEASE, WRITE_PATIENCE
from ..exceptions import TokenConflictError
from ..fields import seal
from ..models import EgnyteAccount, EgnyteGrant, EgnyteToken, TokenPair, new_id
from ..oauth import TokenAnswer, fingerprint
from . import agenda
from .inserts import insert
from .transactions import DatabaseNow, alias, hence, in_short_transaction

logger = logging.getLogger("django_egnyte.grants")

# How often to look for the grant of a token while other processes join grants.
TRIES: Final = 3
# What to write to a grant once Egnyte may have ended it. Then no stored token counts as its newest,
# so none can be taken into use. A token that is stored later can.
NO_NEWEST: Final = {"generation": F("generation") + 1}


def free() -> Q:
    """The condition that no lease is held on a grant, by the database's clock."""
    return Q(leased_until=None) | Q(leased_until__lte=DatabaseNow())


def in_use(grant_id: int) -> bool:
    """Whether an account uses a token of the grant."""
    return EgnyteAccount.objects.filter(token__grant_id=grant_id).exists()


def lock(rows: models.QuerySet[Any]) -> list[int]:
    """Lock these rows in the order in which all code locks them. Returns their primary keys.

    An ``UPDATE`` or ``DELETE`` of several rows locks them in any order. Two of them could wait for
    each other, and the database would then end a transaction of the site.
    """
    return list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))


# Storing a token


def write_down(
    answer: TokenAnswer,
    *,
    host: str,
    user_ref: str,
    flow: str = "",
    refreshed: EgnyteToken | None = None,
) -> EgnyteToken:
    """Store a token that Egnyte has just issued, before anything else is done with it.

    If the access token or the refresh token is known, the token goes into the grant that has it.
    ``refreshed`` is the token whose refresh gave this answer, which then goes into the same grant.
    Otherwise a new grant is created, and the revoker does not touch it for ``IN_FLIGHT`` seconds.
    If the database fails, the function tries again for ``WRITE_PATIENCE`` seconds.
    """

    def write() -> EgnyteToken:
        begun = EgnyteGrant(
            domain=host,
            key_digest=gateway.key_digest(),
            fingerprint=fingerprint(host, answer.access_token),
            next_refresh_at=agenda.next_refresh(_expiry(answer), bool(answer.refresh_token)),
            release_at=hence(IN_FLIGHT) if answer.complete else DatabaseNow(),
            reason=Release.ARRIVED,
            user_ref=user_ref,
            flow=flow,
        )
        # Most tokens are new: one statement looks for the token and inserts its grant.
        unless, values = _known(answer, host, refreshed)
        if refreshed is not None or not insert(begun, unless=unless, values=values):
            grant = _grant_of(answer, host, refreshed)
            if grant is not None:
                return _add(grant, answer, user_ref, refreshed)
            insert(begun)
        return _insert(begun, answer, user_ref, generation=1 if answer.complete else 0)

    try:
        return in_short_transaction(write, patience=WRITE_PATIENCE)
    except IntegrityError:
        # Another process stored the same token at the same time. Now its grant can be found.
        return in_short_transaction(write, patience=WRITE_PATIENCE)


def _grant_of(answer: TokenAnswer, host: str, refreshed: EgnyteToken | None) -> EgnyteGrant | None:
    """The grant to which this answer belongs, locked. ``None`` if it needs a new grant."""
    for _ in range(TRIES):
        known = _grants_with(answer, host, refreshed)
        if refreshed is not None:
            known |= {refreshed.grant_id}
        if not known:
            return None
        # There is none if all were joined into another grant, or revoked, meanwhile.
        if (grant := merged(known)) is not None:
            return grant
    return None


# Each link or disconnection runs these statements. Django takes ten times as long to build such a
# statement as the database takes to answer it. The refreshed token may have moved to another grant
# since it was read. A grant keeps the fingerprint of its first token, even after that token expired
# and was deleted.
_KNOWN: Final = """
    SELECT grant_id FROM {tokens}
    WHERE fingerprint = %s OR (refresh_fingerprint = %s AND refresh_fingerprint <> '') OR id = %s
    UNION SELECT id FROM {grants} WHERE fingerprint = %s
"""
_TAKE: Final = """
    UPDATE {grants} SET release_at = NULL, reason = '', revoke_attempts = 0
    WHERE id = %s AND generation = %s
    AND (leased_until IS NULL OR leased_until <= {now} OR leased_for <> %s)
    AND NOT EXISTS (
        SELECT 1 FROM {tokens} WHERE grant_id <> %s
        AND (fingerprint IN (%s, %s) OR refresh_fingerprint IN (%s, %s))
    )
"""
_RELEASE: Final = """
    UPDATE {grants} SET release_at = {now}, reason = %s, account_ref = %s, username = %s
    WHERE release_at IS NULL AND id = (SELECT grant_id FROM {tokens} WHERE id = %s) AND id <> %s
"""
_TABLES: Final = {
    "tokens": EgnyteToken._meta.db_table,
    "grants": EgnyteGrant._meta.db_table,
}


def _grants_with(answer: TokenAnswer, host: str, refreshed: EgnyteToken | None) -> set[int]:
    with connections[alias()].cursor() as cursor:
        cursor.execute(*_known(answer, host, refreshed))
        return {grant_id for (grant_id,) in cursor.fetchall()}


def _known(
    answer: TokenAnswer, host: str, refreshed: EgnyteToken | None
) -> tuple[str, tuple[Any, ...]]:
    """The statement, with its parameters, that finds the grants with this answer's tokens."""
    access = fingerprint(host, answer.access_token)
    refresh = fingerprint(host, answer.refresh_token)
    values = (access, refresh, refreshed.pk if refreshed is not None else None, access)
    return _KNOWN.format(**_TABLES), values


def take_into_use(token: EgnyteToken) -> bool:
    """Mark the grant of this token as in use, so that the revoker does not revoke it.

    ``False`` if the token is no longer the newest of the grant, if another grant has the same
    token, or if the revoker has the lease.
    """
    connection = connections[alias()]
    now, of_now = DatabaseNow().compiled(connection)
    names = (token.fingerprint, token.refresh_fingerprint or token.fingerprint)
    values = [token.grant_id, token.generation, *of_now, LeasedFor.REVOKE.value]
    values += [token.grant_id, *names, *names]
    with connection.cursor() as cursor:
        cursor.execute(_TAKE.format(now=now, **_TABLES), values)
        return bool(cursor.rowcount)


def merged(ids: Collection[int]) -> EgnyteGrant | None:
    """Join these rows, one grant at Egnyte, into one, and lock it. ``None`` if none exists.

    The tokens of the other rows move into it, and with them the accounts, which point to tokens.
    Nothing is joined while one of the rows is being revoked, because a token in use could then be
    revoked with it.
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
    mine, theirs = newest_of(kept.pk, ""), newest_of(other.pk, "")
    stays_newest = mine is not None and (theirs is None or _is_newer(mine, theirs))
    total = kept.generation + other.generation
    tokens = EgnyteToken.objects.filter(grant=other)
    tokens.exclude(generation=0).write(generation=F("generation") + kept.generation)
    if stays_newest:
        newest = EgnyteToken.objects.filter(grant=kept, generation=kept.generation)
        total += 1
        newest.write(generation=total)
    if (mine is None and _holds(kept, theirs)) or (theirs is None and _holds(other, mine)):
        total += 1  # Egnyte may have ended that token with the grant: see NO_NEWEST.
    tokens.write(grant=kept)
    in_use = kept.release_at is None or other.release_at is None
    EgnyteGrant.objects.write_to(
        kept,
        generation=total,
        release_at=None if in_use else kept.release_at,
        refresh_refused_at=None,
        next_refresh_at=min(
            filter(None, (kept.next_refresh_at, other.next_refresh_at)), default=None
        ),
    )
    rows = EgnyteGrant.objects.filter(pk=other.pk)
    rows._raw_delete(rows.db)


def _holds(grant: EgnyteGrant, token: EgnyteToken | None) -> bool:
    """Whether the grant has the token, which is another grant's, too."""
    if token is None:
        return False
    return EgnyteToken.objects.filter(_named(names_of(token)), grant=grant).exists()


def _is_newer(mine: EgnyteToken, theirs: EgnyteToken) -> bool:
    """Whether ``mine`` came after ``theirs``.

    A refresh token that was used is older than the token it was exchanged for, whichever was stored
    first. A token without a refresh token counts as older than one with a refresh token.
    """
    if bool(mine.refresh_fingerprint) is not bool(theirs.refresh_fingerprint):
        return bool(mine.refresh_fingerprint)
    known = EgnyteToken.objects.filter(grant__in=(mine.grant_id, theirs.grant_id))
    if _was_refreshed(known, theirs.refresh_fingerprint):
        return True
    return mine.created_at > theirs.created_at and not _was_refreshed(
        known, mine.refresh_fingerprint
    )


def _was_refreshed(tokens: models.QuerySet[EgnyteToken], refresh_fingerprint: str) -> bool:
    """Whether one of these tokens came from this refresh token and replaced it."""
    if not refresh_fingerprint:
        return False
    brought = tokens.filter(refreshed_from=refresh_fingerprint)
    return brought.exclude(refresh_fingerprint=refresh_fingerprint).exists()


def twins(grant_id: int) -> set[int]:
    """Other grants with one of this grant's tokens. At Egnyte, they are all one grant.

    Two transactions that store the same token at the same time do not see each other. Call this
    after the commit: the later of the two then finds the other.
    """
    mine = EgnyteToken.objects.filter(grant=grant_id)
    rows = mine.values_list("fingerprint", "refresh_fingerprint")
    return others_with({name for pair in rows for name in pair} - {""}, grant_id)


def others_with(names: Collection[str], grant_id: int) -> set[int]:
    """Other grants with a token that has one of these fingerprints."""
    same = EgnyteToken.objects.filter(_named(names)).exclude(grant=grant_id)
    return set(same.values_list("grant_id", flat=True))


def _named(names: Collection[str]) -> Q:
    return Q(fingerprint__in=names) | Q(refresh_fingerprint__in=names)


def names_of(token: EgnyteToken) -> set[str]:
    """The fingerprints of the access token and, if there is one, of the refresh token."""
    return {token.fingerprint, token.refresh_fingerprint} - {""}


def joined(grant_id: int) -> bool:
    """Join a grant with its twins. ``False`` if a lease on one of them prevents that."""
    if found := twins(grant_id):
        in_short_transaction(lambda: merged(found | {grant_id}))
        return not twins(grant_id)
    return True


def join_token(token: EgnyteToken) -> None:
    """Join a token's grant with others that hold the same token, in the caller's transaction.

    ``TokenConflictError`` while one of them is being revoked, which also revokes this token.
    """
    others = others_with(names_of(token), token.grant_id)
    if not others:
        return
    merged(others | {token.grant_id})
    revoking = EgnyteGrant.objects.filter(~free(), leased_for=LeasedFor.REVOKE, pk__in=others)
    if revoking.exists():
        raise TokenConflictError("This token is being revoked at this moment.", host=token.domain)


def _add(
    grant: EgnyteGrant, answer: TokenAnswer, user_ref: str, refreshed: EgnyteToken | None
) -> EgnyteToken:
    """Add an answer to a locked grant. A known token adds at most a copy for this user.

    The answer to a refresh counts as new, unless its refresh token has already been used.
    """
    if not answer.complete:
        return _insert(grant, answer, user_ref, generation=0)
    kept = _kept(grant, answer, user_ref, is_refresh=refreshed is not None)
    if kept is not None:
        _postpone_release(grant)
        return kept
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


def _kept(
    grant: EgnyteGrant, answer: TokenAnswer, user_ref: str, *, is_refresh: bool
) -> EgnyteToken | None:
    """The grant's newest token, for this user, if the answer must not replace it.

    ``None`` if no key decrypts that token, because then only the answer can be used.
    """
    newest = newest_of(grant.pk, user_ref)
    if newest is None:
        return None
    known = not is_refresh and _says_nothing_new(newest, answer)
    if not (known or _is_overtaken(grant, answer)) or not _opens(newest):
        return None
    if not known:
        _insert(grant, answer, user_ref, generation=0)
    return copied(newest, user_ref)


def _opens(token: EgnyteToken) -> bool:
    try:
        token.open()
    except Exception:
        # A site's own cipher may raise any exception, and the answer must be stored nevertheless.
        return False
    return True


def _says_nothing_new(newest: EgnyteToken, answer: TokenAnswer) -> bool:
    """Whether the grant has this token, and the answer adds no refresh token or later expiry.

    An answer without a refresh token never replaces a token that has one, because a browser can
    post any access token, even an expired one.
    """
    brought = fingerprint(newest.domain, answer.refresh_token)
    if not brought and newest.refresh_fingerprint:
        return True
    same = EgnyteToken.objects.filter(
        grant_id=newest.grant_id,
        generation__gt=0,
        fingerprint=fingerprint(newest.domain, answer.access_token),
    )
    if brought:
        same = same.filter(refresh_fingerprint=brought)
    return same.exists() and not _outlives(_expiry(answer), newest.expires_at)


def _outlives(expiry: datetime | None, known: datetime | None) -> bool:
    """Whether it expires over a minute later: Egnyte rounds, and the answer took some time."""
    if known is None or expiry is None:
        return known is not None
    return expiry - known > timedelta(minutes=1)


def _is_overtaken(grant: EgnyteGrant, answer: TokenAnswer) -> bool:
    """Whether the answer's refresh token was already used before the answer was stored."""
    tokens = EgnyteToken.objects.filter(grant=grant)
    return _was_refreshed(tokens, fingerprint(grant.domain, answer.refresh_token))


def _postpone_release(grant: EgnyteGrant) -> None:
    """Give the caller ``IN_FLIGHT`` seconds to link the token of a grant that is not in use."""
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
    insert(token)
    return token


def _expiry(answer: TokenAnswer) -> datetime | None:
    if answer.expires_in is None:
        return None
    return timezone.now() + timedelta(seconds=answer.expires_in)


def copied(token: EgnyteToken, user_ref: str) -> EgnyteToken:
    """The same token encrypted for this user of the site, or ``token`` if it already is.

    ``DecryptionError`` if no key decrypts it.
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


# The newest token


def newest_of(grant_id: int, user_ref: str) -> EgnyteToken | None:
    """The newest token of the grant: the row for this user, or else another user's row."""
    tokens = EgnyteToken.objects.select_related("grant").filter(
        grant_id=grant_id, generation=F("grant__generation")
    )
    found = list(tokens)
    return next((each for each in found if each.user_ref == user_ref), next(iter(found), None))


def locked_accounts(grant_id: int) -> list[EgnyteAccount]:
    """Lock and return the live accounts of a grant that the caller has locked."""
    tokens = EgnyteToken.objects.filter(grant_id=grant_id).values_list("pk", flat=True)
    live = EgnyteAccount.objects.live().filter(token_id__in=list(tokens))
    return list(live.order_by("pk").select_for_update())


# The lease


def lease(grant_id: int, purpose: LeasedFor, *conditions: Q) -> str:
    """Take the lease on a grant if it is free and meets the conditions. Its nonce, or empty."""
    nonce = new_id()
    rows = EgnyteGrant.objects.filter(free(), *conditions, pk=grant_id)
    taken = in_short_transaction(
        lambda: rows.write(lease=nonce, leased_until=hence(LEASE), leased_for=purpose)
    )
    return nonce if taken else ""


def may_await_answer(grant: EgnyteGrant) -> bool:
    """Whether a refresh in flight may bring a token that this grant has already.

    Egnyte may give a second consent the tokens that its user already has, even those of a refresh
    whose answer is still on its way. No answer takes longer than a lease, so this can be true only
    for a token that was stored since.
    """
    leased = EgnyteGrant.objects.filter(leased_until__gt=DatabaseNow(), domain=grant.domain)
    # A validation may refresh, too.
    if not leased.exclude(leased_for=LeasedFor.REVOKE).exists():
        return False
    since = timezone.now() - timedelta(seconds=LEASE)
    return EgnyteToken.objects.filter(grant=grant, created_at__gt=since).exists()


def release(grant_id: int, nonce: str, **values: Any) -> bool:
    """Release the lease and write ``values``. ``False`` if the lease was no longer ours."""
    return bool(
        EgnyteGrant.objects.filter(pk=grant_id, lease=nonce).write(
            lease="", leased_until=None, leased_for="", **values
        )
    )


def release_safely(grant_id: int, nonce: str, **values: Any) -> None:
    """``release``. If the database fails, only log that: the lease expires anyway."""
    try:
        in_short_transaction(lambda: release(grant_id, nonce, **values))
    except Error:
        logger.exception(
            "The lease on grant %d could not be released. It expires after %d seconds at most.",
            grant_id,
            LEASE,
            extra={"event": "lease_not_released"},
        )


def make_due(grant_id: int, reason: Release, **values: Any) -> None:
    """Make a grant due for the revoker, which checks again that no account uses it."""
    EgnyteGrant.objects.filter(pk=grant_id).write(**due(reason), **values)


def make_due_by(account: EgnyteAccount, reason: Release, *, spared: int = 0) -> bool:
    """Make the grant of this account's token due, unless its id is ``spared``.

    ``False`` if it is spared, due already, or gone.
    """
    connection = connections[alias()]
    now, of_now = DatabaseNow().compiled(connection)
    values = [*of_now, reason.value, account.pk, account.username, account.token_id, spared]
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE.format(now=now, **_TABLES), values)
        return bool(cursor.rowcount)


def due(reason: Release) -> dict[str, Any]:
    """The values that make grants due. They name an account of the grant, for the history."""
    accounts = EgnyteAccount.objects.filter(token__grant=OuterRef("pk")).order_by("pk")

    def of_account(name: str, column: str) -> Coalesce:
        return Coalesce(Subquery(accounts.values(name)[:1]), F(column))

    return {
        "release_at": DatabaseNow(),
        "reason": reason,
        "account_ref": of_account("pk", "account_ref"),
        "username": of_account("username", "username"),
    }
