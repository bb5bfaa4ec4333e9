from __future__ import annotations

import logging
import secrets
import sys
import threading
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.db import connection, connections
from django.test import Client
from django.views.debug import ExceptionReporter

from django_egnyte import conf
from django_egnyte.forms import PasswordForm
from django_egnyte.models import AccountEvent, EgnyteAccount
from tests import walk

from .steps import ACCOUNTS, CONNECT, PASSWORD, SECRET, assert_page, hidden, log_in


@pytest.mark.parametrize("flow", ["authorization_code", "enhanced", "implicit"])
def test_there_is_no_password_page_under_another_flow(
    browser: Client, internal: Any, settings: Any, flow: str
) -> None:
    settings.EGNYTE_FLOW = flow
    assert browser.get(PASSWORD).status_code == 404
    assert log_in(browser).status_code == 404
    assert internal.counts["token"] == 0


def test_connect_leads_to_the_password_page(browser: Client, internal: Any) -> None:
    for response in (
        browser.get(CONNECT, {"next": "/plain/", "domain": "acme"}),
        browser.post(CONNECT, {"next": "/plain/", "domain": "acme"}),
    ):
        assert response.status_code == 302
        assert response["Location"].startswith(f"{PASSWORD}?")
        page = assert_page(browser.get(response["Location"]), 200, 'value="/plain/"')
        assert 'value="acme"' in page


def test_a_username_and_a_password_link_the_account(
    browser: Client, internal: Any, egnyte_user: Any
) -> None:
    response = log_in(browser, next="/plain/?page=2")
    assert response.status_code == 302, response.content.decode()
    assert response["Location"] == "/plain/?page=2"
    account = EgnyteAccount.objects.get()
    assert (account.user, account.domain) == (egnyte_user, "acme.egnyte.com")
    assert (account.username, account.egnyte_user_id) == ("jsmith", 121)
    assert (account.flow, account.scopes) == ("password", ["Egnyte.filesystem"])
    assert internal.is_alive(account.open_token())
    assert walk.orphans(internal) == []
    assert "Connected to acme.egnyte.com." in browser.get(ACCOUNTS).content.decode()


def test_the_domain_is_not_asked_for_where_it_is_fixed(
    browser: Client, internal: Any, settings: Any
) -> None:
    settings.EGNYTE_DOMAIN = "acme"
    page = assert_page(browser.get(PASSWORD), 200, "acme.egnyte.com")
    assert 'name="domain"' not in page
    assert log_in(browser, domain="globex").status_code == 302
    assert EgnyteAccount.objects.get().domain == "acme.egnyte.com"


@pytest.mark.parametrize("next_path", ["https://evil.com/", "//evil.com", "javascript:alert(1)"])
def test_a_next_of_another_site_is_dropped(browser: Client, internal: Any, next_path: str) -> None:
    assert next_path not in assert_page(browser.get(PASSWORD, {"next": next_path}), 200)
    assert log_in(browser, next=next_path)["Location"] == ACCOUNTS


def test_a_wrong_password_is_told_on_the_form_and_not_repeated(
    browser: Client, internal: Any
) -> None:
    wrong = "a wrong p4ssword"
    page = assert_page(log_in(browser, wrong), 403, "did not accept this username and password")
    assert wrong not in page
    assert 'value="jsmith"' in page
    assert 'value="acme"' in page
    walk.assert_nothing_is_left(internal)
    event = AccountEvent.objects.get()
    # No username: people type their password into that field.
    assert (event.kind, event.username, event.domain) == ("link_failed", "", "acme.egnyte.com")
    assert log_in(browser).status_code == 302


@pytest.mark.parametrize(
    "data",
    [
        {"username": ""},
        {"password": ""},
        {"username": "a\x00b"},
        {"username": "x" * 256},
        {"domain": ""},
        {"domain": "evil.com"},
        {"domain": "acme@evil.com"},
    ],
)
def test_what_cannot_be_right_is_not_sent(
    browser: Client, internal: Any, data: dict[str, str]
) -> None:
    page = assert_page(log_in(browser, **data), 400)
    assert SECRET not in page
    assert "errorlist" in page
    assert internal.counts["token"] == 0


def test_the_password_page_needs_a_user_and_a_csrf_token(
    client: Client, internal: Any, egnyte_user: Any
) -> None:
    assert log_in(client)["Location"].startswith("/accounts/login/")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(egnyte_user)
    assert log_in(strict).status_code == 403
    token = hidden(strict.get(PASSWORD), "csrfmiddlewaretoken")
    assert internal.counts["token"] == 0
    assert log_in(strict, csrfmiddlewaretoken=token).status_code == 302


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 503}, 503),
        ({"reset": True}, 503),
        ({"status": 409, "headers": {"Retry-After": "60"}}, 503),
        ({"malformed": True}, 502),
        ({"status": 403, "body": {"errorCode": "GRANT_PASSWORD", "message": "m"}}, 400),
        ({"status": 401, "body": {"errorCode": "INTERNAL_ERROR", "message": "m"}}, 400),
    ],
)
def test_what_is_not_the_passwords_fault_is_a_page_of_its_own(
    browser: Client, internal: Any, fault: dict[str, Any], status: int
) -> None:
    internal.faults.add(path="^/puboauth/token", method="POST", **fault)
    page = assert_page(log_in(browser), status)
    assert "did not accept this username" not in page
    assert SECRET not in page
    walk.assert_nothing_is_left(internal)


def test_after_five_wrong_passwords_an_hour_no_more_are_tried(
    browser: Client, internal: Any
) -> None:
    for _ in range(conf.FAILURES_PER_HOUR):
        assert_page(log_in(browser, "wrong"), 403)
    response = log_in(browser)
    assert_page(response, 429, "wait an hour")
    assert int(response["Retry-After"]) > 0
    assert internal.counts["token:password"] == conf.FAILURES_PER_HOUR
    assert not EgnyteAccount.objects.exists()


def test_wrong_passwords_count_against_the_egnyte_user_whoever_tries(
    browser: Client, internal: Any, another: Client
) -> None:
    for _ in range(conf.FAILURES_PER_HOUR):
        log_in(browser, "wrong")
    assert_page(log_in(another), 429)
    assert_page(log_in(another, username="JSmith"), 429)
    assert log_in(another, "demo-password-2", username="bdoe").status_code == 302


def test_right_passwords_are_no_failures(browser: Client, internal: Any) -> None:
    for _ in range(conf.FAILURES_PER_HOUR + 2):
        assert log_in(browser).status_code == 302
    assert internal.counts["token:password"] == conf.FAILURES_PER_HOUR + 2
    assert walk.orphans(internal) == []


@pytest.mark.django_db(transaction=True)
def test_twenty_wrong_passwords_at_once_are_five(browser: Client, internal: Any) -> None:
    barrier = threading.Barrier(20)
    statuses: list[int] = []

    def guess(number: int) -> None:
        twin = Client(raise_request_exception=False)
        twin.cookies = browser.cookies
        barrier.wait()
        try:
            statuses.append(log_in(twin, f"wrong-{number}").status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Of many parallel requests, one may be refused although there is room. None exceeds the limit.
    assert set(statuses) <= {403, 429}
    assert statuses.count(403) == internal.counts["token:password"] <= conf.FAILURES_PER_HOUR
    while log_in(browser, "wrong").status_code == 403:
        assert internal.counts["token:password"] <= conf.FAILURES_PER_HOUR
    assert internal.counts["token:password"] == conf.FAILURES_PER_HOUR


def stored_text() -> str:
    """Every row of every table."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found.append(repr(cursor.fetchall()))
    return "\n".join(found)


def test_a_password_is_kept_nowhere(
    browser: Client, internal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret, wrong = "r1ght-and-easy-to-find", "wr0ng-and-easy-to-find"
    internal.set_password("acme", "jsmith", secret)
    answers = [log_in(browser, wrong)]
    internal.faults.add(path="^/puboauth/token", method="POST", status=500, body=f"<h1>{wrong}")
    answers += [log_in(browser, wrong), log_in(browser, secret)]
    assert EgnyteAccount.objects.exists()
    answers.append(browser.get(ACCOUNTS))
    rows = stored_text()
    assert "jsmith" in rows
    for word in (secret, wrong):
        assert word not in rows
        assert word not in repr(dict(browser.session))
        assert not [each for each in answers if word in f"{each.headers}{each.content.decode()}"]
        assert not [each for each in caplog.records if word in f"{each.__dict__}"]


BUGS = [
    "a validator of the password",
    "django_egnyte.services.ledger._write_down",
    "django_egnyte.http.door._prepared",
    "django_egnyte.oauth.parse_token_answer",
    "django_egnyte.oauth.parse_userinfo",
    "django_egnyte.services.link._store",
]


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("debug", [True, False])
def test_an_error_report_shows_no_password(
    browser: Client,
    internal: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    bug: str,
    debug: bool,
) -> None:
    settings.DEBUG = debug
    secret = secrets.token_hex()  # not in this line's source, which the report quotes
    internal.set_password("acme", "jsmith", secret)
    browser.raise_request_exception = False
    if bug == "a validator of the password":
        field = PasswordForm.base_fields["password"]
        monkeypatch.setattr(field, "validators", [lambda value: 1 / 0])
    else:
        monkeypatch.setattr(bug, lambda *args, **kwargs: 1 / 0)
    reports: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])

    got_request_exception.connect(report)
    try:
        response = log_in(browser, secret)
    finally:
        got_request_exception.disconnect(report)
    assert response.status_code == 500
    for text in [response.content.decode(), *reports]:
        assert secret not in text
    assert "ZeroDivisionError" in reports[0]
    assert ("ZeroDivisionError" in response.content.decode()) is debug


def test_a_relink_is_filled_in_and_replaces_the_token(browser: Client, internal: Any) -> None:
    log_in(browser)
    first = EgnyteAccount.objects.get()
    internal.set_password("acme", "jsmith", "a newer password")
    response = browser.get(CONNECT, {"account": first.pk})
    page = assert_page(browser.get(response["Location"]), 200, 'value="jsmith"')
    assert 'value="acme.egnyte.com"' in page
    assert log_in(browser, "a newer password", domain="acme.egnyte.com").status_code == 302
    second = EgnyteAccount.objects.get()
    assert second.pk == first.pk and second.token_id != first.token_id
    assert internal.is_alive(second.open_token())
    assert walk.orphans(internal) == []
