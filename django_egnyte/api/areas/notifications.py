"""The notifications that Egnyte posts to a webhook.

They have no signature. Only the header that was chosen at registration proves the sender. So check
by a call to the API before you act on a notification.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_egnyte.api.areas.events import Occurrence
from django_egnyte.api.areas.records import records
from django_egnyte.exceptions import ResponseError
from django_egnyte.secret import Secret

MAX_BYTES = 1024 * 1024
"""The largest accepted body, in bytes. Egnyte documents no limit."""
MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(Occurrence):
    """One event of a delivery. Events may arrive twice, and in any order; see `event_id`.

    `event_type` is for example "fs:add_file". `domain` is the customer's, as Egnyte sent it.
    """

    event_id: str
    event_type: str
    domain: str | None = None
    webhook_id: str | None = None
    user: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None


def parse_delivery(body: bytes) -> tuple[Notification, ...]:
    """The notifications in the body of a delivery, each once.

    ResponseError for a body over 1 MiB, for over 1,000 events, and for anything but a JSON array of
    events.
    """
    if len(body) > MAX_BYTES:
        raise ResponseError("A webhook delivery is too large.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    # Raise outside the handler, because the decoder's exception contains the whole body.
    if not isinstance(value, list) or len(value) > MAX_EVENTS:
        raise ResponseError("A webhook delivery is not a list of events.")
    told = {each.event_id: each for each in records(Notification, value)}
    return tuple(told.values())


def is_from_egnyte(sent: str | None, expected: Secret) -> bool:
    """Whether a delivery has the secret of its webhook. Compares in constant time."""
    if sent is None or not expected:
        return False
    return hmac.compare_digest(
        sent.encode(errors="surrogatepass"), expected.reveal().encode(errors="surrogatepass")
    )
