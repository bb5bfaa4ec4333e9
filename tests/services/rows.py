"""Rows as time would have made them."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def expired_now() -> None:
    """As if every access token had expired an hour ago, as Egnyte announced."""
    EgnyteToken.objects.write(expires_at=timezone.now() - HOUR)


def without_refresh_tokens() -> None:
    """As if no answer had brought a refresh token."""
    EgnyteToken.objects.write(refresh_token="", refresh_fingerprint="")
    EgnyteGrant.objects.write(next_refresh_at=None)


def refreshes_due(*accounts: EgnyteAccount, ago: timedelta = timedelta(0)) -> None:
    """Let the grants of these accounts, or all grants, be due for a refresh."""
    rows = EgnyteGrant.objects.all()
    if accounts:
        rows = rows.filter(tokens__accounts__in=[account.pk for account in accounts])
    keys = list(rows.values_list("pk", flat=True))
    EgnyteGrant.objects.filter(pk__in=keys).write(next_refresh_at=timezone.now() - ago)


def generations() -> dict[int, int]:
    """How often each account has been given a token by its grant."""
    return dict(EgnyteAccount.objects.values_list("pk", "token__generation"))
