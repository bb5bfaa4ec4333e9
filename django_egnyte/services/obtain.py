"""The only way a token comes in: the call, and then the outbox, with nothing in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import Error, connections
from django.db.models import Q
from django.views.decorators.debug import sensitive_variables

from .. import gateway, queue
from ..exceptions import EgnyteError, RateLimitedError, ResponseError, UnavailableError
from ..fields import seal
from ..models import EgnyteAccount, PendingRevocation, new_id
from ..oauth import OAuthClient, TokenAnswer, fingerprint
from . import budget, outbox
from .transactions import alias, refuse_in_transaction

logger = logging.getLogger("django_egnyte.obtain")


@dataclass(frozen=True, slots=True)
class Obtained:
    """A token that stands in the outbox. It belongs to nobody until it is stored."""

    answer: TokenAnswer = field(repr=False)
    row: PendingRevocation


@sensitive_variables()
def obtain(
    call: Callable[[OAuthClient], TokenAnswer],
    *,
    host: str,
    user_ref: str,
    reason: str,
    account_ref: int | None = None,
    grant_id: str = "",
    refresh: bool = False,
    refreshed_from: str = "",
) -> Obtained:
    """Make one token call and write its answer into the outbox. The call is never repeated.

    Raises what the call raises, ``InTransactionError`` before it inside a transaction,
    ``RateLimitedError`` when the key's budget is used up, and ``ResponseError`` for a token that
    must not be used, which is then due for revocation. Whatever the site's cipher raises, it
    raises before the call.
    """
    using = alias()
    refuse_in_transaction(using)
    client = gateway.oauth(host)
    # Keys that are missing, or kept by a service that is down: now nothing is lost yet.
    seal("probe", "probe")
    budget.draw(refresh=refresh)
    try:
        answer = call(client)
    except RateLimitedError as error:
        if reason != "password":  # that limit is the user's own
            budget.hold_off(error.retry_after)
        raise
    except UnavailableError as error:
        # Or one user with the name of a host that is not there could use it up for everybody.
        if not error.sent:
            budget.give_back(refresh=refresh)
        raise
    return keep(
        answer,
        client=client,
        user_ref=user_ref,
        reason=reason,
        account_ref=account_ref,
        grant_id=grant_id,
        refreshed_from=refreshed_from,
    )


@sensitive_variables()
def keep(
    answer: TokenAnswer,
    *,
    client: OAuthClient,
    user_ref: str,
    reason: str,
    account_ref: int | None = None,
    grant_id: str = "",
    refreshed_from: str = "",
) -> Obtained:
    """Write a token into the outbox; if that cannot be done, revoke it at Egnyte at once."""
    using = alias()

    def put() -> PendingRevocation:
        return outbox.put_answer(
            answer,
            using=using,
            host=client.host,
            user_ref=user_ref,
            grant_id=grant_id or new_id(),
            account_ref=account_ref,
            reason=reason,
            refreshed_from=refreshed_from,
        )

    try:
        try:
            row = put()
        except Error:
            # That the connection was lost during the call shows only now.
            if connections[using].in_atomic_block:
                raise
            connections[using].close_if_unusable_or_obsolete()
            row = put()
    except BaseException:
        _end_unwritten(client, answer, grant_id)
        raise
    if not answer.complete:
        queue.hurry("process_revocations")
        raise ResponseError("The token answer was cut off or malformed.", host=client.host)
    return Obtained(answer, row)


@contextmanager
def due_on_failure(row: PendingRevocation) -> Iterator[None]:
    """Whatever goes wrong within: the token is nobody's, so the revoker may have it at once."""
    try:
        yield
    except BaseException:
        try:
            outbox.make_due(row, using=alias())
        except Error:
            logger.exception(
                "A failed call's row could not be made due; it is so by itself soon.",
                extra={"event": "row_not_made_due", "domain": row.domain},
            )
        queue.hurry("process_revocations")
        raise


@sensitive_variables()
def _end_unwritten(client: OAuthClient, answer: TokenAnswer, grant_id: str) -> None:
    if _is_held(answer, client.host, grant_id):
        # To revoke it would end what an account lives on. What it does not hold of this answer
        # is an access token at the most, which expires.
        logger.critical(
            "The database took no row for a token that Egnyte had just issued at %s, and an "
            "account holds its grant, so it is not revoked.",
            client.host,
            extra={"event": "outbox_unwritable", "domain": client.host},
        )
        return
    logger.critical(
        "The database took no row for a token that Egnyte had just issued at %s; revoking it.",
        client.host,
        extra={"event": "outbox_unwritable", "domain": client.host},
    )
    try:
        client.revoke(answer.access_token)
    except EgnyteError as error:
        logger.critical(
            "That token could not be revoked either (%s): an orphan is left at %s.",
            type(error).__name__,
            client.host,
            extra={"event": "orphan", "domain": client.host},
        )


@sensitive_variables()
def _is_held(answer: TokenAnswer, host: str, grant_id: str) -> bool:
    """Whether a live account lives on what this answer brought; no, if nobody can say."""
    which = Q(token_fingerprint=fingerprint(host, answer.access_token))
    if answer.refresh_token:
        # One that was rotated is held by nobody: the grant is lost to its account.
        which |= Q(refresh_fingerprint=fingerprint(host, answer.refresh_token))
    elif grant_id:
        which |= Q(grant_id=grant_id)
    try:
        accounts = EgnyteAccount.objects.using(alias()).live()
        return accounts.filter(which, domain=host).exists()
    except Error:
        return False
