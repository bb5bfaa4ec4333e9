from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_egnyte.models import AccountEvent, EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from tests import walk
from tests.users import another_user, browser_of


@pytest.fixture
def stranger(django_user_model: Any, django_username_field: str, db: None) -> Client:
    return browser_of(another_user(django_user_model, django_username_field))


def disconnect_url(account: EgnyteAccount) -> str:
    return reverse("egnyte:disconnect", args=[account.pk])


def test_the_page_shows_the_users_accounts_and_no_token(
    browser: Client, stranger: Client, egnyte_account: EgnyteAccount
) -> None:
    response = browser.get(reverse("egnyte:accounts"))
    page = response.content.decode()
    assert response.status_code == 200
    assert "acme.egnyte.com" in page
    assert egnyte_account.open_token() not in page
    assert egnyte_account.opened_token().refresh_token.reveal() not in page
    assert response["Referrer-Policy"] == "same-origin"
    assert "no-store" in response["Cache-Control"]
    assert "acme.egnyte.com" not in stranger.get(reverse("egnyte:accounts")).content.decode()


def test_a_row_that_no_key_opens_breaks_no_page(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any, settings: Any
) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, and thirty-two characters of it"]
    assert browser.get(reverse("egnyte:accounts")).status_code == 200
    assert browser.post(disconnect_url(egnyte_account)).status_code == 302
    assert not EgnyteAccount.objects.exists()


def test_disconnect_deletes_the_account_and_ends_its_token(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    response = browser.post(disconnect_url(egnyte_account))
    assert (response.status_code, response["Location"]) == (302, reverse("egnyte:accounts"))
    assert response["Referrer-Policy"] == "same-origin"
    assert not EgnyteAccount.objects.exists()
    assert walk.orphans(egnyte_sandbox) == []
    assert egnyte_sandbox.live_tokens() == []
    event = AccountEvent.objects.get(kind="disconnected")
    assert event.actor == f"user:{egnyte_account.user_id}"
    assert (
        "jsmith at acme.egnyte.com was disconnected."
        in browser.get(response["Location"]).content.decode()
    )


def test_disconnect_makes_six_queries(browser: Client, egnyte_account: EgnyteAccount) -> None:
    with walk.Queries() as queries:
        response = browser.post(disconnect_url(egnyte_account))
    assert response.status_code == 302
    assert len(queries.made) == 6, queries.made


@pytest.mark.parametrize("name", ["disconnect", "default"])
@pytest.mark.parametrize(
    ("method", "status"), [("get", 302), ("head", 302), ("put", 405), ("delete", 405)]
)
def test_only_a_post_changes_anything(
    browser: Client, egnyte_account: EgnyteAccount, name: str, method: str, status: int
) -> None:
    response = getattr(browser, method)(reverse(f"egnyte:{name}", args=[egnyte_account.pk]))
    assert response.status_code == status
    assert EgnyteAccount.objects.filter(pk=egnyte_account.pk).exists()


@pytest.mark.parametrize("name", ["disconnect", "default"])
def test_another_users_account_is_a_404(
    stranger: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any, name: str
) -> None:
    assert stranger.post(reverse(f"egnyte:{name}", args=[egnyte_account.pk])).status_code == 404
    assert stranger.post(reverse(f"egnyte:{name}", args=[10**18])).status_code == 404
    assert EgnyteAccount.objects.get().is_default
    assert egnyte_sandbox.is_alive(egnyte_account.open_token())


@pytest.mark.parametrize("name", ["disconnect", "default"])
def test_a_primary_key_beyond_the_databases_is_a_404(
    browser: Client, egnyte_sandbox: Any, name: str
) -> None:
    assert browser.post(f"/egnyte/{'9' * 40}/{name}/").status_code == 404


@pytest.mark.parametrize("name", ["disconnect", "default"])
def test_a_forged_post_is_refused(
    egnyte_user: Any, egnyte_account: EgnyteAccount, name: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(egnyte_user)
    assert client.post(reverse(f"egnyte:{name}", args=[egnyte_account.pk])).status_code == 403
    assert EgnyteAccount.objects.filter(pk=egnyte_account.pk).exists()


@pytest.mark.parametrize("name", ["accounts", "disconnect", "default"])
def test_an_anonymous_user_logs_in_first(client: Client, db: None, name: str) -> None:
    url = reverse(f"egnyte:{name}", args=[] if name == "accounts" else [1])
    for method in (client.get, client.post):
        response = method(url)
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/")


def test_the_default_account_is_the_one_chosen(
    browser: Client, egnyte_user: Any, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    second = link_account(egnyte_sandbox, egnyte_user, domain="globex", username="mmiller")
    assert not second.is_default
    response = browser.post(reverse("egnyte:default", args=[second.pk]))
    told = "This site now uses mmiller at globex.egnyte.com."
    assert told in browser.get(response["Location"]).content.decode()
    assert EgnyteAccount.objects.get(is_default=True) == second
    assert browser.get("/egnyte-userinfo/").json()["username"] == "mmiller"


def test_after_the_default_is_disconnected_another_can_be_used(
    browser: Client, egnyte_user: Any, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    link_account(egnyte_sandbox, egnyte_user, domain="globex", username="mmiller")
    browser.post(disconnect_url(egnyte_account))
    assert browser.get("/egnyte-userinfo/").json()["username"] == "mmiller"


@pytest.mark.parametrize("name", ["disconnect", "default"])
def test_a_log_in_in_between_leads_to_the_accounts(
    client: Client, egnyte_account: EgnyteAccount, name: str
) -> None:
    to_login = client.post(reverse(f"egnyte:{name}", args=[egnyte_account.pk]))
    client.force_login(egnyte_account.user)
    back = client.get(walk.query_of(to_login["Location"])["next"])
    assert (back.status_code, back["Location"]) == (302, reverse("egnyte:accounts"))
    assert EgnyteAccount.objects.filter(pk=egnyte_account.pk).exists()
