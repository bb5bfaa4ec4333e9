from __future__ import annotations

import asyncio
import json

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import EventsExpiredError, NotFoundError
from django_egnyte.sandbox import Sandbox
from tests.api.connections import Line
from tests.areas.conftest import MakeClient, Way
from tests.rawserver import always, answer, serving


def test_what_happens_is_told_in_order(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    start = way(jane.events, "cursor").latest_event_id
    jane.files.create_folder("/Shared/new")
    jane.files.upload("/Shared/new/a.txt", b"x")
    jane.files.move("/Shared/new/a.txt", "/Shared/new/b.txt")
    jane.files.copy("/Shared/new/b.txt", "/Shared/new/c.txt")
    jane.comments.add("/Shared/new/b.txt", "hello")
    jane.files.delete("/Shared/new")
    events = way.list(jane.events.after(start, page_size=2))
    assert [(event.type, event.action) for event in events] == [
        ("file_system", "create"),
        ("file_system", "create"),
        ("file_system", "move"),
        ("file_system", "copy"),
        ("note", "create"),
        ("file_system", "delete"),
    ]
    move = events[2]
    assert (move.source_path, move.target_path) == ("/Shared/new/a.txt", "/Shared/new/b.txt")
    assert (move.actor, move.is_folder, move.action_source) == (121, False, "PublicAPI")
    assert move.target_group_id and move.target_id and move.timestamp is not None
    assert events[4].note_id and events[5].is_folder is True
    assert [event.id for event in events] == sorted(event.id for event in events)


def test_a_stream_ends_with_the_newest_and_goes_on_later(
    jane: EgnyteClient, sandbox: Sandbox, way: Way
) -> None:
    stream = jane.events.after(jane.events.cursor().latest_event_id)
    assert way.list(stream) == []
    sandbox.add_file("acme", "/Shared/1.txt", b"x")
    assert [event.target_path for event in way.list(stream)] == ["/Shared/1.txt"]
    assert way.list(stream) == []
    sandbox.add_file("acme", "/Shared/2.txt", b"x")
    later = jane.events.after(stream.position)
    assert [event.target_path for event in way.list(later)] == ["/Shared/2.txt"]


def test_the_position_counts_what_was_handled(jane: EgnyteClient, sandbox: Sandbox) -> None:
    start = jane.events.cursor().latest_event_id
    for number in range(5):
        sandbox.add_file("acme", f"/Shared/{number}.txt", b"x")
    stream = jane.events.after(start, page_size=4)
    for event in stream:
        if event.target_path == "/Shared/2.txt":
            break  # As if the worker had been killed while it handled this one.
    again = jane.events.after(stream.position)
    assert [event.target_path for event in again] == [f"/Shared/{n}.txt" for n in (2, 3, 4)]

    async def handle() -> str:
        stream = jane.events.after(start, page_size=4)
        async for event in stream:
            if event.target_path == "/Shared/2.txt":
                break
        return stream.position

    assert int(asyncio.run(handle())) == start + 2


def test_events_are_filtered(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    start = jane.events.cursor().latest_event_id
    sandbox.add_file("acme", "/Shared/x/a.txt", b"x")
    sandbox.add_file("acme", "/Shared/y/a.txt", b"x")
    jane.comments.add("/Shared/y/a.txt", "hello")
    below = way.list(jane.events.after(start, folder="/Shared/y/"))
    assert [event.type for event in below] == ["file_system", "note"]
    assert [e.type for e in way.list(jane.events.after(start, kinds=["note"]))] == ["note"]


def test_nobody_hears_of_what_is_private(
    jane: EgnyteClient, client_of: MakeClient, sandbox: Sandbox
) -> None:
    start = jane.events.cursor().latest_event_id
    sandbox.add_file("acme", "/Private/jsmith/a.txt", b"x")
    assert len(list(jane.events.after(start))) == 1
    assert list(client_of("bdoe").events.after(start)) == []


def test_a_cursor_from_last_year(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    for number in range(5):
        sandbox.add_file("acme", f"/Shared/{number}.txt", b"x")
    cursor = jane.events.cursor()
    sandbox.forget_events("acme", cursor.latest_event_id - 1)
    with pytest.raises(EventsExpiredError) as caught:
        way.list(jane.events.after(cursor.oldest_event_id))
    assert isinstance(caught.value, NotFoundError) and caught.value.status == 404
    assert caught.value.__context__ is None
    oldest = way(jane.events, "cursor").oldest_event_id
    assert len(way.list(jane.events.after(oldest - 1))) == 2


def test_bad_input(jane: EgnyteClient) -> None:
    with pytest.raises(ValueError, match="page_size"):
        jane.events.after(1, page_size=101)
    with pytest.raises(ValueError, match="invalid literal"):
        jane.events.after("abc")


def event(number: int) -> dict[str, object]:
    return {"id": number, "action": "create", "data": {}}


def test_events_out_of_order_or_told_twice_come_once_and_in_order() -> None:
    first = {"latest_id": 14, "events": [event(n) for n in (13, 11, 13, 5, 12)]}
    second = {"latest_id": 14, "events": [event(14), event(12)]}
    bodies = [answer(body=json.dumps(each).encode()) for each in (first, second)]
    with serving(always(*bodies, answer("204 No Content", b""))) as server:
        stream = EgnyteClient(Line(server.url)).events.after(10)
        assert [each.id for each in stream] == [11, 12, 13]
        assert stream.position == "14"


def test_a_server_that_makes_no_progress_ends_the_stream() -> None:
    body = json.dumps({"latest_id": 3, "events": [event(2)]}).encode()
    with serving(always(answer(body=body))) as server:
        stream = EgnyteClient(Line(server.url)).events.after(10)
        assert list(stream) == []
        assert (stream.position, server.connections) == ("10", 1)
