from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connections
from django.test import Client
from django.urls import reverse

from django_egnyte import conf, state
from django_egnyte.models import AccountEvent, EgnyteAccount, SpentState
from tests import walk
from tests.walk import assert_nothing_is_left, assert_refusal

CALLBACK = "/egnyte/callback/"


def another_user(django_user_model: Any, django_username_field: str) -> Any:
    return django_user_model.objects.create(**{django_username_field: "other@example.com"})


def test_consent_leads_to_a_linked_account(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    response = walk.link(browser, egnyte_sandbox)

    assert response.status_code == 302
    assert response["Location"] == reverse("egnyte:accounts")
    account = EgnyteAccount.objects.get()
    assert account.user == egnyte_user
    assert (account.domain, account.egnyte_user_id) == ("acme.egnyte.com", 121)
    assert (account.username, account.first_name, account.last_name) == ("jsmith", "Jane", "Smith")
    assert account.scopes == ["Egnyte.filesystem"]
    assert account.is_default
    assert account.flow == "authorization_code"
    assert egnyte_sandbox.is_alive(account.open_token())
    assert walk.orphans(egnyte_sandbox) == []


def test_a_success_is_cached_nowhere_and_tells_no_other_site(
    browser: Client, egnyte_sandbox: Any
) -> None:
    response = walk.link(browser, egnyte_sandbox)
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"


def test_the_user_comes_back_to_next(browser: Client, egnyte_sandbox: Any) -> None:
    response = walk.link(browser, egnyte_sandbox, next="/plain/?page=2")
    assert response["Location"] == "/plain/?page=2"


@pytest.mark.parametrize("path", ["home", "no-view-has-this-name", "admin:logout", "a b"])
def test_a_next_that_looks_like_a_views_name_is_a_path(
    browser: Client, egnyte_sandbox: Any, path: str
) -> None:
    response = walk.link(browser, egnyte_sandbox, next=path)
    assert response.status_code == 302
    assert response["Location"] in (path, path.replace(" ", "%20"), reverse("egnyte:accounts"))


def test_a_callback_makes_eleven_queries(browser: Client, egnyte_sandbox: Any) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    with walk.Queries() as queries:
        response = walk.come_back(browser, location)
    assert response.status_code == 302
    assert len(queries.made) == 11, queries.made


@pytest.mark.parametrize("style", ["modern", "legacy"])
def test_a_relink_makes_at_most_twelve_queries(
    browser: Client, egnyte_sandbox: Any, style: str
) -> None:
    egnyte_sandbox.policy.style = style
    walk.link(browser, egnyte_sandbox)
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    with walk.Queries() as queries:
        response = walk.come_back(browser, location)
    assert response.status_code == 302
    assert len(queries.made) <= 12, queries.made
    assert EgnyteAccount.objects.count() == 1


# The user, the state and the code.


def test_an_anonymous_callback_goes_to_login_without_its_query(client: Client, db: None) -> None:
    response = client.get(CALLBACK, {"code": "c0de", "state": "st4te"})
    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?{urlencode({'next': CALLBACK}, safe='/')}"
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]


def test_an_anonymous_callback_keeps_no_query_under_login_required_middleware(
    client: Client, db: None, settings: Any
) -> None:
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    response = client.get(CALLBACK, {"code": "c0de", "state": "st4te"})
    assert response.status_code == 302
    assert "c0de" not in response["Location"]
    assert "st4te" not in response["Location"]


@pytest.mark.parametrize("method", ["post", "put", "head", "delete"])
def test_only_get_reaches_the_callback(browser: Client, egnyte_sandbox: Any, method: str) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    path = location.partition("http://testserver")[2]
    response = getattr(browser, method)(path)
    assert response.status_code == 405
    assert response["Referrer-Policy"] == "no-referrer"
    assert not SpentState.objects.exists()
    assert walk.come_back(browser, location).status_code == 302


def test_a_denied_consent_is_a_403_page(browser: Client, egnyte_sandbox: Any) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith", allow=False)
    response = walk.come_back(browser, location)
    assert_refusal(response, 403, "not allowed at Egnyte", reverse("egnyte:connect"))
    assert egnyte_sandbox.counts.get("token", 0) == 0
    assert_nothing_is_left(egnyte_sandbox)


def test_a_denial_uses_its_state_up(browser: Client, egnyte_sandbox: Any) -> None:
    url = walk.begin(browser)
    denied = egnyte_sandbox.authorize(url, "jsmith", allow=False)
    allowed = egnyte_sandbox.authorize(url, "jsmith")
    walk.come_back(browser, denied)
    assert_refusal(walk.come_back(browser, allowed), 400, "already used")
    assert not EgnyteAccount.objects.exists()


@pytest.mark.parametrize("error", ["server_error", "<script>alert(1)</script>", "x" * 5000])
def test_another_error_is_a_400_page_that_does_not_repeat_it(
    browser: Client, egnyte_sandbox: Any, error: str
) -> None:
    given = walk.query_of(walk.begin(browser))["state"]
    response = browser.get(
        CALLBACK, {"error": error, "error_description": "call 555-0199", "state": given}
    )
    assert_refusal(response, 400)
    assert error not in response.content.decode()
    assert "555-0199" not in response.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"code": "abc"},
        {"code": "abc", "state": ""},
        {"code": "abc", "state": "guessed"},
        {"code": "abc", "state": "x" * 100_000},
        {"code": "abc", "state": "\x00"},
        {"code": "abc", "state": "../../etc/passwd"},
        {"error": "access_denied"},
        {"error": "access_denied", "state": "guessed"},
    ],
)
def test_a_missing_or_wrong_state_is_a_400_page_and_no_call(
    browser: Client, egnyte_sandbox: Any, query: dict[str, str]
) -> None:
    walk.begin(browser)
    assert_refusal(browser.get(CALLBACK, query), 400, "It belongs to another browser")
    assert egnyte_sandbox.counts.get("token", 0) == 0
    assert not SpentState.objects.exists()


@pytest.mark.parametrize("raw", ["state=%ff%fe&code=x", "state=%ED%A0%80&code=%00", "%", "&&=&=="])
def test_a_query_that_is_no_text_is_a_400_page(
    browser: Client, egnyte_sandbox: Any, raw: str
) -> None:
    assert_refusal(browser.get(f"{CALLBACK}?{raw}"), 400)


def test_a_state_of_another_session_is_refused(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    """A victim follows a link with an attacker's code and state: RFC 6749 section 10.12."""
    attacker = Client()
    attacker.force_login(egnyte_user)
    location = egnyte_sandbox.authorize(walk.begin(attacker), "bdoe")
    assert_refusal(walk.come_back(browser, location), 400, "It belongs to another browser")
    assert not EgnyteAccount.objects.exists()
    assert egnyte_sandbox.counts.get("token", 0) == 0


def test_a_state_of_another_user_in_the_same_session_is_refused(
    browser: Client,
    egnyte_sandbox: Any,
    django_user_model: Any,
    django_username_field: str,
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    other = another_user(django_user_model, django_username_field)
    session = browser.session
    session[SESSION_KEY] = str(other.pk)
    session[HASH_SESSION_KEY] = other.get_session_auth_hash()
    assert session[BACKEND_SESSION_KEY]
    session.save()

    assert_refusal(walk.come_back(browser, location), 400, "belongs to another user")
    assert egnyte_sandbox.counts.get("token", 0) == 0
    assert not EgnyteAccount.objects.exists()


def test_an_expired_state_is_refused(
    browser: Client, egnyte_sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    later = time.time() + conf.STATE_LIFETIME + 1
    monkeypatch.setattr(state.time, "time", lambda: later)
    # The session lasts two weeks, longer than the clock is moved.
    assert_refusal(walk.come_back(browser, location), 400, "longer than ten minutes")
    assert egnyte_sandbox.counts.get("token", 0) == 0


def test_a_replayed_callback_is_refused_and_harms_nothing(
    browser: Client, egnyte_sandbox: Any
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    walk.come_back(browser, location)
    assert_refusal(walk.come_back(browser, location), 400, "already used")
    account = EgnyteAccount.objects.get()
    assert walk.orphans(egnyte_sandbox) == []
    assert egnyte_sandbox.is_alive(account.open_token())
    assert egnyte_sandbox.counts["token:authorization_code"] == 1


def test_a_replay_with_another_code_is_refused(browser: Client, egnyte_sandbox: Any) -> None:
    url = walk.begin(browser)
    first = egnyte_sandbox.authorize(url, "jsmith")
    second = egnyte_sandbox.authorize(url, "bdoe")
    walk.come_back(browser, first)
    assert_refusal(walk.come_back(browser, second), 400, "already used")
    assert EgnyteAccount.objects.get().username == "jsmith"


def test_two_tabs_do_not_disturb_each_other(browser: Client, egnyte_sandbox: Any) -> None:
    one = walk.begin(browser, "acme", next="/plain/?tab=1")
    two = walk.begin(browser, "globex", next="/plain/?tab=2")
    second = walk.come_back(browser, egnyte_sandbox.authorize(two, "mmiller"))
    first = walk.come_back(browser, egnyte_sandbox.authorize(one, "jsmith"))
    assert (first["Location"], second["Location"]) == ("/plain/?tab=1", "/plain/?tab=2")
    found = EgnyteAccount.objects.order_by("domain").values_list("domain", "username")
    assert list(found) == [("acme.egnyte.com", "jsmith"), ("globex.egnyte.com", "mmiller")]
    assert EgnyteAccount.objects.filter(is_default=True).count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_callbacks_at_the_same_instant_one_is_refused(
    browser: Client, egnyte_sandbox: Any
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    cookies = browser.cookies
    barrier = threading.Barrier(2)
    statuses: list[int] = []

    def come() -> None:
        twin = Client(raise_request_exception=False)
        twin.cookies = cookies
        barrier.wait()
        try:
            statuses.append(walk.come_back(twin, location).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=come) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [302, 400]
    assert egnyte_sandbox.counts["token:authorization_code"] == 1
    assert EgnyteAccount.objects.count() == 1
    assert walk.orphans(egnyte_sandbox) == []
    assert EgnyteAccount.objects.get().is_live


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("same_token", [False, True])
def test_two_attempts_that_end_at_the_same_instant_make_one_account(
    browser: Client, egnyte_sandbox: Any, same_token: bool
) -> None:
    egnyte_sandbox.policy.same_token = same_token
    locations = [egnyte_sandbox.authorize(walk.begin(browser), "jsmith") for _ in range(2)]
    cookies = browser.cookies
    barrier = threading.Barrier(2)
    statuses: list[int] = []

    def come(location: str) -> None:
        twin = Client(raise_request_exception=False)
        twin.cookies = cookies
        barrier.wait()
        try:
            statuses.append(walk.come_back(twin, location).status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=come, args=(each,)) for each in locations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {302, 409}
    assert 302 in statuses
    account = EgnyteAccount.objects.get()
    assert walk.orphans(egnyte_sandbox) == []
    account.refresh_from_db()
    assert account.is_live
    assert egnyte_sandbox.is_alive(account.open_token())


@pytest.mark.parametrize("code", ["", "never-issued", "c" * 5000, "a\r\nX-Injected: 1", "\x00"])
def test_a_code_that_egnyte_refuses_is_a_400_page(
    browser: Client, egnyte_sandbox: Any, code: str
) -> None:
    given = walk.query_of(walk.begin(browser))["state"]
    response = browser.get(CALLBACK, {"code": code, "state": given})
    assert_refusal(response, 400, "Egnyte was not connected")
    assert_nothing_is_left(egnyte_sandbox)


def test_a_stolen_code_of_another_key_is_refused(browser: Client, egnyte_sandbox: Any) -> None:
    egnyte_sandbox.add_key("another-key", "another-secret")
    foreign = walk.begin(browser).replace("sandbox-code-key", "another-key")
    assert_refusal(walk.come_back(browser, egnyte_sandbox.authorize(foreign, "jsmith")), 400)
    assert_nothing_is_left(egnyte_sandbox)


def test_a_code_of_another_domain_is_refused(browser: Client, egnyte_sandbox: Any) -> None:
    elsewhere = walk.begin(browser).replace("/d/acme/", "/d/globex/")
    location = egnyte_sandbox.authorize(elsewhere, "mmiller")
    assert_refusal(walk.come_back(browser, location), 400)
    assert_nothing_is_left(egnyte_sandbox)


def test_after_five_refused_codes_an_hour_no_more_are_tried(
    browser: Client, egnyte_sandbox: Any
) -> None:
    for _ in range(conf.FAILURES_PER_HOUR):
        given = walk.query_of(walk.begin(browser))["state"]
        assert browser.get(CALLBACK, {"code": "wrong", "state": given}).status_code == 400
    response = walk.link(browser, egnyte_sandbox)
    assert_refusal(response, 429, "wait an hour")
    assert int(response["Retry-After"]) > 0
    assert egnyte_sandbox.counts["token"] == conf.FAILURES_PER_HOUR
    assert AccountEvent.objects.filter(kind="link_failed").count() == conf.FAILURES_PER_HOUR


# Changes in other tabs and browsers meanwhile.


def test_a_session_that_ends_meanwhile_leads_through_login_to_a_new_attempt(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser, next="/plain/?page=2"), "jsmith")
    browser.session.flush()
    to_login = walk.come_back(browser, location)
    code = walk.query_of(location)["code"]
    assert to_login["Location"].startswith("/accounts/login/?next=/egnyte/connect/")
    assert code not in to_login["Location"]

    browser.force_login(egnyte_user)
    again = walk.query_of(to_login["Location"])["next"]
    page = browser.get(again).content.decode()
    assert 'value="/plain/?page=2"' in page
    assert egnyte_sandbox.counts.get("token", 0) == 0


def test_a_log_out_in_another_tab_and_a_log_in_again_lose_no_attempt(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    cookies = {name: each.value for name, each in browser.cookies.items() if "egnyte" in name}
    browser.logout()  # the test's client forgets all cookies, which a browser does not
    for name, value in cookies.items():
        browser.cookies[name] = value
    browser.force_login(egnyte_user)
    assert walk.come_back(browser, location).status_code == 302
    assert EgnyteAccount.objects.get().user == egnyte_user


def test_a_callback_in_another_browser_of_the_same_user_is_refused(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    phone = Client(headers={"Accept": "text/html"})
    phone.force_login(egnyte_user)
    assert_refusal(walk.come_back(phone, location), 400, "It belongs to another browser")
    # It continues in the browser in which it began.
    assert walk.come_back(browser, location).status_code == 302
