from __future__ import annotations

import base64
import hashlib
from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest
from django.core import signing
from django.http import HttpResponse

from django_egnyte import state
from django_egnyte.conf import STATE_LIFETIME, STATES_AT_MOST
from django_egnyte.exceptions import StateError
from django_egnyte.secret import Secret

from .values import assert_stays_as_made


class Browser:
    """Keeps cookies as a browser does, each for its path."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Morsel[str]] = {}

    def take(self, response: HttpResponse) -> None:
        for name, morsel in response.cookies.items():
            key = (name, morsel["path"])
            self.kept.pop(key, None)
            if morsel["max-age"] != 0:
                self.kept[key] = morsel

    def sends(self, path: str) -> dict[str, str]:
        return {name: each.value for (name, of), each in self.kept.items() if path.startswith(of)}

    def header(self, path: str) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.sends(path).items())

    @property
    def attempts(self) -> list[Morsel[str]]:
        return [each for (name, _), each in self.kept.items() if name.startswith(state.PREFIX)]


CONNECT, CALLBACK, DOMAIN, IMPLICIT = (
    f"/egnyte/{name}/" for name in ("connect", "callback", "domain", "implicit")
)


def begin(browser: Browser, **changes: Any) -> str:
    values: dict[str, Any] = {
        "user": "7",
        "flow": "authorization_code",
        "host": "acme.egnyte.com",
        "redirect_uri": "https://site.example/egnyte/callback/",
        "scopes": ("Egnyte.filesystem",),
        "next": "/files/",
        "relink": 12,
    }
    response, given = HttpResponse(), state.new()
    state.begin(browser.sends(CONNECT), response, given, **values | changes)
    browser.take(response)
    return given


def park(browser: Browser, attempt: state.Attempt, code: str = "a code") -> str:
    response = HttpResponse()
    parked = state.park(response, attempt, Secret(code))
    browser.take(response)
    return parked


def recall(browser: Browser, given: str, user: str = "7", **options: Any) -> state.Attempt:
    return state.recall(browser.sends(CALLBACK), given, user=user, **options)


def reason_of(browser: Browser, given: str, user: str = "7") -> str:
    with pytest.raises(StateError) as caught:
        recall(browser, given, user)
    assert given == "" or given not in str(caught.value)
    return str(caught.value.reason)


def at(monkeypatch: pytest.MonkeyPatch, second: float) -> None:
    monkeypatch.setattr(state.time, "time", lambda: 1_800_000_000 + second)


def test_an_attempt_is_recalled_as_it_was_begun() -> None:
    browser = Browser()
    attempt = recall(browser, begin(browser))
    assert (attempt.user, attempt.flow, attempt.host) == (
        "7", "authorization_code", "acme.egnyte.com",
    )  # fmt: skip
    assert attempt.redirect_uri == "https://site.example/egnyte/callback/"
    assert attempt.scopes == ("Egnyte.filesystem",)
    assert (attempt.next, attempt.relink) == ("/files/", 12)


def test_states_are_long_and_never_the_same() -> None:
    states = {state.new() for _ in range(100)}
    assert len(states) == 100
    assert {len(base64.urlsafe_b64decode(each + "=")) for each in states} == {32}  # 256 bits


def test_the_cookie_is_for_the_callback_alone(settings: Any) -> None:
    for secure, domain in ((False, None), (True, ".site.example")):
        settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_DOMAIN = secure, domain
        browser = Browser()
        begin(browser)
        (cookie,) = browser.attempts
        assert cookie["path"] == CALLBACK
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"
        assert cookie["max-age"] == STATE_LIFETIME
        assert bool(cookie["secure"]) is secure
        assert (cookie["domain"] or None) == domain
        assert browser.sends("/files/") == {}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("https://site.example/app/egnyte/callback/", "/app/egnyte/callback/"),
        ("https://site.example", "/"),
        ("https://site.example/a?b=c", "/a"),
    ],
)
def test_the_cookies_path_is_the_one_that_the_browser_sees(uri: str, path: str) -> None:
    browser = Browser()
    begin(browser, redirect_uri=uri)
    assert [each["path"] for each in browser.attempts] == [path]


def test_an_implicit_answer_is_awaited_for_longer_and_by_its_own_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Egnyte has issued the late token, so the app must be able to revoke it."""
    browser = Browser()
    at(monkeypatch, 0)
    given = begin(browser, flow="implicit")
    (cookie,) = browser.attempts
    assert (cookie["path"], cookie["max-age"]) == (IMPLICIT, state.LATE_TOKEN)
    assert browser.kept[(state.INDEX, CONNECT)]["max-age"] == state.LATE_TOKEN
    at(monkeypatch, STATE_LIFETIME + 1)
    sent = browser.sends(IMPLICIT)
    assert state.recall(sent, given, user="7", late=True).flow == "implicit"
    with pytest.raises(StateError):
        state.recall(sent, given, user="7")


def test_no_cookie_holds_the_state_itself() -> None:
    browser = Browser()
    assert begin(browser) not in browser.header(CALLBACK) + browser.header(CONNECT)


@pytest.mark.parametrize("given", ["", "guessed", "x" * 1_000_000, "\x00", "é", state.PREFIX])
def test_a_state_that_was_not_begun_here_is_missing(given: str) -> None:
    browser = Browser()
    begin(browser)
    assert reason_of(browser, given) == "missing"


def test_a_state_is_good_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser()
    at(monkeypatch, 0)
    given = begin(browser)
    at(monkeypatch, STATE_LIFETIME)
    recall(browser, given)
    at(monkeypatch, STATE_LIFETIME + 1)
    assert reason_of(browser, given) == "expired"


@pytest.mark.parametrize("user", ["8", "", "77", "None"])
def test_a_state_of_another_user_is_foreign(user: str) -> None:
    browser = Browser()
    given = begin(browser)
    assert reason_of(browser, given, user) == "foreign"
    found = state.begun_by_anybody(browser.sends(CALLBACK), given)
    assert found is not None and found.next == "/files/"


def test_a_state_of_nobodys_leads_nowhere() -> None:
    browser = Browser()
    begin(browser)
    assert state.begun_by_anybody(browser.sends(CALLBACK), "guessed") is None


def test_what_was_not_signed_by_this_site_for_this_state_is_not_believed() -> None:
    browser = Browser()
    given, other = begin(browser), begin(browser)
    first, second = (each.key for each in browser.attempts)
    sent = browser.sends(CALLBACK)
    salt = f"{state.SALT}|{first}"
    for forged in (
        signing.dumps({"user": "7", "host": "evil.example"}),  # another salt
        signing.dumps(["no", "dict"], salt=salt),
        signing.dumps({"user": "7"}, salt=salt),
        signing.dumps(None, salt=salt),
        sent[first][:-1] + ("A" if sent[first][-1] != "A" else "B"),
        sent[second],
        "x" * 100_000,
        "",
        ".",
        ".eJx:x",
    ):
        with pytest.raises(StateError) as caught:
            state.recall(sent | {first: forged}, given, user="7")
        assert caught.value.reason == "missing"
        assert state.begun_by_anybody(sent | {first: forged}, given) is None
    state.recall(sent | {first: sent[second]}, other, user="7")


def test_two_attempts_that_begin_at_once_are_both_kept() -> None:
    browser = Browser()
    responses = [HttpResponse(), HttpResponse()]
    states = [state.new(), state.new()]
    sent = browser.sends(CONNECT)
    for response, given, host in zip(responses, states, ("acme", "globex"), strict=True):
        state.begin(
            sent, response, given, user="7", flow="authorization_code", host=host,
            redirect_uri="https://site.example/egnyte/callback/", scopes=(),
        )  # fmt: skip
    for response in reversed(responses):
        browser.take(response)
    assert [recall(browser, given).host for given in states] == ["acme", "globex"]


def test_the_oldest_attempts_make_room() -> None:
    browser = Browser()
    given = []
    for _ in range(STATES_AT_MOST + 3):
        given.append(begin(browser))
        assert len(browser.attempts) <= STATES_AT_MOST
    assert [reason_of(browser, each) for each in given[:3]] == ["missing"] * 3
    for each in given[3:]:
        recall(browser, each)


@pytest.mark.parametrize("length", [500, 1_900, 12_000])
def test_cookies_stay_small_however_long_next_is(length: int) -> None:
    browser = Browser()
    path = "/" + "".join(hashlib.sha512(bytes([n % 256, n // 256])).hexdigest() for n in range(100))
    given = [begin(browser, next=path[:length]) for _ in range(STATES_AT_MOST)]
    names = len(browser.attempts) * (len(state.PREFIX) + 32 + len("=; "))
    assert len(browser.header(CALLBACK)) <= state.ALL_COOKIES + names
    assert (len(browser.attempts) < STATES_AT_MOST) is (length == 1_900)
    for cookie in browser.attempts:
        assert len(cookie.OutputString()) < 4096
    newest = recall(browser, given[-1])
    assert newest.next == (path[:length] if length < 2_000 else "")
    assert newest.host == "acme.egnyte.com"


@pytest.mark.parametrize(
    "listed",
    ["", "x", ".-.", "0" * 32 + "-", "g" * 32 + "-1", "0" * 32 + "-1." * 9_000, "\x00", "é"],
)
def test_a_list_of_attempts_that_somebody_wrote_harms_nothing(listed: str) -> None:
    response, given = HttpResponse(), state.new()
    state.begin(
        {state.INDEX: listed}, response, given, user="7", flow="authorization_code", host="",
        redirect_uri="https://site.example/egnyte/callback/", scopes=(),
    )  # fmt: skip
    assert len(response.cookies) <= STATES_AT_MOST + 3
    browser = Browser()
    browser.take(response)
    recall(browser, given)


def test_a_cookie_list_can_be_read_by_any_client() -> None:
    browser = Browser()
    begin(browser), begin(browser)
    parsed = SimpleCookie(browser.header(CONNECT))
    assert len(state._LISTED.findall(parsed[state.INDEX].value)) == 2


def test_a_parked_code_is_taken_back_and_only_that() -> None:
    browser = Browser()
    begun = begin(browser)
    attempt = recall(browser, begun)
    parked = park(browser, attempt)
    sent = browser.sends(DOMAIN)
    assert "a code" not in repr(sent)
    assert browser.sends(CALLBACK).keys().isdisjoint(sent)
    assert state.take_back(sent, parked, user="7") == (attempt, Secret("a code"))
    # A parked attempt cannot be used as a new one, and a new one cannot be used as a parked one.
    everything = sent | browser.sends(CALLBACK)
    for take, given, user, reason in (
        (state.recall, parked, "7", "missing"),
        (state.take_back, begun, "7", "missing"),
        (state.take_back, parked, "8", "foreign"),
    ):
        with pytest.raises(StateError) as caught:
            take(everything, given, user=user)
        assert caught.value.reason == reason


def test_a_parked_code_is_as_old_as_its_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser()
    at(monkeypatch, 0)
    given = begin(browser)
    at(monkeypatch, STATE_LIFETIME - 5)
    parked = park(browser, recall(browser, given))
    at(monkeypatch, STATE_LIFETIME + 5)
    with pytest.raises(StateError) as caught:
        state.take_back(browser.sends(DOMAIN), parked, user="7")
    assert caught.value.reason == "expired"


def test_a_parked_code_that_no_key_opens_is_missing(settings: Any) -> None:
    browser = Browser()
    settings.EGNYTE_ENCRYPTION_KEYS = ["an old key of thirty-two characters or more"]
    parked = park(browser, recall(browser, begin(browser)))
    settings.EGNYTE_ENCRYPTION_KEYS = ["a new key of thirty-two characters or more"]
    with pytest.raises(StateError) as caught:
        state.take_back(browser.sends(DOMAIN), parked, user="7")
    assert caught.value.reason == "missing"


def test_the_longest_code_fits_beside_the_longest_next() -> None:
    browser = Browser()
    path = "/" + base64.b64encode(bytes(n * 7 % 256 for n in range(1_400))).decode()
    attempt = recall(browser, begin(browser, next=path))
    parked = park(browser, attempt, "c" * state.LONGEST_CODE)
    assert len(browser.header(DOMAIN)) < 4096
    taken, code = state.take_back(browser.sends(DOMAIN), parked, user="7")
    assert code == Secret("c" * state.LONGEST_CODE)
    assert taken.host == attempt.host
    with pytest.raises(ValueError, match="cookie"):
        park(browser, attempt, "c" * (state.LONGEST_CODE + 1))


def test_an_attempt_stays_what_it_was_begun_as() -> None:
    assert_stays_as_made(state.Attempt)
