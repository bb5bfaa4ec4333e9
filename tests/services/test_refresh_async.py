"""A refresh inside a coroutine: its threads, and the state after a cancellation."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections

from django_egnyte.api import steps
from django_egnyte.exceptions import InvalidGrantError, TokenExpiredError, UnauthorizedError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.oauth import OAuthClient
from django_egnyte.services.refresh import refresh

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 10.0


class Call:
    """A token request at Egnyte whose answer waits until the test releases it."""

    def __init__(self, monkeypatch):
        self.made, self.may_end = threading.Event(), threading.Event()
        self.thread = ""
        refresh = OAuthClient.refresh

        def slow(client, token):
            self.thread = threading.current_thread().name
            self.made.set()
            assert self.may_end.wait(SECONDS)
            return refresh(client, token)

        monkeypatch.setattr(OAuthClient, "refresh", slow)

    async def reached(self):
        await asyncio.to_thread(self.made.wait, SECONDS)


@pytest.fixture
def call(monkeypatch):
    call = Call(monkeypatch)
    yield call
    call.may_end.set()


@pytest.fixture
def expired(egnyte_sandbox, egnyte_account, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", False)
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    return egnyte_account


async def until(is_so):
    for _ in range(int(SECONDS * 100)):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("It did not become so.")


def test_djangos_thread_is_free_while_egnyte_is_asked(expired, call):
    async def work():
        task = asyncio.create_task(expired.client.auserinfo())
        await call.reached()
        counted = await asyncio.wait_for(sync_to_async(EgnyteAccount.objects.count)(), SECONDS)
        call.may_end.set()
        return counted, await task

    counted, userinfo = async_to_sync(work)()
    assert counted == 1
    assert userinfo["username"] == "jsmith"
    assert call.thread.startswith("egnyte-http")


def test_a_refresh_whose_caller_is_cancelled_ends_as_any_other(egnyte_sandbox, expired, call):
    async def work():
        task = asyncio.create_task(expired.client.auserinfo())
        await call.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        call.may_end.set()
        await until(lambda: not steps._going_on)

    async_to_sync(work)()
    account = EgnyteAccount.objects.get()
    assert account.token_id != expired.token_id
    assert EgnyteGrant.objects.get().lease == ""
    assert account.client.userinfo()["username"] == "jsmith"
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_an_answer_is_stored_though_the_event_loop_has_ended(egnyte_sandbox, expired, call):
    async def work():
        task = asyncio.create_task(expired.client.auserinfo())
        await call.reached()
        assert not task.done()

    async_to_sync(work)()
    call.may_end.set()
    ends = time.monotonic() + SECONDS
    while EgnyteToken.objects.count() == 1 and time.monotonic() < ends:
        time.sleep(0.01)
    stored = EgnyteToken.objects.latest("pk")
    assert stored.pk != expired.token_id
    # The lease is not released, but expires. The next refresh then uses that token.
    with pytest.raises(TokenExpiredError):
        refresh(EgnyteAccount.objects.get(), actor="task", patience=0)
    EgnyteGrant.objects.write(lease="", leased_until=None)
    assert refresh(EgnyteAccount.objects.get(), actor="task").token_id == stored.pk
    assert egnyte_sandbox.counts["token:refresh_token"] == 1


def test_a_failure_that_nobody_waits_for_is_logged(expired, call, monkeypatch, caplog):
    def refuse(client, token):
        call.made.set()
        assert call.may_end.wait(SECONDS)
        raise InvalidGrantError("No.", host=client.host)

    monkeypatch.setattr(OAuthClient, "refresh", refuse)

    async def work():
        task = asyncio.create_task(expired.client.auserinfo())
        await call.reached()
        assert not task.done()

    async_to_sync(work)()
    call.may_end.set()
    ends = time.monotonic() + SECONDS
    while "abandoned_call_failed" not in told(caplog) and time.monotonic() < ends:
        time.sleep(0.01)
    assert "abandoned_call_failed" in told(caplog)


def told(caplog):
    return [getattr(record, "event", "") for record in caplog.records]


def test_a_refused_refresh_marks_the_account_in_a_coroutine_too(egnyte_sandbox, expired):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    with pytest.raises(UnauthorizedError):
        async_to_sync(expired.client.auserinfo)()
    assert EgnyteAccount.objects.get().status == "suspect"
