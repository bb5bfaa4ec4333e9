from __future__ import annotations

import asyncio

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.exceptions import ResponseError, UnavailableError
from django_egnyte.sandbox import Sandbox
from tests.api.connections import Line
from tests.areas.conftest import Way
from tests.rawserver import always, answer, serving


@pytest.fixture
def many(sandbox: Sandbox) -> list[str]:
    paths = [f"/Shared/many/budget {number}.txt" for number in range(7)]
    for path in paths:
        sandbox.add_file("acme", path, b"x")
    return paths


def test_making_a_list_asks_nothing(jane: EgnyteClient, sandbox: Sandbox) -> None:
    listing = jane.search("budget")
    assert repr(listing) == "<Listing of <Search of <EgnyteClient acme.egnyte.com>>>"
    assert sandbox.counts["search"] == 0


def test_a_list_asks_for_pages_as_it_comes_to_them(
    jane: EgnyteClient, sandbox: Sandbox, many: list[str], way: Way
) -> None:
    listing = jane.search("budget", page_size=3)
    assert [hit.path for hit in way.list(listing)] == many
    assert sandbox.counts["search"] == 3
    # The first page is kept, and the others are requested again.
    assert way.total(listing) == 7
    assert bool(listing)
    assert sandbox.counts["search"] == 3
    assert len(way.list(listing)) == 7
    assert sandbox.counts["search"] == 5


def test_iteration_is_lazy(jane: EgnyteClient, sandbox: Sandbox, many: list[str]) -> None:
    iterator = iter(jane.search("budget", page_size=3))
    assert [next(iterator).path for _ in range(3)] == many[:3]
    assert sandbox.counts["search"] == 1


def test_one_page_of_a_list(jane: EgnyteClient, sandbox: Sandbox, many: list[str]) -> None:
    listing = jane.search("budget", page_size=3)
    page = listing.page(3)
    assert [hit.path for hit in page] == many[3:6]
    assert (len(page), page.offset, page.total, page.has_more, page.next_offset) == (
        *(3, 3, 7),
        True,
        6,
    )
    last = asyncio.run(listing.apage(6))
    assert (len(last), last.has_more) == (1, False)
    assert sandbox.counts["search"] == 2
    with pytest.raises(ValueError, match="offset"):
        listing.page(-1)


def test_a_list_of_nothing(jane: EgnyteClient, way: Way) -> None:
    listing = jane.search("nothing at all")
    assert not listing
    assert way.list(listing) == []
    assert way.total(listing) == 0


@pytest.mark.parametrize("size", [0, -1, 101])
def test_a_page_size_beyond_the_limit_is_refused_at_once(jane: EgnyteClient, size: int) -> None:
    with pytest.raises(ValueError, match="page_size"):
        jane.search("budget", page_size=size)


def test_an_error_in_between_ends_the_iteration(
    jane: EgnyteClient, sandbox: Sandbox, many: list[str], way: Way
) -> None:
    sandbox.faults.add(path="search", skip=1, status=500)
    with pytest.raises(UnavailableError):
        way.list(jane.search("budget", page_size=3))


def test_a_total_that_counts_hidden_items_does_not_loop() -> None:
    first = b'{"results": [{"name": "a", "path": "/a"}], "total_count": 5}'
    empty = b'{"results": [], "total_count": 5}'
    with serving(always(answer(body=first), answer(body=empty))) as server:
        listing = EgnyteClient(Line(server.url)).search("abc")
        assert [hit.path for hit in listing] == ["/a"]


@pytest.mark.parametrize("body", [b'{"results": {}}', b'{"results": [1]}', b"[]", b"nonsense"])
def test_a_list_in_another_form_is_an_error(body: bytes) -> None:
    with serving(always(answer(body=body))) as server, pytest.raises(ResponseError):
        list(EgnyteClient(Line(server.url)).search("abc"))
