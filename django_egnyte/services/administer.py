"""The requests of administrators. They make work due and start a task; none calls Egnyte."""

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
    """Request a validation. ``False`` for an account that is not live."""
    with locking_transaction():
        accounts = EgnyteAccount.objects.live().filter(pk=account.pk)
        if not accounts.update(next_validation_at=timezone.now()):
            return False
        history.record(EventKind.VALIDATION_ASKED, account, actor=actor)
        queue.hurry("validate_account", account.pk, account.token_id or 0, using=alias())
    return True


def request_refresh(account: EgnyteAccount, *, actor: str) -> bool:
    """Request a refresh. ``False`` for an account without a refresh token."""
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
    """Show the user, on their accounts page, that they should reconnect this account."""
    with locking_transaction():
        accounts = EgnyteAccount.objects.filter(pk=account.pk)
        if not accounts.write(status_reason=RECONNECT_REASON):
            return False
        history.record(EventKind.RECONNECT_ASKED, account, actor=actor)
    return True


def clear_default(account: EgnyteAccount) -> None:
    """Clear the user's default account. Until they choose one, their oldest live one is used."""
    EgnyteAccount.objects.filter(pk=account.pk).write(**NO_DEFAULT)


def request_revocation(grant: EgnyteGrant, *, actor: str) -> bool:
    """Try a failed revocation again, and forget the failures of its host.

    ``False`` if the grant is gone, in use, or has never failed. One that has never failed may
    belong to a link in progress.
    """
    with locking_transaction():
        rows = EgnyteGrant.objects.filter(pk=grant.pk, revoke_attempts__gt=0)
        if not rows.exclude(release_at=None).write(release_at=DatabaseNow(), revoke_refreshes=0):
            return False
        hosts.note_reached({grant.domain})
        history.record(EventKind.RETRY_ASKED, grant, actor=actor, reason=grant.reason)
        queue.hurry("process_revocations", using=alias())
    return True
