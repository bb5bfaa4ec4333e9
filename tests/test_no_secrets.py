"""Tokens, codes and secrets are stored only encrypted, and shown nowhere."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.apps import apps
from django.conf import settings as site
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client

from django_egnyte import queue
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "sandbox-code-secret"
_ACTIONS = ("validate", "refresh", "ask_reconnect", "revoke", "delete_selected")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(queue, "_site_app", lambda: Celery("site", set_as_current=False))
    queue.resume()
    monkeypatch.setattr(
        queue, "_publish_in_time", lambda app, name, args: sent.append(f"{name}{args!r}")
    )
    return sent


def stored() -> str:
    """Everything in the database, and on SQLite the bytes of its files as well."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
            found += [repr(row) for row in cursor.fetchall()]
    if connection.vendor == "sqlite":
        name = Path(connection.settings_dict["NAME"])
        for path in name.parent.glob(f"{name.name}*"):
            found.append(path.read_bytes().decode("latin-1"))
    return "\n".join(found)


def test_no_secret_is_found_anywhere_but_sealed(
    egnyte_sandbox: Any,
    egnyte_user: Any,
    django_user_model: Any,
    django_username_field: str,
    published: list[str],
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.DEBUG = True
    caplog.set_level(logging.DEBUG)
    pages: list[str] = []
    secrets = {SECRET, site.SECRET_KEY}
    codes: set[str] = set()

    def keep() -> None:
        secrets.update(token.value for token in egnyte_sandbox.live_tokens())

    def read(response: Any) -> Any:
        pages.append(f"{response.status_code} {response.headers} ")
        if not response.streaming:
            pages.append(response.content.decode())
        return response

    browser = Client(raise_request_exception=False)
    browser.force_login(egnyte_user)

    def connect(**fault: Any) -> None:
        read(browser.get("/egnyte/connect/?domain=acme"))
        to = browser.post("/egnyte/connect/", {"domain": "acme"})["Location"]
        back = egnyte_sandbox.authorize(to, "jsmith").split("testserver", 1)[1]
        codes.add(back.split("code=")[1].split("&")[0])
        if fault:
            egnyte_sandbox.faults.add(**fault)
        read(browser.get(back))
        keep()
        read(browser.get(back))

    connect(path="/userinfo", status=500)
    connect(path="^/puboauth/token", method="POST", malformed=True)
    connect(path="^/puboauth/token", method="POST", status=400, body={"error": "invalid_grant"})
    connect()
    account = EgnyteAccount.objects.get()
    keep()
    connect()

    administrator = django_user_model.objects.create_superuser(
        **{django_username_field: "root@example.com", "password": "x"}
        | ({"email": "root@example.com"} if django_username_field != "email" else {})
    )
    admin = Client(raise_request_exception=False)
    admin.force_login(administrator)
    at = f"/admin/django_egnyte/egnyteaccount/{account.pk}"
    for url in (
        "/egnyte/", "/egnyte/connect/", "/egnyte/callback/?state=x&code=y", "/egnyte/password/",
        "/egnyte/domain/", "/egnyte-userinfo/", "/plain/",
    ):  # fmt: skip
        read(browser.get(url))
    for url in (
        "/admin/", "/admin/django_egnyte/egnyteaccount/", f"{at}/change/", f"{at}/history/",
        f"{at}/delete/", "/admin/django_egnyte/egnyteaccount/health/",
        "/admin/django_egnyte/accountevent/", "/admin/django_egnyte/egnytegrant/",
        "/admin/django_egnyte/egnyteaccount/?q=jsmith",
    ):  # fmt: skip
        assert read(admin.get(url)).status_code == 200, url
    for action in (
        "validate_now",
        "refresh_token",
        "ask_to_reconnect",
        "revoke",
        "delete_selected",
    ):
        read(
            admin.post(
                "/admin/django_egnyte/egnyteaccount/",
                {"action": action, "_selected_action": [account.pk]},
            )
        )

    # Error pages show the local variables of every frame, such as a view's client.
    egnyte_sandbox.faults.add(path="/userinfo", status=500)
    read(browser.get("/egnyte-userinfo/"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_egnyte.oauth._expires_in", _explode)
        connect()
    keep()

    written = io.StringIO()
    for command, *arguments in (
        ("egnyte_status",), ("egnyte_status", "--json"), ("egnyte_validate", "--all"),
        ("egnyte_rotate_keys",), ("egnyte_sweep",), ("dumpdata", "django_egnyte", "sessions"),
        ("egnyte_revoke", "--all", "--no-input"), ("egnyte_sweep",),
    ):  # fmt: skip
        try:
            call_command(command, *arguments, stdout=written, stderr=written)
        except CommandError as error:
            written.write(str(error))
        keep()
    egnyte_user.delete()
    assert AccountEvent.objects.exists()
    assert published
    pages += [repr(each) for each in EgnyteGrant.objects.exclude(release_at=None).all()]

    logs = "\n".join(f"{vars(record)} {record.getMessage()}" for record in caplog.records)
    places = {
        "the database": stored(),
        "the pages": "\n".join(pages),
        "the logs": logs,
        "the messages": "\n".join(published),
        "the commands' output": written.getvalue(),
    }
    assert len(secrets) > 6
    for place, text in places.items():
        assert text, place
        for secret in secrets:
            assert secret not in text, f"a secret in {place}"
    # Django logs the path of a request that failed, but never with the query.
    for place in ("the database", "the messages", "the commands' output", "the logs"):
        for code in codes:
            assert code not in places[place], f"a code in {place}"
    assert get_user_model().objects.count() == 1


def _explode(text: Any) -> Any:
    raise ZeroDivisionError("in the middle of everything")
