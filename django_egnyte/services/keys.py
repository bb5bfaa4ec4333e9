"""Whether Egnyte still accepts the API key, as opposed to refusing one token.

Egnyte answers a suspended key and a revoked token alike. So a refused token counts as revoked only
if Egnyte accepts the key afterwards, at any host, and then refuses the token once more.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Final

from django.db.models import Q
from django.utils import timezone

from .. import gateway
from ..choices import Purpose, Status
from ..conf import PROBE_DEADLINE
from ..exceptions import (
    EgnyteError,
    GrantTypeError,
    ImplicitKeyError,
    InvalidGrantError,
    MalformedRequestError,
    RateLimitedError,
    UnauthorizedError,
)
from ..models import EgnyteAccount, EgnyteGrant, KeyState
from ..oauth import OAuthClient
from ..secret import Secret
from . import ledger
from .agenda import HOUR
from .transactions import DatabaseNow, ago

logger = logging.getLogger("django_egnyte.keys")

WITNESSES: Final = 3
# Egnyte gives these answers only after it has accepted the key.
SPEAKS_FOR_THE_KEY: Final = (
    GrantTypeError,
    ImplicitKeyError,
    InvalidGrantError,
    MalformedRequestError,
)


def note_accepted(host: str, *, asked: float) -> None:
    """Record that Egnyte has accepted the configured key at this host. Ends earlier doubts.

    ``asked`` is the ``time.monotonic()`` at which the successful call began. A doubt that is
    younger stays, because the key may have been suspended since.
    """
    accepted = ago(time.monotonic() - asked)
    ledger.write_key_state(host, accepted_at=accepted)
    states = KeyState.objects.filter(key_digest=gateway.key_digest())
    if states.filter(doubted_at__lte=accepted).update(doubted_at=None):
        logger.warning(
            "Egnyte accepts the API key again. From now on, the app again revokes accounts whose "
            "tokens Egnyte refuses.",
            extra={"event": "verdicts_resumed"},
        )


def is_doubted() -> bool:
    """Whether the key may be suspended: Egnyte refused a token, and nothing proves the key."""
    doubted = KeyState.objects.exclude(doubted_at=None)
    return doubted.filter(key_digest=gateway.key_digest()).exists()


def forget_doubt() -> bool:
    """Allow the next check of the key at once. ``False`` if the key was not in doubt."""
    doubted = KeyState.objects.filter(key_digest=gateway.key_digest()).exclude(doubted_at=None)
    return bool(doubted.update(doubted_at=None))


def proved_since(refused: float, grant: EgnyteGrant) -> bool:
    """Whether Egnyte has accepted the key since it refused a token of this grant.

    ``refused`` is the ``time.monotonic()`` of the refusal. Calls Egnyte with the tokens of up to
    ``WITNESSES`` other recently validated accounts, at other domains first. Without other accounts
    it sends the token endpoint an invalid code. If nothing proves the key, one log record tells the
    operators, and there is no further check for an hour. ``RateLimitedError`` if the site's own
    limit does not allow the request.
    """
    states = KeyState.objects.filter(key_digest=gateway.key_digest())
    if states.filter(accepted_at__gt=ago(time.monotonic() - refused)).exists():
        return True
    if states.filter(doubted_at__gt=ago(HOUR)).exists():
        return False
    asked = time.monotonic()
    host = _ask_witnesses(grant)
    if host:
        note_accepted(host, asked=asked)
        return True
    doubt(grant.domain)
    return False


def accepts(host: str, access_token: Secret) -> bool:
    """Whether Egnyte accepts the token now. Ask this again after the key was proved.

    The key may have been suspended when Egnyte refused the token, and active again when it was
    proved. Raises what the call raises, except ``UnauthorizedError``.
    """
    try:
        _probing(host).userinfo(access_token)
    except UnauthorizedError:
        return False
    return True


def _ask_witnesses(grant: EgnyteGrant) -> str:
    """The host that has just accepted the key, or empty."""
    witnesses = _witnesses(grant)
    if not witnesses:
        return grant.domain if _endpoint_accepts(grant.domain) else ""
    for account in witnesses:
        try:
            client = _probing(account.domain)
            client.userinfo(account.opened_access_token())
        except EgnyteError:
            continue
        return account.domain
    return ""


def _witnesses(grant: EgnyteGrant) -> list[EgnyteAccount]:
    """The most recently validated accounts of other grants, those of other domains first."""
    good = (
        EgnyteAccount.objects.with_token()
        .filter(Q(token__expires_at=None) | Q(token__expires_at__gt=timezone.now()))
        .filter(status=Status.ACTIVE, token__grant__key_digest=gateway.key_digest())
        .exclude(last_validated_at=None)
        .exclude(token__grant=grant)
        .order_by("-last_validated_at")
    )
    found = list(good.exclude(domain=grant.domain)[:WITNESSES])
    return [*found, *good.filter(domain=grant.domain)[: WITNESSES - len(found)]]


def _endpoint_accepts(host: str) -> bool:
    """Whether the token endpoint refuses an invalid code for the code, and not for the key."""
    try:
        with ledger.charged(Purpose.PROOF, host=host):
            _probing(host).exchange_code(Secret("no-code"), "https://localhost/", ())
    except SPEAKS_FOR_THE_KEY:
        return True
    except EgnyteError as error:
        if isinstance(error, RateLimitedError) and error.status is None:
            raise  # the site's own limit: no request was made
    return False


def _probing(host: str) -> OAuthClient:
    return replace(gateway.oauth(host), deadline=PROBE_DEADLINE)


def doubt(host: str) -> None:
    """Record that the key may be suspended. Logs it, unless it was already in doubt."""
    known = is_doubted()
    ledger.write_key_state(host, doubted_at=DatabaseNow())
    if not known:
        logger.critical(
            "Egnyte refuses tokens, and nothing proves that it still accepts the API key, which "
            "may be suspended. No account is revoked for now. Check the key at Egnyte. The app "
            "continues when Egnyte accepts the key again. To ask Egnyte at once, run "
            "'manage.py egnyte_validate --resume-verdicts --domain %s'.",
            host,
            extra={"event": "verdicts_paused"},
        )
