"""Rows for the tests of the admin, and the way to its pages."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_egnyte.models import (
    EgnyteAccount,
    PendingRevocation,
    new_id,
)

TOKENS = ("the-access-token-of-an-account", "the-refresh-token-of-an-account")


def make(user: Any, number: int, **values: Any) -> EgnyteAccount:
    values = {
        "domain": "acme.egnyte.com",
        "username": f"jsmith{number}",
        "email": f"j{number}@acme.example",
        "scopes": ["Egnyte.filesystem"],
        "access_token": TOKENS[0],
        "refresh_token": TOKENS[1],
        "token_fingerprint": f"access{number}" * 4,
        "refresh_fingerprint": f"refresh{number}" * 4,
        "next_validation_at": timezone.now() + timedelta(hours=9),
    } | values
    return EgnyteAccount.objects.create(user=user, egnyte_user_id=number, **values)


def make_row(**values: Any) -> PendingRevocation:
    values = {
        "user_ref": "1",
        "domain": "acme.egnyte.com",
        "username": "gone",
        "seal_id": new_id(),
        "access_token": TOKENS[0],
        "refresh_token": TOKENS[1],
        "fingerprint": new_id(),
        "grant_id": new_id(),
        "attempts": 3,
        "not_before": timezone.now() + timedelta(hours=9),
    } | values
    return PendingRevocation.objects.create(**values)


def log_in(django_user_model: Any, *permissions: str, superuser: bool = False) -> Client:
    name = django_user_model.USERNAME_FIELD
    administrator = django_user_model.objects.create(
        **{name: "admin@example.com"}, is_staff=True, is_superuser=superuser
    )
    for permission in permissions:
        administrator.user_permissions.add(
            Permission.objects.get(content_type__app_label="django_egnyte", codename=permission)
        )
    client = Client()
    client.force_login(administrator)
    client.administrator = administrator  # type: ignore[attr-defined]
    return client


def url(name: str, *args: Any, model: str = "egnyteaccount") -> str:
    return reverse(f"admin:django_egnyte_{model}_{name}", args=args)


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return unescape(response.content.decode())


def listed(response: Any) -> set[str]:
    return {row.username for row in response.context["cl"].result_list}


def actor(client: Any) -> str:
    return f"admin:{client.administrator.pk}"


def pick(client: Client, action: str, *rows: Any, model: str = "egnyteaccount", **more: Any) -> Any:
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(url("changelist", model=model), data, follow=True)
