"""``egnyte_required(scopes=...)``: more scopes are asked for through every flow."""

from __future__ import annotations

import html
import time
from typing import Any

import pytest
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_egnyte import scopes as signed_scopes
from django_egnyte.access import connect_url
from django_egnyte.decorators import egnyte_required
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.scopes import sign
from tests import urls, walk

from .steps import CONNECT, PASSWORD, assert_page, begin, granted, hidden, log_in, posted


@egnyte_required(scopes=["Egnyte.link"])
def links(request: HttpRequest) -> HttpResponse:
    return HttpResponse("links")


@egnyte_required(scopes=["Egnyte.audit"])
def audit(request: HttpRequest) -> HttpResponse:
    return HttpResponse("audit")


urlpatterns = [*urls.urlpatterns, path("links/", links), path("audit/", audit)]


@pytest.fixture
def scoped(settings: Any, egnyte_sandbox: Any) -> Any:
    settings.ROOT_URLCONF = __name__
    return egnyte_sandbox


def through(client: Client, sandbox: Any, address: str) -> Any:
    """From a page that needs more scopes, through consent, and back to it."""
    response = client.get(address)
    assert response.status_code == 302, response.content.decode()
    page = client.get(response["Location"])
    data = {"scopes": hidden(page, "scopes"), "next": hidden(page, "next"), "domain": "acme"}
    back = walk.come_back(client, sandbox.authorize(begin(client, **data), "jsmith"))
    assert back.status_code == 302, back.content.decode()
    assert back["Location"] == address
    return client.get(back["Location"])


@pytest.mark.parametrize("linked", [True, False])
def test_a_page_that_needs_more_scopes_gets_them(
    browser: Client, scoped: Any, egnyte_user: Any, linked: bool
) -> None:
    if linked:
        link_account(scoped, egnyte_user)
    response = browser.get("/links/")
    assert response.status_code == 302
    page = assert_page(browser.get(response["Location"]), 200)
    assert "Create and delete links to files and folders" in page
    assert "Read, write and delete files and folders" in page
    url = begin(browser, scopes=hidden(browser.get(response["Location"]), "scopes"), domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem Egnyte.link"

    assert through(browser, scoped, "/links/").content == b"links"
    account = EgnyteAccount.objects.get()
    assert account.scopes == ["Egnyte.filesystem", "Egnyte.link"]
    (grant,) = (each for each in scoped.live_grants() if "Egnyte.link" in each.scopes)
    assert set(grant.scopes) == {"Egnyte.filesystem", "Egnyte.link"}


def test_scopes_that_egnyte_did_not_grant_are_not_stored(
    browser: Client, scoped: Any, egnyte_user: Any
) -> None:
    scoped.policy.answer_scope = True
    scoped.faults.add(
        path="^/puboauth/token", method="POST", status=200,
        body={
            "access_token": scoped.issue("acme", "jsmith").access_token,
            "scope": "Egnyte.filesystem",
        },
    )  # fmt: skip
    walk.link(browser, scoped, scopes=sign(egnyte_user, ["Egnyte.link"]))
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem"]


WHOAMI = "^/pubapi/v1/whoami"


def messages_after(client: Client) -> str:
    return html.unescape(client.get("/egnyte/").content.decode())


def asked_whoami(sandbox: Any) -> int:
    return sum(each.path == "/pubapi/v1/whoami" for each in sandbox.requests_log)


@pytest.mark.parametrize("told_by", ["token", "whoami"])
def test_a_consent_that_grants_less_ends_with_a_message_and_in_no_loop(
    browser: Client, scoped: Any, told_by: str
) -> None:
    page = browser.get(browser.get("/links/")["Location"])
    data = {"scopes": hidden(page, "scopes"), "next": hidden(page, "next"), "domain": "acme"}
    location = scoped.authorize(begin(browser, **data), "jsmith")
    if told_by == "token":
        token = scoped.issue("acme", "jsmith").access_token
        body = {"access_token": token, "scope": "Egnyte.filesystem"}
        scoped.faults.add(path="^/puboauth/token", method="POST", status=200, body=body)
    else:
        scoped.faults.add(path=WHOAMI, status=200, body={"scopes": ["fs"]})
    back = walk.come_back(browser, location)
    assert (back.status_code, back["Location"]) == (302, "/egnyte/")
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem"]
    said = messages_after(browser)
    assert "Connected to acme.egnyte.com. Egnyte did not allow everything" in said
    assert "Missing: Create and delete links to files and folders." in said


def test_whoami_is_asked_once_and_only_where_the_answer_names_no_scopes(
    browser: Client, scoped: Any
) -> None:
    scoped.policy.answer_scope = True
    walk.link(browser, scoped)
    assert asked_whoami(scoped) == 0
    scoped.policy.answer_scope = False
    walk.link(browser, scoped)
    assert asked_whoami(scoped) == 1
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401},
        {"status": 403},
        {"status": 404},
        {"status": 429},
        {"status": 500},
        {"reset": True},
        {"status": 200, "body": "nonsense"},
        {"status": 200, "body": {}},
        {"status": 200, "body": {"scopes": []}},
        {"status": 200, "body": {"scopes": "fs"}},
        {"status": 200, "body": {"scopes": [None, 7, "novelty"]}},
    ],
    ids=str,
)
def test_a_failing_whoami_fails_no_link(
    browser: Client, scoped: Any, egnyte_user: Any, fault: dict[str, Any]
) -> None:
    scoped.faults.add(path=WHOAMI, times=None, **fault)
    response = walk.link(browser, scoped, scopes=sign(egnyte_user, ["Egnyte.link"]))
    assert response.status_code == 302
    assert asked_whoami(scoped) == 1
    account = EgnyteAccount.objects.get()
    assert account.scopes == ["Egnyte.filesystem", "Egnyte.link"]
    assert account.is_live
    assert "Missing:" not in messages_after(browser)


def test_a_scope_that_whoami_may_not_know_counts_as_granted(
    browser: Client, scoped: Any, egnyte_user: Any
) -> None:
    scoped.faults.add(path=WHOAMI, status=200, body={"scopes": ["fs", "user"]})
    walk.link(browser, scoped, scopes=sign(egnyte_user, ["Egnyte.link", "Egnyte.etmf"]))
    expected = ["Egnyte.filesystem", "Egnyte.etmf", "Egnyte.user"]
    assert EgnyteAccount.objects.get().scopes == expected


def test_a_token_for_every_api_is_not_asked_about(
    browser: Client, scoped: Any, settings: Any
) -> None:
    settings.EGNYTE_SCOPES = []
    walk.link(browser, scoped)
    assert asked_whoami(scoped) == 0
    assert EgnyteAccount.objects.get().scopes == []


def test_a_password_that_brings_less_ends_with_the_message(
    browser: Client, internal: Any, egnyte_user: Any
) -> None:
    internal.faults.add(path=WHOAMI, status=200, body={"scopes": ["fs"]})
    signed = sign(egnyte_user, ["Egnyte.link"])
    assert log_in(browser, scopes=signed, next="/links/")["Location"] == "/egnyte/"
    assert "Missing: Create and delete links to files and folders." in messages_after(browser)


def test_an_implicit_token_that_has_less_ends_with_the_message(
    browser: Client, implicit: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    page = browser.get(browser.get("/links/")["Location"])
    fragment = granted(browser, implicit, scopes=hidden(page, "scopes"))
    implicit.faults.add(path=WHOAMI, status=200, body={"scopes": ["fs"]})
    assert posted(browser, fragment, scope="")["Location"] == "/egnyte/"
    assert "Missing: Create and delete links to files and folders." in messages_after(browser)


def test_two_pages_that_need_different_scopes_do_not_take_turns(
    browser: Client, scoped: Any
) -> None:
    assert through(browser, scoped, "/links/").content == b"links"
    assert through(browser, scoped, "/audit/").content == b"audit"
    assert browser.get("/links/").content == b"links"


@pytest.mark.parametrize(
    "scopes",
    [
        "Egnyte.link",
        '["Egnyte.link"]',
        signing.dumps(["1", "Egnyte.link"], key="k" * 50, salt=signed_scopes.SALT),
        signing.dumps(["Egnyte.link"], key="k" * 50),
        "x" * 5000,
    ],
    # A signature names its second, and workers must collect the same tests.
    ids=["plain", "json", "another key", "another key and salt", "long"],
)
def test_scopes_that_this_site_did_not_sign_are_ignored(
    browser: Client, scoped: Any, caplog: pytest.LogCaptureFixture, scopes: str
) -> None:
    page = assert_page(browser.get(CONNECT, {"scopes": scopes}), 200)
    assert "Links to files and folders" not in page
    url = begin(browser, scopes=scopes, domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem"
    assert "not signed by this site" in caplog.text


def test_scopes_signed_for_another_purpose_or_changed_are_ignored(
    browser: Client, scoped: Any, egnyte_user: Any
) -> None:
    signed = sign(egnyte_user, ["Egnyte.link"])
    other = sign(egnyte_user, ["Egnyte.link", "Egnyte.user"])
    tampered = other.partition(":")[0] + ":" + signed.partition(":")[2]
    elsewhere = signing.dumps([str(egnyte_user.pk), "Egnyte.link"])
    for scopes in (elsewhere, tampered, signed[:-1]):
        url = begin(browser, scopes=scopes, domain="acme")
        assert walk.query_of(url)["scope"] == "Egnyte.filesystem"
    url = begin(browser, scopes=signed, domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem Egnyte.link"


def test_an_implicit_token_is_asked_for_with_the_scopes_needed(
    browser: Client, implicit: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    page = browser.get(browser.get("/links/")["Location"])
    fragment = granted(browser, implicit, scopes=hidden(page, "scopes"))
    assert posted(browser, fragment).status_code == 302
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem", "Egnyte.link"]


def test_a_password_is_traded_for_the_scopes_that_the_site_signed(
    browser: Client, internal: Any, egnyte_user: Any
) -> None:
    signed = sign(egnyte_user, ["Egnyte.link"])
    page = browser.get(PASSWORD, {"scopes": signed})
    assert log_in(browser, scopes=hidden(page, "scopes")).status_code == 302
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem", "Egnyte.link"]


def test_a_page_that_needs_more_scopes_gets_them_for_a_password(
    browser: Client, internal: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    page = browser.get("/links/", follow=True)
    assert_page(page, 200, "sends your password to Egnyte once")
    data = {"scopes": hidden(page, "scopes"), "next": hidden(page, "next")}
    assert log_in(browser, **data)["Location"] == "/links/"
    assert browser.get("/links/").content == b"links"


def test_scopes_that_were_not_signed_are_not_asked_for_with_a_password(
    browser: Client, internal: Any
) -> None:
    assert log_in(browser, scopes="Egnyte.link").status_code == 302
    assert EgnyteAccount.objects.get().scopes == ["Egnyte.filesystem"]


def test_scopes_signed_for_another_user_are_ignored(
    browser: Client, another: Client, scoped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = walk.query_of(another.get("/links/")["Location"])["scopes"]
    url = begin(browser, scopes=theirs, domain="acme")
    assert walk.query_of(url)["scope"] == "Egnyte.filesystem"
    assert "for this user" in caplog.text


def test_scopes_are_signed_for_a_day(
    browser: Client, scoped: Any, egnyte_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = sign(egnyte_user, ["Egnyte.link"])
    now = time.time()
    for age, asked in ((signed_scopes.LIFETIME - 5, True), (signed_scopes.LIFETIME + 5, False)):
        monkeypatch.setattr(signing.time, "time", lambda age=age: now + age)
        url = begin(browser, scopes=signed, domain="acme")
        assert ("Egnyte.link" in walk.query_of(url)["scope"]) is asked


@pytest.mark.parametrize(
    "payload",
    [
        ["Egnyte.link"],
        [],
        None,
        17,
        {"scopes": ["Egnyte.link"]},
        ["{user}", 17],
        ["{user}", "two words"],
        ["{user}", "x" * 101],
        ["{user}", *(f"Egnyte.{number}" for number in range(signed_scopes.MOST + 1))],
    ],
    ids=["no user", "empty", "nothing", "number", "dict", "no text", "blank", "long", "many"],
)
def test_what_was_signed_and_is_no_scopes_is_ignored(egnyte_user: Any, payload: Any) -> None:
    if isinstance(payload, list):
        payload = [str(egnyte_user.pk) if each == "{user}" else each for each in payload]
    signed = signing.dumps(payload, salt=signed_scopes.SALT)
    assert signed_scopes.read(egnyte_user, signed) is None


def test_scopes_need_a_user_to_be_signed_for() -> None:
    with pytest.raises(ValueError, match="user"):
        connect_url(scopes=["Egnyte.link"])


def test_a_user_logs_in_before_scopes_are_signed(client: Client, scoped: Any, db: None) -> None:
    response = client.get("/links/?page=2", headers={"Accept": "text/html"})
    assert response["Location"] == "/accounts/login/?next=/links/%3Fpage%3D2"
