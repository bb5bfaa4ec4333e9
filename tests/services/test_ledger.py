from __future__ import annotations

import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone

from django_egnyte import gateway
from django_egnyte.choices import Purpose
from django_egnyte.exceptions import (
    EgnyteError,
    InvalidGrantError,
    RateLimitedError,
    ResponseError,
    TooManyFailuresError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.models import KeyState, TokenRequest
from django_egnyte.secret import Secret
from django_egnyte.services import ledger, sweep
from django_egnyte.services import link as linking
from django_egnyte.services.transactions import hence

from .conftest import HOST
from .rows import MINUTE, generations, refreshes_due
from .test_link import code_for, link_by_code
from .threads import Threads

OTHER_HOST = "globex.egnyte.com"


@pytest.fixture(autouse=True)
def limit(egnyte_sandbox, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 10
    return 10


def charge(purpose, times=1, *, host=HOST, error=None, **whom):
    """Make this number of requests, each of which fails with the error."""
    for _ in range(times):
        try:
            with ledger.charged(purpose, host=host, **whom):
                if error is not None:
                    raise error
        except EgnyteError as raised:
            if raised is not error:
                raise


def refused(purpose, *, host=HOST, **whom):
    """The seconds to wait. The refused request is not stored."""
    before = TokenRequest.objects.count()
    with pytest.raises(RateLimitedError) as caught:
        charge(purpose, host=host, **whom)
    assert (caught.value.kind, caught.value.status) == ("token_endpoint", None)
    assert TokenRequest.objects.count() == before
    return caught.value.retry_after


def shift(ago):
    TokenRequest.objects.update(created_at=timezone.now() - ago)


# Stored rows


def test_a_request_is_written_down_before_it_is_made():
    with ledger.charged(Purpose.REFRESH, host=HOST, user_ref="7"):
        row = TokenRequest.objects.get()
        assert (row.key_digest, row.user_ref) == (gateway.key_digest(), "7")
        assert (row.host, row.purpose, row.failed) == (HOST, Purpose.REFRESH, False)
        assert abs(timezone.now() - row.created_at) < MINUTE
    assert TokenRequest.objects.get().failed is False


@pytest.mark.parametrize(
    ("error", "by_user"),
    [
        (InvalidGrantError("no"), True),
        (ResponseError("no"), True),
        (UnauthorizedError("no"), True),
        (UnavailableError("503", status=503), False),
        (UnavailableError("reset"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_whatever_ends_a_request_is_counted_and_a_refusal_as_the_users(error, by_user):
    with pytest.raises(type(error)), ledger.charged(Purpose.LINK, host=HOST, user_ref="7"):
        raise error
    row = TokenRequest.objects.get()
    assert (row.failed, row.refused) == (True, by_user)


def test_a_username_is_not_shown():
    charge(Purpose.LINK, user_ref="7", username="jsmith")
    row = TokenRequest.objects.get()
    assert len(row.username_digest) == 64 and "jsmith" not in str(vars(row))
    assert not row.failed


def test_an_outage_while_a_failure_is_noted_does_not_hide_the_failure(monkeypatch, caplog):
    def away(*args, **options):
        raise OperationalError("away")

    error = RateLimitedError("Slower.", retry_after=5, kind="token_endpoint", status=409)
    monkeypatch.setattr(ledger, "write_key_state", away)
    with pytest.raises(RateLimitedError) as caught, ledger.charged(Purpose.LINK, host=HOST):
        raise error
    assert caught.value is error
    assert [r for r in caplog.records if getattr(r, "event", "") == "ledger_not_written"]


def test_what_was_used_is_told_without_what_asked_no_token_endpoint():
    charge(Purpose.REFRESH, 3)
    charge(Purpose.LINK, 2, user_ref="7")
    charge(Purpose.IMPLICIT, 2, user_ref="7")
    assert ledger.used_this_hour() == (5, 2)
    shift(61 * MINUTE)
    assert ledger.used_this_hour() == (0, 0)


# The key's hour


def test_all_of_it_is_for_refreshes():
    charge(Purpose.REFRESH, 10)
    assert 59 * 60 < refused(Purpose.REFRESH) <= 60 * 60


def test_an_hour_has_sixty_minutes():
    charge(Purpose.REFRESH, 10)
    shift(59 * MINUTE)
    assert 30 < refused(Purpose.REFRESH) <= 60
    shift(61 * MINUTE)
    charge(Purpose.REFRESH)


def test_the_hour_slides():
    """A limit that is reset every hour would allow twice as much within one hour."""
    charge(Purpose.REFRESH, 5)
    shift(50 * MINUTE)
    charge(Purpose.REFRESH, 5)
    assert 9 * 60 < refused(Purpose.REFRESH) <= 10 * 60


def test_four_in_ten_are_for_users_who_connect(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 20
    for user in range(8):
        charge(Purpose.LINK, user_ref=str(user))
    assert 59 * 60 < refused(Purpose.LINK, user_ref="another") <= 60 * 60
    charge(Purpose.REFRESH, 12)
    refused(Purpose.REFRESH)


def test_six_in_ten_stay_for_refreshes_whatever_else_is_asked(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 20
    made = 0
    for purpose in (Purpose.REVOKE, Purpose.PROOF, Purpose.LINK):
        for user in range(20):
            try:
                charge(purpose, user_ref=str(user))
                made += 1
            except RateLimitedError:
                break
    assert made == 8
    charge(Purpose.REFRESH, 12)


@pytest.mark.parametrize("purpose", [Purpose.REVOKE, Purpose.PROOF])
def test_what_the_app_asks_beside_refreshes_is_a_tenth_each(purpose, settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 20
    charge(purpose, 2)
    refused(purpose)
    charge(Purpose.LINK, user_ref="7")
    charge(Purpose.REFRESH)
    assert TokenRequest.objects.count() == 4


def test_users_can_connect_however_small_the_budget_is(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    charge(Purpose.REFRESH)
    charge(Purpose.LINK, user_ref="7")
    refused(Purpose.LINK, user_ref="8")
    assert TokenRequest.objects.count() == 2


def test_each_key_has_an_hour_of_its_own(settings):
    charge(Purpose.REFRESH, 10)
    settings.EGNYTE_CLIENT_ID = "another-key"
    charge(Purpose.REFRESH)
    assert ledger.used_this_hour() == (1, 0)


# One user does not affect others


def test_forty_reconnects_of_one_user_leave_all_others_alone(
    egnyte_sandbox, egnyte_user, make_user, link, settings
):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    waiting = link(make_user("waiting"))
    refreshes_due(waiting)
    served = 0
    for _ in range(40):
        try:
            link_by_code(egnyte_user, code_for(egnyte_sandbox))
            served += 1
        except RateLimitedError:
            continue
    assert served == 10
    for number in range(5):
        link_by_code(make_user(f"other{number}"), code_for(egnyte_sandbox))
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": True}, {"status": 302, "headers": {"Location": "http://evil/"}}],
)
def test_forty_made_up_codes_count_for_their_user_and_host(
    egnyte_sandbox, egnyte_user, make_user, link, settings, fault
):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    waiting = link(make_user("waiting"))
    refreshes_due(waiting)
    egnyte_sandbox.faults.add(grant_type="authorization_code", times=None, **fault)
    asked = 0
    for _ in range(40):
        with pytest.raises(EgnyteError) as caught:
            link_by_code(egnyte_user, "made-up")
        asked += not isinstance(caught.value, (RateLimitedError, TooManyFailuresError))
    assert asked == TokenRequest.objects.filter(failed=True, user_ref=str(egnyte_user.pk)).count()
    assert asked <= 10 and egnyte_sandbox.faults.rules[0].hits == asked
    # Others connect there and elsewhere, and refreshes go on there.
    egnyte_sandbox.faults.clear()
    link_by_code(make_user("other"), code_for(egnyte_sandbox))
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}


def test_many_users_with_made_up_codes_at_one_host_stop_only_links_there(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    for user in range(40):
        with suppress(RateLimitedError):
            charge(Purpose.LINK, user_ref=f"bad{user}", error=UnavailableError("503", status=503))
    assert TokenRequest.objects.count() <= 26
    refused(Purpose.LINK, user_ref="good")
    charge(Purpose.LINK, user_ref="good", host=OTHER_HOST)
    charge(Purpose.REFRESH, 60)


def test_failing_refreshes_at_one_host_leave_others_their_hour(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    with pytest.raises(RateLimitedError):
        charge(Purpose.REFRESH, 40, error=UnavailableError("503", status=503))
    assert TokenRequest.objects.count() <= 26
    charge(Purpose.REFRESH, host=OTHER_HOST)
    charge(Purpose.LINK, user_ref="7")


def test_refusals_of_refresh_tokens_stop_no_refresh_at_their_host(settings):
    """A customer deletes forty users. Their tokens are not refreshed any more, but others are."""
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    charge(Purpose.REFRESH, 40, error=InvalidGrantError("no"))
    charge(Purpose.REFRESH)
    assert TokenRequest.objects.count() == 41


def test_five_refused_attempts_in_an_hour_are_enough(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    charge(Purpose.LINK, 4, user_ref="7", error=InvalidGrantError("no"))
    ledger.refuse_without_allowance("7")
    charge(Purpose.LINK, user_ref="7", error=InvalidGrantError("no"))
    for _ in range(2):
        with pytest.raises(TooManyFailuresError) as caught:
            charge(Purpose.LINK, user_ref="7")
        assert 59 * 60 < caught.value.retry_after <= 60 * 60
    with pytest.raises(TooManyFailuresError):
        ledger.refuse_without_allowance("7")
    ledger.refuse_without_allowance("8")
    charge(Purpose.LINK, user_ref="8")
    assert TokenRequest.objects.count() == 6


def test_refused_attempts_are_forgiven_after_an_hour(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    charge(Purpose.LINK, 5, user_ref="7", error=InvalidGrantError("no"))
    shift(59 * MINUTE)
    with pytest.raises(TooManyFailuresError):
        charge(Purpose.LINK, user_ref="7")
    shift(61 * MINUTE)
    charge(Purpose.LINK, user_ref="7")
    ledger.refuse_without_allowance("7")


def test_tokens_from_a_browser_and_codes_count_together_for_a_user(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    charge(Purpose.IMPLICIT, 3, user_ref="7", error=UnauthorizedError("no"))
    charge(Purpose.LINK, 2, user_ref="7", error=InvalidGrantError("no"))
    for purpose in (Purpose.IMPLICIT, Purpose.LINK):
        with pytest.raises(TooManyFailuresError):
            charge(purpose, user_ref="7")


def test_what_fails_from_the_start_counts_five_times_and_not_six():
    for _ in range(5):
        with ledger.charged(Purpose.IMPLICIT, host=HOST, user_ref="7", failed=True):
            pass
    with (
        pytest.raises(TooManyFailuresError),
        ledger.charged(Purpose.IMPLICIT, host=HOST, user_ref="7", failed=True),
    ):
        pass


def test_passwords_of_one_egnyte_user_are_counted_whoever_tries_them(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    for user in range(5):
        charge(Purpose.LINK, user_ref=str(user), username="JSmith", error=InvalidGrantError("no"))
    with pytest.raises(TooManyFailuresError):
        charge(Purpose.LINK, user_ref="9", username="jsmith")
    charge(Purpose.LINK, user_ref="9", username="jsmith", host=OTHER_HOST)
    charge(Purpose.LINK, user_ref="9", username="another")
    charge(Purpose.LINK, user_ref="9")


@pytest.mark.parametrize(
    ("another", "who"),
    [
        ({"user_ref": "1", "username": "another"}, {"user_ref": "7", "username": "jsmith"}),
        ({"user_ref": "1"}, {"user_ref": "7"}),
    ],
)
def test_the_wait_is_that_of_the_failures_that_count(settings, another, who):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    charge(Purpose.LINK, **another, error=InvalidGrantError("no"))
    TokenRequest.objects.update(created_at=timezone.now() - 30 * MINUTE)
    charge(Purpose.LINK, 5, **who, error=InvalidGrantError("no"))
    with pytest.raises(TooManyFailuresError) as refusal:
        charge(Purpose.LINK, **who)
    assert 3500 < refusal.value.retry_after <= 3600


def test_ten_tokens_an_hour_for_one_egnyte_user_are_egnytes_own_limit(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    for user in range(10):
        charge(Purpose.LINK, user_ref=str(user), username="jsmith")
    refused(Purpose.LINK, user_ref="another", username="jsmith")
    assert TokenRequest.objects.count() == 10


# A throttle of Egnyte's


def throttle(seconds=300.0, status=409):
    return RateLimitedError(
        "Slower.", retry_after=seconds, kind="token_endpoint", status=status, host=HOST
    )


@pytest.mark.parametrize(
    ("seconds", "longest", "least"),
    [(300, 300, 290), (0, 1, 0), (-5, 1, 0), (10**9, 86_400, 86_390)],
)
def test_what_egnyte_asks_for_is_waited_for_at_that_host(seconds, longest, least):
    charge(Purpose.LINK, user_ref="7", error=throttle(seconds))
    (state,) = KeyState.objects.all()
    assert (state.key_digest, state.host) == (gateway.key_digest(), HOST)
    until = state.held_off_until - timezone.now()
    assert least - 1 <= until.total_seconds() <= longest
    if seconds == 300:
        for purpose in (Purpose.REFRESH, Purpose.REVOKE, Purpose.PROOF):
            assert least <= refused(purpose) <= longest
        for purpose in (Purpose.REFRESH, Purpose.LINK):
            charge(purpose, host=OTHER_HOST, user_ref="8")


def test_one_host_that_says_no_more_stops_that_host_and_three_stop_the_key():
    hosts = [HOST, OTHER_HOST, "initech.egnyte.com"]
    for number, host in enumerate(hosts):
        charge(Purpose.REFRESH, host="hooli.egnyte.com")
        assert ledger.is_used_up() is False
        charge(Purpose.LINK, host=host, user_ref=str(number), error=throttle(100 * (number + 1)))
    assert ledger.is_used_up() is True
    # Until the last of them is over: fewer than three are not the key's limit.
    assert 290 <= refused(Purpose.REFRESH, host="hooli.egnyte.com") <= 300
    KeyState.objects.filter(host=HOST).update(held_off_until=hence(-1))
    charge(Purpose.REFRESH, host="hooli.egnyte.com")
    refused(Purpose.REFRESH, host=OTHER_HOST)


def test_the_wait_is_that_of_the_host_at_hand():
    charge(Purpose.LINK, user_ref="7", error=throttle(100))
    charge(Purpose.LINK, user_ref="8", host=OTHER_HOST, error=throttle(3000))
    assert 90 <= refused(Purpose.REFRESH) <= 100


def test_what_was_held_off_goes_on_afterwards():
    charge(Purpose.REFRESH, error=throttle())
    refused(Purpose.REFRESH)
    KeyState.objects.update(held_off_until=hence(-1))
    charge(Purpose.REFRESH)
    assert TokenRequest.objects.count() == 2


def test_a_throttle_of_one_key_holds_no_other_off(settings):
    charge(Purpose.REFRESH, error=throttle())
    refused(Purpose.REFRESH)
    settings.EGNYTE_CLIENT_ID = "another-key"
    charge(Purpose.REFRESH)
    assert len(set(TokenRequest.objects.values_list("key_digest", flat=True))) == 2


def test_a_throttled_password_or_browsers_token_holds_no_host_off(settings):
    """Each limit belongs to one Egnyte user or token, and anybody could reach it on purpose."""
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    charge(Purpose.LINK, user_ref="7", username="jsmith", error=throttle())
    charge(Purpose.IMPLICIT, user_ref="7", error=throttle(86_400, status=429))
    assert not KeyState.objects.exclude(held_off_until=None).exists()
    charge(Purpose.REFRESH)


def test_one_409_provoked_with_a_made_up_code_stops_no_other_host(
    egnyte_sandbox, egnyte_user, make_user, link, settings
):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    there = link(make_user("there"))
    elsewhere = link(make_user("elsewhere"), domain="globex", username="mmiller")
    refreshes_due(there, ago=2 * MINUTE)
    refreshes_due(elsewhere)
    egnyte_sandbox.faults.add(
        grant_type="authorization_code", domain="acme", status=409, headers={"Retry-After": "9000"}
    )
    with pytest.raises(RateLimitedError):
        link_by_code(egnyte_user, "made-up")
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}
    assert generations() == {there.pk: 1, elsewhere.pk: 2}
    charge(Purpose.LINK, host=OTHER_HOST, user_ref="8")


def test_a_browsers_token_without_calls_left_stops_no_refresh(
    egnyte_sandbox, egnyte_user, make_user, link, settings
):
    """The token's daily calls are used up, so Egnyte tells userinfo to wait for a day."""
    there = link(make_user("there"))
    refreshes_due(there)
    issued = egnyte_sandbox.issue(
        "acme", "jsmith", scopes=("Egnyte.filesystem",), client_id="sandbox-code-key"
    )
    egnyte_sandbox.faults.add(
        path="/userinfo",
        status=403,
        headers={"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_RATE", "Retry-After": "86000"},
    )
    answer = linking.TokenAnswer(Secret(issued.access_token), Secret(), 3600)
    with pytest.raises(RateLimitedError):
        linking.link_with_token(egnyte_user, answer, host=HOST, scopes=())
    assert sweep.refresh_due(actor="task") == {"refreshed": 1}


# At once


def at_once(number, work):
    """The number of threads whose request is permitted. All requests end together."""
    barrier = threading.Barrier(number, timeout=30)
    through = []

    def one(index):
        barrier.wait()
        with suppress(RateLimitedError, TooManyFailuresError):  # refused: not counted
            work(index)
            through.append(index)

    with Threads() as threads:
        for index in range(number):
            threads.start(lambda index=index: one(index))
    return len(through)


def test_twelve_refreshes_at_once_pass_no_limit():
    for _ in range(3):
        TokenRequest.objects.all().delete()
        charge(Purpose.REFRESH, 7)
        through = at_once(12, lambda index: charge(Purpose.REFRESH))
        assert through <= 3
        # A refused request does not count.
        charge(Purpose.REFRESH, 3 - through)
        refused(Purpose.REFRESH)


def test_twelve_links_at_once_pass_no_limit(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 20
    through = at_once(12, lambda index: charge(Purpose.LINK, user_ref=str(index)))
    assert through <= 8
    for index in range(8 - through):
        charge(Purpose.LINK, user_ref=f"later{index}")
    refused(Purpose.LINK, user_ref="too late")


def test_twelve_posts_of_one_user_at_once_pass_no_limit(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100

    def work(index):
        with ledger.charged(Purpose.IMPLICIT, host=HOST, user_ref="7", failed=True):
            pass

    through = at_once(12, work)
    assert through <= 5
    for index in range(5 - through):
        work(index)
    with pytest.raises(TooManyFailuresError):
        work(0)


@pytest.fixture
def beside(monkeypatch):
    """Let later requests be counted beside a request, and deleted. Returns the pauses."""
    pauses = []

    def begin(times):
        def counts(limits, row):
            if len(pauses) >= times:
                return real(limits, row)
            later = TokenRequest.objects.create(
                key_digest=row.key_digest, host=HOST, purpose=Purpose.REFRESH
            )
            found = real(limits, row)
            later.delete()
            return found

        real = ledger._counts
        monkeypatch.setattr(ledger, "_counts", counts)
        monkeypatch.setattr(ledger, "time", SimpleNamespace(sleep=pauses.append))
        return pauses

    return begin


def test_whoever_is_in_the_way_of_another_at_once_tries_again(beside):
    """The later row has been deleted by then, so this request is made."""
    charge(Purpose.REFRESH, 9)
    pauses = beside(times=1)
    charge(Purpose.REFRESH)
    assert len(pauses) == 1
    assert TokenRequest.objects.count() == 10


def test_whoever_is_in_the_way_of_others_all_the_time_is_refused(beside):
    charge(Purpose.REFRESH, 9)
    pauses = beside(times=99)
    assert refused(Purpose.REFRESH) > 0
    assert len(pauses) == len(ledger.PAUSES)
    assert min(pauses) > 0 and sum(pauses) < 1


def test_the_wait_at_a_host_that_fails_is_that_of_its_oldest_failure(settings):
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100
    with pytest.raises(RateLimitedError):
        charge(Purpose.REFRESH, 40, error=UnavailableError("503", status=503))
    TokenRequest.objects.update(created_at=timezone.now() - 50 * MINUTE)
    assert 9 * 60 < refused(Purpose.REFRESH) <= 10 * 60
