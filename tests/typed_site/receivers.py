"""Receivers of the app's signals. ``ready()`` of an app config connects them."""

from __future__ import annotations

from collections import Counter
from typing import TypedDict, Unpack

from django.core.mail import send_mail
from django.dispatch import Signal

from django_egnyte.api.areas.events import Event
from django_egnyte.api.areas.notifications import Notification
from django_egnyte.models import EgnyteAccount
from django_egnyte.signals import (
    account_connected,
    account_disconnected,
    account_refreshed,
    account_revoked,
    account_suspected,
    api_called,
    egnyte_event,
)

calls: Counter[str] = Counter()
happened: list[str] = []


class ApiCalled(TypedDict):
    """The arguments of ``api_called``."""

    signal: Signal
    account: EgnyteAccount
    method: str
    status: int | None
    duration: float
    request_id: str | None


def note_connected(
    sender: type[EgnyteAccount],
    account: EgnyteAccount,
    reason: str,
    created: bool,
    **kwargs: object,
) -> None:
    happened.append(f"{'new' if created else 'again'}: {account}")


def note(
    sender: type[EgnyteAccount], account: EgnyteAccount, reason: str, **kwargs: object
) -> None:
    happened.append(f"{account}: {reason}")


def ask_to_reconnect(
    sender: type[EgnyteAccount], account: EgnyteAccount, reason: str, **kwargs: object
) -> None:
    send_mail("Please reconnect Egnyte", f"{account.domain}: {reason}", None, [account.email])


def count_calls(sender: type[EgnyteAccount], **kwargs: Unpack[ApiCalled]) -> None:
    calls[f"{kwargs['method']} {kwargs['status'] or 'failed'}"] += 1


def note_event(
    sender: type[EgnyteAccount],
    account: EgnyteAccount,
    event: Event | Notification,
    **kwargs: object,
) -> None:
    kind = event.event_type if isinstance(event, Notification) else event.action
    happened.append(f"{kind}: {event.target_path}")


RECEIVERS = (
    (account_connected, note_connected),
    (account_disconnected, note),
    (account_suspected, note),
    (account_refreshed, note),
    (account_revoked, ask_to_reconnect),
    (api_called, count_calls),
    (egnyte_event, note_event),
)


def connect() -> None:
    for signal, receiver in RECEIVERS:
        signal.connect(receiver, sender=EgnyteAccount)


def disconnect() -> None:
    for signal, receiver in RECEIVERS:
        signal.disconnect(receiver, sender=EgnyteAccount)
