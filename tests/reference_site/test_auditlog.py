"""django-auditlog writes every change of every model down, and no token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.apps import apps
from django.test import Client

from django_egnyte.models import EgnyteAccount
from tests import walk


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """As AUDITLOG_INCLUDE_ALL_MODELS does."""
    models = list(apps.get_app_config("django_egnyte").get_models())
    for model in models:
        auditlog.register(model)
    yield
    for model in models:
        auditlog.unregister(model)


def test_an_account_s_whole_life_is_logged_without_a_token(
    browser: Client, egnyte_sandbox: Any
) -> None:
    secrets = []
    for _ in range(2):  # connect, and reconnect
        begun = browser.post("/en/egnyte/connect/", {"domain": "acme"})
        location = egnyte_sandbox.authorize(begun["Location"], "jsmith")
        assert browser.get(location).status_code == 302
        secrets += [walk.query_of(location)["code"], walk.query_of(location)["state"]]
        secrets += [token.value for token in egnyte_sandbox.live_tokens()]
    account = EgnyteAccount.objects.get()
    browser.post(f"/en/egnyte/{account.pk}/disconnect/")
    walk.orphans(egnyte_sandbox)
    entries = list(LogEntry.objects.values())
    assert {each["object_repr"] for each in entries} > {str(account)}
    for secret in secrets:
        assert secret not in repr(entries)


def test_the_log_of_an_update_reads_no_sealed_column(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any, settings: Any
) -> None:
    """A row that no key opens can still be changed under auditlog."""
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, and thirty-two characters of it"]
    account = EgnyteAccount.objects.get()
    account.email = "new@example.com"
    account.save()
    assert EgnyteAccount.objects.get().email == "new@example.com"
