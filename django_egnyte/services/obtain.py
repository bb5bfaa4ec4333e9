"""Obtain a token: charge the call, make it, and store its answer, with nothing in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager

from django.db import Error, connections

from .. import gateway, queue
from ..api import steps
from ..api.steps import Step, Steps
from ..choices import Purpose, Release
from ..exceptions import EgnyteError, ResponseError
from ..fields import seal
from ..models import EgnyteToken
from ..oauth import OAuthClient, TokenAnswer
from ..secret import Secret
from . import grants, ledger
from .transactions import alias, refuse_in_transaction

logger = logging.getLogger("django_egnyte.obtain")


def obtaining(
    call: Callable[[OAuthClient], TokenAnswer],
    *,
    purpose: Purpose,
    host: str,
    user_ref: str,
    username: str = "",
    flow: str = "",
    refreshed: EgnyteToken | None = None,
) -> Steps[EgnyteToken]:
    """Make one token call and store its answer. The call is never repeated.

    ``refreshed`` is the token that a refresh is made with. Raises what the call raises,
    ``InTransactionError`` inside a transaction, what ``ledger.charged`` raises before the call,
    and ``ResponseError`` for an incomplete answer, whose token is then due for revocation. An error
    of the site's cipher is raised before the call.
    """
    charge = ExitStack()

    def prepare() -> OAuthClient:
        refuse_in_transaction()
        client = gateway.oauth(host)
        # If keys are missing, or a key service is down, fail before a token can be lost.
        seal(Secret("probe"), "probe")
        charge.enter_context(
            ledger.charged(purpose, host=host, user_ref=user_ref, username=username)
        )
        return client

    def store(answered: Callable[[], TokenAnswer]) -> EgnyteToken:
        with charge:
            return keep(
                answered(), client=client, user_ref=user_ref, flow=flow, refreshed=refreshed
            )

    client: OAuthClient = yield Step("db", prepare)
    exchange = _Exchange(lambda: call(client), store)
    try:
        yield Step("io", exchange.ask)
        token: EgnyteToken = yield Step("db", exchange.store)
    except BaseException:
        exchange.abandon()
        raise
    return token


obtain = steps.synchronous(obtaining)


class _Exchange:
    """A token call and the write of its answer, which may run in two threads.

    If the event loop ends between the two, a thread of its own stores the answer.
    """

    def __init__(
        self,
        call: Callable[[], TokenAnswer],
        store: Callable[[Callable[[], TokenAnswer]], EgnyteToken],
    ) -> None:
        self._call = call
        self._store = store
        self._outcome: Future[TokenAnswer] = Future()
        self._claim = threading.Lock()

    def ask(self) -> None:
        """Make the call. ``store`` then stores its answer or raises its error."""
        try:
            self._outcome.set_result(self._call())
        except BaseException as error:
            self._outcome.set_exception(error)

    def store(self) -> EgnyteToken | None:
        """Store the answer, or raise the call's error. ``None`` if the other thread does it."""
        if self._claim.acquire(blocking=False):
            return self._store(self._outcome.result)
        return None

    def abandon(self) -> None:
        """If nobody has called ``store``, nobody will: store the answer once it is there."""
        if self._claim.locked():
            return
        alone = threading.Thread(target=self._store_alone, name="egnyte-token")
        self._outcome.add_done_callback(lambda outcome: alone.start())

    def _store_alone(self) -> None:
        try:
            self.store()
        except Exception as error:
            logger.warning(
                "A token request failed after its view or task had been cancelled: %s.",
                type(error).__name__,
                extra={"event": "abandoned_call_failed"},
            )
        finally:
            connections[alias()].close()


def keep(
    answer: TokenAnswer,
    *,
    client: OAuthClient,
    user_ref: str,
    flow: str = "",
    refreshed: EgnyteToken | None = None,
) -> EgnyteToken:
    """Store a token. If the database fails, revoke the token at Egnyte."""
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
        raise ResponseError(
            "The answer of the token endpoint was cut off or malformed.", host=client.host
        )
    return token


def _with_refresh_token(answer: TokenAnswer, refreshed: EgnyteToken | None) -> TokenAnswer:
    """If the answer has no refresh token, the old one stays valid (RFC 6749 section 6)."""
    if refreshed is None or answer.refresh_token or not answer.complete:
        return answer
    return TokenAnswer(
        answer.access_token, refreshed.open().refresh_token, answer.expires_in, answer.scopes
    )


@contextmanager
def due_on_failure(token: EgnyteToken) -> Iterator[None]:
    """After an exception in the block, make the token's grant due: nobody will use it."""
    try:
        yield
    except BaseException:
        try:
            # Read the grant again: it may have been joined with another one.
            current = EgnyteToken.objects.filter(pk=token.pk).values_list("grant_id", flat=True)
            for grant_id in current:
                grants.make_due(grant_id, Release.FAILED)
        except Error:
            logger.exception(
                "A new token is not used, and could not be marked for revocation at once. It is "
                "revoked in about 15 minutes.",
                extra={"event": "grant_not_made_due", "domain": token.domain},
            )
        queue.hurry("process_revocations")
        raise


def _end_unwritten(client: OAuthClient, answer: TokenAnswer, *, is_refresh: bool) -> None:
    if is_refresh and not answer.refresh_token:
        # It shares the refresh token of the account: revoking it would end that too.
        logger.critical(
            "The database did not store a refreshed access token of %s. The account keeps its "
            "refresh token, so the app does not revoke the access token, which expires later.",
            client.host,
            extra={"event": "token_unwritable", "domain": client.host},
        )
        return
    logger.critical(
        "The database did not store a token that %s had just issued. The app revokes the token.",
        client.host,
        extra={"event": "token_unwritable", "domain": client.host},
    )
    try:
        client.revoke(answer.access_token)
    except EgnyteError as error:
        logger.critical(
            "The token of %s that the database did not store could not be revoked either (%s). It "
            "stays valid, and the app has no record of it.",
            client.host,
            type(error).__name__,
            extra={"event": "orphan", "domain": client.host},
        )
