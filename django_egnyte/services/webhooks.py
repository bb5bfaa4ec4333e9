"""Webhooks of accounts: the secret that each one carries, and their registrations at Egnyte.

The secret names the account and proves it: an HMAC of the account's primary key under the site's
encryption key. It is stored nowhere. While keys rotate, every configured key proves.
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
from ..conf import conf
from ..exceptions import ConflictError
from ..models import EgnyteAccount
from ..secret import Secret

HEADER: Final = "X-Egnyte-Webhook-Secret"
QUOTA: Final = "QUOTA_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Sender:
    """The account whose webhook sent a delivery. ``is_current``: with a secret of the newest
    key."""

    account_id: int
    is_current: bool


def secret_of(account: EgnyteAccount) -> Secret:
    """What Egnyte sends in ``HEADER`` for this account. ``ImproperlyConfigured`` without a key."""
    keys = _keys()
    if not keys:
        raise ImproperlyConfigured(
            "EGNYTE_ENCRYPTION_KEYS has no key with which to sign the secret of a webhook."
        )
    return _derived(keys[0], account.pk)


def sender_of(sent: Secret) -> Sender | None:
    """Whose secret this is; ``None`` if no key proves it. Compares in constant time."""
    pk, dot, _ = sent.reveal().partition(".")
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
    """The address of ``egnyte:webhook`` at the host of ``EGNYTE_REDIRECT_URI``; empty if that is
    not set."""
    site = urlsplit(conf.redirect_uri or "")
    return f"{site.scheme}://{site.netloc}{reverse('egnyte:webhook')}" if site.netloc else ""


def register(
    account: EgnyteAccount, url: str, *, kinds: Sequence[str] = (), paths: Sequence[str] = ()
) -> Webhook:
    """Have Egnyte send this account's events to ``url``. Raises what ``webhooks.register`` does."""
    return account.client.webhooks.register(
        url, events=kinds, paths=paths, header=HEADER, value=secret_of(account)
    )


def of_site(account: EgnyteAccount) -> list[Webhook]:
    """The account's webhooks that lead to ``egnyte:webhook``, at whatever host."""
    path = reverse("egnyte:webhook")
    hooks = account.client.webhooks.list()
    return [hook for hook in hooks if urlsplit(hook.url or "").path == path]


def renew(account: EgnyteAccount, hook: Webhook) -> Webhook:
    """Replace a registration by one like it, with a new end and the newest key's secret.

    The new one comes first: between the two, events come twice and are handled once. Only where
    Egnyte takes no more registrations, the old one is ended before.
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
