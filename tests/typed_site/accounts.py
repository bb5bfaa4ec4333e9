"""Work with the linked accounts and their history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, assert_type

from django.contrib.auth.models import AbstractBaseUser, User
from django.urls import reverse
from django.utils import timezone

from django_egnyte.access import LinkedClient
from django_egnyte.accounts import reassign
from django_egnyte.exceptions import LinkError
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteAccountQuerySet,
    EgnyteGrant,
    EgnyteToken,
    HostState,
    KeyState,
    SpentState,
    SweepState,
    TokenRequest,
)

# Where "connect" leads, besides to Egnyte.
PAGES = {"enhanced": "egnyte:domain", "implicit": "egnyte:implicit", "password": "egnyte:password"}


def merge(old: User, new: User) -> int:
    """Give the accounts of one user to another. Returns how many."""
    given = 0
    for account in EgnyteAccount.objects.for_user(old):
        try:
            assert_type(reassign(account, new), EgnyteAccount)
            given += 1
        except LinkError:
            account.delete()
    return given


def export(account: EgnyteAccount) -> dict[str, object]:
    """The data that a user may request from the site."""
    assert_type(account.domain, str)
    assert_type(account.egnyte_user_id, int)
    assert_type(account.scopes, list[str])
    assert_type(account.open_token(), str)
    assert_type(account.expires_at, datetime | None)
    assert_type(account.connected_at, datetime)
    assert_type(account.token, EgnyteToken | None)
    assert_type(account.token_id, int | None)
    assert_type(account.status, str)
    assert_type(account.is_default, bool)
    assert_type(account.client, LinkedClient)
    return {
        "user": str(account.user_id),
        "identity": f"{account.username} ({account.egnyte_user_id}) at {account.domain}",
        "person": f"{account.first_name} {account.last_name} <{account.email}>",
        "scopes": [*account.scopes, *account.scope_labels],
        "flow": f"{account.flow}: {account.get_flow_display()}",
        "token": str(account.token) if account.token is not None else "none",
        "has": [bool(account.open_token()), bool(account.opened_token().refresh_token)],
        "expires": account.expires_at and account.expires_at.isoformat(),
        "status": f"{account.status}: {account.get_status_display()} {account.status_reason}",
        "default": account.is_default and account.is_live,
        "since": [account.created_at, account.connected_at],
        "last": [account.last_used_at, account.last_validated_at],
        "disconnect": reverse("egnyte:disconnect", args=[account.pk]),
        "make_default": reverse("egnyte:default", args=[account.pk]),
        "webhook": reverse("egnyte:webhook"),
    }


def owner(account: EgnyteAccount) -> str:
    return str(account.user)


def correct(account: EgnyteAccount, email: str) -> None:
    account.email = email
    account.save()


def how_many(user: User) -> int:
    # Only mypy with Django's plugin knows reverse accessors of foreign keys.
    return int(user.egnyte_accounts.count())  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


def accounts_of(user: AbstractBaseUser) -> EgnyteAccountQuerySet:
    accounts = EgnyteAccount.objects.for_user(user)
    assert_type(accounts, EgnyteAccountQuerySet)
    assert_type(accounts.first(), EgnyteAccount | None)
    return accounts.order_by("-is_default", "pk")


def overdue() -> list[str]:
    assert_type(EgnyteAccount.objects.live(), EgnyteAccountQuerySet)
    due = EgnyteAccount.objects.due_for_validation(timezone.now() - timedelta(hours=1))
    return [str(account) for account in due]


def figures() -> dict[str, Any]:
    return {
        "live": EgnyteAccount.objects.live().count(),
        "to revoke": EgnyteGrant.objects.exclude(release_at=None).count(),
        "hosts": [state.host for state in HostState.objects.exclude(held_off_until=None)],
        "paused": KeyState.objects.exclude(doubted_at=None).exists(),
        "states": SpentState.objects.count(),
        "requests": TokenRequest.objects.filter(failed=True).count(),
        "swept": list(SweepState.objects.values_list("name", flat=True)),
    }


def forget(older_than: datetime) -> int:
    """Purge the history, which is the site's task."""
    event = AccountEvent.objects.order_by("created_at").first()
    if event is not None:
        assert_type(event.created_at, datetime)
        assert_type(event.get_kind_display(), str)
    return AccountEvent.objects.filter(created_at__lt=older_than).delete()[0]
