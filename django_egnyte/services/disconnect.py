"""The end of a link, in all its forms: a click, ``delete()``, a cascade, the admin, a command."""

from __future__ import annotations

import copy
from typing import Any

from django.views.decorators.debug import sensitive_variables

from .. import queue
from ..choices import EventKind
from ..models import EgnyteAccount
from ..signals import account_disconnected
from . import history, outbox, verdict
from .transactions import alias, in_short_transaction


def disconnect(account_id: int, *, actor: str, user: Any = None, reason: str = "") -> bool:
    """Delete the account. Its tokens go to the outbox in the same transaction; history stays.

    ``actor`` and ``reason`` are for that history. ``False`` if there is no such account, or not of
    ``user`` where one is given.
    """

    def work() -> bool:
        rows = EgnyteAccount.objects.using(alias()).filter(pk=account_id)
        if user is not None:
            rows = rows.for_user(user)
        account = rows.select_for_update().first()
        if account is None:
            return False
        account._egnyte_locked_for = (actor, reason)  # type: ignore[attr-defined]
        account.delete(using=alias())
        return True

    return in_short_transaction(work)


@sensitive_variables()
def queue_deleted(account: EgnyteAccount, *, using: str) -> None:
    """What every deletion does first, whoever deletes: ``pre_delete`` is connected to this.

    The row is read again under a lock, since the instance may be stale, and its ciphertext moves
    unopened, so that even a row that no key opens can be deleted.
    """
    actor, reason = getattr(account, "_egnyte_locked_for", ("", ""))
    found: EgnyteAccount | None = account
    if not actor:
        rows = EgnyteAccount.objects.using(using).filter(pk=account.pk)
        found = rows.select_for_update().first()
    if found is None:
        return
    if found.is_live:
        outbox.put_held(found, using=using, reason="disconnected")
    gone = copy.copy(found)
    gone.access_token = gone.refresh_token = ""
    history.record(
        EventKind.DISCONNECTED, gone, using=using, actor=actor or "delete", reason=reason
    )
    history.announce(account_disconnected, gone, using=using, reason=actor or "delete")
    queue.hurry("process_revocations", using=using)


def revoke(account: EgnyteAccount, *, actor: str, reason: str) -> bool:
    """End an account's token but keep the account, so that its user may reconnect.

    ``False`` if it holds none.
    """

    def work() -> bool:
        using = alias()
        found = (
            EgnyteAccount.objects.using(using)
            .live()
            .filter(pk=account.pk)
            .select_for_update()
            .first()
        )
        if found is None:
            return False
        verdict.give_up(found, using=using, reason=reason, actor=actor)
        return True

    return in_short_transaction(work)


def make_default(user: Any, account: EgnyteAccount) -> None:
    """Let ``request.egnyte`` be this account's client."""

    def work() -> None:
        accounts = EgnyteAccount.objects.using(alias())
        accounts.for_user(user).exclude(pk=account.pk).update(is_default=False)
        accounts.for_user(user).filter(pk=account.pk).update(is_default=True)

    in_short_transaction(work)
