"""Rows for the tests of the admin, and the URLs of its pages."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_egnyte.fields import seal
from django_egnyte.gateway import key_digest
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken, new_id
from django_egnyte.secret import Secret

TOKENS = ("the-access-token-of-an-account", "the-refresh-token-of-an-account")


def make(user: Any, number: int, **values: Any) -> EgnyteAccount:
    """An account. ``expires_at`` is that of its token, ``next_refresh_at`` that of its grant."""
    values = {
        "domain": "acme.egnyte.com",
        "username": f"jsmith{number}",
        "email": f"j{number}@acme.example",
        "scopes": ["Egnyte.filesystem"],
        "next_validation_at": timezone.now() + timedelta(hours=9),
    } | values
    later = timezone.now() + timedelta(days=20)
    refreshes = values.get("refresh_fingerprint") != ""
    grant = make_grant(
        user_ref=str(user.pk),
        domain=values["domain"],
        release_at=None,
        revoke_attempts=0,
        next_refresh_at=values.pop("next_refresh_at", later if refreshes else None),
    )
    token = EgnyteToken.objects.get(grant=grant)
    EgnyteToken.objects.filter(pk=token.pk).write(
        expires_at=values.pop("expires_at", None),
        fingerprint=f"access{number}" * 4,
        refresh_fingerprint=values.pop("refresh_fingerprint", f"refresh{number}" * 4),
    )
    if values.get("status") == "revoked":
        token = None
    if values.get("is_default"):
        values["default_of"] = str(user.pk)
    return EgnyteAccount.objects.create(user=user, egnyte_user_id=number, token=token, **values)


def make_grant(**values: Any) -> EgnyteGrant:
    """A grant that is due for revocation and has failed three times."""
    values = {
        "user_ref": "1",
        "domain": "acme.egnyte.com",
        "username": "gone",
        "fingerprint": new_id(),
        "key_digest": key_digest(),
        "revoke_attempts": 3,
        "release_at": timezone.now() + timedelta(hours=9),
    } | values
    grant = EgnyteGrant.objects.create(**values)
    token = EgnyteToken(
        grant=grant, domain=grant.domain, user_ref=grant.user_ref, fingerprint=grant.fingerprint
    )
    for name, text in zip(("access_token", "refresh_token"), TOKENS, strict=True):
        setattr(token, name, seal(Secret(text), token.seal_context(name)))
    token.save()
    return grant


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
