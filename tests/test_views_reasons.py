"""The reason that the connect page shows, and the alternatives that it offers."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from django_egnyte.access import connect_url
from django_egnyte.choices import Scope, Status
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services.disconnect import make_default
from tests import walk

CONNECT = "/egnyte/connect/"


def page_of(browser: Client, url: str = CONNECT, **query: str) -> str:
    response = browser.get(url, query)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", html.unescape(response.content.decode()))


def end(account: EgnyteAccount) -> None:
    EgnyteAccount.objects.filter(pk=account.pk).write(status=Status.REVOKED)


@pytest.fixture
def two(egnyte_sandbox: Any, egnyte_user: Any) -> list[EgnyteAccount]:
    """A default account at acme, and another one at globex."""
    return [
        link_account(egnyte_sandbox, egnyte_user),
        link_account(egnyte_sandbox, egnyte_user, domain="globex", username="mmiller"),
    ]


def test_a_new_user_is_told_of_no_end(browser: Client, egnyte_sandbox: Any) -> None:
    page = page_of(browser)
    assert "Egnyte refuses" not in page
    assert "Use another account" not in page


def test_a_user_who_adds_an_account_is_told_of_no_end(
    browser: Client, two: list[EgnyteAccount]
) -> None:
    page = page_of(browser)
    assert "Egnyte refuses" not in page
    assert "Use another account" not in page


def test_the_page_says_which_account_has_ended_and_offers_to_reconnect_it(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    end(egnyte_account)
    page = page_of(browser, next="/plain/")
    assert "Egnyte refuses the connection of jsmith at acme.egnyte.com" in page
    assert f'name="account" value="{egnyte_account.pk}"' in page
    assert "Reconnect jsmith" in page
    assert "Use another account" not in page  # there is no other


def test_an_account_under_suspicion_is_offered_to_be_reconnected_and_not_to_be_used(
    browser: Client, two: list[EgnyteAccount]
) -> None:
    EgnyteAccount.objects.filter(pk=two[0].pk).write(status=Status.SUSPECT)
    page = page_of(browser)
    assert "Reconnect jsmith" in page
    assert "Use mmiller" in page
    assert "Use jsmith" not in page


def test_the_accounts_that_are_live_are_offered_and_lead_back(
    browser: Client, two: list[EgnyteAccount]
) -> None:
    dead, live = two
    end(dead)
    to_connect = browser.get("/egnyte-userinfo/")
    page = page_of(browser, to_connect["Location"])
    assert "Use mmiller at globex.egnyte.com" in page
    assert "Use jsmith" not in page
    chosen = browser.post(
        reverse("egnyte:default", args=[live.pk]),
        {"next": walk.query_of(to_connect["Location"])["next"]},
    )
    assert chosen["Location"] == "/egnyte-userinfo/"
    assert browser.get("/egnyte-userinfo/").json()["username"] == "mmiller"


def test_one_more_permission_is_named_and_accounts_that_have_it_are_offered(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any, two: list[EgnyteAccount]
) -> None:
    wide = ("Egnyte.filesystem", "Egnyte.link")
    able = link_account(egnyte_sandbox, egnyte_user, username="bdoe", scopes=wide)
    make_default(egnyte_user, two[0])
    url = connect_url(scopes=["Egnyte.link"], next_path="/plain/", user=egnyte_user)
    page = page_of(browser, url)
    assert "One more permission is needed" in page
    assert (
        'needs your permission to:</p> <ul class="egnyte-scopes"> <li>Create and delete links'
        in page
    )
    assert "Use bdoe at acme.egnyte.com" in page
    assert "Use mmiller" not in page
    make_default(egnyte_user, able)
    assert "One more" not in page_of(browser, url)


def test_an_account_that_ended_and_has_too_few_scopes_is_not_offered(
    browser: Client, egnyte_user: Any, two: list[EgnyteAccount]
) -> None:
    end(two[0])
    url = connect_url(scopes=["Egnyte.link"], user=egnyte_user)
    page = page_of(browser, url)
    assert "Egnyte refuses" in page
    assert "Use another account" not in page


def test_nobody_elses_account_is_offered(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any, django_user_model: Any,
    django_username_field: str,
) -> None:  # fmt: skip
    other = django_user_model.objects.create(**{django_username_field: "other@example.com"})
    link_account(egnyte_sandbox, other, username="bdoe")
    end(egnyte_account)
    assert "bdoe" not in page_of(browser)


@pytest.mark.parametrize("path", ["//evil.com", "https://evil.com/", "javascript:alert(1)"])
def test_choosing_an_account_leads_to_no_other_site(
    browser: Client, egnyte_account: EgnyteAccount, path: str
) -> None:
    url = reverse("egnyte:default", args=[egnyte_account.pk])
    assert browser.post(url, {"next": path})["Location"] == reverse("egnyte:accounts")


def test_the_password_flow_says_why_too(
    browser: Client, two: list[EgnyteAccount], settings: Any
) -> None:
    settings.EGNYTE_FLOW = "password"
    end(two[0])
    page = page_of(browser, reverse("egnyte:password"), next="/plain/")
    assert "Egnyte refuses the connection of jsmith at acme.egnyte.com" in page
    assert "Use mmiller at globex.egnyte.com" in page


def test_reconnecting_gives_no_reason(browser: Client, egnyte_account: EgnyteAccount) -> None:
    end(egnyte_account)
    assert "Egnyte refuses" not in page_of(browser, account=str(egnyte_account.pk))


def test_the_page_makes_three_queries(browser: Client, two: list[EgnyteAccount]) -> None:
    end(two[0])
    with walk.Queries() as queries:
        page_of(browser)
    assert len(queries.made) == 3, queries.made  # session, user, accounts


# The user can also connect another account.


def test_another_account_ends_the_loop_of_a_dead_default(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    end(egnyte_account)
    to_connect = browser.get("/egnyte-userinfo/")
    assert to_connect.status_code == 302
    back = walk.link(
        browser, egnyte_sandbox, username="mmiller", domain="globex", next="/egnyte-userinfo/"
    )
    assert browser.get(back["Location"]).json()["username"] == "mmiller"
    assert list(EgnyteAccount.objects.filter(is_default=True).values_list("username")) == [
        ("mmiller",)
    ]


def test_another_account_does_not_take_the_place_of_a_live_default(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    walk.link(browser, egnyte_sandbox, username="mmiller", domain="globex")
    assert browser.get("/egnyte-userinfo/").json()["username"] == "jsmith"


def test_a_relink_of_another_account_ends_the_loop_too(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    walk.link(browser, egnyte_sandbox, username="mmiller", domain="globex")
    for account in EgnyteAccount.objects.all():
        end(account)
    walk.link(browser, egnyte_sandbox, username="mmiller", domain="globex")
    assert browser.get("/egnyte-userinfo/").json()["username"] == "mmiller"


def test_without_a_default_the_oldest_live_account_is_the_one_that_lacks_a_scope(
    browser: Client, two: list[EgnyteAccount], egnyte_user: Any
) -> None:
    EgnyteAccount.objects.all().write(is_default=False, default_of=None)
    asked = connect_url(scopes=["Egnyte.filesystem", "Egnyte.link"], user=egnyte_user)
    EgnyteAccount.objects.update(scopes=["Egnyte.filesystem"])
    assert str(Scope.LINK.label) in page_of(browser, asked)
    end(two[0])
    end(two[1])
    assert "Egnyte refuses" not in page_of(browser)  # which one would they mean?
