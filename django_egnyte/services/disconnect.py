"""Disconnecting accounts: by a click, ``delete()``, a cascade, the admin or a command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from django.contrib.auth import get_user_model
from django.db import IntegrityError, models, transaction
from django.db.models.deletion import Collector

from .. import queue
from ..choices import EventKind, Release
from ..exceptions import TokenConflictError
from ..managers import NO_DEFAULT
from ..models import EgnyteAccount, EgnyteGrant, EgnyteToken
from ..signals import account_disconnected
from . import grants, history, verdict
from .transactions import after_commit, alias, in_short_transaction, take_write_lock

_Row = TypeVar("_Row")

CHUNK: Final = 500
# In a conflict with a link of the same account at the same time.
TRIES: Final = 3

_deleting: ContextVar[tuple[str, str]] = ContextVar("egnyte_deleting", default=("delete", ""))


@dataclass
class _Deletion:
    """A deletion in progress: Django sends ``pre_delete`` for one account after another.

    ``released`` has the primary keys of the accounts with a released grant, and ``ahead`` those of
    them without a signal so far.
    """

    origin: Any
    released: set[int] = field(default_factory=set)
    ahead: set[int] = field(default_factory=set)


_last: ContextVar[_Deletion | None] = ContextVar("egnyte_last_deletion", default=None)


class _Overtaken(Exception):
    """The account has received a token of another grant since it was read."""


def disconnect(
    account_id: int, *, actor: str, user: Any = None, reason: str = ""
) -> EgnyteAccount | None:
    """Delete the account and return it. Its grant is released in the same transaction.

    ``actor`` and ``reason`` are for the history. ``None`` if there is no such account, or if
    ``user`` is given and is not its user.
    """

    def work() -> EgnyteAccount | None:
        rows = EgnyteAccount.objects.filter(pk=account_id)
        account = next(iter(rows if user is None else rows.for_user(user)), None)
        if account is None:
            return None
        with _as(actor, reason):
            deleted, _ = account.delete()
        # Another process deleted it first and has written the history.
        if not deleted:
            transaction.set_rollback(True, using=alias())
        return account if deleted else None

    return in_short_transaction(work)


@contextmanager
def _as(actor: str, reason: str) -> Iterator[None]:
    token = _deleting.set((actor, reason))
    try:
        yield
    finally:
        _deleting.reset(token)


def before_deletion(account: models.Model, *, origin: Any) -> None:
    """The receiver of ``pre_delete``: release the account's grant before any deletion.

    ``origin`` is the instance or the queryset on which ``delete()`` was called. The grants of all
    accounts in that deletion are released at the first signal, in a few queries: one account after
    another would lock the grants in another order than all other code.
    """
    last = _last.get()
    if last is None or origin is None or last.origin is not origin:
        last = None
    elif account.pk in last.ahead:
        last.ahead.discard(account.pk)
        return
    elif account.pk in last.released:
        last = None  # the same deletion, tried again
    take_write_lock()
    accounts: list[EgnyteAccount] = []
    if last is None:
        last = _Deletion(origin)
        accounts += _together(account, origin)
    if not any(each.pk == account.pk for each in accounts):
        if isinstance(account, EgnyteAccount):
            accounts.append(account)
        else:  # A migration knows the model as another class.
            accounts += EgnyteAccount.objects.filter(pk=account.pk)
    _release(accounts)
    pks = {each.pk for each in accounts}
    last.released |= pks
    last.ahead |= pks - {account.pk}
    _last.set(last)
    after_commit(_forget_deletion)


def _forget_deletion() -> None:
    _last.set(None)


def _together(account: models.Model, origin: Any) -> Iterable[EgnyteAccount]:
    """The accounts that this deletion deletes, as far as they can be found before it.

    For users, and for a queryset of accounts, one query finds them. For anything else above them,
    Django's collector does.
    """
    ours, users = EgnyteAccount.objects.all(), get_user_model()
    if origin is None or origin is account:
        return ()
    if isinstance(origin, users):
        return ours.filter(user_id=origin.pk)
    if isinstance(origin, models.QuerySet):
        if issubclass(origin.model, EgnyteAccount):
            return ours.filter(pk__in=list(origin.values_list("pk", flat=True)))
        if issubclass(origin.model, users):
            return ours.filter(user_id__in=list(origin.values_list("pk", flat=True)))
    return _cascade_of(origin)


def _cascade_of(origin: Any) -> models.QuerySet[EgnyteAccount]:
    """The accounts that Django deletes together with these rows."""
    collector = Collector(using=alias(), origin=origin)
    rows: Any = [origin] if isinstance(origin, models.Model) else origin
    collector.collect(rows)
    ours = EgnyteAccount._meta.label_lower
    models_of_ours = [
        model
        for model in collector.data
        if model._meta.concrete_model is not None
        and model._meta.concrete_model._meta.label_lower == ours
    ]
    pks = [row.pk for model in models_of_ours for row in collector.data[model]]
    return EgnyteAccount.objects.filter(pk__in=pks)


def _release(accounts: list[EgnyteAccount]) -> None:
    actor, reason = _deleting.get()
    if len(accounts) == 1:
        _release_grant_of(accounts[0])
    else:
        _release_grants_of([each.pk for each in accounts])
    for chunk in _chunks(accounts):
        history.record_all(EventKind.DISCONNECTED, chunk, actor=actor, reason=reason)
        for account in chunk:
            history.announce(account_disconnected, _as_it_was(account), reason=actor)
    queue.hurry("process_revocations", using=alias())


def _as_it_was(account: EgnyteAccount) -> EgnyteAccount:
    """A copy for signals, without the token. Django clears the primary key of the original."""
    fields = EgnyteAccount._meta.concrete_fields
    values = {each.attname: getattr(account, each.attname) for each in fields if not each.generated}
    return EgnyteAccount(**values | {"token_id": None})


def _release_grant_of(account: EgnyteAccount) -> None:
    """Make the grant due: one query, unless the account has another token by now."""
    if account.token_id is not None and grants.make_due_by(account, Release.DISCONNECTED):
        return
    # Moving an account to another grant releases the old one, so look for the current grant.
    current = EgnyteGrant.objects.filter(tokens__accounts=account.pk)
    for current_id in current.values_list("pk", flat=True):
        grants.make_due(current_id, Release.DISCONNECTED)


def _release_grants_of(pks: list[int]) -> None:
    """Lock all the grants, then all the accounts, and make the grants due.

    Django deletes the accounts after that in any order.
    """
    ids: set[int] = set()
    for chunk in _chunks(pks):
        tokens = EgnyteToken.objects.filter(accounts__in=chunk)
        ids.update(tokens.values_list("grant_id", flat=True))
    for chunk in _chunks(sorted(ids)):
        rows = EgnyteGrant.objects.filter(pk__in=chunk, release_at=None)
        locked = grants.lock(rows)
        EgnyteGrant.objects.filter(pk__in=locked).write(**grants.due(Release.DISCONNECTED))
    for chunk in _chunks(sorted(pks)):
        grants.lock(EgnyteAccount.objects.filter(pk__in=chunk))


def _chunks(rows: list[_Row]) -> Iterator[list[_Row]]:
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def revoke(account: EgnyteAccount, *, actor: str, reason: str) -> bool:
    """Revoke an account's token but keep the account, so that its user can reconnect.

    ``False`` if it has no token. ``TokenConflictError`` if the user is reconnecting it right now.
    """

    def work() -> bool:
        found = EgnyteAccount.objects.with_token().live().filter(pk=account.pk).first()
        if found is None or found.token is None:
            return False
        # Locks the grant. A refresh may have given the account another token of the grant before.
        grants.make_due(found.token.grant_id, Release.REVOKED)
        users = grants.locked_accounts(found.token.grant_id)
        mine = [each for each in users if each.pk == account.pk]
        if not mine:
            raise _Overtaken
        verdict.give_up(mine, reason=reason, actor=actor)
        return True

    for _ in range(TRIES):
        try:
            return in_short_transaction(work)
        except _Overtaken:
            continue
    raise TokenConflictError(
        "The user is connecting this account again at this moment.", host=account.domain
    )


def make_default(user: Any, account: EgnyteAccount) -> None:
    """Make this the user's default account, which ``request.egnyte`` uses."""

    def work() -> None:
        accounts = EgnyteAccount.objects.for_user(user)
        grants.lock(accounts)
        accounts.exclude(pk=account.pk).write(**NO_DEFAULT)
        accounts.filter(pk=account.pk).write(is_default=True, default_of=str(user.pk))

    try:
        in_short_transaction(work)
    except IntegrityError:
        # A new link became the default at the same time. Now its row is visible.
        in_short_transaction(work)
