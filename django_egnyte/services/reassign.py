"""Give an account to another user of the site, for example when two users are merged."""

from __future__ import annotations

from typing import Any, Final

from django.db import IntegrityError

from ..choices import EventKind
from ..exceptions import LinkError, NotLinkedError
from ..managers import NO_DEFAULT
from ..models import EgnyteAccount
from . import grants, history
from .transactions import in_short_transaction, refuse_in_transaction

# Tries after a conflict with a simultaneous refresh or link.
TRIES: Final = 3


class _Overtaken(Exception):
    """The account has another token or user since it was read."""


def reassign(account: EgnyteAccount, user: Any, *, actor: str = "reassign") -> EgnyteAccount:
    """Give the account to ``user``, with its tokens sealed again for that user. Returns it.

    Afterwards it is not a default account. If it belongs to ``user`` already, nothing changes.
    Raises ``LinkError`` if ``user`` has linked the same Egnyte user or was deleted,
    ``NotLinkedError`` if the account was deleted or keeps changing, ``DecryptionError`` if no key
    decrypts its token, and ``InTransactionError`` inside a transaction.
    """
    refuse_in_transaction()
    for _ in range(TRIES):
        try:
            return in_short_transaction(lambda: _give(account, user, actor))
        except _Overtaken:
            continue
        except IntegrityError:
            raise _refusal(account, user) from None
    raise NotLinkedError("The account was changed meanwhile.", host=account.domain)


def _give(account: EgnyteAccount, user: Any, actor: str) -> EgnyteAccount:
    found = EgnyteAccount.objects.with_token().filter(pk=account.pk).first()
    if found is None:
        raise NotLinkedError("The account is no longer linked.", host=account.domain)
    if found.user_id == user.pk:
        return found
    values: dict[str, Any] = {"user": user, **NO_DEFAULT}
    if found.token is not None:
        # Lock it, so that no refresh stores another token before the commit.
        grant = grants.merged({found.token.grant_id})
        if grant is None:
            raise _Overtaken
        newest = grants.newest_of(grant.pk, str(user.pk)) or found.token
        values["token"] = grants.copied(newest, str(user.pk))
    old = found.user_id
    same = EgnyteAccount.objects.filter(user=old, token=found.token_id)
    if not same.write_to(found, **values):
        raise _Overtaken
    history.record(EventKind.REASSIGNED, found, actor=actor, reason=f"from {old}")
    return found


def _refusal(account: EgnyteAccount, user: Any) -> LinkError:
    theirs = EgnyteAccount.objects.filter(
        user=user.pk, domain=account.domain, egnyte_user_id=account.egnyte_user_id
    )
    if not theirs.exists():
        return LinkError("That user of the site was deleted.", host=account.domain)
    return LinkError(
        "That user has already linked the same Egnyte user.",
        host=account.domain,
        hint="Disconnect one of the two accounts.",
    )
