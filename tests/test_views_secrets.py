from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from django_egnyte.models import EgnyteAccount
from django_egnyte.services import link as linking
from tests import walk

TOKEN = r"^/puboauth/token"


# Secrets.


def secrets_of(sandbox: Any, location: str) -> list[str]:
    query = walk.query_of(location)
    tokens = [token.value for token in sandbox.live_tokens()]
    return [query["code"], query["state"], "sandbox-code-secret", *tokens]


def test_no_secret_is_logged_at_any_level(
    browser: Client, egnyte_sandbox: Any, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("django", "django.request", "django_egnyte", "urllib3", "celery", "kombu"):
        caplog.set_level(logging.DEBUG, logger=name)
    secrets = ["sandbox-code-secret"]
    for fault in (None, {"status": 500, "body": "x"}, {"truncate": 60}, {"malformed": True}):
        location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
        if fault:
            egnyte_sandbox.faults.add(path=TOKEN, method="POST", **fault)
        walk.come_back(browser, location)
        walk.come_back(browser, location)
        secrets += secrets_of(egnyte_sandbox, location)
    account = EgnyteAccount.objects.get()
    secrets += [account.open_token(), account.opened_token().refresh_token.reveal()]
    account.client.userinfo()
    browser.post(reverse("egnyte:disconnect", args=[account.pk]))
    walk.orphans(egnyte_sandbox)

    records = [
        f"{record.getMessage()} {record.__dict__}"
        for record in caplog.records
        if record.name != "django.db.backends"
    ]
    assert any("connected" in record for record in records)
    assert any("Connecting to Egnyte failed" in record for record in records)
    for secret in secrets:
        assert secret
        assert not [record for record in records if secret in record]


@pytest.mark.parametrize("where", ["exchange", "userinfo"])
def test_an_error_page_under_debug_shows_no_secret(
    browser: Client,
    egnyte_sandbox: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """A bug in a frame that holds the secrets: Django's page shows the variables of every frame."""
    settings.DEBUG = True
    browser.raise_request_exception = False
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")

    def bug(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("a bug")

    target = "parse_token_answer" if where == "exchange" else "parse_userinfo"
    monkeypatch.setattr(f"django_egnyte.oauth.{target}", bug)
    response = walk.come_back(browser, location)
    page = response.content.decode()
    assert response.status_code == 500
    assert "ZeroDivisionError" in page
    assert "Traceback" in page
    for secret in secrets_of(egnyte_sandbox, location):
        assert secret not in page


def test_the_report_that_django_mails_shows_no_secret(
    browser: Client, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.raise_request_exception = False
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    monkeypatch.setattr(linking, "spend_state", lambda state: 1 / 0)
    reports: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_text())

    got_request_exception.connect(report)
    try:
        # uWSGI's, gunicorn's, and what nginx may pass on.
        raw = dict.fromkeys(("REQUEST_URI", "RAW_URI", "HTTP_X_ORIGINAL_URI"), location)
        assert browser.get(location, **raw).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    (text,) = reports
    assert "ZeroDivisionError" in text
    for secret in secrets_of(egnyte_sandbox, location):
        assert secret not in text


class Stricter(SafeExceptionReporterFilter):
    """A site's own filter."""

    def get_safe_request_meta(self, request: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super().get_safe_request_meta(request)
        return {name: value for name, value in meta.items() if name != "HTTP_X_PATIENT"}


def test_what_the_site_s_own_filter_hides_stays_hidden(
    browser: Client, egnyte_sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__name__}.Stricter"
    reports: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_text())

    monkeypatch.setattr(linking, "spend_state", lambda state: 1 / 0)
    browser.raise_request_exception = False
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    got_request_exception.connect(report)
    try:
        browser.get(location, headers={"X-Patient": "Jane Roe", "X-Other": "shown"})
    finally:
        got_request_exception.disconnect(report)
    (text,) = reports
    assert "shown" in text
    assert "Jane Roe" not in text
