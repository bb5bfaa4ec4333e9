"""Search by name, content and metadata. A new file can be found after a minute or more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from django_egnyte.api.areas.base import flag, iso, milliseconds, one_of, options_of, present
from django_egnyte.api.areas.paging import Listing, Paged, Paging
from django_egnyte.api.areas.records import Record
from django_egnyte.api.paths import clean_path

V1 = "/pubapi/v1/search"
V2 = "/pubapi/v2/search"
# The SDKs disagree about the largest page. All of them allow 20.
PAGING = Paging("results", size=20, largest=100, total="total_count", more="hasMore")
TIMES = ("modified_after", "modified_before", "uploaded_after", "uploaded_before")
OPERATORS = (
    "EQUALS",
    "GREATER_THAN",
    "LESS_THAN",
    "BETWEEN",
    "IN",
    "HAS_KEY",
    "HAS_NOT_KEY",
    "CONTAINS",
    "SUB_SET",
)


@dataclass(frozen=True, slots=True)
class Hit(Record):
    """A file or folder that was found. `type` is a media type, `snippet` plain text."""

    name: str
    path: str
    is_folder: bool = False
    type: str | None = None
    size: int | None = None
    entry_id: str | None = None
    group_id: str | None = None
    last_modified: datetime | None = None
    uploaded_by: str | None = None
    uploaded_by_username: str | None = None
    num_versions: int | None = None
    snippet: str | None = None
    snippet_html: str | None = None
    score: float | None = None
    custom_properties: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on metadata: `Where("invoice", "amount", "GREATER_THAN", 100)`.

    `value` is a sequence for IN and SUB_SET, and a pair for BETWEEN. HAS_KEY and HAS_NOT_KEY take
    no value. ValueError for an unknown operator.
    """

    namespace: str
    key: str
    operator: str
    value: Any = None

    def __post_init__(self) -> None:
        one_of("operator", self.operator, OPERATORS)

    def as_json(self) -> dict[str, Any]:
        said = {"namespace": self.namespace, "key": self.key, "operator": self.operator}
        if self.operator == "BETWEEN":
            start, end = self.value
            return {**said, "range": {"start": start, "end": end}}
        if self.operator in ("IN", "SUB_SET"):
            return {**said, "values": list(self.value)}
        return said if self.value is None else {**said, "value": self.value}


class SearchOptions(TypedDict, total=False):
    """Filters and order of a search. `folder` limits it to a folder. Times are aware."""

    folder: str | None
    kind: Literal["FILE", "FOLDER"] | None
    modified_after: datetime | None
    modified_before: datetime | None
    uploaded_after: datetime | None
    uploaded_before: datetime | None
    sort_by: Literal["last_modified", "size", "name", "score"] | None
    descending: bool | None
    snippets: bool | None
    page_size: int | None


class Search(Paged):
    """`client.search("report")`, and `client.search.with_metadata(where=[...])`."""

    __slots__ = ()
    scope = "Egnyte.filesystem"

    def __call__(self, query: str, **options: Unpack[SearchOptions]) -> Listing[Hit]:
        """Files and folders for `query`. ValueError unless it has 3 to 100 characters."""
        params = {"query": _query(query), **_params(options, iso)}
        if "snippet_requested" in params:
            params["snippet_requested"] = flag(params["snippet_requested"])
        return self._listing(V1, PAGING, Hit.of, params)

    def with_metadata(
        self,
        query: str | None = None,
        *,
        where: Sequence[Where] = (),
        **options: Unpack[SearchOptions],
    ) -> Listing[Hit]:
        """Files and folders whose metadata meet every condition, and match `query` if given."""
        if query is None and not where:
            raise ValueError("a query or a condition is needed")
        conditions = [condition.as_json() for condition in where] or None
        body = {
            **present(query=None if query is None else _query(query), custom_metadata=conditions),
            **_params(options, milliseconds),
        }
        return self._listing(V2, PAGING, Hit.of, body, body=True)


def _query(text: str) -> str:
    if not 3 <= len(text.strip()) <= 100:
        raise ValueError("a search needs 3 to 100 characters")
    return text


def _params(options: SearchOptions, time: Callable[[datetime], Any]) -> dict[str, Any]:
    # A folder with a slash at the end is not found.
    said = options_of(SearchOptions, options, folder=clean_path, **dict.fromkeys(TIMES, time))
    descending = said.pop("descending", None)
    return present(
        type=one_of("kind", said.pop("kind", None), ("FILE", "FOLDER")),
        sort_direction=None if descending is None else _DIRECTIONS[descending],
        snippet_requested=said.pop("snippets", None),
        **said,
    )


_DIRECTIONS = {False: "ascending", True: "descending"}
