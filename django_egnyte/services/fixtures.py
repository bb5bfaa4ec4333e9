"""``loaddata`` into a database in which the users have other primary keys.

``dumpdata --natural-foreign`` writes usernames in place of the users' primary keys. Tokens are
encrypted for a primary key, so they are encrypted again for the one in this database.
"""

from __future__ import annotations

import logging

from ..exceptions import DecryptionError
from ..fields import seal
from ..models import EgnyteAccount, EgnyteGrant, EgnyteToken

logger = logging.getLogger("django_egnyte.fixtures")


def settle_account(account: EgnyteAccount, using: str) -> None:
    """Before an account of a fixture is saved: encrypt its token for the user's primary key."""
    user_ref = str(account.user_id)
    account.default_of = user_ref if account.is_default else None
    tokens = EgnyteToken.objects.using(using)
    token = tokens.filter(pk=account.token_id).first() if account.token_id else None
    old = token.user_ref if token is not None else ""
    if token is None or old == user_ref or not _seal_for(token, user_ref):
        return
    tokens.filter(pk=token.pk).write(
        user_ref=user_ref, access_token=token.access_token, refresh_token=token.refresh_token
    )
    grants = EgnyteGrant.objects.using(using)
    grants.filter(pk=token.grant_id, user_ref=old).write(user_ref=user_ref)


def settle_token(token: EgnyteToken, using: str) -> None:
    """The same before a token is saved, if the fixture has its account before the token."""
    account = EgnyteAccount.objects.using(using).filter(token_id=token.pk).first()
    if account is not None and token.user_ref != str(account.user_id):
        _seal_for(token, str(account.user_id))


def _seal_for(token: EgnyteToken, user_ref: str) -> bool:
    try:
        plain = token.open()
    except DecryptionError:
        logger.warning(
            "The token %s of a fixture cannot be decrypted, so it was not encrypted for the new "
            "primary key of its user. Set EGNYTE_ENCRYPTION_KEYS to the keys of the site that "
            "wrote the fixture and load it again, or let the user reconnect.",
            token,
            extra={"event": "fixture_unreadable", "domain": token.domain},
        )
        return False
    token.user_ref = user_ref
    token.access_token = seal(plain.access_token, token.seal_context("access_token"))
    token.refresh_token = seal(plain.refresh_token, token.seal_context("refresh_token"))
    return True
