"""Does the token live? Asked by tasks, the sweep, the admin and the command."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final, Literal

from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop
from django.views.decorators.debug import sensitive_variables

from .. import gateway
from ..choices import LIVE, Status
from ..exceptions import (
    EgnyteError,
    InvalidGrantError,
    RateLimitedError,
    UnauthorizedError,
)
from ..models import EgnyteAccount
from . import agenda, breaker, leases, verdict
from .refresh import refresh_leased
from .transactions import alias, in_callers_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.validate")

Outcome = Literal["gone", "alive", "refreshed", "dead", "paused", "unknown"]
"""gone: no such live account with this token; paused: dead, but verdicts are paused;
unknown: Egnyte gave no answer, another attempt is due later."""

WRITE_EVERY: Final = timedelta(hours=1)


def validate(account_id: int, token_version: int | None = None, *, actor: str) -> Outcome:
    """Ask Egnyte whether an account's token lives, and draw the conclusion.

    ``token_version`` is the token that somebody had doubts about; when it was replaced since,
    nothing is asked. Raises no ``EgnyteError``: what went wrong is in the outcome, the log and
    the account's next attempt. ``InTransactionError`` inside a transaction.
    """
    refuse_in_transaction()
    account = EgnyteAccount.objects.using(alias()).live().filter(pk=account_id).first()
    if account is None or token_version not in (None, account.token_version):
        return "gone"
    return validate_loaded(account, actor=actor)


@sensitive_variables()
def validate_loaded(account: EgnyteAccount, *, actor: str) -> Outcome:
    """As ``validate``, for a row that was read just now."""
    try:
        if not (is_expired(account) and account.refresh_fingerprint):
            try:
                gateway.oauth(account.domain).userinfo(account.access_token)
            except UnauthorizedError:
                pass
            else:
                breaker.note_alive()
                return settle_alive(account, actor=actor)
        return settle_refused(account, actor=actor)
    except EgnyteError as error:
        postpone(account, error)
        logger.warning(
            "Account %s could not be validated: %s.",
            account.pk,
            type(error).__name__,
            extra={"event": "validation_failed", "account_id": account.pk},
        )
        return "unknown"


def is_expired(account: EgnyteAccount) -> bool:
    """Whether the access token has run out by its own word."""
    return account.expires_at is not None and account.expires_at <= timezone.now()


def settle_alive(account: EgnyteAccount, *, actor: str) -> Outcome:
    """Egnyte knows the token: note it, and end a suspicion."""
    return "alive" if verdict.clear(account, actor=actor, **validated()) else "gone"


def settle_refused(account: EgnyteAccount, *, actor: str) -> Outcome:
    """The access token is refused or has expired: the rest is decided under the lease.

    Where there is a refresh token, only its definitive refusal counts. Raises what a refresh
    raises when that is not certain.
    """
    try:
        with leases.hold(account, patience=0) as lease:
            if not lease.account.refresh_fingerprint:
                verdict.pass_verdict(
                    lease, reason=gettext_noop("Egnyte refuses the token"), actor=actor
                )
                return _outcome(account)
            try:
                refresh_leased(lease, actor=actor)
            except InvalidGrantError:
                return _outcome(account)
            return "refreshed"
    except leases.Moved:
        return "gone"


def _outcome(account: EgnyteAccount) -> Outcome:
    """What became of an account that Egnyte refused for good."""
    accounts = EgnyteAccount.objects.using(alias()).filter(pk=account.pk)
    status = accounts.values_list("status", flat=True).first()
    outcomes: dict[str | None, Outcome] = {
        Status.REVOKED: "dead",
        Status.SUSPECT: "paused",
        Status.ACTIVE: "alive",
    }
    return outcomes.get(status, "gone")


def note_use(account: EgnyteAccount, *, actor: str = "client") -> None:
    """A call succeeded: that is a validation, too. One write an hour and account at the most.

    Inside a caller's transaction it is written after the commit: the row would stay locked until
    then, and two requests that use two accounts could lock each other out.
    """
    now = timezone.now()
    recent = account.last_used_at is not None and now - account.last_used_at < WRITE_EVERY
    if recent and account.status == Status.ACTIVE:
        return
    account.last_used_at = now
    using, values = alias(), {"last_used_at": now, **validated()}

    def write() -> None:
        if account.last_used_at != now:
            return  # a later use writes
        if account.status == Status.SUSPECT:
            verdict.clear(account, actor=actor, **values)
            return
        # Not a suspect: the suspicion may be younger than this use, and must stay due.
        EgnyteAccount.objects.using(using).filter(
            pk=account.pk, token_version=account.token_version, status=Status.ACTIVE
        ).write(**values)

    if in_callers_transaction(using) and connections[using].in_atomic_block:
        transaction.on_commit(write, using=using, robust=True)
    else:
        write()


def validated() -> dict[str, Any]:
    """The columns of a validation that went well just now."""
    now = timezone.now()
    return {"last_validated_at": now, "attempts": 0, **agenda.after_validation(now)}


def postpone(account: EgnyteAccount, error: EgnyteError) -> None:
    """Egnyte gave no answer: nothing is marked, and the next attempt stands in the database."""
    pause = agenda.wait_after(account.attempts)
    if isinstance(error, RateLimitedError):
        pause = max(pause, timedelta(seconds=error.retry_after))
    EgnyteAccount.objects.using(alias()).filter(
        pk=account.pk, token_version=account.token_version, status__in=LIVE
    ).write(next_attempt_at=timezone.now() + pause, attempts=F("attempts") + 1)
