"""Files and folders as Egnyte describes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from django_egnyte.exceptions import InvalidPathError, ResponseError


@dataclass(frozen=True, slots=True)
class File:
    """A file. A value that Egnyte did not send is None.

    `checksum` is the SHA-512 in hexadecimal. For a file that was uploaded in chunks it has another
    form, `2-{chunks}-{bytes of a chunk}-{SHA-512 of the chunks' SHA-512s}`. Compare only checksums
    of the same form.
    """

    name: str
    path: str
    size: int | None = None
    checksum: str | None = None
    entry_id: str | None = None
    group_id: str | None = None
    last_modified: datetime | None = None
    uploaded_by: str | None = None
    num_versions: int | None = None

    @property
    def is_folder(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder. A value that Egnyte did not send is None."""

    name: str
    path: str
    folder_id: str | None = None
    last_modified: datetime | None = None

    @property
    def is_folder(self) -> bool:
        return True


Entry = File | Folder


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: its entries, the next offset, and the total number of entries."""

    folder: Folder
    following: int
    total_count: int | None
    entries: tuple[Entry, ...]


class FolderListing:
    """The entries of a folder. You can iterate over it several times. Folders come first in a page.

    `files.list` fetches the first page at once, and the others when iteration, `folders`, `files`
    or `len` needs them. `files.alist` fetches all at once. After an error you can start the
    iteration again: pages that have been fetched are kept.
    """

    __slots__ = ("_entries", "_fetch", "_seen", "complete", "folder", "next_offset", "total_count")

    def __init__(self, first: Page, fetch: Callable[[int], Page] | None) -> None:
        """`fetch` returns the page at an offset."""
        self.folder = first.folder
        self.total_count = first.total_count
        """The number of entries in the folder by Egnyte's count. None if it did not say."""
        self.complete = False
        """Whether every page has been fetched."""
        self.next_offset = 0
        self._entries: list[Entry] = []
        self._seen: set[tuple[bool, str]] = set()
        self._fetch = fetch
        self.take(first)

    def take(self, page: Page) -> None:
        """Add the page at `next_offset`, and find out whether it is the last.

        A server may hide entries from the user and still count them. A page is then shorter than
        its count, or two pages overlap.
        """
        # A server that ignores offsets always answers with the first page.
        repeated = bool(self._entries) and page.entries[:1] == tuple(self._entries[:1])
        for entry in page.entries:
            key = (entry.is_folder, entry.path)
            if key not in self._seen:
                self._seen.add(key)
                self._entries.append(entry)
        # A page whose entries are all hidden but counted is not the last one.
        stuck = page.total_count is None or page.following <= self.next_offset
        self.next_offset = page.following
        ends = page.total_count is not None and page.following >= page.total_count
        self.complete = repeated or ends or (stuck and not page.entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def path(self) -> str:
        return self.folder.path

    @property
    def folders(self) -> list[Folder]:
        return [entry for entry in self if isinstance(entry, Folder)]

    @property
    def files(self) -> list[File]:
        return [entry for entry in self if isinstance(entry, File)]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def __iter__(self) -> Iterator[Entry]:
        position = 0
        while True:
            while position < len(self._entries):
                yield self._entries[position]
                position += 1
            if self.complete or self._fetch is None:
                return
            self.take(self._fetch(self.next_offset))


def entry_of(value: Mapping[str, Any], parent: str = "") -> Entry:
    """A file or folder from its JSON. ResponseError if it has neither name nor path."""
    path = _text(value.get("path"))
    name = _text(value.get("name"))
    if path is None and name is None:
        raise ResponseError("Egnyte described an entry without a name.")
    if path is None:
        path = f"{parent.rstrip('/')}/{name}"
    if name is None:
        name = path.rstrip("/").rpartition("/")[2]
    moment = value.get("last_modified", value.get("lastModified"))
    is_folder = _flag(value.get("is_folder"))
    if is_folder or (is_folder is None and ("folder_id" in value or "folders" in value)):
        return Folder(name, path, _text(value.get("folder_id")), moment_of(moment))
    return File(
        name,
        path,
        _number(value.get("size")),
        _text(value.get("checksum")),
        _text(value.get("entry_id")),
        _text(value.get("group_id")),
        moment_of(moment),
        _text(value.get("uploaded_by")),
        _number(value.get("num_versions")),
    )


def page_of(value: Mapping[str, Any], path: str, offset: int) -> Page:
    """One page of a listing of `path`, requested at `offset`.

    ResponseError if the answer is not a page, InvalidPathError if it describes a file.
    """
    if _flag(value.get("is_folder")) is False:
        raise InvalidPathError("That is a file, not a folder.")
    name = path.rstrip("/").rpartition("/")[2]
    folder = entry_of({"path": path, "name": name, **value, "is_folder": True})
    assert isinstance(folder, Folder)
    entries: list[Entry] = []
    for key in ("folders", "files"):
        items = value.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ResponseError("Egnyte listed a folder in a form that is not known.")
        for item in items:
            entries.append(entry_of({"is_folder": key == "folders", **item}, folder.path))
    # `count` includes hidden entries. Without it, count the entries themselves.
    count = max(_number(value.get("count")) or 0, len(entries))
    return Page(folder, offset + count, _number(value.get("total_count")), tuple(entries))


def moment_of(value: Any) -> datetime | None:
    """A time in any form that Egnyte uses: milliseconds, an HTTP date, ISO 8601; or None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, int | float):
            return _from_milliseconds(value)
        if not isinstance(value, str) or len(value) > 100:
            return None
        text = value.strip()
        if text.removeprefix("-").isdecimal():
            return _from_milliseconds(int(text))
        if text[:4].isdecimal():
            moment = datetime.fromisoformat(text)
        else:
            moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _from_milliseconds(value: float) -> datetime | None:
    return datetime.fromtimestamp(value / 1000, UTC) if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
        return int(value)
    return None


def _flag(value: Any) -> bool | None:
    """A boolean. Some answers send it as text."""
    text = str(value).strip().lower()
    return {"true": True, "false": False}.get(text)
