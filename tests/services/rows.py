"""Change rows as the passage of time would."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def expired_now() -> None:
    """As if every access token had expired an hour ago."""
    EgnyteToken.objects.write(expires_at=timezone.now() - HOUR)


def without_refresh_tokens() -> None:
    """As if Egnyte had issued no refresh tokens."""
    EgnyteToken.objects.write(refresh_token="", refresh_fingerprint="")
    EgnyteGrant.objects.write(next_refresh_at=None)


def refreshes_due(*accounts: EgnyteAccount, ago: timedelta = timedelta(0)) -> None:
    """Make the grants of these accounts, or all grants, due for a refresh."""
    rows = EgnyteGrant.objects.all()
    if accounts:
        rows = rows.filter(tokens__accounts__in=[account.pk for account in accounts])
    keys = list(rows.values_list("pk", flat=True))
    EgnyteGrant.objects.filter(pk__in=keys).write(next_refresh_at=timezone.now() - ago)


def generations() -> dict[int, int]:
    """The generation of each account's token within its grant."""
    return dict(EgnyteAccount.objects.values_list("pk", "token__generation"))
