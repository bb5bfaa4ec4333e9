"""Giving an account to another user of the site, as where two users are merged."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError

from ..choices import EventKind
from ..exceptions import LinkError, NotLinkedError
from ..models import EgnyteAccount
from . import grants, history
from .transactions import in_short_transaction, refuse_in_transaction


def reassign(account: EgnyteAccount, user: Any, *, actor: str = "reassign") -> EgnyteAccount:
    """Give the account to ``user``, with its tokens sealed anew for them; returns it.

    It stops being a default account. Raises ``LinkError`` if ``user`` has linked the same Egnyte
    user, ``NotLinkedError`` if the account is gone, ``DecryptionError`` if no key opens its token,
    and ``InTransactionError`` inside a transaction.
    """
    refuse_in_transaction()

    def work() -> EgnyteAccount:
        found = EgnyteAccount.objects.with_token().filter(pk=account.pk).first()
        if found is None:
            raise NotLinkedError("The account is no longer linked.", host=account.domain)
        values: dict[str, Any] = {"user": user, "is_default": False, "default_of": None}
        if found.token is not None:
            grant = grants.merged({found.token.grant_id})
            newest = grants.newest_of(grant.pk, str(user.pk)) if grant is not None else None
            if newest is None:
                raise NotLinkedError("The account is no longer linked.", host=account.domain)
            values["token"] = grants.copied(newest, str(user.pk))
        same = EgnyteAccount.objects.filter(user=found.user_id, token=found.token_id)
        if not same.write_to(found, **values):
            raise NotLinkedError("The account was changed meanwhile.", host=account.domain)
        history.record(EventKind.REASSIGNED, found, actor=actor, reason=f"from {account.user_id}")
        return found

    try:
        return in_short_transaction(work)
    except IntegrityError:
        raise LinkError(
            "That user has linked the same Egnyte user.",
            host=account.domain,
            hint="Disconnect one of the two accounts.",
        ) from None
