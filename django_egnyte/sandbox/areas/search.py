"""`/pubapi/v1/search` and `/pubapi/v2/search`: by name and metadata, not by content.

It finds a new file at once. Egnyte needs a minute or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..messages import Response, json_answer
from ..routing import Call, entries, iso, page_of, routes
from ..tree import Node, TreeError

Found = list[tuple[str, Node]]


def by_name(call: Call) -> Response:
    args = call.args
    hits = _hits(call, args, args.get("query", ""), _parse)
    offset, count = _page(call, args)
    page = [_result(path, node) for path, node in hits[offset : offset + count]]
    answer = {"results": page, "total_count": len(hits), "offset": offset, "count": len(page)}
    return json_answer(answer)


def by_metadata(call: Call) -> Response:
    body = call.body
    query = body.get("query")
    if query is None and not body.get("custom_metadata"):
        raise TreeError(400, "A query or metadata is required")
    hits = _hits(call, body, query, lambda value: float(value) / 1000)
    for condition in body.get("custom_metadata") or []:
        hits = [hit for hit in hits if _meets(call, hit[1], condition)]
    asked = {name: str(value) for name, value in body.items() if name in ("offset", "count")}
    offset, count = _page(call, asked)
    page = [_result(path, node) for path, node in hits[offset : offset + count]]
    more = offset + len(page) < len(hits)
    answer = {"results": page, "offset": offset, "count": len(page), "hasMore": more}
    return json_answer({**answer, "total_count": len(hits)})


def _page(call: Call, asked: Mapping[str, str]) -> tuple[int, int]:
    """Most sources document at most 20 results; one documents 25 by default and at most 100."""
    limit = call.settings.search_limit
    return page_of(asked, call.settings, 20 if limit == 20 else 25, limit)


def _hits(call: Call, asked: Mapping[str, Any], query: str | None, time: Any) -> Found:
    if query is not None and not 3 <= len(query) <= 100:
        raise TreeError(400, "Query must have between 3 and 100 characters")
    words = (query or "").strip("*").casefold()
    folder, kind = asked.get("folder"), asked.get("type")
    hits = [
        (path, node)
        for path, node in entries(call.tree, call.user)
        if words in node.name.casefold()
        # As at Egnyte, a folder with a slash at its end matches nothing.
        and (not folder or path.casefold().startswith(f"{folder.casefold()}/"))
        and kind in (None, "FOLDER" if node.is_folder else "FILE")
        and node.modified >= (time(asked["modified_after"]) if asked.get("modified_after") else 0)
        and not (asked.get("modified_before") and node.modified > time(asked["modified_before"]))
    ]
    orders: dict[str, Any] = {
        "name": lambda hit: hit[1].name.casefold(),
        "last_modified": lambda hit: hit[1].modified,
        "size": lambda hit: hit[1].versions[-1].content.size if hit[1].versions else 0,
    }
    order = orders.get(asked.get("sort_by", ""), lambda hit: hit[0].casefold())
    hits.sort(key=order, reverse=asked.get("sort_direction") == "descending")
    return hits


def _meets(call: Call, node: Node, condition: Mapping[str, Any]) -> bool:
    namespace, key = str(condition.get("namespace")), str(condition.get("key"))
    values = call.shelf("properties").get(f"{node.id}/{namespace}", {})
    operator = condition.get("operator")
    if operator in ("HAS_KEY", "HAS_NOT_KEY"):
        return bool((key in values) == (operator == "HAS_KEY"))
    has, value = values.get(key), condition.get("value")
    if has is None:
        return False
    span = condition.get("range") or {}
    tests: dict[Any, Any] = {
        "EQUALS": lambda: has == value,
        "GREATER_THAN": lambda: has > value,
        "LESS_THAN": lambda: has < value,
        "CONTAINS": lambda: str(value).casefold() in str(has).casefold(),
        "IN": lambda: has in condition.get("values", []),
        "BETWEEN": lambda: span["start"] <= has <= span["end"],
    }
    if operator not in tests:
        raise TreeError(501, f"The operator {operator} is not supported by the sandbox")
    return bool(tests[operator]())


def _parse(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise TreeError(400, "Invalid date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _result(path: str, node: Node) -> dict[str, Any]:
    common = {"name": node.name, "path": path, "is_folder": node.is_folder, "score": 1.0}
    if node.is_folder:
        return common | {"type": "folder", "group_id": node.id, "last_modified": iso(node.modified)}
    version = node.versions[-1]
    return common | {
        "type": "application/octet-stream",
        "size": version.content.size,
        "snippet": "",
        "entry_id": version.entry_id,
        "group_id": node.id,
        "last_modified": iso(version.modified),
        "uploaded_by": version.uploaded_by,
        "uploaded_by_username": version.uploaded_by,
        "num_versions": len(node.versions),
        "custom_properties": [],
    }


ROUTES = routes(
    "Egnyte.filesystem",
    ("GET", "/v1/search", "search", by_name),
    ("POST", "/v2/search", "search", by_metadata),
)
