"""The transitions between active, suspect and revoked. Each write checks token and status."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext_noop

from .. import queue
from ..choices import LIVE, EventKind, Release, Status
from ..models import EgnyteAccount, EgnyteGrant
from ..signals import account_revoked, account_suspected
from . import grants, history, leases
from .refresh import REFUSED
from .transactions import alias, in_short_transaction

HOURLY: Final = timedelta(hours=1)
UNPROVED: Final = gettext_noop("Egnyte refuses the token, perhaps because the API key is suspended")


def suspect(account: EgnyteAccount, *, reason: str, actor: str, acting: bool = False) -> bool:
    """Mark the account as suspect after a 401. It continues to work until it is validated.

    May be called inside a transaction. The task is sent at once nevertheless, because the
    transaction may be rolled back. Under ``act_as`` the 401 may concern the other user, so the
    token is validated at most once per hour. Returns whether this call made the account suspect.
    """
    now = timezone.now()
    validated = account.last_validated_at
    if acting and validated is not None and now - validated < HOURLY:
        return False
    changed = _suspect(account, reason=reason, actor=actor, again=now)
    if account.token_id is not None:
        queue.hurry("validate_account", account.pk, account.token_id)
    return changed


def _suspect(account: EgnyteAccount, *, reason: str, actor: str, again: datetime) -> bool:
    active = EgnyteAccount.objects.filter(token=account.token_id, status=Status.ACTIVE)
    if not active.write_to(
        account, status=Status.SUSPECT, status_reason=reason[:255], next_validation_at=again
    ):
        return False
    history.record(EventKind.SUSPECTED, account, actor=actor, reason=reason)
    history.announce(account_suspected, account, reason=reason)
    return True


def clear(account: EgnyteAccount, *, actor: str, **values: Any) -> bool:
    """Write ``values`` and make a suspect account active. ``False`` if its token was replaced."""
    same = EgnyteAccount.objects.filter(token=account.token_id)
    if account.status == Status.SUSPECT:
        refused = account.token is not None and account.token.grant.refresh_refused_at is not None
        cleared = {"status": Status.ACTIVE, "status_reason": REFUSED if refused else ""}
        if same.filter(status=Status.SUSPECT).write_to(account, **cleared, **values):
            history.record(EventKind.CLEARED, account, actor=actor)
            return True
    return same.filter(status__in=LIVE).write_to(account, **values)


def wait_for_proof(account: EgnyteAccount, *, actor: str, reason: str = UNPROVED) -> None:
    """Mark as suspect until Egnyte accepts the API key again: validate again in an hour."""
    again = timezone.now() + HOURLY
    if not _suspect(account, reason=reason, actor=actor, again=again):
        live = EgnyteAccount.objects.filter(token=account.token_id, status__in=LIVE)
        live.write_to(account, status_reason=reason, next_validation_at=again)


def pass_verdict(lease: leases.Lease, *, reason: str, actor: str) -> bool:
    """Mark all accounts of the grant as revoked, and make the grant due for revocation.

    ``False`` if the lease was lost, or if the grant has a newer token by now.
    """

    def work() -> bool:
        rows = EgnyteGrant.objects.filter(
            pk=lease.grant.pk, lease=lease.nonce, generation=lease.grant.generation
        )
        if rows.select_for_update().first() is None:
            return False
        grants.make_due(lease.grant.pk, Release.DEAD, **grants.NO_NEWEST)
        give_up(grants.locked_accounts(lease.grant.pk), reason=reason, actor=actor)
        return True

    return in_short_transaction(work)


def give_up(accounts: list[EgnyteAccount], *, reason: str, actor: str) -> None:
    """Mark live accounts as revoked. The caller releases their grant in the same transaction."""
    for account in accounts:
        EgnyteAccount.objects.filter(token=account.token_id).write_to(
            account, token=None, status=Status.REVOKED, status_reason=reason[:255]
        )
        history.announce(account_revoked, account, reason=reason)
    history.record_all(EventKind.REVOKED, accounts, actor=actor, reason=reason)
    queue.hurry("process_revocations", using=alias())
