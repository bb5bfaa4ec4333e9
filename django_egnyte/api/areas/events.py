"""Events: changes of files, comments and permissions in the last 30 days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from django_egnyte import answers
from django_egnyte.api.areas.base import operation, present, twin
from django_egnyte.api.areas.paging import Batch, Paged, Stream
from django_egnyte.api.areas.records import Record, records
from django_egnyte.api.paths import clean_path
from django_egnyte.exceptions import EventsExpiredError, NotFoundError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

EVENTS = "/pubapi/v1/events"
LARGEST = 100

Kind = Literal["file_system", "note", "permission_change"]


@dataclass(frozen=True, slots=True)
class Cursor(Record):
    """The ids of the oldest and the newest event that Egnyte keeps."""

    latest_event_id: int
    oldest_event_id: int
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence(Record):
    """The fields that events of the cursor and of webhooks have in common.

    `target_id` and `source_id` are entry ids. The last eight fields are set only for some events.
    """

    timestamp: datetime | None = None
    action_source: str | None = None
    target_path: str | None = None
    target_id: str | None = None
    target_group_id: str | None = None
    source_path: str | None = None
    source_id: str | None = None
    source_group_id: str | None = None
    is_folder: bool | None = None
    note_id: str | None = None

    @classmethod
    def _prepare(cls, members: dict[str, Any]) -> dict[str, Any]:
        data = members.get("data")
        inner = data if isinstance(data, dict) else {}
        return {**{name.replace("_", "").lower(): inner[name] for name in inner}, **members}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Occurrence):
    """An event. `actor` is a user's id; `action` is "create", "delete", "move" and the like."""

    id: int
    actor: int | None = None
    type: str | None = None
    action: str | None = None
    object_detail: str | None = None


class Events(Paged):
    """`client.events`."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    @operation
    def cursor(self) -> Steps[Cursor]:
        """The ids of the oldest and the newest event."""
        return Cursor.of((yield from self._json("GET", f"{EVENTS}/cursor")))

    acursor = twin(cursor)

    def after(
        self,
        event_id: int | str,
        *,
        folder: str | None = None,
        kinds: Sequence[Kind] = (),
        suppress: Literal["app", "user"] | None = None,
        page_size: int = 50,
    ) -> Stream[Event]:
        """The events after this id, oldest first, each once.

        `suppress` omits events that the application, or the user, caused. Iterating raises
        EventsExpiredError if Egnyte no longer has the events after this id. Egnyte asks clients to
        poll at most every 5 minutes.
        """
        if not 1 <= page_size <= LARGEST:
            raise ValueError(f"page_size must be from 1 to {LARGEST}")
        params = present(
            folder=None if folder is None else clean_path(folder),
            type="|".join(kinds) or None,
            suppress=suppress,
            count=page_size,
        )
        return Stream(self, str(int(event_id)), lambda position: self._batch(position, params))

    def _batch(self, position: str, params: dict[str, Any]) -> Steps[Batch[Event]]:
        after = int(position)
        try:
            response = yield from self._send("GET", EVENTS, params={**params, "id": after})
        except NotFoundError as error:
            expired = EventsExpiredError(
                "Egnyte no longer has the events after this id.",
                status=error.status,
                code=error.code,
                host=error.host,
            )
        else:
            if response.status_code == 204:
                return Batch((), position, has_more=False)
            value = answers.json_of(response)
            events = {event.id: event for event in records(Event, value.get("events"))}
            fresh = sorted(each for each in events if each > after)
            latest = value.get("latest_id")
            reached = max([after, *fresh, latest if isinstance(latest, int) else 0])
            items = tuple((events[each], str(each)) for each in fresh)
            return Batch(items, str(reached), has_more=reached > after)
        raise expired
