"""What an administrator may ask for: work is made due now and hurried. Nothing calls Egnyte."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from .. import queue
from ..choices import EventKind
from ..models import EgnyteAccount, PendingRevocation
from . import history, hosts
from .transactions import DatabaseNow, alias

RECONNECT_REASON = gettext_noop("An administrator of this site asks you to reconnect")


def request_validation(account: EgnyteAccount, *, actor: str) -> bool:
    """Have Egnyte asked soon whether the token lives. ``False`` for an account that is not live."""
    using = alias()
    with transaction.atomic(using=using):
        accounts = EgnyteAccount.objects.using(using).live().filter(pk=account.pk)
        if not accounts.update(next_attempt_at=timezone.now()):
            return False
        history.record(EventKind.VALIDATION_ASKED, account, using=using, actor=actor)
        queue.hurry("validate_account", account.pk, account.token_version, using=using)
    return True


def request_refresh(account: EgnyteAccount, *, actor: str) -> bool:
    """Have the token replaced soon. ``False`` for an account that has no refresh token."""
    using = alias()
    with transaction.atomic(using=using):
        accounts = EgnyteAccount.objects.using(using).live().exclude(refresh_fingerprint="")
        if not accounts.filter(pk=account.pk).update(next_refresh_at=timezone.now()):
            return False
        history.record(EventKind.REFRESH_ASKED, account, using=using, actor=actor)
        queue.hurry("refresh_account", account.pk, account.token_version, using=using)
    return True


def ask_to_reconnect(account: EgnyteAccount, *, actor: str) -> bool:
    """Tell the user, on the page of their accounts, to reconnect this one."""
    using = alias()
    with transaction.atomic(using=using):
        accounts = EgnyteAccount.objects.using(using).filter(pk=account.pk)
        if not accounts.write(status_reason=RECONNECT_REASON):
            return False
        history.record(EventKind.RECONNECT_ASKED, account, using=using, actor=actor)
    return True


def clear_default(account: EgnyteAccount) -> None:
    """The account is no longer its user's choice; the oldest live one is used until they choose."""
    EgnyteAccount.objects.using(alias()).filter(pk=account.pk).update(is_default=False)


def request_revocation(row: PendingRevocation, *, actor: str) -> bool:
    """Try a revocation again that failed before, and forget what is held against its host.

    ``False`` for a row that is gone or that never failed: it may belong to a call in flight.
    """
    using = alias()
    with transaction.atomic(using=using):
        rows = PendingRevocation.objects.using(using).filter(pk=row.pk, attempts__gt=0)
        if not rows.write(not_before=DatabaseNow()):
            return False
        hosts.note_reached({row.domain})
        history.record(EventKind.RETRY_ASKED, row, using=using, actor=actor, reason=row.reason)
        queue.hurry("process_revocations", using=using)
    return True
