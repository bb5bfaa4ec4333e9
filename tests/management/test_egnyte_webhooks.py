from __future__ import annotations

from typing import Any

import pytest

from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account

URL = "https://site.example/egnyte/webhook/"


@pytest.fixture
def admin(egnyte_sandbox: Any, make_user: Any) -> EgnyteAccount:
    return link_account(egnyte_sandbox, make_user("boss"), username="admin", scopes=())


def test_a_webhook_is_registered_listed_and_removed(run, admin, settings) -> None:
    settings.EGNYTE_REDIRECT_URI = "https://site.example/egnyte/callback/"
    at = f"--account={admin.pk}"
    options = ["--events", "fs:add_file", "fs:delete_file", "--paths", "/Shared/in"]
    ran = run("egnyte_webhooks", "register", at, *options)
    assert ran.code == 0, ran.error
    [hook] = admin.client.webhooks.list()
    assert hook.url == URL
    said = f"{hook.webhook_id}: enabled, until {hook.expires:%Y-%m-%d}, "
    said += f"fs:add_file, fs:delete_file below /Shared/in, to {URL}\n"
    assert ran.out == said
    assert run("egnyte_webhooks", "list", at).out == said
    ran = run("egnyte_webhooks", "remove", at, hook.webhook_id)
    assert ran.out == f"{hook.webhook_id}: removed\n"
    assert run("egnyte_webhooks", "list", at).out == ""


def test_webhooks_are_renewed(run, admin, egnyte_sandbox) -> None:
    at = f"--account={admin.pk}"
    run("egnyte_webhooks", "register", at, "--url", URL)
    admin.client.webhooks.register("https://other.example/hook")
    [first, other] = admin.client.webhooks.list()
    ran = run("egnyte_webhooks", "renew", at)
    assert ran.code == 0 and ran.out.count("\n") == 1
    found = {hook.url: hook.webhook_id for hook in admin.client.webhooks.list()}
    assert found[other.url] == other.webhook_id
    assert found[URL] != first.webhook_id


def test_without_an_address_nothing_is_registered(run, admin) -> None:
    ran = run("egnyte_webhooks", "register", f"--account={admin.pk}")
    assert (ran.code, ran.error) == (1, "Give --url, or set EGNYTE_REDIRECT_URI.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["register", "--url", "http://site.example/egnyte/webhook/"],
        ["register", "--url", URL, "--paths", *[f"/Shared/{n}" for n in range(101)]],
        ["remove", "none"],
        ["remove", "a/b"],
    ],
)
def test_what_egnyte_or_the_client_refuses_is_said(run, admin, arguments) -> None:
    ran = run("egnyte_webhooks", *arguments, "--account", str(admin.pk))
    assert ran.code == 1
    assert ran.error


def test_a_user_without_the_right_is_told_the_scope(run, accounts) -> None:
    ran = run("egnyte_webhooks", "list", f"--account={accounts[0].pk}")
    assert ran.code == 1
    assert "Egnyte.webhooks" in ran.error


def test_one_account_must_be_meant(run, accounts) -> None:
    ran = run("egnyte_webhooks", "list", "--domain=acme")
    assert (ran.code, ran.out) == (1, "")
    assert "2 accounts match." in ran.error
