"""Lists that Egnyte sends page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django_egnyte.api.areas.base import Area
from django_egnyte.exceptions import ResponseError

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Paging:
    """How Egnyte pages a list: the names of its parameters and members.

    `first` is the position of the first item in Egnyte's own counting.
    """

    items: str
    size: int
    """The default number of items in a page. Egnyte allows at most `largest`."""
    largest: int
    total: str | None = None
    more: str | None = None
    offset: str = "offset"
    count: str = "count"
    first: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """One page: its items, its offset, and the total that Egnyte counts (or None)."""

    items: tuple[_T, ...]
    offset: int
    total: int | None
    has_more: bool
    """Whether another page may follow, at `next_offset`."""
    next_offset: int

    def __iter__(self) -> Iterator[_T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Listing(Generic[_T]):
    """A list at Egnyte, for `for` and `async for`. Making one sends no request.

    Iteration requests one page at a time. The first page is kept, so `bool(listing)`,
    `listing.total` and the iteration share one call. Each iteration requests the other pages again.
    To show one page of a list on a page of your site, use `page(offset)`.
    """

    __slots__ = ("_area", "_fetch", "_first")

    def __init__(self, area: Area, fetch: Callable[[int], Steps[Page[_T]]]) -> None:
        """`fetch` requests the page at an offset. Offsets count from 0."""
        self._area = area
        self._fetch = fetch
        self._first: Page[_T] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._area!r}>"

    def page(self, offset: int = 0) -> Page[_T]:
        """The page that begins at this item, counted from 0. ValueError for a negative offset."""
        return self._area._run(self._page(offset))

    async def apage(self, offset: int = 0) -> Page[_T]:
        return await self._area._arun(self._page(offset))

    @property
    def total(self) -> int | None:
        """The number of items by Egnyte's count, which may include hidden ones. None if unknown."""
        return self._area._run(self._first_page()).total

    async def atotal(self) -> int | None:
        return (await self._area._arun(self._first_page())).total

    def __bool__(self) -> bool:
        return bool(self._area._run(self._first_page()).items)

    def __iter__(self) -> Iterator[_T]:
        page = self._area._run(self._first_page())
        yield from page
        while page.has_more:
            page = self._area._run(self._fetch(page.next_offset))
            yield from page

    async def __aiter__(self) -> AsyncIterator[_T]:
        page = await self._area._arun(self._first_page())
        for item in page:
            yield item
        while page.has_more:
            page = await self._area._arun(self._fetch(page.next_offset))
            for item in page:
                yield item

    def _page(self, offset: int) -> Steps[Page[_T]]:
        if offset < 0:
            raise ValueError("offset must not be negative")
        return (yield from self._fetch(offset))

    def _first_page(self) -> Steps[Page[_T]]:
        if self._first is None:
            self._first = yield from self._fetch(0)
        return self._first


@dataclass(frozen=True, slots=True)
class Batch(Generic[_T]):
    """A part of a stream: items in order, each with the position after it."""

    items: tuple[tuple[_T, str], ...]
    position: str
    """Where the next part begins."""
    has_more: bool


class Stream(Generic[_T]):
    """The items after a position, for `for` and `async for`. It ends with the newest.

    Store `position` when you have handled an item: a stream that starts there later continues after
    it. Iterating the same stream again continues too.
    """

    __slots__ = ("_area", "_fetch", "position")

    def __init__(self, area: Area, position: str, fetch: Callable[[str], Steps[Batch[_T]]]) -> None:
        self.position = position
        self._area = area
        self._fetch = fetch

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._area!r}>"

    def __iter__(self) -> Iterator[_T]:
        more = True
        while more:
            batch = self._area._run(self._fetch(self.position))
            for item, after in batch.items:
                yield item
                self.position = after
            more = self._advance(batch)

    async def __aiter__(self) -> AsyncIterator[_T]:
        more = True
        while more:
            batch = await self._area._arun(self._fetch(self.position))
            for item, after in batch.items:
                yield item
                self.position = after
            more = self._advance(batch)

    def _advance(self, batch: Batch[_T]) -> bool:
        self.position = batch.position
        return batch.has_more


class Paged(Area):
    """An area that has lists."""

    __slots__ = ()

    def _listing(
        self,
        path: str,
        paging: Paging,
        kind: Callable[[Any], _T],
        options: Mapping[str, Any],
        *,
        body: bool = False,
    ) -> Listing[_T]:
        """A list of items, each made by `kind`. `options` go into the query, or into a JSON body.

        One of them may be `page_size`. ValueError if it is above the largest that Egnyte allows.
        """
        params = {**options}
        size = params.pop("page_size", paging.size)
        if not 1 <= size <= paging.largest:
            raise ValueError(f"page_size must be from 1 to {paging.largest}")

        def fetch(offset: int) -> Steps[Page[_T]]:
            asked = {**params, paging.offset: offset + paging.first, paging.count: size}
            if body:
                value = yield from self._json("POST", path, json=asked)
            else:
                value = yield from self._json("GET", path, params=asked)
            return _page_of(value, paging, kind, offset, size)

        return Listing(self, fetch)


def _page_of(
    value: Mapping[str, Any], paging: Paging, kind: Callable[[Any], _T], offset: int, size: int
) -> Page[_T]:
    found = value.get(paging.items, [])
    if not isinstance(found, list):
        raise ResponseError("Egnyte sent a list in a form that is not known.")
    items = tuple(kind(item) for item in found)
    total = _count(value.get(paging.total)) if paging.total else None
    # `count` includes the items that Egnyte hides.
    stands_for = min(_count(value.get("count")) or 0, size)
    following = offset + max(len(items), stands_for)
    more = value.get(paging.more) if paging.more else None
    if not items:
        # The total may include hidden items: only an empty page is certainly the last.
        has_more = False
    elif isinstance(more, bool):
        has_more = more
    elif total is not None:
        has_more = following < total
    else:
        has_more = following >= offset + size
    return Page(items, offset, total, has_more, following)


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
