"""Validation: ask Egnyte whether it still accepts the token of an account."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from typing import Final, Literal

from django.db import Error
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop

from .. import gateway
from ..choices import LIVE, LeasedFor, Status
from ..exceptions import EgnyteError, InvalidGrantError, UnauthorizedError
from ..models import EgnyteAccount
from . import agenda, keys, leases, verdict
from .refresh import can_refresh, refresh_leased
from .transactions import after_commit, in_callers_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.validate")

Outcome = Literal["gone", "alive", "refreshed", "dead", "paused", "unknown"]
"""gone: no live account has this token; paused: Egnyte refused it, but the API key is in doubt;
unknown: Egnyte gave no answer, and another attempt is due later."""

WRITE_EVERY: Final = timedelta(hours=1)
OTHER_KEY: Final = gettext_noop("Linked with another API key of this site: please reconnect")


def validate(account_id: int, token_id: int | None = None, *, actor: str) -> Outcome:
    """Ask Egnyte whether it accepts an account's token, and set the account's status.

    ``token_id`` is the suspected token. If the account has another one by now, no call is made.
    Raises no ``EgnyteError``: the outcome and the log tell of a failure, and another attempt is
    scheduled. ``InTransactionError`` inside a transaction.
    """
    refuse_in_transaction()
    account = EgnyteAccount.objects.with_token().live().filter(pk=account_id).first()
    if account is None or token_id not in (None, account.token_id):
        return "gone"
    return validate_loaded(account, actor=actor)


def validate_loaded(account: EgnyteAccount, *, actor: str) -> Outcome:
    """The same as ``validate``, for a row that was just read with its token."""
    refused: float | None = None
    asked = time.monotonic()
    try:
        if not needs_refresh(account):
            try:
                gateway.oauth(account.domain).userinfo(account.opened_access_token())
            except UnauthorizedError:
                refused = time.monotonic()
            else:
                return settle_alive(account, asked=asked, actor=actor)
        return settle_refused(account, refused, actor=actor)
    except EgnyteError as error:
        postpone(account, error)
        logger.warning(
            "Account %s could not be validated: %s. The app tries again later.",
            account.pk,
            type(error).__name__,
            extra={"event": "validation_failed", "account_id": account.pk},
        )
        return "unknown"


def needs_refresh(account: EgnyteAccount) -> bool:
    """Whether the access token has expired and can be refreshed, without asking Egnyte first."""
    token = account.token
    return token is not None and token.is_expired and can_refresh(token)


def settle_alive(account: EgnyteAccount, *, asked: float, actor: str) -> Outcome:
    """Egnyte accepts the token: record that, and clear the status suspect and a doubt of the key.

    ``asked`` is the ``time.monotonic()`` at which the call began.
    """
    token, was_suspect = account.token, account.status == Status.SUSPECT
    cleared = verdict.clear(account, actor=actor, **agenda.validated())
    if was_suspect and token is not None and token.grant.key_digest == gateway.key_digest():
        keys.note_accepted(account.domain, asked=asked)
    return "alive" if cleared else "gone"


def settle_refused(account: EgnyteAccount, refused: float | None, *, actor: str) -> Outcome:
    """Refresh the token, or revoke the account, after Egnyte refused the access token.

    ``refused`` is the ``time.monotonic()`` of the refusal, or ``None`` if the token has expired.
    Without a refresh token, the account is revoked only if userinfo refuses the access token and
    Egnyte accepts the API key. Raises what the calls raise.
    """
    try:
        with leases.hold(account, LeasedFor.VERDICT, patience=0) as lease:
            if can_refresh(lease.token):
                # The refresh has recorded the refusal. The access token may still work.
                with suppress(InvalidGrantError):
                    refresh_leased(lease, actor=actor)
                    return "refreshed"
            return _judge(lease, refused, actor)
    except leases.Moved:
        return "gone"


def _judge(lease: leases.Lease, refused: float | None, actor: str) -> Outcome:
    account = lease.account
    if lease.grant.key_digest != gateway.key_digest():
        verdict.wait_for_proof(account, actor=actor, reason=OTHER_KEY)
        return "paused"
    if refused is None:
        asked = time.monotonic()
        try:
            gateway.oauth(account.domain).userinfo(account.opened_access_token())
        except UnauthorizedError:
            refused = time.monotonic()
        else:
            return settle_alive(account, asked=asked, actor=actor)
    if not keys.proved_since(refused, lease.grant):
        verdict.wait_for_proof(account, actor=actor)
        return "paused"
    asked = time.monotonic()
    if keys.accepts(account.domain, account.opened_access_token()):
        return settle_alive(account, asked=asked, actor=actor)
    reason = (
        gettext_noop("Egnyte refuses both tokens")
        if lease.token.refresh_fingerprint
        else gettext_noop("Egnyte refuses the token")
    )
    return "dead" if verdict.pass_verdict(lease, reason=reason, actor=actor) else "gone"


def note_use(account: EgnyteAccount, *, actor: str = "client") -> None:
    """Record a successful call as a validation: at most one write per hour and account.

    A failure of the database is only logged, because Egnyte has carried out the call. Inside a
    caller's transaction the write follows the commit; otherwise the row would stay locked.
    """
    now = timezone.now()
    recent = account.last_used_at is not None and now - account.last_used_at < WRITE_EVERY
    if recent and account.status == Status.ACTIVE:
        return
    account.last_used_at = now

    def write() -> None:
        if account.last_used_at == now:  # otherwise a later use writes
            _write_use(account, actor)

    if in_callers_transaction():
        after_commit(write)
    else:
        write()


def _write_use(account: EgnyteAccount, actor: str) -> None:
    values = {"last_used_at": account.last_used_at, **agenda.validated()}
    try:
        if account.status == Status.SUSPECT:
            verdict.clear(account, actor=actor, **values)
            return
        # Only active accounts: a suspicion may be younger than this use, and must be validated.
        EgnyteAccount.objects.filter(
            pk=account.pk, token=account.token_id, status=Status.ACTIVE
        ).write(**values)
    except Error:
        logger.warning(
            "The database did not store that account %s was used. The call to Egnyte succeeded.",
            account.pk,
            exc_info=True,
            extra={"event": "use_not_noted", "account_id": account.pk},
        )


def postpone(account: EgnyteAccount, error: EgnyteError) -> None:
    """Egnyte gave no answer: keep the status, and schedule the next attempt."""
    pause = agenda.wait_after(account.validation_attempts, error)
    EgnyteAccount.objects.filter(pk=account.pk, token=account.token_id, status__in=LIVE).write(
        next_validation_at=timezone.now() + pause,
        validation_attempts=F("validation_attempts") + 1,
    )
