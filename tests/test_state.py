from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

import pytest
from django.core import signing

from django_egnyte import state
from django_egnyte.conf import STATE_LIFETIME, STATES_AT_MOST
from django_egnyte.exceptions import StateError

from .values import assert_stays_as_made


def begin(session: dict[str, Any], **changes: Any) -> str:
    values: dict[str, Any] = {
        "user": "7",
        "flow": "authorization_code",
        "host": "acme.egnyte.com",
        "redirect_uri": "https://site.example/egnyte/callback/",
        "scopes": ("Egnyte.filesystem",),
        "next": "/files/",
        "relink": 12,
    }
    return state.begin(session, **values | changes)


def reason_of(session: dict[str, Any], given: str, user: str = "7") -> str:
    with pytest.raises(StateError) as caught:
        state.recall(session, given, user=user)
    assert given == "" or given not in str(caught.value)
    return str(caught.value.reason)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(state.time, "time", lambda: now)


def test_an_attempt_is_recalled_as_it_was_begun() -> None:
    session: dict[str, Any] = {}
    attempt = state.recall(session, begin(session), user="7")
    assert (attempt.user, attempt.flow, attempt.host) == (
        "7", "authorization_code", "acme.egnyte.com",
    )  # fmt: skip
    assert attempt.redirect_uri == "https://site.example/egnyte/callback/"
    assert attempt.scopes == ("Egnyte.filesystem",)
    assert (attempt.next, attempt.relink) == ("/files/", 12)


def test_states_are_long_and_never_the_same() -> None:
    states = {begin({}) for _ in range(100)}
    assert len(states) == 100
    assert min(map(len, states)) >= 43  # 256 bits


def test_the_session_does_not_hold_the_state_itself() -> None:
    session: dict[str, Any] = {}
    assert begin(session) not in repr(session)


@pytest.mark.parametrize("given", ["", "guessed", "x" * 1_000_000, "\x00", "é", state.PREFIX])
def test_a_state_that_was_not_begun_here_is_missing(given: str) -> None:
    session: dict[str, Any] = {}
    begin(session)
    assert reason_of(session, given) == "missing"


def test_a_state_lives_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    given = begin(session)
    later(monkeypatch, STATE_LIFETIME - 5)
    state.recall(session, given, user="7")
    later(monkeypatch, STATE_LIFETIME + 5)
    assert reason_of(session, given) == "expired"


@pytest.mark.parametrize("user", ["8", "", "77", "None"])
def test_a_state_of_another_user_is_foreign(user: str) -> None:
    session: dict[str, Any] = {}
    assert reason_of(session, begin(session), user) == "foreign"


def test_what_was_not_signed_by_this_site_is_not_believed() -> None:
    session: dict[str, Any] = {}
    given = begin(session)
    (key,) = session
    for forged in (
        signing.dumps({"user": "7", "host": "evil.example"}),  # another salt
        signing.dumps(["no", "dict"], salt=state.SALT),
        signing.dumps({"user": "7"}, salt=state.SALT),
        signing.dumps(None, salt=state.SALT),
        session[key][:-1] + ("A" if session[key][-1] != "A" else "B"),
        {"user": "7"},
        None,
        17,
    ):
        assert reason_of({key: forged}, given) == "missing"


def test_two_attempts_do_not_disturb_each_other() -> None:
    session: dict[str, Any] = {}
    one, two = begin(session, host="acme.egnyte.com"), begin(session, host="globex.egnyte.com")
    assert state.recall(session, one, user="7").host == "acme.egnyte.com"
    assert state.recall(session, two, user="7").host == "globex.egnyte.com"


def test_the_oldest_attempts_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {"cart": "kept"}
    given = []
    for second in range(STATES_AT_MOST + 3):
        later(monkeypatch, second)
        given.append(begin(session))
        assert len(session) - 1 <= STATES_AT_MOST
    assert [reason_of(session, each) for each in given[:3]] == ["missing"] * 3
    for each in given[3:]:
        state.recall(session, each, user="7")
    assert session["cart"] == "kept"


def test_what_is_broken_or_expired_makes_room_first(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {state.PREFIX + "broken": 17}
    old = begin(session)
    later(monkeypatch, STATE_LIFETIME + 1)
    new = begin(session)
    assert len(session) == 1
    assert reason_of(session, old) == "missing"
    state.recall(session, new, user="7")


def at(monkeypatch: pytest.MonkeyPatch, second: float) -> None:
    monkeypatch.setattr(state.time, "time", lambda: 1_800_000_000 + second)


def test_the_ten_minutes_are_over_after_their_last_second(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    at(monkeypatch, 0)
    given = begin(session)
    at(monkeypatch, STATE_LIFETIME)
    state.recall(session, given, user="7")
    begin(session)  # throws nothing away yet
    state.recall(session, given, user="7")
    at(monkeypatch, STATE_LIFETIME + 1)
    assert reason_of(session, given) == "expired"
    begin(session)
    assert reason_of(session, given) == "missing"


def test_a_state_has_256_bits_however_it_comes_about() -> None:
    session: dict[str, Any] = {}
    begun = begin(session)
    parked = state.park(session, state.recall(session, begun, user="7"), "a code")
    for given in (begun, parked):
        assert len(base64.urlsafe_b64decode(given + "=")) == 32


def test_a_state_is_as_long_as_a_hundred_and_ninety_nine(monkeypatch: pytest.MonkeyPatch) -> None:
    for length, fits in ((199, True), (200, False)):
        session: dict[str, Any] = {}
        monkeypatch.setattr(state.secrets, "token_urlsafe", lambda size, n=length: "x" * n)
        given = begin(session)
        if fits:
            state.recall(session, given, user="7")
        else:
            assert reason_of(session, given) == "missing"


def test_an_attempt_that_an_earlier_release_began_is_recalled() -> None:
    """Sessions outlive a deployment: neither the keys nor the form may move."""
    session: dict[str, Any] = {}
    key = "egnyte_state_" + hashlib.sha256(b"a state").hexdigest()[:32]
    values = {"user": "7", "flow": "implicit", "host": "", "redirect_uri": "", "scopes": []}
    values |= {"next": "", "relink": None, "started": int(time.time())}
    session[key] = signing.dumps(values, salt="django_egnyte.state")
    assert state.recall(session, "a state", user="7").flow == "implicit"


def test_a_parked_code_is_taken_back_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    begun = begin(session)
    attempt = state.recall(session, begun, user="7")
    parked = state.park(session, attempt, "a code")
    assert "a code" not in repr(session)
    assert state.take_back(session, parked, user="7") == (attempt, "a code")
    # A parked attempt is no begun one, nor the other way round.
    assert reason_of(session, parked) == "missing"
    with pytest.raises(StateError) as caught:
        state.take_back(session, begun, user="7")
    assert caught.value.reason == "missing"
    with pytest.raises(StateError) as caught:
        state.take_back(session, parked, user="8")
    assert caught.value.reason == "foreign"


def test_a_parked_code_makes_room_and_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    at(monkeypatch, 0)
    attempt = state.recall(session, begin(session), user="7")
    for second in range(1, STATES_AT_MOST + 1):
        at(monkeypatch, second)
        begin(session)
    parked = state.park(session, attempt, "a code")
    assert len(session) == STATES_AT_MOST
    # It is as old as the attempt that brought it, so it is the first to go.
    assert state.take_back(session, parked, user="7")[1] == "a code"
    begin(session)
    with pytest.raises(StateError):
        state.take_back(session, parked, user="7")


def test_a_parked_code_that_no_key_opens_is_missing(settings: Any) -> None:
    session: dict[str, Any] = {}
    settings.EGNYTE_ENCRYPTION_KEYS = ["an old key of thirty-two characters or more"]
    parked = state.park(session, state.recall(session, begin(session), user="7"), "a code")
    settings.EGNYTE_ENCRYPTION_KEYS = ["a new key of thirty-two characters or more"]
    with pytest.raises(StateError) as caught:
        state.take_back(session, parked, user="7")
    assert caught.value.reason == "missing"


def test_broken_attempts_go_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    given = begin(session)
    for number, broken in enumerate((17, "unsigned", signing.dumps(None, salt=state.SALT))):
        session[f"{state.PREFIX}{number}"] = broken
    session[state.PREFIX + "no time"] = signing.dumps({"started": "soon"}, salt=state.SALT)
    begin(session)
    assert len(session) == 2
    state.recall(session, given, user="7")


def test_an_attempt_stays_what_it_was_begun_as() -> None:
    assert_stays_as_made(state.Attempt)
