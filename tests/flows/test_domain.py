"""The Enhanced flow without a known Referer: the code is kept, and the user enters the domain."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.test import Client

from django_egnyte.models import EgnyteAccount, EgnyteToken
from tests import walk
from tests.users import another_user

from .steps import CALLBACK, DOMAIN, assert_page, begin, come_back, hidden, later


def parked(client: Client, sandbox: Any) -> str:
    """The address of the page that asks for the domain, after a consent at acme."""
    response = come_back(client, sandbox.authorize(begin(client), "jsmith", domain="acme"))
    assert response.status_code == 302
    return str(response["Location"])


@pytest.mark.parametrize("referer", [None, "", "https://evil.com/", "http://127.0.0.1:1/d/acme/"])
def test_without_a_known_referer_the_user_is_asked_for_the_domain(
    browser: Client, enhanced: Any, egnyte_user: Any, referer: str | None
) -> None:
    url = begin(browser, next="/plain/")
    location = enhanced.authorize(url, "jsmith", domain="acme")
    response = come_back(browser, location, referer)
    code = walk.query_of(location)["code"]
    assert response.status_code == 302
    assert response["Location"].startswith(f"{DOMAIN}?attempt=")
    assert code not in response["Location"]
    assert walk.query_of(location)["state"] not in response["Location"]
    assert code not in repr(dict(browser.session))
    assert enhanced.counts["token"] == 0

    asked = browser.get(response["Location"])
    page = assert_page(asked, 200, "your browser did not say at which domain")
    assert code not in page
    answer = browser.post(DOMAIN, {"attempt": hidden(asked, "attempt"), "domain": "ACME "})
    assert answer.status_code == 302
    assert answer["Location"] == "/plain/"
    account = EgnyteAccount.objects.get()
    assert (account.user, account.domain) == (egnyte_user, "acme.egnyte.com")
    assert (account.flow, account.scopes) == ("enhanced", ["Egnyte.filesystem"])
    assert walk.orphans(enhanced) == []


def test_a_slip_in_the_domain_can_be_corrected(browser: Client, enhanced: Any) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    for typed in ("", "no domain!", "acme.evil.com", "www", "us-partner-integrations"):
        response = browser.post(DOMAIN, {"attempt": attempt, "domain": typed})
        assert_page(response, 400, attempt)
        assert enhanced.counts["token"] == 0
    assert browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"}).status_code == 302
    assert EgnyteAccount.objects.exists()


def test_a_domain_that_may_not_be_linked_gets_no_code(
    browser: Client, enhanced: Any, settings: Any
) -> None:
    settings.EGNYTE_ALLOWED_DOMAINS = ["globex"]
    url = begin(browser)
    location = enhanced.authorize(url, "jsmith", domain="acme")
    response = come_back(browser, location, enhanced.referer(url, domain="acme"))
    attempt = walk.query_of(response["Location"])["attempt"]
    response = browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "cannot be connected here")
    assert enhanced.counts["token"] == 0


def test_a_code_given_to_the_wrong_domain_is_refused_there(browser: Client, enhanced: Any) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    response = browser.post(DOMAIN, {"attempt": attempt, "domain": "globex"})
    assert_page(response, 400, "Egnyte was not connected")
    walk.assert_nothing_is_left(enhanced)
    assert [each.domain for each in enhanced.requests_log if each.endpoint.startswith("token")] == [
        "globex"
    ]


def test_a_parked_code_is_used_once(browser: Client, enhanced: Any) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    answers = [browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"}) for _ in range(2)]
    assert answers[0].status_code == 302
    assert_page(answers[1], 400, "already used")
    assert enhanced.counts["token:authorization_code"] == 1
    assert EgnyteToken.objects.count() == 1


def test_the_callback_of_a_parked_code_is_used_up(browser: Client, enhanced: Any) -> None:
    url = begin(browser)
    location = enhanced.authorize(url, "jsmith", domain="acme")
    come_back(browser, location)
    answer = come_back(browser, location, enhanced.referer(url, domain="acme"))
    assert_page(answer, 400, "already used")
    assert enhanced.counts["token"] == 0


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_parked_code_belongs_to_its_session(
    browser: Client, egnyte_user: Any, enhanced: Any, another: Client, method: str
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    twin = Client()
    twin.force_login(egnyte_user)
    for stranger in (twin, another):
        response = getattr(stranger, method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
        assert_page(response, 400, "It belongs to another browser")
    assert enhanced.counts["token"] == 0
    anonymous = getattr(Client(), method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_parked_code_belongs_to_its_user(
    browser: Client,
    enhanced: Any,
    django_user_model: Any,
    django_username_field: str,
    method: str,
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    other = another_user(django_user_model, django_username_field)
    session = browser.session
    session[SESSION_KEY] = str(other.pk)
    session[HASH_SESSION_KEY] = other.get_session_auth_hash()
    session.save()
    response = getattr(browser, method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "belongs to another user")
    assert enhanced.counts["token"] == 0


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_parked_code_expires_with_its_attempt(
    browser: Client, enhanced: Any, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    later(monkeypatch)
    response = getattr(browser, method)(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "longer than ten minutes")
    assert enhanced.counts["token"] == 0


@pytest.mark.parametrize("attempt", ["", "guessed", "\x00", "x" * 10_000])
def test_an_attempt_that_parked_no_code_is_refused(
    browser: Client, enhanced: Any, attempt: str
) -> None:
    parked(browser, enhanced)
    for response in (
        browser.get(DOMAIN, {"attempt": attempt}),
        browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"}),
    ):
        assert_page(response, 400, "It belongs to another browser")


def test_a_state_is_no_parked_code_and_a_parked_code_no_state(
    browser: Client, enhanced: Any
) -> None:
    given = walk.query_of(begin(browser))["state"]
    assert_page(
        browser.post(DOMAIN, {"attempt": given, "domain": "acme"}),
        400,
        "belongs to another browser",
    )
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    response = come_back(browser, f"{CALLBACK}?code=another&state={attempt}")
    assert_page(response, 400, "belongs to another browser")
    assert enhanced.counts["token"] == 0


def test_a_parked_code_that_no_key_opens_is_a_400_page(
    browser: Client, enhanced: Any, settings: Any
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key of thirty-two characters or more"]
    response = browser.post(DOMAIN, {"attempt": attempt, "domain": "acme"})
    assert_page(response, 400, "belongs to another browser")


def test_the_question_for_the_domain_needs_a_csrf_token(
    egnyte_user: Any, enhanced: Any, browser: Client
) -> None:
    attempt = walk.query_of(parked(browser, enhanced))["attempt"]
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post(DOMAIN, {"attempt": attempt, "domain": "acme"}).status_code == 403
    assert enhanced.counts["token"] == 0
