"""Downloads in asynchronous code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from django_egnyte.api import flows
from django_egnyte.api.transfers import Download

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from django_egnyte.api.entries import File


class AsyncDownload:
    """A `Download` for `async for` and `async with`: its pieces are read in another thread."""

    __slots__ = ("_download",)

    def __init__(self, download: Download) -> None:
        self._download = download

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.file.path!r}>"

    @property
    def file(self) -> File:
        return self._download.file

    @property
    def content_type(self) -> str:
        return self._download.content_type

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await flows.in_pool(self._download.close)

    def close(self) -> None:
        """For Django, which closes what a response streams. Does not wait for anything."""
        self._download.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self._download)

        def following() -> bytes | None:
            return next(pieces, None)

        while (piece := await flows.in_pool(following)) is not None:
            yield piece
