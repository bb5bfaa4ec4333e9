"""The only way a token comes in: the charge, the call, and the write, with nothing in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error

from .. import gateway, queue
from ..choices import Purpose, Release
from ..exceptions import EgnyteError, ResponseError
from ..fields import seal
from ..models import EgnyteToken
from ..oauth import OAuthClient, TokenAnswer
from ..secret import Secret
from . import grants, ledger
from .transactions import refuse_in_transaction

logger = logging.getLogger("django_egnyte.obtain")


def obtain(
    call: Callable[[OAuthClient], TokenAnswer],
    *,
    purpose: Purpose,
    host: str,
    user_ref: str,
    username: str = "",
    flow: str = "",
    refreshed: EgnyteToken | None = None,
) -> EgnyteToken:
    """Make one token call and store its answer. The call is never repeated.

    ``refreshed`` is the token that a refresh is made with. Raises what the call raises,
    ``InTransactionError`` inside a transaction, what ``ledger.charged`` raises before the call,
    and ``ResponseError`` for an incomplete answer, whose token is then due for revocation.
    Whatever the site's cipher raises, it raises before the call.
    """
    refuse_in_transaction()
    client = gateway.oauth(host)
    # Keys that are missing, or kept by a service that is down, must fail while nothing is lost.
    seal(Secret("probe"), "probe")
    with ledger.charged(purpose, host=host, user_ref=user_ref, username=username):
        # Stored within, so that nothing comes between the answer and its record.
        return keep(call(client), client=client, user_ref=user_ref, flow=flow, refreshed=refreshed)


def keep(
    answer: TokenAnswer,
    *,
    client: OAuthClient,
    user_ref: str,
    flow: str = "",
    refreshed: EgnyteToken | None = None,
) -> EgnyteToken:
    """Store a token; if the database does not take it, revoke it at Egnyte."""
    try:
        token = grants.write_down(
            _with_refresh_token(answer, refreshed),
            host=client.host,
            user_ref=user_ref,
            flow=flow,
            refreshed=refreshed,
        )
    except BaseException:
        _end_unwritten(client, answer, is_refresh=refreshed is not None)
        raise
    if not answer.complete:
        queue.hurry("process_revocations")
        raise ResponseError("The token answer was cut off or malformed.", host=client.host)
    return token


def _with_refresh_token(answer: TokenAnswer, refreshed: EgnyteToken | None) -> TokenAnswer:
    """An answer without a refresh token leaves the old one in force (RFC 6749 section 6)."""
    if refreshed is None or answer.refresh_token or not answer.complete:
        return answer
    return TokenAnswer(
        answer.access_token, refreshed.open().refresh_token, answer.expires_in, answer.scopes
    )


@contextmanager
def due_on_failure(token: EgnyteToken) -> Iterator[None]:
    """If anything goes wrong within, nobody will use the token, so the revoker may have it."""
    try:
        yield
    except BaseException:
        try:
            # As it is now: its grant may have turned out to be another one.
            current = EgnyteToken.objects.filter(pk=token.pk).values_list("grant_id", flat=True)
            for grant_id in current:
                grants.make_due(grant_id, Release.FAILED)
        except Error:
            logger.exception(
                "The grant of a failed call could not be made due. It becomes due by itself.",
                extra={"event": "grant_not_made_due", "domain": token.domain},
            )
        queue.hurry("process_revocations")
        raise


def _end_unwritten(client: OAuthClient, answer: TokenAnswer, *, is_refresh: bool) -> None:
    if is_refresh and not answer.refresh_token:
        # Its refresh token is the account's: to revoke the one would end the other.
        logger.critical(
            "The database did not take a refreshed access token of %s. Its account keeps the "
            "refresh token, so the access token is not revoked; it expires by itself.",
            client.host,
            extra={"event": "token_unwritable", "domain": client.host},
        )
        return
    logger.critical(
        "The database did not take a token that %s had just issued; revoking the token.",
        client.host,
        extra={"event": "token_unwritable", "domain": client.host},
    )
    try:
        client.revoke(answer.access_token)
    except EgnyteError as error:
        logger.critical(
            "That token could not be revoked either (%s). It stays valid at %s without a record.",
            type(error).__name__,
            client.host,
            extra={"event": "orphan", "domain": client.host},
        )
