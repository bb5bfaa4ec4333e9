"""The outbox of tokens that are to be revoked: what stands in it, and what is put there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from ..conf import IN_FLIGHT
from ..exceptions import TokenConflictError
from ..fields import Sealed
from ..models import EgnyteAccount, PendingRevocation, new_id
from ..oauth import TokenAnswer, fingerprint
from .transactions import DatabaseNow, hence

SUPERSEDED: Final = "superseded"
GIVEN_UP: Final = "given up"
DAY: Final = 24 * 3600


def expiry(answer: TokenAnswer) -> datetime | None:
    """When an access token that was issued now ends; ``None`` for never."""
    if answer.expires_in is None:
        return None
    return timezone.now() + timedelta(seconds=answer.expires_in)


@sensitive_variables()
def put_answer(
    answer: TokenAnswer,
    *,
    using: str,
    host: str,
    user_ref: str,
    grant_id: str,
    account_ref: int | None,
    reason: str,
    refreshed_from: str = "",
) -> PendingRevocation:
    """Write down a token that Egnyte has just issued, before anything else is done with it.

    The revoker leaves it alone while its call may be in flight; an incomplete one is due at once.
    ``refreshed_from`` is the fingerprint of the refresh token that brought it.
    """
    return PendingRevocation.objects.using(using).create(
        user_ref=user_ref,
        account_ref=account_ref,
        domain=host,
        seal_id=new_id(),
        access_token=answer.access_token,
        refresh_token=answer.refresh_token,
        fingerprint=fingerprint(host, answer.access_token),
        refresh_fingerprint=fingerprint(host, answer.refresh_token),
        grant_id=grant_id,
        expires_at=expiry(answer),
        reason=reason,
        refreshed_from=refreshed_from if answer.complete else "",
        not_before=hence(IN_FLIGHT) if answer.complete else DatabaseNow(),
    )


def put_held(
    account: EgnyteAccount, *, using: str, reason: str, grant_stays_held: bool = False
) -> PendingRevocation | None:
    """Move what an account held into the outbox, ciphertext and all, without opening it.

    Part of the caller's transaction, which must also take the token from the account. Nothing is
    written, and ``None`` returned, for an account that holds no token. Where the grant stays held,
    only the superseded access token moves, and it is not to be revoked: that would kill the grant.
    """
    sealed = {field.attname: field.stored(account) for field in account.sealed_fields()}
    if grant_stays_held:
        sealed["refresh_token"] = Sealed("")
    if not any(sealed.values()):
        return None
    # A row that nobody named, as raw SQL could make one, must not be taken for another.
    name = account.token_fingerprint or new_id()
    return PendingRevocation.objects.using(using).create(
        user_ref=str(account.user_id),
        account_ref=account.pk,
        domain=account.domain,
        username=account.username,
        seal_id=account.seal_id,
        **sealed,
        fingerprint=name,
        refresh_fingerprint="" if grant_stays_held else account.refresh_fingerprint,
        grant_id=account.grant_id,
        expires_at=account.expires_at,
        reason=SUPERSEDED if grant_stays_held else reason,
        not_before=(account.expires_at or hence(DAY)) if grant_stays_held else DatabaseNow(),
    )


def family(row: PendingRevocation, using: str) -> QuerySet[PendingRevocation]:
    """All rows that a revocation of this one would touch, locked, in the order of locking.

    The same token, or the same refresh token, whose revocation kills the other's grant. Each has
    ``is_due`` and ``is_claimed``, by the database's clock.
    """
    which = Q(fingerprint=row.fingerprint)
    if row.refresh_fingerprint:
        which |= Q(refresh_fingerprint=row.refresh_fingerprint)
    return (
        PendingRevocation.objects.using(using)
        .filter(which, domain=row.domain)
        .annotate(
            is_due=_truth(Q(not_before__lte=DatabaseNow())),
            is_claimed=_truth(Q(claimed_until__gt=DatabaseNow())),
        )
        .order_by("pk")
        .select_for_update()
    )


def own_row(row: PendingRevocation, using: str) -> tuple[PendingRevocation, set[str]]:
    """Lock a token's rows to store it; ``TokenConflictError`` if the revoker was here first.

    Returns the row as it is now, and the grants under which the same token is known here.
    """
    rows = list(family(row, using))
    own = next((each for each in rows if each.pk == row.pk), None)
    if own is None or any(each.is_claimed for each in rows):  # type: ignore[attr-defined]
        raise TokenConflictError("This token is being revoked at this moment.", host=row.domain)
    return own, {each.grant_id for each in rows}


def recognise(accounts: Sequence[EgnyteAccount], *, using: str) -> None:
    """What stands here with a token of these accounts, which hold one grant, is of that grant.

    To be called before the accounts' tokens are replaced, which is the last moment to know that.
    They are locked, and ``grant_id`` is the same one on all of them afterwards.
    """
    first = accounts[0]
    which = Q(fingerprint__in={each.token_fingerprint for each in accounts})
    if shared := {each.refresh_fingerprint for each in accounts} - {""}:
        which |= Q(refresh_fingerprint__in=shared)
    rows = PendingRevocation.objects.using(using).filter(which, domain=first.domain)
    names = set(rows.values_list("grant_id", flat=True))
    join_grants(names | {each.grant_id for each in accounts}, first.grant_id, using=using)
    for each in accounts:
        each.grant_id = first.grant_id


def join_grants(names: set[str], name: str, *, using: str) -> None:
    """Several names turn out to mean one grant: give the same one to all that stands here, and to
    all accounts, or the end of one account would seem to be that of the grant."""
    if others := names - {name}:
        rows = PendingRevocation.objects.using(using).filter(grant_id__in=others)
        rows.write(grant_id=name)
        accounts = EgnyteAccount.objects.using(using)
        named = accounts.filter(grant_id__in=others).order_by("pk").select_for_update()
        keys = list(named.values_list("pk", flat=True))
        accounts.filter(pk__in=keys).write(grant_id=name)


def make_due(row: PendingRevocation, *, using: str) -> None:
    """Let the revoker have a token whose call has failed."""
    PendingRevocation.objects.using(using).filter(pk=row.pk).write(not_before=DatabaseNow())


def release_grants(names: set[str], *, using: str) -> None:
    """A token of these grants has ended: what was superseded in them is looked at again.

    Whoever leaves a grant leaves a row behind, so this is where all of them come by.
    """
    waiting = PendingRevocation.objects.using(using).filter(reason=SUPERSEDED)
    waiting.filter(grant_id__in=names).write(not_before=DatabaseNow())


def _truth(condition: Q) -> Case:
    return Case(
        When(condition, then=Value(True)), default=Value(False), output_field=BooleanField()
    )
