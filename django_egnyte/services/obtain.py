"""The only way a token comes in: the call, and then the outbox, with nothing in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import DatabaseError
from django.views.decorators.debug import sensitive_variables

from .. import gateway, queue
from ..exceptions import EgnyteError, RateLimitedError, ResponseError
from ..models import PendingRevocation, new_id
from ..oauth import OAuthClient, TokenAnswer
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
) -> Obtained:
    """Make one token call and write its answer into the outbox. The call is never repeated.

    Raises what the call raises, ``InTransactionError`` before it inside a transaction,
    ``RateLimitedError`` when the key's budget is used up, and ``ResponseError`` for a token that
    must not be used, which is then due for revocation.
    """
    using = alias()
    refuse_in_transaction(using)
    client = gateway.oauth(host)
    budget.draw(refresh=refresh)
    try:
        answer = call(client)
    except RateLimitedError as error:
        if reason != "password":  # that limit is the user's own
            budget.hold_off(error.retry_after)
        raise
    return keep(
        answer,
        client=client,
        user_ref=user_ref,
        reason=reason,
        account_ref=account_ref,
        grant_id=grant_id,
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
) -> Obtained:
    """Write a token into the outbox; if the database refuses, revoke it at Egnyte at once."""
    using = alias()
    try:
        row = outbox.put_answer(
            answer,
            using=using,
            host=client.host,
            user_ref=user_ref,
            grant_id=grant_id or new_id(),
            account_ref=account_ref,
            reason=reason,
        )
    except DatabaseError:
        _end_unwritten(client, answer)
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
        except DatabaseError:
            logger.exception("A failed call's row could not be made due; it is so by itself soon.")
        queue.hurry("process_revocations")
        raise


@sensitive_variables()
def _end_unwritten(client: OAuthClient, answer: TokenAnswer) -> None:
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
