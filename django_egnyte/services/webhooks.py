"""Webhooks of accounts: their secrets, and their registration at Egnyte.

The secret is the account's primary key and an HMAC of it under the site's encryption key, so it is
not stored. Secrets of all configured keys are valid, which allows key rotation.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from ..api.areas.notifications import is_from_egnyte
from ..api.areas.webhooks import Webhook
from ..callers import WEBHOOK_HEADER
from ..conf import conf
from ..exceptions import ConflictError
from ..models import EgnyteAccount
from ..secret import Secret

QUOTA: Final = "QUOTA_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Sender:
    """The account of a delivery's webhook. ``is_current``: its secret is of the newest key."""

    account_id: int
    is_current: bool


def secret_of(account: EgnyteAccount) -> Secret:
    """What Egnyte sends in ``WEBHOOK_HEADER``. ``ImproperlyConfigured`` without a key."""
    keys = _keys()
    if not keys:
        raise ImproperlyConfigured(
            "EGNYTE_ENCRYPTION_KEYS has no key with which to sign the secret of a webhook."
        )
    return _derived(keys[0], account.pk)


def sender_of(sent: Secret) -> Sender | None:
    """The account of this secret. ``None`` if it is not valid. Compares in constant time."""
    # Without the rest, which a traceback's local variables would show.
    pk, dot = sent.reveal().partition(".")[:2]
    if not dot or not (pk.isascii() and pk.isdecimal() and len(pk) < 19):
        return None
    fits = [is_from_egnyte(sent.reveal(), _derived(key, int(pk))) for key in _keys()]
    return Sender(int(pk), is_current=fits[0]) if any(fits) else None


def _keys() -> list[Secret]:
    return [key for key in conf.encryption_keys if key]


def _derived(key: Secret, pk: int) -> Secret:
    message = f"django-egnyte webhook\0{pk}".encode()
    return Secret(f"{pk}.{hmac.new(key.reveal().encode(), message, 'sha256').hexdigest()}")


def site_url() -> str:
    """The URL of ``egnyte:webhook`` at the host of ``EGNYTE_REDIRECT_URI``. Empty without it."""
    site = urlsplit(conf.redirect_uri or "")
    return f"{site.scheme}://{site.netloc}{reverse('egnyte:webhook')}" if site.netloc else ""


def register(
    account: EgnyteAccount, url: str, *, kinds: Sequence[str] = (), paths: Sequence[str] = ()
) -> Webhook:
    """Register a webhook that sends this account's events to ``url``. Raises as the call does."""
    return account.client.webhooks.register(
        url, events=kinds, paths=paths, header=WEBHOOK_HEADER, value=secret_of(account)
    )


def of_site(account: EgnyteAccount) -> list[Webhook]:
    """The account's webhooks with the path of ``egnyte:webhook``, at any host."""
    path = reverse("egnyte:webhook")
    hooks = account.client.webhooks.list()
    return [hook for hook in hooks if urlsplit(hook.url or "").path == path]


def renew(account: EgnyteAccount, hook: Webhook) -> Webhook:
    """Replace a webhook by a copy with a new expiry date and a secret of the newest key.

    The copy is registered before the old one is removed. In between, events arrive twice and are
    handled once. The old one is removed first only if Egnyte accepts no more registrations.
    """
    paths = [path for path in (hook.path or "").split(",") if path]
    try:
        new = register(account, hook.url or "", kinds=hook.event_type, paths=paths)
    except ConflictError as error:
        if error.code != QUOTA:
            raise
        account.client.webhooks.delete(hook.webhook_id)
        return register(account, hook.url or "", kinds=hook.event_type, paths=paths)
    account.client.webhooks.delete(hook.webhook_id)
    return new
