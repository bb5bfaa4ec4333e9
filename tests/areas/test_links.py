from __future__ import annotations

import traceback
from datetime import UTC, date, datetime
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import InvalidPathError, NotFoundError, ResponseError
from django_egnyte.sandbox import Sandbox
from django_egnyte.secret import Secret
from tests.api.connections import Line
from tests.areas.conftest import MakeClient, Way
from tests.rawserver import always, answer, serving

FILE = "/Shared/Documents/welcome.txt"


def test_a_link_is_made_read_and_ended(jane: EgnyteClient, way: Way) -> None:
    made = way(jane.links, "create", FILE, expiry_date=date(2030, 1, 31), notify=True)
    assert made.url == f"https://acme.egnyte.com/dl/{made.id}"
    assert (made.path, made.type, made.accessibility) == (FILE, "file", "anyone")
    assert (made.expiry_date, made.created_by, made.password) == (date(2030, 1, 31), "jsmith", None)
    assert made.creation_date is not None and made.creation_date.tzinfo is not None
    same = way(jane.links, "get", made.id)
    assert (same.url, same.expiry_date, same.notify) == (made.url, made.expiry_date, True)
    assert same.resource_id
    assert way(jane.links, "delete", made.id) is None
    for name in ("get", "delete"):
        with pytest.raises(NotFoundError, match="Link not found"):
            way(jane.links, name, made.id)


def test_links_are_listed_over_pages(jane: EgnyteClient, way: Way) -> None:
    made = [jane.links.create(FILE).id for _ in range(7)]
    folder = jane.links.create("/Shared/Documents", type="folder", accessibility="domain")
    assert [link.id for link in way.list(jane.links.list(page_size=3))] == [*made, folder.id]
    listing = jane.links.list(path=FILE, type="file", accessibility="anyone", page_size=4)
    assert [link.id for link in way.list(listing)] == made
    assert way.total(listing) is None  # Egnyte does not say.
    assert not jane.links.list(created_after=date(2100, 1, 1))
    assert jane.links.list(created_before=datetime(2100, 1, 1, tzinfo=UTC))


def test_only_administrators_see_links_of_others(
    jane: EgnyteClient, admin: EgnyteClient, client_of: MakeClient
) -> None:
    link = jane.links.create(FILE)
    assert [each.id for each in admin.links.list(username="jsmith")] == [link.id]
    with pytest.raises(NotFoundError):
        client_of("bdoe").links.get(link.id)
    with pytest.raises(NotFoundError):
        client_of("mmiller", domain="globex").links.get(link.id)


def test_each_recipient_gets_a_link(jane: EgnyteClient, way: Way) -> None:
    first, second = way(
        jane.links, "send", FILE, ["a@x.example", "b@x.example"], message="Hi", expiry_clicks=3
    )
    assert (first.recipients, second.recipients) == (("a@x.example",), ("b@x.example",))
    assert first.id != second.id and first.expiry_clicks == 3
    for wrong in ("a@x.example", []):
        with pytest.raises(ValueError, match="recipients"):
            way(jane.links, "send", FILE, wrong)


def test_a_password_is_a_secret(jane: EgnyteClient, way: Way) -> None:
    own = Secret("correct horse")
    link = way(jane.links, "create", FILE, accessibility="password", password=own)
    assert link.password == own
    assert "horse" not in repr(link) + repr(dict(link.raw))
    chosen = way(jane.links, "create", FILE, accessibility="password")
    assert isinstance(chosen.password, Secret) and chosen.password
    assert jane.links.get(link.id).password is None


def test_a_traceback_shows_no_password(jane: EgnyteClient, way: Way) -> None:
    password = Secret("correct horse")
    with pytest.raises(NotFoundError) as caught:
        way(jane.links, "create", "/Shared/none", accessibility="password", password=password)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "horse" not in "".join(report.format()).replace('Secret("correct horse")', "")


@pytest.mark.parametrize(
    "options",
    [
        {"expiry_date": date(2030, 1, 1), "expiry_clicks": 1},
        {"expiry_clicks": 0},
        {"expiry_clicks": 11},
    ],
)
def test_an_expiry_that_cannot_be_is_not_sent(
    jane: EgnyteClient, sandbox: Sandbox, options: Any
) -> None:
    with pytest.raises(ValueError, match=r"expires (on|after)"):
        jane.links.create(FILE, **options)
    assert sandbox.counts["links:create"] == 0
    body = {"path": FILE, "type": "file", "accessibility": "anyone", **options}
    if "expiry_date" in body:
        body["expiry_date"] = "2030-01-01"
    assert jane.post("/pubapi/v1/links", json=body).status_code == 400


def test_a_time_counts_as_its_day(jane: EgnyteClient) -> None:
    moment = datetime(2030, 1, 31, 23, 0, tzinfo=UTC)
    assert jane.links.create(FILE, expiry_date=moment).expiry_date == date(2030, 1, 31)


def test_a_link_to_nothing(jane: EgnyteClient, way: Way) -> None:
    with pytest.raises(NotFoundError):
        way(jane.links, "create", "/Shared/none.txt")
    with pytest.raises(InvalidPathError):
        way(jane.links, "create", "/Shared/../etc")


@pytest.mark.parametrize("body", [b"{}", b'{"links": []}', b'{"links": [7]}', b'{"links": [{}]}'])
def test_an_answer_without_a_link_is_an_error(body: bytes) -> None:
    with serving(always(answer(body=body))) as server, pytest.raises(ResponseError):
        EgnyteClient(Line(server.url)).links.create(FILE)
