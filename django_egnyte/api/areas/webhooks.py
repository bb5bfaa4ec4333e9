"""Webhooks: Egnyte posts events to a URL of yours. Only for administrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django_egnyte.api.areas.base import Area, operation, present, segment, twin
from django_egnyte.api.areas.records import Record, records
from django_egnyte.api.paths import clean_path
from django_egnyte.secret import Secret

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

WEBHOOKS = "/pubapi/v1/webhooks"
MOST_PATHS = 100


@dataclass(frozen=True, slots=True)
class Webhook(Record):
    """A registration. `status` is "enabled" or "disabled"."""

    webhook_id: str
    url: str | None = None
    status: str | None = None
    event_type: tuple[str, ...] = ()
    path: str | None = None
    expires: datetime | None = None

    @classmethod
    def _prepare(cls, members: dict[str, Any]) -> dict[str, Any]:
        # The only time that Egnyte sends in seconds.
        expires = members.get("expires")
        if isinstance(expires, int) and not isinstance(expires, bool):
            members["expires"] = expires * 1000
        return members


class Webhooks(Area):
    """`client.webhooks`."""

    __slots__ = ()
    scope = "Egnyte.webhooks"

    @operation
    def register(
        self,
        url: str,
        *,
        events: Sequence[str] = (),
        paths: Sequence[str] = (),
        header: str | None = None,
        value: Secret | None = None,
    ) -> Steps[Webhook]:
        """Register an https URL for `events` such as "fs:add_file", or for all events.

        Egnyte sends `header` with the secret `value`. Nothing else proves that a request is from
        Egnyte. ConflictError with the code QUOTA_EXCEEDED if the API key has too many webhooks at
        this domain. ValueError for a URL that is not https, and for over 100 paths.
        """
        if not url.startswith("https://"):
            raise ValueError("Egnyte calls https addresses only")
        if len(paths) > MOST_PATHS:
            raise ValueError(f"a webhook takes {MOST_PATHS} paths at most")
        if (header is None) != (value is None):
            raise ValueError("give both header and value, or neither")
        body = present(
            url=url,
            eventType=[*events] or None,
            path=",".join(clean_path(path) for path in paths) or None,
            authHeader=header,
            authHeaderValue=value,
        )
        answer = yield from self._json("POST", WEBHOOKS, json=body)
        return Webhook.of({"url": url, **answer})

    aregister = twin(register)

    @operation
    def list(self) -> Steps[tuple[Webhook, ...]]:
        """The registrations of this API key at the domain."""
        return records(Webhook, (yield from self._array("GET", WEBHOOKS)))

    alist = twin(list)

    @operation
    def get(self, webhook_id: str) -> Steps[Webhook]:
        """The registration of the webhook with this id."""
        value = yield from self._json("GET", f"{WEBHOOKS}/{segment(webhook_id)}/details")
        return Webhook.of({"webhookId": webhook_id, **value})

    aget = twin(get)

    @operation
    def enable(self, webhook_id: str) -> Steps[None]:
        """Enable a webhook that Egnyte or you disabled."""
        yield from self._set_status(webhook_id, "enabled")

    aenable = twin(enable)

    @operation
    def disable(self, webhook_id: str) -> Steps[None]:
        """Disable a webhook, but keep the registration."""
        yield from self._set_status(webhook_id, "disabled")

    adisable = twin(disable)

    @operation
    def delete(self, webhook_id: str) -> Steps[None]:
        """Delete a registration."""
        yield from self._send("DELETE", f"{WEBHOOKS}/{segment(webhook_id)}")

    adelete = twin(delete)

    def _set_status(self, webhook_id: str, status: str) -> Steps[None]:
        where = f"{WEBHOOKS}/{segment(webhook_id)}/status"
        yield from self._send("POST", where, json={"status": status})
