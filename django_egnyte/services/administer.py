"""What an administrator may ask for: work is made due now and hurried. Nothing calls Egnyte."""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext_noop

from .. import queue
from ..choices import EventKind
from ..managers import NO_DEFAULT
from ..models import EgnyteAccount, EgnyteGrant
from . import history, hosts
from .refresh import can_refresh
from .transactions import DatabaseNow, alias, locking_transaction

RECONNECT_REASON = gettext_noop("An administrator of this site asks you to reconnect")


def request_validation(account: EgnyteAccount, *, actor: str) -> bool:
    """Have Egnyte asked soon whether the token lives. ``False`` for an account that is not live."""
    with locking_transaction():
        accounts = EgnyteAccount.objects.live().filter(pk=account.pk)
        if not accounts.update(next_validation_at=timezone.now()):
            return False
        history.record(EventKind.VALIDATION_ASKED, account, actor=actor)
        queue.hurry("validate_account", account.pk, account.token_id or 0, using=alias())
    return True


def request_refresh(account: EgnyteAccount, *, actor: str) -> bool:
    """Have the token replaced soon. ``False`` for an account that has no refresh token."""
    with locking_transaction():
        found = EgnyteAccount.objects.with_token().live().filter(pk=account.pk).first()
        if found is None or found.token is None or not can_refresh(found.token):
            return False
        grant = EgnyteGrant.objects.filter(pk=found.token.grant_id)
        grant.write(next_refresh_at=timezone.now())
        history.record(EventKind.REFRESH_ASKED, account, actor=actor)
        queue.hurry("refresh_account", account.pk, account.token_id or 0, using=alias())
    return True


def ask_to_reconnect(account: EgnyteAccount, *, actor: str) -> bool:
    """Tell the user, on the page of their accounts, to reconnect this one."""
    with locking_transaction():
        accounts = EgnyteAccount.objects.filter(pk=account.pk)
        if not accounts.write(status_reason=RECONNECT_REASON):
            return False
        history.record(EventKind.RECONNECT_ASKED, account, actor=actor)
    return True


def clear_default(account: EgnyteAccount) -> None:
    """The account is no longer its user's choice; the oldest live one is used until they choose."""
    EgnyteAccount.objects.filter(pk=account.pk).write(**NO_DEFAULT)


def request_revocation(grant: EgnyteGrant, *, actor: str) -> bool:
    """Try a revocation again that failed before, and forget the failures of its host.

    ``False`` for a grant that is gone, in use, or that never failed: its token may belong to a
    call in flight.
    """
    with locking_transaction():
        rows = EgnyteGrant.objects.filter(pk=grant.pk, revoke_attempts__gt=0)
        if not rows.exclude(release_at=None).write(release_at=DatabaseNow(), revoke_refreshes=0):
            return False
        hosts.note_reached({grant.domain})
        history.record(EventKind.RETRY_ASKED, grant, actor=actor, reason=grant.reason)
        queue.hurry("process_revocations", using=alias())
    return True
