from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.test import Client

from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken, TokenRequest
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import keys
from django_egnyte.services.revoke import process_revocations
from tests import walk

from .steps import (
    ACCOUNTS,
    CALLBACK,
    CONNECT,
    IMPLICIT,
    assert_page,
    fragment_of,
    granted,
    hidden,
    later,
    posted,
)


def test_implicit_asks_for_a_token(browser: Client, implicit: Any) -> None:
    query = walk.query_of(walk.begin(browser))
    assert query["response_type"] == "token"
    assert query["client_id"] == "sandbox-implicit-key"


def test_the_fragment_page_posts_with_a_csrf_token(
    browser: Client, implicit: Any, egnyte_user: Any
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(egnyte_user)
    fragment = granted(browser, implicit)
    for name, morsel in browser.cookies.items():
        strict.cookies[name] = morsel.value
    page = strict.get(CALLBACK)
    assert_page(page, 200, f'action="{IMPLICIT}"', 'name="access_token"')
    assert page["Referrer-Policy"] == "same-origin"
    token = hidden(page, "csrfmiddlewaretoken")

    assert posted(strict, fragment).status_code == 403
    assert not EgnyteAccount.objects.exists()
    response = posted(strict, fragment, csrfmiddlewaretoken=token)
    assert response.status_code == 302
    assert response["Location"] == ACCOUNTS
    account = EgnyteAccount.objects.get()
    assert (account.user, account.username, account.flow) == (egnyte_user, "jsmith", "implicit")
    assert account.open_token() == fragment["access_token"]
    assert account.opened_token().refresh_token.reveal() == ""
    assert account.expires_at is not None
    assert account.client.userinfo()["username"] == "jsmith"
    assert walk.orphans(implicit) == []


def test_the_fragment_page_needs_no_inline_script_or_style(browser: Client, implicit: Any) -> None:
    page = assert_page(browser.get(CALLBACK), 200)
    (script,) = re.findall(r"<script\b([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert 'src="/static/egnyte/implicit.js"' in script[0]
    assert script[1] == ""
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)


def test_the_fragment_page_says_so_where_there_is_no_javascript(
    browser: Client, implicit: Any
) -> None:
    page = assert_page(browser.get(CALLBACK), 200)
    (words,) = re.findall(r"<noscript>(.*?)</noscript>", page, re.DOTALL)
    assert "needs JavaScript" in words


def test_the_token_is_sought_where_egnyte_puts_it(browser: Client, implicit: Any) -> None:
    """The script posts these names; each is a name of RFC 6749 section 4.2.2."""
    page = assert_page(browser.get(CALLBACK), 200)
    fields = set(re.findall(r'<input type="hidden" name="(\w+)"', page))
    assert fields - {"csrfmiddlewaretoken"} == {
        "access_token", "state", "expires_in", "scope", "error",
    }  # fmt: skip


def test_an_anonymous_fragment_ends_at_the_log_in_page(client: Client, implicit: Any) -> None:
    response = client.get(CALLBACK)
    assert response.status_code == 302
    # The browser would add the fragment to a redirect that has none.
    assert response["Location"] == f"/accounts/login/?next={CALLBACK}#"


def test_an_anonymous_token_is_not_taken(client: Client, implicit: Any, db: None) -> None:
    issued = implicit.issue("acme", "jsmith")
    response = posted(client, {"access_token": issued.access_token, "state": "x"})
    assert response.status_code == 302
    assert issued.access_token not in response["Location"]
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()


@pytest.mark.parametrize("given", ["", "guessed"])
def test_a_token_without_its_state_is_not_taken(browser: Client, implicit: Any, given: str) -> None:
    fragment = granted(browser, implicit)
    assert_page(posted(browser, fragment, state=given), 400, "It belongs to another browser")
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert implicit.counts["userinfo"] == 0


def test_a_token_comes_once(browser: Client, implicit: Any) -> None:
    fragment = granted(browser, implicit)
    assert posted(browser, fragment).status_code == 302
    assert_page(posted(browser, fragment), 400, "already used")
    assert EgnyteToken.objects.count() == 1
    assert implicit.is_alive(fragment["access_token"])
    assert walk.orphans(implicit) == []


def test_a_token_of_another_session_is_refused(
    browser: Client, implicit: Any, another: Client
) -> None:
    """An attacker gives a victim a token, in order to read the victim's uploads."""
    fragment = granted(another, implicit, "bdoe")
    assert_page(posted(browser, fragment), 400, "It belongs to another browser")
    assert not EgnyteAccount.objects.exists()
    assert posted(another, fragment).status_code == 302


def test_a_late_token_is_refused(
    browser: Client, implicit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragment = granted(browser, implicit)
    later(monkeypatch)
    assert_page(posted(browser, fragment), 400, "longer than ten minutes")
    assert not EgnyteAccount.objects.exists()


def test_a_late_token_is_revoked(
    browser: Client, implicit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragment = granted(browser, implicit)
    later(monkeypatch)
    posted(browser, fragment)
    process_revocations()
    assert implicit.live_tokens() == []
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    # It was taken once, and its state is spent.
    assert_page(posted(browser, fragment), 400, "already used")
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()


def test_what_is_brought_late_uses_up_the_attempts(
    browser: Client, implicit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def garbage() -> dict[str, str]:
        state = walk.query_of(walk.begin(browser))["state"]
        return {"access_token": f"garbage-{state}", "state": state}

    for _ in range(4):
        posted(browser, garbage())
    late = [garbage(), garbage()]
    later(monkeypatch)
    assert [posted(browser, each).status_code for each in late] == [400, 429]
    assert EgnyteGrant.objects.exclude(release_at=None).count() == 5


def test_without_an_attempt_left_nobody_is_sent_to_egnyte(
    browser: Client, implicit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app could not accept a token that Egnyte would issue."""
    for number in range(5):
        state = walk.query_of(walk.begin(browser))["state"]
        garbage = {"access_token": f"garbage-{number}", "state": state}
        assert posted(browser, garbage).status_code == 400
    assert_page(browser.post(CONNECT, {"domain": "acme"}), 429, "Too many")
    TokenRequest.objects.all().delete()  # an hour has passed
    assert browser.post(CONNECT, {"domain": "acme"}).status_code == 302


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 404}, {"reset": True}])
def test_what_nobody_vouches_for_does_not_fill_the_database(
    browser: Client, implicit: Any, fault: dict[str, Any]
) -> None:
    """For example at a host that does not exist, which the user can choose."""
    implicit.faults.add(path="/userinfo", times=None, **fault)

    def garbage() -> dict[str, str]:
        state = walk.query_of(walk.begin(browser))["state"]
        return {"access_token": f"garbage-{state}", "state": state}

    for _ in range(4):
        assert posted(browser, garbage()).status_code != 429
    begun = [garbage(), garbage()]
    assert [posted(browser, each).status_code == 429 for each in begun] == [False, True]
    assert EgnyteGrant.objects.exclude(release_at=None).count() == 5


def test_what_browsers_bring_says_nothing_about_the_key(browser: Client, implicit: Any) -> None:
    """Otherwise one user could stop revocation for all users."""
    for hour in range(5):
        for number in range(5):
            state = walk.query_of(walk.begin(browser))["state"]
            posted(browser, {"access_token": f"garbage-{hour}-{number}", "state": state})
        process_revocations()
        TokenRequest.objects.all().delete()  # an hour has passed
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert not keys.is_doubted()


@pytest.mark.parametrize(
    "token", ["", " ", "a b", "x" * 4097, "tökén", "a\r\nX-Injected: 1", "\x00", "null\x7f"]
)
def test_what_is_no_token_is_a_400_page_and_no_call(
    browser: Client, implicit: Any, token: str
) -> None:
    fragment = granted(browser, implicit)
    response = posted(browser, fragment, access_token=token)
    assert_page(response, 400, "Egnyte was not connected")
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert implicit.counts["userinfo"] == 0


def test_a_token_that_egnyte_does_not_know_is_a_400_page(browser: Client, implicit: Any) -> None:
    fragment = granted(browser, implicit)
    implicit.revoke(fragment["access_token"])
    response = posted(browser, fragment, access_token="garbage-that-looks-like-a-token")
    page = assert_page(response, 400, "Egnyte was not connected")
    assert "garbage" not in page
    walk.assert_nothing_is_left(implicit)


@pytest.mark.parametrize("status", [401, 403])
def test_a_dead_token_is_a_400_page(browser: Client, implicit: Any, status: int) -> None:
    implicit.settings.unknown_token_status = status
    fragment = granted(browser, implicit)
    implicit.revoke(fragment["access_token"])
    assert_page(posted(browser, fragment), 400, "Egnyte was not connected")
    walk.assert_nothing_is_left(implicit)


def test_egnytes_own_trouble_stays_a_503_page(browser: Client, implicit: Any) -> None:
    fragment = granted(browser, implicit)
    implicit.faults.add(path="/userinfo", status=503)
    assert_page(posted(browser, fragment), 503)
    walk.assert_nothing_is_left(implicit)


def test_a_token_of_another_host_is_neither_kept_nor_sent_there(
    browser: Client, implicit: Any
) -> None:
    foreign = implicit.issue("globex", "mmiller", client_id="sandbox-implicit-key")
    fragment = granted(browser, implicit)
    implicit.revoke(fragment["access_token"])
    response = posted(browser, fragment, access_token=foreign.access_token)
    assert_page(response, 400, "Egnyte was not connected")
    assert not EgnyteAccount.objects.exists()
    walk.orphans(implicit)
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert {each.domain for each in implicit.requests_log} == {"acme"}
    assert implicit.is_alive(foreign.access_token)


def test_a_token_of_another_egnyte_user_than_the_one_to_relink_is_not_kept(
    browser: Client, implicit: Any
) -> None:
    assert posted(browser, granted(browser, implicit)).status_code == 302
    account = EgnyteAccount.objects.get()
    fragment = granted(browser, implicit, "bdoe", account=account.pk)
    assert_page(posted(browser, fragment), 409, "logged in as another user")
    stored = EgnyteAccount.objects.get()
    assert (stored.username, stored.open_token()) == ("jsmith", account.open_token())
    assert walk.orphans(implicit) == []
    assert not implicit.is_alive(fragment["access_token"])
    assert implicit.is_alive(stored.open_token())


def test_a_relink_replaces_an_implicit_token(browser: Client, implicit: Any) -> None:
    posted(browser, granted(browser, implicit))
    first = EgnyteAccount.objects.with_token().get()
    response = posted(browser, granted(browser, implicit, account=first.pk))
    assert response.status_code == 302
    second = EgnyteAccount.objects.get()
    assert second.pk == first.pk and second.token_id != first.token_id
    assert walk.orphans(implicit) == []
    assert not implicit.is_alive(first.open_token())


@pytest.mark.parametrize("relink", [False, True])
def test_an_implicit_token_never_replaces_one_of_another_flow(
    browser: Client, implicit: Any, egnyte_user: Any, relink: bool
) -> None:
    """RFC 6749 section 10.16: it proves no identity."""
    account = link_account(implicit, egnyte_user)
    data = {"account": account.pk} if relink else {}
    fragment = granted(browser, implicit, **data)
    assert_page(posted(browser, fragment), 400, "disconnect the account and connect it again")
    stored = EgnyteAccount.objects.get()
    assert (stored.flow, stored.open_token(), stored.token_id) == (
        "authorization_code", account.open_token(), account.token_id,
    )  # fmt: skip
    assert walk.orphans(implicit) == []
    assert implicit.is_alive(account.open_token())
    assert not implicit.is_alive(fragment["access_token"])


def test_posting_a_token_that_is_held_already_does_not_end_it(
    browser: Client, implicit: Any, another: Client
) -> None:
    posted(another, granted(another, implicit))
    held = EgnyteAccount.objects.get()
    fragment = granted(browser, implicit, "bdoe")
    mine = posted(browser, fragment)
    assert mine.status_code == 302
    again = granted(
        browser, implicit, "bdoe", account=EgnyteAccount.objects.get(username="bdoe").pk
    )
    response = posted(browser, again, access_token=held.open_token())
    assert_page(response, 409)
    walk.orphans(implicit)
    assert implicit.is_alive(held.open_token())
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()


def test_a_token_posted_for_an_attempt_of_another_flow_is_not_taken(
    browser: Client, egnyte_sandbox: Any
) -> None:
    given = walk.query_of(walk.begin(browser))["state"]
    issued = egnyte_sandbox.issue("acme", "jsmith")
    response = posted(browser, {"access_token": issued.access_token, "state": given})
    assert_page(response, 400)
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    assert egnyte_sandbox.counts["userinfo"] == 0


@pytest.mark.parametrize("where", ["fragment", "query"])
def test_a_refusal_is_a_403_page(browser: Client, implicit: Any, where: str) -> None:
    location = implicit.authorize(walk.begin(browser), "jsmith", allow=False)
    fragment = fragment_of(location)
    assert fragment["error"] == "access_denied"
    response = posted(browser, fragment) if where == "fragment" else browser.get(CALLBACK, fragment)
    assert_page(response, 403, "Access was not allowed at Egnyte")
    walk.assert_nothing_is_left(implicit)
    assert_page(posted(browser, fragment), 400, "already used")


@pytest.mark.parametrize("error", ["server_error", "<script>alert(1)</script>"])
def test_another_error_is_a_400_page_that_does_not_repeat_it(
    browser: Client, implicit: Any, error: str
) -> None:
    given = walk.query_of(walk.begin(browser))["state"]
    response = posted(browser, {"state": given, "error": error})
    assert error not in assert_page(response, 400)


ASKED = ["Egnyte.filesystem", "Egnyte.link"]


@pytest.mark.parametrize(
    ("scope", "stored"),
    [
        ("", ASKED),
        ("Egnyte.link", ["Egnyte.link"]),
        ("Egnyte.filesystem Egnyte.link Egnyte.user", ASKED),
        ("Egnyte.user", ASKED),
        ("Egnyte.link \x00 b\x00d ünknown", ["Egnyte.link"]),
        ("\x00", ASKED),
        ("Egnyte.link " * 200_000, ASKED),
        (" ".join(f"Egnyte.{number}" for number in range(150_000)), ASKED),
    ],
    ids=["none", "less", "more", "others", "noise", "no text", "long", "many"],
)
def test_what_a_browser_says_of_scopes_is_believed_where_it_is_less_than_was_asked_for(
    browser: Client, implicit: Any, settings: Any, scope: str, stored: list[str]
) -> None:
    settings.EGNYTE_SCOPES = ASKED
    fragment = granted(browser, implicit)
    assert posted(browser, fragment, scope=scope).status_code == 302
    assert EgnyteAccount.objects.get().scopes == stored


@pytest.mark.parametrize(
    ("expires_in", "expires"),
    [("3600", True), ("-1", False), ("", False), ("soon", False), ("1e999", False), ("nan", False)],
)
def test_what_a_browser_says_about_expiry_breaks_nothing(
    browser: Client, implicit: Any, expires_in: str, expires: bool
) -> None:
    fragment = granted(browser, implicit)
    assert posted(browser, fragment, expires_in=expires_in).status_code == 302
    assert (EgnyteAccount.objects.get().expires_at is not None) is expires


def test_a_posted_token_is_in_no_log_and_on_no_page(
    browser: Client, implicit: Any, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    fragment = granted(browser, implicit)
    implicit.faults.add(path="/userinfo", status=500)
    pages = [posted(browser, fragment), posted(browser, fragment)]
    pages.append(posted(browser, granted(browser, implicit)))
    token = EgnyteAccount.objects.get().open_token()
    pages.append(browser.get(ACCOUNTS))
    for secret in (fragment["access_token"], token):
        assert not [each for each in pages if secret in each.content.decode()]
        assert not [
            record for record in caplog.records
            if record.name != "django.db.backends" and secret in f"{record.__dict__}"
        ]  # fmt: skip
        assert secret not in repr(dict(browser.session))


@pytest.mark.parametrize(
    "bug", ["django_egnyte.oauth.parse_userinfo", "django_egnyte.views.flows.browser_answer"]
)
def test_an_error_page_under_debug_shows_no_posted_token(
    browser: Client, implicit: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, bug: str
) -> None:
    settings.DEBUG = True
    browser.raise_request_exception = False
    fragment = granted(browser, implicit)
    monkeypatch.setattr(bug, lambda *args, **kwargs: 1 / 0)
    response = posted(browser, fragment)
    page = response.content.decode()
    assert response.status_code == 500
    assert "ZeroDivisionError" in page
    assert fragment["access_token"] not in page
    assert fragment["state"] not in page
