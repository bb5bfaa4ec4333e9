"""What Egnyte posts to a webhook.

There is no signature. All that proves the sender is the header chosen at registration, so whoever
acts on a notification asks the API first whether it is so.
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
"""The largest body that is read. Egnyte documents no limit."""
MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(Occurrence):
    """One event of a delivery. It may come again, and in any order: `event_id` tells it.

    `event_type` is "fs:add_file", for one; `domain` is the customer's, as Egnyte wrote it.
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
    # Outside the handler: the decoder's exception holds the whole body.
    if not isinstance(value, list) or len(value) > MAX_EVENTS:
        raise ResponseError("A webhook delivery is not a list of events.")
    told = {each.event_id: each for each in records(Notification, value)}
    return tuple(told.values())


def is_from_egnyte(sent: str | None, expected: Secret) -> bool:
    """Whether a delivery carries the secret of its webhook; compared in constant time."""
    if sent is None or not expected:
        return False
    return hmac.compare_digest(
        sent.encode(errors="surrogatepass"), expected.reveal().encode(errors="surrogatepass")
    )
