"""Refreshing: one call at a time for each refresh token, stored for every account that holds it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.db.transaction import TransactionManagementError
from django.utils import timezone
from django.utils.translation import gettext_noop
from django.views.decorators.debug import sensitive_variables

from .. import gateway, queue
from ..choices import EventKind, Status
from ..exceptions import (
    DecryptionError,
    EgnyteError,
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    UnauthorizedError,
)
from ..fields import seal
from ..models import EgnyteAccount, PendingRevocation
from ..oauth import TokenAnswer
from ..signals import account_refreshed
from . import agenda, history, leases, outbox, verdict
from .obtain import Obtained, due_on_failure, obtain
from .transactions import DatabaseNow, alias, in_short_transaction, refuse_in_transaction

PATIENCE: Final = 5.0
REASON: Final = "refresh"


def refresh(account: EgnyteAccount, *, actor: str, patience: float = PATIENCE) -> EgnyteAccount:
    """Give the account a new access token, or wait ``patience`` seconds for who is at it.

    Returns the account as it is afterwards. Raises ``NotLinkedError`` if it is gone or dead or
    has no refresh token, ``InvalidGrantError`` if Egnyte refuses that token for good (the account
    is settled then), ``InTransactionError``, or a retryable error, which changes nothing.
    """
    refuse_in_transaction()
    try:
        with leases.hold(account, patience=patience) as lease:
            return refresh_leased(lease, actor=actor)
    except leases.Moved as moved:
        if moved.account is None:
            raise NotLinkedError("The account is no longer linked.", host=account.domain) from None
        return moved.account


@sensitive_variables()
def refresh_leased(lease: leases.Lease, *, actor: str) -> EgnyteAccount:
    """As ``refresh``, by who already holds the lease."""
    account = lease.account
    if not account.refresh_fingerprint:
        raise NotLinkedError("The account has no refresh token.", host=account.domain)
    try:
        refresh_token = account.refresh_token
        obtained = _left_behind(account) or obtain(
            lambda client: client.refresh(refresh_token),
            host=account.domain,
            user_ref=str(account.user_id),
            reason=REASON,
            account_ref=account.pk,
            grant_id=account.grant_id,
            refresh=True,
            refreshed_from=account.refresh_fingerprint,
        )
    except InvalidGrantError:
        _settle_refused(lease, actor=actor)
        raise
    except EgnyteError as error:
        _postpone(account, error)
        raise
    with due_on_failure(obtained.row):
        return in_short_transaction(lambda: _store(account, refresh_token, obtained, actor=actor))


@sensitive_variables()
def _left_behind(account: EgnyteAccount) -> Obtained | None:
    """What an earlier refresh brought that was killed before it could store it.

    The refresh token that the account holds may be spent by that. The lease, which outlasts the
    call, has come to us: nobody is at it any more. Only what that very token brought will do: any
    other may be older than what the account holds.
    """
    rows = PendingRevocation.objects.using(alias()).filter(
        Q(expires_at=None) | Q(expires_at__gt=DatabaseNow()),
        domain=account.domain,
        grant_id=account.grant_id,
        refreshed_from=account.refresh_fingerprint,
    )
    row = rows.order_by("-pk").first()
    if row is None:
        return None
    try:
        answer = TokenAnswer(row.access_token, row.refresh_token)
    except DecryptionError:
        return None
    return Obtained(answer, row)


@sensitive_variables()
def _store(
    account: EgnyteAccount, old_refresh_token: str, obtained: Obtained, *, actor: str
) -> EgnyteAccount:
    using = alias()
    row, _ = outbox.own_row(obtained.row, using)
    holding = list(leases.holders(account, using).order_by("pk").select_for_update())
    holding = [e for e in holding if e.refresh_fingerprint == account.refresh_fingerprint]
    if not holding:
        raise NotLinkedError("The account left during the refresh.", host=account.domain)
    now = timezone.now()
    rotated = bool(obtained.answer.refresh_token)
    plain = {
        "access_token": obtained.answer.access_token,
        "refresh_token": obtained.answer.refresh_token or old_refresh_token,
    }
    superseded = {row.fingerprint}
    outbox.recognise(holding, using=using)
    for each in holding:
        ended = each.expires_at is not None and each.expires_at <= now
        if each.token_fingerprint not in superseded and not ended:
            outbox.put_held(each, using=using, reason=actor, grant_stays_held=True)
            superseded.add(each.token_fingerprint)
        values: dict[str, Any] = {
            name: seal(text, each.seal_context(name)) for name, text in plain.items()
        }
        values |= {
            "token_fingerprint": row.fingerprint,
            "refresh_fingerprint": (
                row.refresh_fingerprint if rotated else each.refresh_fingerprint
            ),
            "expires_at": row.expires_at,
            "token_version": each.token_version + 1,
            "status": Status.ACTIVE,
            "status_reason": "",
            "attempts": 0,
            "last_validated_at": now,
            **agenda.after_validation(now),
            **agenda.refresh_times(row.expires_at, True, now),
        }
        EgnyteAccount.objects.using(using).filter(pk=each.pk).write(**values)
        for name, value in values.items():
            setattr(each, name, value)
        history.record(EventKind.REFRESHED, each, using=using, actor=actor)
        history.announce(account_refreshed, each, using=using, reason=actor)
    PendingRevocation.objects.using(using).filter(pk=row.pk).delete()
    return next((e for e in holding if e.pk == account.pk), holding[0])


@sensitive_variables()
def _settle_refused(lease: leases.Lease, *, actor: str) -> None:
    """The refresh token is refused for good. Is the access token dead, too?

    Alive, an answer was lost after the rotation: the account works until its token expires, and
    the user is asked to reconnect. A transient failure to find out changes nothing.
    """
    account = lease.account
    try:
        gateway.oauth(account.domain).userinfo(account.access_token)
    except UnauthorizedError:
        verdict.pass_verdict(lease, reason=gettext_noop("Egnyte refuses both tokens"), actor=actor)
        return
    except EgnyteError as error:
        _postpone(account, error)
        raise

    def drop() -> None:
        using = alias()
        for each in leases.holders(account, using).order_by("pk").select_for_update():
            if each.refresh_fingerprint != account.refresh_fingerprint:
                continue
            EgnyteAccount.objects.using(using).filter(pk=each.pk).write(
                refresh_token="",
                refresh_fingerprint="",
                next_refresh_at=None,
                status_reason=gettext_noop("Egnyte refused the refresh token: please reconnect"),
            )
            history.record(
                EventKind.REFRESH_REFUSED,
                each,
                using=using,
                actor=actor,
                reason="the access token works until it expires",
            )

    in_short_transaction(drop)


def _postpone(account: EgnyteAccount, error: EgnyteError) -> None:
    """A transient failure keeps the old token; the next attempt stands in the database."""
    pause = agenda.wait_after(account.attempts, longest=6 * 3600)
    if isinstance(error, RateLimitedError):
        pause = max(pause, timedelta(seconds=error.retry_after))
    accounts = EgnyteAccount.objects.using(alias())
    accounts.filter(pk=account.pk, token_version=account.token_version).exclude(
        next_refresh_at=None
    ).write(next_refresh_at=timezone.now() + pause, attempts=account.attempts + 1)


def request_refresh(account: EgnyteAccount) -> None:
    """Have the token replaced soon; for code that may make no token call itself.

    Where a caller's transaction is open it is written down only after that is committed: the row
    stays free for the worker, who is hurried at once.
    """
    using = alias()

    def write_down() -> None:
        live = EgnyteAccount.objects.using(using).live().exclude(refresh_fingerprint="")
        mine = live.filter(pk=account.pk, token_version=account.token_version)
        mine.update(next_refresh_at=timezone.now())

    queue.hurry("refresh_account", account.pk, account.token_version)
    # Django knows no end of a transaction that is managed by hand.
    with suppress(TransactionManagementError):
        transaction.on_commit(write_down, using=using, robust=True)
