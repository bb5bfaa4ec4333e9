"""Pages beside htmx, allauth, a content security policy, and a second database."""

from __future__ import annotations

import html
import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.management import call_command
from django.db import connections
from django.test import Client

from django_egnyte import queue
from django_egnyte.models import EgnyteAccount
from tests import walk

FOLDER = "/en/folder/"


def test_the_whole_site_passes_djangos_and_this_apps_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Other tests of this process may have made a Celery app, whose schedule is not the site's.
    monkeypatch.setattr(queue, "scheduled_tasks", lambda: None)
    messages = checks.run_checks()
    assert [each for each in messages if "egnyte" in str(each.id) or each.level >= 40] == []


def test_no_migration_is_missing_beside_other_apps() -> None:
    told = StringIO()
    call_command("makemigrations", "django_egnyte", check=True, dry_run=True, stdout=told)
    assert "No changes detected" in told.getvalue()


# htmx.


def test_a_page_redirects_and_htmx_is_told_where_to_go(
    browser: Client, egnyte_sandbox: Any
) -> None:
    assert browser.get(FOLDER).status_code == 302
    headers = {
        "Accept": "*/*", "HX-Request": "true", "HX-Current-URL": "http://testserver/de/folder/"
    }  # fmt: skip
    response = browser.get(FOLDER, headers=headers)
    assert response.status_code == 401
    url = response["HX-Redirect"]
    assert walk.query_of(url) == {"next": "/de/folder/"}
    assert browser.get(url).status_code == 200


def test_htmx_gets_its_rows_once_the_user_is_linked(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    assert browser.get(FOLDER, headers={"HX-Request": "true"}).content == b"rows"
    assert b"page:" in browser.get(FOLDER).content


def test_htmx_is_told_when_the_link_has_ended(
    browser: Client, egnyte_sandbox: Any, egnyte_account: EgnyteAccount
) -> None:
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    response = browser.get(FOLDER, headers={"Accept": "*/*", "HX-Request": "true"})
    assert response.status_code == 401
    assert response["HX-Redirect"].startswith("/en/egnyte/connect/?")


# allauth.


def test_a_visitor_signs_up_connects_and_comes_back(client: Client, egnyte_sandbox: Any) -> None:
    client.defaults["HTTP_ACCEPT"] = "text/html"
    to_connect = client.get(FOLDER)
    to_login = client.get(to_connect["Location"])
    assert to_login["Location"].startswith("/en/accounts/login/?next=")
    going_on = walk.query_of(to_login["Location"])["next"]
    signed_up = client.post(
        "/en/accounts/signup/",
        {
            "username": "newcomer",
            "password1": "a long enough passphrase",
            "password2": "a long enough passphrase",
            "next": going_on,
        },
    )
    assert signed_up["Location"] == going_on
    begun = client.post("/en/egnyte/connect/", {"domain": "acme", "next": FOLDER})
    back = client.get(egnyte_sandbox.authorize(begun["Location"], "jsmith"))
    assert back["Location"] == FOLDER
    assert client.get(FOLDER).content.startswith(b"page:")
    assert EgnyteAccount.objects.get().user == get_user_model().objects.get(username="newcomer")


def test_a_log_out_of_allauths_does_not_lose_the_link(
    browser: Client, egnyte_account: EgnyteAccount
) -> None:
    browser.post("/en/accounts/logout/")
    browser.force_login(egnyte_account.user)
    assert browser.get(FOLDER).content.startswith(b"page:")


# A policy for content, without any "unsafe-inline".


@pytest.mark.parametrize(
    "path", ["", "connect/", "connect/?next=/en/", "no-such-page/", "callback/?code=a&state=b"]
)
def test_no_page_needs_more_than_the_policy_allows(
    browser: Client, egnyte_account: EgnyteAccount, path: str
) -> None:
    response = browser.get(f"/en/egnyte/{path}")
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    page = response.content.decode()
    assert not re.search(r"<[^>]+\son\w+=|<[^>]+\sstyle=|<style|javascript:", page)
    for source in re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)=["']([^"']+)""", page):
        assert html.unescape(source).startswith("/static/") or "://" not in source
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)


def test_the_form_may_lead_to_egnyte(browser: Client, egnyte_sandbox: Any, settings: Any) -> None:
    response = browser.get("/en/egnyte/connect/")
    assert "form-action 'self' https://*.egnyte.com" in response["Content-Security-Policy"]


# Two databases with a router.


def test_linking_reads_the_session_in_one_database_and_writes_the_account_in_the_other(
    browser: Client, egnyte_sandbox: Any
) -> None:
    begun = browser.post("/en/egnyte/connect/", {"domain": "acme"})
    with walk.CaptureQueriesContext(connections["sessions"]) as sessions:
        assert browser.get(egnyte_sandbox.authorize(begun["Location"], "jsmith")).status_code == 302
    assert all("egnyte" not in each["sql"].lower() for each in sessions.captured_queries)
    assert EgnyteAccount.objects.using("default").exists()
    with connections["sessions"].cursor() as cursor:
        tables = connections["sessions"].introspection.table_names(cursor)
    assert not [each for each in tables if "egnyte" in each]


def test_beginning_asks_the_sessions_database_once_and_writes_nothing(
    browser: Client, egnyte_sandbox: Any
) -> None:
    with walk.CaptureQueriesContext(connections["sessions"]) as queries:
        browser.post("/en/egnyte/connect/", {"domain": "acme"})
    assert [each["sql"].split()[0] for each in queries.captured_queries] == ["SELECT"]


# Templates.


def test_the_home_page_knows_whether_the_user_is_connected(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    page = html.unescape(browser.get("/en/").content.decode())
    (url,) = re.findall(r'href="([^"]+)"', page)
    assert walk.query_of(url) == {"next": "/en/"}
    begun = browser.post("/en/egnyte/connect/", {"domain": "acme", "next": "/en/"})
    browser.get(egnyte_sandbox.authorize(begun["Location"], "jsmith"))
    assert "connected" in browser.get("/en/").content.decode()


# A site that is closed for a while.


def test_a_callback_while_the_site_is_closed_can_be_repeated(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    begun = browser.post("/en/egnyte/connect/", {"domain": "acme"})
    location = egnyte_sandbox.authorize(begun["Location"], "jsmith")
    with pytest.MonkeyPatch.context() as patch:
        open_to_all = settings.MIDDLEWARE
        settings.MIDDLEWARE = ["tests.reference_site.maintenance.closed", *open_to_all]
        closed = Client(headers={"Accept": "text/html"})
        closed.cookies = browser.cookies
        assert closed.get(location).status_code == 503
        patch.setattr(settings, "MIDDLEWARE", open_to_all)
    assert browser.get(location).status_code == 302
    assert EgnyteAccount.objects.exists()
