"""Small areas of one call each: recent files, and the folders of Salesforce records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django_egnyte.api.areas.base import Area, operation, present, segment, twin
from django_egnyte.api.areas.records import Record, records
from django_egnyte.api.paths import clean_path

if TYPE_CHECKING:
    from django_egnyte.api.steps import Steps


@dataclass(frozen=True, slots=True)
class RecentFile(Record):
    """A file that the user opened or changed recently."""

    name: str | None = None
    path: str | None = None
    size: int | None = None
    entry_id: str | None = None
    group_id: str | None = None
    uploaded_by: str | None = None
    num_versions: int | None = None
    last_modified: datetime | None = None
    last_accessed: datetime | None = None


@dataclass(frozen=True, slots=True)
class MappedFolder(Record):
    """The folder of a Salesforce record."""

    path: str | None = None
    folder_id: str | None = None


class Insights(Area):
    """`client.insights`."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    @operation
    def recent_files(self, folder: str | None = None) -> Steps[tuple[RecentFile, ...]]:
        """At most ten files that the user opened or changed last, below a folder if given."""
        params = present(folder_path=None if folder is None else clean_path(folder))
        value = yield from self._json("GET", "/pubapi/v1/insights/files", params=params)
        return records(RecentFile, value.get("recentFiles"))

    arecent_files = twin(recent_files)


class Salesforce(Area):
    """`client.salesforce`."""

    __slots__ = ()
    scope = "Egnyte.salesforce"

    @operation
    def folder(self, record_id: str) -> Steps[MappedFolder]:
        """The folder of a record. ValueError for an id that does not have 18 characters."""
        if len(record_id) != 18:
            raise ValueError("the id of a Salesforce record has 18 characters")
        where = f"/pubapi/v1/sfdc/foldermap/{segment(record_id)}"
        return MappedFolder.of((yield from self._json("GET", where)))

    afolder = twin(folder)
