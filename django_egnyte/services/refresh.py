"""Refresh: one call at a time for each grant, whose token all accounts of the grant get."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from django.db import Error
from django.utils import timezone
from django.utils.translation import gettext_noop

from .. import gateway, queue
from ..api import steps
from ..api.steps import Step, Steps
from ..choices import EventKind, LeasedFor, Purpose, Status
from ..exceptions import (
    DecryptionError,
    InactiveKeyError,
    InvalidGrantError,
    NotLinkedError,
    RateLimitedError,
    TokenExpiredError,
)
from ..models import EgnyteAccount, EgnyteGrant, EgnyteToken
from ..secret import Secret
from ..signals import account_refreshed
from . import agenda, grants, history, keys, leases
from .obtain import due_on_failure, obtaining
from .transactions import after_commit, in_short_transaction, refuse_in_transaction

PATIENCE: Final = 5.0
REFUSED: Final = gettext_noop("Egnyte refused the refresh token: please reconnect")


def refreshing(
    account: EgnyteAccount, *, actor: str, patience: float = PATIENCE
) -> Steps[EgnyteAccount]:
    """Replace the account's access token, waiting ``patience`` seconds if it is being replaced.

    Returns the account as it is afterwards. Raises ``NotLinkedError`` if it is gone, revoked, has
    no refresh token or was linked with another API key; ``InvalidGrantError`` if Egnyte refuses
    the refresh token; ``InTransactionError``; or a retryable error. After a failed refresh nobody
    asks Egnyte again before a pause is over: ``TokenExpiredError``, with ``retry_after``.

    Run all of the steps, or the lease ends only when it expires.
    """
    yield Step("db", refuse_in_transaction)
    try:
        lease = yield from leases.taken(account, LeasedFor.REFRESH, patience=patience)
    except leases.Moved as moved:
        if moved.account is None:
            raise NotLinkedError("The account is no longer linked.", host=account.domain) from None
        return moved.account
    try:
        refreshed = yield from refreshing_leased(lease, actor=actor)
    except GeneratorExit:  # no step can follow: the lease expires
        raise
    except BaseException:
        yield Step("db", leases.give_back, lease)
        raise
    yield Step("db", leases.give_back, lease)
    return refreshed


refresh = steps.synchronous(refreshing)


def can_refresh(token: EgnyteToken) -> bool:
    """Whether there is a refresh token of the configured key that Egnyte has not refused."""
    grant = token.grant
    return bool(
        token.refresh_fingerprint
        and grant.refresh_refused_at is None
        and grant.key_digest == gateway.key_digest()
    )


def refreshing_leased(lease: leases.Lease, *, actor: str) -> Steps[EgnyteAccount]:
    """Like ``refreshing``, for a caller that holds the lease."""
    newest: EgnyteToken
    newest, is_needed = yield Step("db", _prepare, lease)
    if is_needed:
        newest = yield from _ask(lease, newest, actor)
    refreshed: EgnyteAccount = yield Step("db", _finish, lease, newest, is_needed, actor)
    return refreshed


refresh_leased = steps.synchronous(refreshing_leased)


def _prepare(lease: leases.Lease) -> tuple[EgnyteToken, bool]:
    """The grant's newest token, and whether it must be refreshed first."""
    _join_twins(lease)
    newest = _newest(lease)
    if not _is_same(newest, lease.token) and not newest.is_expired:
        return newest, False
    _refuse_hopeless(lease, newest)
    return newest, True


def _finish(lease: leases.Lease, newest: EgnyteToken, is_fresh: bool, actor: str) -> EgnyteAccount:
    if is_fresh:
        grants.joined(lease.grant.pk)
        newest = grants.newest_of(lease.grant.pk, lease.token.user_ref) or newest
    with due_on_failure(newest):
        refreshed = in_short_transaction(lambda: _point(lease, newest, actor))
    if refreshed is None:
        # It was disconnected meanwhile, or linked again.
        refreshed = EgnyteAccount.objects.with_token().live().filter(pk=lease.account.pk).first()
    if refreshed is None:
        raise NotLinkedError(
            "The account was deleted or changed during the refresh.", host=lease.account.domain
        )
    return refreshed


def _join_twins(lease: leases.Lease) -> None:
    """If another grant has the same refresh token, join the two: it must not be used twice."""
    if not grants.joined(lease.grant.pk):
        raise TokenExpiredError(
            "Another process is refreshing this token.",
            host=lease.account.domain,
            retry_after=1.0,
        )


def _is_same(one: EgnyteToken, other: EgnyteToken) -> bool:
    return (one.fingerprint, one.refresh_fingerprint) == (
        other.fingerprint,
        other.refresh_fingerprint,
    )


def _newest(lease: leases.Lease) -> EgnyteToken:
    """The grant's newest token that a key opens.

    It is not the account's token if a process was killed after it had stored a token and before
    it pointed the accounts to it. The account's own refresh token may then be used up.
    """
    newest = grants.newest_of(lease.grant.pk, lease.token.user_ref)
    if newest is None or newest.pk == lease.token.pk:
        return lease.token
    try:
        newest.open()
    except DecryptionError:
        return lease.token
    return newest


def _refuse_hopeless(lease: leases.Lease, token: EgnyteToken) -> None:
    grant, host = lease.grant, lease.account.domain
    if not token.refresh_fingerprint:
        raise NotLinkedError("The account has no refresh token.", host=host)
    if grant.key_digest != gateway.key_digest():
        raise NotLinkedError(
            "The account was linked with another API key.",
            host=host,
            hint="Ask the user to reconnect: Egnyte refreshes a token for its own key only.",
        )
    if grant.refresh_refused_at is not None:
        raise InvalidGrantError("Egnyte has refused the refresh token before.", host=host)
    next_try = grant.next_refresh_at
    if grant.refresh_attempts and next_try is not None and next_try > timezone.now():
        raise TokenExpiredError(
            "The last refresh failed, and the next try is not due yet.",
            host=host,
            retry_after=(next_try - timezone.now()).total_seconds(),
        )


def _ask(lease: leases.Lease, token: EgnyteToken, actor: str) -> Steps[EgnyteToken]:
    account, asked = lease.account, time.monotonic()

    def opened() -> Secret | None:
        pair = account.opened_token() if token.pk == account.token_id else token.open()
        return pair.refresh_token

    refresh_token: Secret = yield Step("db", opened)
    try:
        obtained = yield from obtaining(
            lambda client: client.refresh(refresh_token),
            purpose=Purpose.REFRESH,
            host=account.domain,
            user_ref=lease.token.user_ref,
            refreshed=token,
        )
    except Exception as error:
        yield Step("db", _note_failure, lease, error, asked, actor)
        raise
    return obtained


def _note_failure(lease: leases.Lease, error: Exception, asked: float, actor: str) -> None:
    host = lease.account.domain
    if isinstance(error, InvalidGrantError):
        # A refusal that blames the refresh token shows that Egnyte accepts the key.
        keys.note_accepted(host, asked=asked)
        in_short_transaction(lambda: _note_refusal(lease, actor))
        return
    # After any error: a caller that asks again at once would never stop.
    with suppress(Error):
        if isinstance(error, InactiveKeyError):
            keys.doubt(host)
        _postpone(lease, error)


def _point(lease: leases.Lease, token: EgnyteToken, actor: str) -> EgnyteAccount | None:
    """Point every account of the grant to the new token. Returns ours, or ``None`` if it left."""
    grant = EgnyteGrant.objects.filter(pk=lease.grant.pk, lease=lease.nonce)
    if grant.select_for_update().first() is None:
        raise TokenExpiredError(
            "The refresh took too long.", host=lease.account.domain, retry_after=1.0
        )
    accounts = grants.locked_accounts(lease.grant.pk)
    for account in accounts:
        EgnyteAccount.objects.write_to(
            account,
            token=grants.copied(token, str(account.user_id)),
            status=Status.ACTIVE,
            status_reason="",
            **agenda.validated(),
        )
        history.announce(account_refreshed, account, reason=actor)
    history.record_all(EventKind.REFRESHED, accounts, actor=actor)
    grants.release(lease.grant.pk, lease.nonce, refresh_attempts=0, last_error="")
    _forget_expired(lease.grant.pk, token.generation)
    return next((each for each in accounts if each.pk == lease.account.pk), None)


def _forget_expired(grant_id: int, generation: int) -> None:
    """Delete replaced tokens once they have expired.

    They are not revoked: Egnyte would also revoke the refresh token of the grant.
    """
    rows = EgnyteToken.objects.filter(
        grant_id=grant_id, generation__lt=generation, expires_at__lte=timezone.now()
    )
    rows._raw_delete(rows.db)


def _note_refusal(lease: leases.Lease, actor: str) -> None:
    """Never refresh again. A validation checks whether the access token still works."""
    now = timezone.now()
    leased = EgnyteGrant.objects.filter(lease=lease.nonce)
    if not leased.write_to(lease.grant, refresh_refused_at=now, next_refresh_at=None):
        return
    accounts = grants.locked_accounts(lease.grant.pk)
    pks = [each.pk for each in accounts]
    EgnyteAccount.objects.filter(pk__in=pks).write(status_reason=REFUSED, next_validation_at=now)
    history.record_all(EventKind.REFRESH_REFUSED, accounts, actor=actor)


def _postpone(lease: leases.Lease, error: Exception) -> None:
    """Store when the next try is due. A refusal by the site's own limit does not count as a try."""
    if isinstance(error, RateLimitedError) and error.status is None:
        return
    grant = lease.grant
    pause = agenda.wait_after(grant.refresh_attempts, error, longest=agenda.HOUR)
    EgnyteGrant.objects.filter(pk=grant.pk, lease=lease.nonce).write(
        next_refresh_at=timezone.now() + pause,
        refresh_attempts=grant.refresh_attempts + 1,
        last_error=type(error).__name__,
    )


def request_refresh(account: EgnyteAccount) -> None:
    """Have a worker refresh the token soon, for code that must not make a token call itself.

    In a caller's transaction it writes only after the commit, so that the row stays unlocked for
    the worker, which gets its task at once.
    """

    def write_down() -> None:
        # A refresh that is failing keeps the time of its next try.
        rows = EgnyteGrant.objects.filter(tokens=account.token_id, refresh_attempts=0)
        for pk in list(rows.values_list("pk", flat=True)):
            rows.filter(pk=pk, next_refresh_at__gt=timezone.now()).write(
                next_refresh_at=timezone.now()
            )

    if account.token_id is not None:
        queue.hurry("refresh_account", account.pk, account.token_id)
    after_commit(write_down)
