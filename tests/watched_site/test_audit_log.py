"""``AUDITLOG_INCLUDE_ALL_MODELS`` writes every change of every model down, and no token."""

from __future__ import annotations

from typing import Any

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.apps import apps
from django.test import Client

from django_egnyte.models import EgnyteAccount, EgnyteToken
from django_egnyte.services import rotate, validate
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from tests import walk

pytestmark = pytest.mark.django_db(transaction=True)

NEW_KEY = "another key of tokens, of thirty-two characters and more"


def test_every_model_is_watched() -> None:
    for model in apps.get_app_config("django_egnyte").get_models():
        assert auditlog.contains(model)


def test_an_accounts_whole_life_is_logged_without_a_token(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    secrets = {settings.EGNYTE_CLIENT_SECRET, settings.SECRET_KEY, NEW_KEY}
    secrets |= {*settings.EGNYTE_ENCRYPTION_KEYS}

    def keep() -> None:
        secrets.update(token.value for token in egnyte_sandbox.live_tokens())

    for _ in range(2):  # connect, and reconnect
        location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
        secrets |= {walk.query_of(location)[name] for name in ("code", "state")}
        assert walk.come_back(browser, location).status_code == 302
        keep()
    account = EgnyteAccount.objects.get()
    refresh(account, actor="test")
    keep()
    validate.validate(account.pk, actor="test")
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW_KEY, *settings.EGNYTE_ENCRYPTION_KEYS]
    assert list(rotate.rotate())
    account = EgnyteAccount.objects.get()
    account.email = "new@example.com"
    account.save()
    for token in EgnyteToken.objects.all():
        token.save()
    browser.post(f"/egnyte/{account.pk}/disconnect/")
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []

    entries = list(LogEntry.objects.all())
    logged = {entry.content_type.model for entry in entries}
    assert {"egnyteaccount", "egnytetoken", "egnytegrant", "spentstate"} <= logged
    assert len(secrets) > 8
    shown = "\n".join(f"{vars(entry)} {entry} {entry.changes_display_dict}" for entry in entries)
    assert "acme.egnyte.com" in shown
    for secret in secrets:
        assert secret not in shown


def test_a_row_that_no_key_opens_can_be_changed_under_an_audit_log(
    egnyte_account: EgnyteAccount, settings: Any
) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["a key that opens nothing, of thirty-two and more"]
    account = EgnyteAccount.objects.get()
    account.email = "new@example.com"
    account.save()
    EgnyteToken.objects.get().save()
    assert EgnyteAccount.objects.get().email == "new@example.com"
    assert account.delete()
