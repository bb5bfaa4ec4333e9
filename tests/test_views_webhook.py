"""``egnyte:webhook``: authentication, accepted deliveries, and their handling."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, transaction
from django.test import AsyncRequestFactory, Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from django_egnyte import queue
from django_egnyte.api.areas.events import Event
from django_egnyte.api.areas.notifications import MAX_BYTES, MAX_EVENTS
from django_egnyte.callers import WEBHOOK_HEADER
from django_egnyte.models import EgnyteAccount, ReceivedEvent
from django_egnyte.services import events, webhooks
from django_egnyte.services.disconnect import disconnect
from django_egnyte.signals import egnyte_event
from django_egnyte.views import webhook

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/egnyte/webhook/"


def body_of(*ids: str) -> bytes:
    return json.dumps([{"eventId": each, "eventType": "fs:add_file"} for each in ids]).encode()


@pytest.fixture
def egnyte(egnyte_account: EgnyteAccount) -> Any:
    """Posts as Egnyte does: without a cookie and a CSRF token."""
    client = Client(enforce_csrf_checks=True)
    secret = webhooks.secret_of(egnyte_account).reveal()

    def post(body: bytes, header: str | None = secret, **extra: Any) -> Any:
        headers = {} if header is None else {WEBHOOK_HEADER: header}
        return client.post(URL, body, content_type="application/json", headers=headers, **extra)

    return post


@pytest.fixture
def seen() -> Iterator[list[str]]:
    found: list[str] = []

    def note(event: Any, **kwargs: Any) -> None:
        found.append(event.event_id)

    egnyte_event.connect(note)
    yield found
    egnyte_event.disconnect(note)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(queue, "_send", lambda task, args: sent.append(task))
    return sent


def test_a_delivery_is_answered_at_once_and_handled_later(
    egnyte: Any, seen: list[str], hurried: list[str]
) -> None:
    assert reverse("egnyte:webhook") == URL
    response = egnyte(body_of("a", "b"))
    assert (response.status_code, response.content) == (200, b"")
    assert seen == []
    assert hurried == ["handle_events"]
    events.handle_due()
    assert seen == ["a", "b"]


def test_what_egnyte_would_send_is_taken(
    egnyte_sandbox: Any, django_user_model: Any, django_username_field: str, seen: list[str]
) -> None:
    from django_egnyte.pytest_plugin import link_account

    user = django_user_model.objects.create(**{django_username_field: "admin@example.com"})
    account = link_account(egnyte_sandbox, user, username="admin", scopes=())
    webhooks.register(account, f"https://testserver{URL}", kinds=["fs:*"])
    egnyte_sandbox.add_file("acme", "/Shared/new.txt", b"x")
    [told] = egnyte_sandbox.notifications("acme")
    body = json.dumps([told["event"]])
    response = Client().post(URL, body, "application/json", headers=told["headers"])
    assert response.status_code == 200
    events.handle_due()
    assert seen == [told["event"]["eventId"]]


def test_without_celery_the_sweep_does_the_work(egnyte: Any, seen: list[str]) -> None:
    from django.core.management import call_command

    egnyte(body_of("a"))
    call_command("egnyte_sweep", stdout=io.StringIO())
    assert seen == ["a"]


def test_the_same_event_thrice_and_events_out_of_order(egnyte: Any, seen: list[str]) -> None:
    for body in (body_of("3", "3"), body_of("1"), body_of("3", "2")):
        assert egnyte(body).status_code == 200
        events.handle_due()
    assert egnyte(body_of("3")).status_code == 200
    events.handle_due()
    assert seen == ["3", "1", "2"]


@pytest.mark.parametrize("header", [None, "", "wrong", "1.0", "\xff", "0" * 10_000])
def test_a_wrong_header_is_refused_before_anything_is_read(
    egnyte: Any, header: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    response = egnyte(body_of("a"), header)
    assert (response.status_code, response.content) == (403, b"")
    assert not ReceivedEvent.objects.exists()
    assert [r.event for r in caplog.records if r.name == "django_egnyte.webhooks"] == [  # type: ignore[attr-defined]
        "delivery_refused"
    ]


def test_the_secret_of_one_account_brings_events_for_no_other(
    egnyte: Any, egnyte_account: EgnyteAccount
) -> None:
    _, _, mac = webhooks.secret_of(egnyte_account).reveal().partition(".")
    assert egnyte(body_of("a"), f"{egnyte_account.pk + 1}.{mac}").status_code == 403


class Unread(io.BytesIO):
    """A body that must not be read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 10_000_000, 10**20])
def test_a_body_that_is_too_large_is_refused_unread(
    egnyte_account: EgnyteAccount, size: int
) -> None:
    request = RequestFactory().post(
        URL,
        b"",
        "application/json",
        headers={WEBHOOK_HEADER: webhooks.secret_of(egnyte_account).reveal()},
    )
    request.META["CONTENT_LENGTH"] = str(size)
    request._stream = Unread()  # type: ignore[attr-defined]
    assert webhook(request).status_code == 413


def test_ten_megabytes_are_refused(egnyte: Any) -> None:
    assert egnyte(b"[" + b" " * 10_000_000 + b"]").status_code == 413
    assert egnyte(b"[" + b" " * (MAX_BYTES - 2) + b"]").status_code == 200


def test_forms_limit_does_not_count(egnyte: Any, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert egnyte(body_of("a", "b")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"eventId": "x"}]',
        b"\xff",
        b"[" * 100_000,
        body_of(*map(str, range(MAX_EVENTS + 1))),
    ],
    ids=range(7),
)
def test_what_is_no_list_of_events_is_refused(egnyte: Any, body: bytes) -> None:
    assert egnyte(body).status_code == 400
    assert not ReceivedEvent.objects.exists()


def test_as_many_events_as_fit_are_taken(egnyte: Any) -> None:
    assert egnyte(body_of(*map(str, range(MAX_EVENTS)))).status_code == 200
    assert ReceivedEvent.objects.count() == MAX_EVENTS


def test_an_event_of_deep_nesting_is_stored_or_refused(egnyte: Any, seen: list[str]) -> None:
    for depth in (90, 400, 900, 5_000, 50_000):
        data = '{"x":' * depth + "1" + "}" * depth
        body = f'[{{"eventId": "{depth}", "eventType": "x", "data": {data}}}]'
        assert egnyte(body.encode()).status_code in (200, 400)
    events.handle_due()
    assert "90" in seen
    assert not ReceivedEvent.objects.exclude(due_at=None).exists()


@pytest.mark.parametrize("method", ["get", "head", "put", "delete"])
def test_only_post_is_answered(client: Client, method: str) -> None:
    assert getattr(client, method)(URL).status_code == 405


def test_a_disconnected_accounts_events_are_dropped_with_a_log_line(
    egnyte: Any, egnyte_account: EgnyteAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disconnect(egnyte_account.pk, actor="test")
    assert egnyte(body_of("a")).status_code == 200
    assert not ReceivedEvent.objects.exists()
    assert "it is disconnected" in caplog.text


def test_a_secret_of_an_older_key_is_taken_and_told_of(
    egnyte: Any, egnyte_account: EgnyteAccount, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["n" * 40, settings.SECRET_KEY]
    assert egnyte(body_of("a")).status_code == 200
    assert f"egnyte_webhooks renew --account {egnyte_account.pk}" in caplog.text


def test_a_database_that_fails_has_egnyte_send_again(
    egnyte_account: EgnyteAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(events, "store", fail)
    client = Client(raise_request_exception=False)
    headers = {WEBHOOK_HEADER: webhooks.secret_of(egnyte_account).reveal()}
    response = client.post(URL, body_of("a"), "application/json", headers=headers)
    assert response.status_code == 500


def test_no_error_report_shows_the_secret(
    egnyte_account: EgnyteAccount, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DEBUG = True

    def fail(*args: Any) -> None:
        raise ZeroDivisionError("in the middle of everything")

    monkeypatch.setattr(events, "receive", fail)
    client = Client(raise_request_exception=False)
    secret = webhooks.secret_of(egnyte_account).reveal()
    response = client.post(URL, body_of("a"), "application/json", headers={WEBHOOK_HEADER: secret})
    assert response.status_code == 500
    assert "in the middle of everything" in response.content.decode()
    assert secret not in response.content.decode()


def test_an_account_brings_a_limited_number_of_events_in_an_hour(
    egnyte: Any, egnyte_account: EgnyteAccount, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EGNYTE_EVENTS_PER_HOUR = 3
    polled = Event.of({"id": 1, "timestamp": "2026-01-01T00:00:00Z", "type": "file_system"})
    with transaction.atomic():
        events.store(egnyte_account, [polled])
    assert egnyte(body_of("a", "b")).status_code == 200
    assert egnyte(body_of("a", "b")).status_code == 200  # known events do not count
    assert egnyte(body_of("c")).status_code == 200
    for _ in range(2):
        refused = egnyte(body_of("d"))
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "600")
    assert "EGNYTE_EVENTS_PER_HOUR" in caplog.text
    ReceivedEvent.objects.update(received_at=timezone.now() - timedelta(hours=1))
    assert egnyte(body_of("d")).status_code == 200
    assert ReceivedEvent.objects.count() == 5


def test_one_accounts_events_do_not_refuse_anothers(
    egnyte: Any, egnyte_account: EgnyteAccount, settings: Any
) -> None:
    settings.EGNYTE_EVENTS_PER_HOUR = 1
    assert egnyte(body_of("a")).status_code == 200
    ReceivedEvent.objects.update(account_ref=egnyte_account.pk + 1)
    assert egnyte(body_of("b")).status_code == 200


def test_under_asgi_the_secret_leaves_the_scope(egnyte_account: EgnyteAccount) -> None:
    secret = webhooks.secret_of(egnyte_account).reveal()
    request: Any = AsyncRequestFactory().post(
        URL, body_of("a"), "application/json", headers={WEBHOOK_HEADER: secret}
    )
    assert request.headers[WEBHOOK_HEADER] == secret
    assert webhook(request).status_code == 200
    assert WEBHOOK_HEADER not in request.headers
    assert secret not in repr(request.scope) + repr(request.META)


def test_an_asynchronous_server_is_answered(egnyte_account: EgnyteAccount) -> None:
    from django.test import AsyncClient

    secret = webhooks.secret_of(egnyte_account).reveal()

    async def post() -> Any:
        return await AsyncClient().post(
            URL, body_of("a"), "application/json", headers={WEBHOOK_HEADER: secret}
        )

    assert async_to_sync(post)().status_code == 200
    assert ReceivedEvent.objects.count() == 1


def test_under_atomic_requests_the_events_are_stored_before_the_answer(
    egnyte_account: EgnyteAccount,
) -> None:
    assert "default" in webhook._non_atomic_requests  # type: ignore[attr-defined]
