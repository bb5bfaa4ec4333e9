"""Active, suspect, revoked: the only transitions, each checked against version and status."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext_noop

from .. import queue
from ..choices import LIVE, EventKind, Status
from ..models import EgnyteAccount, new_id
from ..signals import account_revoked, account_suspected
from . import breaker, history, leases, outbox
from .transactions import alias, in_short_transaction

HOURLY: Final = timedelta(hours=1)


def suspect(account: EgnyteAccount, *, reason: str, actor: str, acting: bool = False) -> bool:
    """A 401 came for this token. Not a verdict: the account goes on working until validated.

    Works inside a caller's transaction; the worker is hurried at once all the same, since that
    may be rolled back. Under ``act_as`` the answer may concern the other user, so the token is
    validated hourly at most. Returns whether the account became suspect by this call.
    """
    now = timezone.now()
    validated = account.last_validated_at
    if acting and validated is not None and now - validated < HOURLY:
        return False
    changed = _suspect(account, reason=reason, actor=actor, again=now)
    queue.hurry("validate_account", account.pk, account.token_version)
    return changed


def _suspect(account: EgnyteAccount, *, reason: str, actor: str, again: datetime) -> bool:
    using = alias()
    active = EgnyteAccount.objects.using(using).filter(
        pk=account.pk, token_version=account.token_version, status=Status.ACTIVE
    )
    if not active.write(status=Status.SUSPECT, status_reason=reason[:255], next_attempt_at=again):
        return False
    account.status, account.status_reason = Status.SUSPECT, reason[:255]
    history.record(EventKind.SUSPECTED, account, using=using, actor=actor, reason=reason)
    history.announce(account_suspected, account, using=using, reason=reason)
    return True


def clear(account: EgnyteAccount, *, actor: str, **values: Any) -> bool:
    """The token works: write ``values``, and end a suspicion. ``False`` if it was replaced."""
    using = alias()
    accounts = EgnyteAccount.objects.using(using).filter(
        pk=account.pk, token_version=account.token_version
    )
    if account.status == Status.SUSPECT and accounts.filter(status=Status.SUSPECT).write(
        status=Status.ACTIVE, status_reason="", **values
    ):
        account.status, account.status_reason = Status.ACTIVE, ""
        history.record(EventKind.CLEARED, account, using=using, actor=actor)
        return True
    return bool(accounts.filter(status__in=LIVE).write(**values))


def pass_verdict(lease: leases.Lease, *, reason: str, actor: str) -> bool:
    """Declare the token dead: the account is revoked and its tokens go to the outbox.

    ``False`` if the token was replaced meanwhile, or if verdicts are paused; then the account
    stays suspect and is asked about again in an hour.
    """
    account = lease.account
    if not breaker.may_pass():
        again = timezone.now() + HOURLY
        why = gettext_noop("Egnyte refuses many tokens at once; waiting")
        waiting = EgnyteAccount.objects.using(alias()).filter(
            pk=account.pk, token_version=account.token_version, status__in=LIVE
        )
        if not _suspect(account, reason=why, actor=actor, again=again):
            waiting.write(status_reason=why, next_attempt_at=again)
        # Its refresh token is refused as well: no sweep should ask for it every minute.
        waiting.filter(next_refresh_at__lt=again).write(next_refresh_at=again)
        return False
    return in_short_transaction(lambda: _revoke(account, lease.nonce, reason=reason, actor=actor))


def _revoke(account: EgnyteAccount, nonce: str, *, reason: str, actor: str) -> bool:
    using = alias()
    found = (
        EgnyteAccount.objects.using(using)
        .live()
        .filter(pk=account.pk, token_version=account.token_version, lease=nonce)
        .select_for_update()
        .first()
    )
    if found is None:
        return False
    give_up(found, using=using, reason=reason, actor=actor, queued_as=outbox.GIVEN_UP)
    return True


def give_up(
    account: EgnyteAccount, *, using: str, reason: str, actor: str, queued_as: str = "revoked"
) -> None:
    """Move a locked live account's tokens to the outbox and mark it revoked."""
    outbox.put_held(account, using=using, reason=queued_as)
    values: dict[str, Any] = {
        "access_token": "",
        "refresh_token": "",
        "token_fingerprint": "",
        "refresh_fingerprint": "",
        "grant_id": new_id(),
        "expires_at": None,
        "next_refresh_at": None,
        "token_version": account.token_version + 1,
        "status": Status.REVOKED,
        "status_reason": reason[:255],
        "lease": "",
        "leased_until": None,
    }
    EgnyteAccount.objects.using(using).filter(pk=account.pk).write(**values)
    for name, value in values.items():
        setattr(account, name, value)
    history.record(EventKind.REVOKED, account, using=using, actor=actor, reason=reason)
    history.announce(account_revoked, account, using=using, reason=reason)
    queue.hurry("process_revocations", using=using)
