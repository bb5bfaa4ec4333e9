"""``loaddata`` into a database in which the users have other primary keys.

``dumpdata --natural-foreign`` writes usernames in place of the users' primary keys. Tokens are
encrypted for a primary key, so they are encrypted again for the one in this database.

A fixture of accounts without tokens can name any token of this database. The account never gets
the token of another user.
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
    if token is None or old == user_ref:
        return
    if _is_of_another(token, account, using):
        _warn_of_another(token)
        return
    if not _seal_for(token, user_ref):
        return
    tokens.filter(pk=token.pk).write(
        user_ref=user_ref, access_token=token.access_token, refresh_token=token.refresh_token
    )
    grants = EgnyteGrant.objects.using(using)
    grants.filter(pk=token.grant_id, user_ref=old).write(user_ref=user_ref)


def settle_token(token: EgnyteToken, using: str) -> None:
    """The same before a token is saved, if its account or the token itself was loaded before."""
    known = EgnyteToken.objects.using(using).filter(pk=token.pk).first()
    account = EgnyteAccount.objects.using(using).filter(token_id=token.pk).first()
    if known is not None:
        if known.fingerprint != token.fingerprint:
            return  # It replaces another token, and accounts with that token cannot use it.
        user_ref = known.user_ref
    elif account is not None and account.domain == token.domain:
        user_ref = str(account.user_id)
    else:
        return
    if token.user_ref != user_ref:
        _seal_for(token, user_ref)


def _is_of_another(token: EgnyteToken, account: EgnyteAccount, using: str) -> bool:
    """Whether the token was here before the account: in use by its own user, or to be revoked."""
    using_it = EgnyteAccount.objects.using(using).filter(token_id=token.pk)
    grants = EgnyteGrant.objects.using(using).filter(pk=token.grant_id)
    return (
        token.domain != account.domain
        or any(str(each.user_id) == token.user_ref for each in using_it)
        or grants.exclude(release_at=None).exists()
    )


def _warn_of_another(token: EgnyteToken) -> None:
    logger.warning(
        "An account of a fixture has the token %s, which belongs to another user of this "
        "database. The account cannot use it. Load grants, tokens and accounts together, into a "
        "database without Egnyte accounts, or let the user reconnect.",
        token,
        extra={"event": "fixture_token_of_another", "domain": token.domain},
    )


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
