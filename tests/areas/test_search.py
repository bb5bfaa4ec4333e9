from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.api.areas.search import Where
from django_egnyte.sandbox import Sandbox
from tests.areas.conftest import Way


def test_files_and_folders_are_found_by_name(
    jane: EgnyteClient, sandbox: Sandbox, way: Way
) -> None:
    sandbox.add_file("acme", "/Shared/a/Budget.txt", b"12345")
    sandbox.add_folder("acme", "/Shared/budgets")
    sandbox.add_file("acme", "/Private/bdoe/budget.txt", b"x", username="bdoe")
    file, folder = way.list(jane.search("budget"))
    assert (file.name, file.path, file.is_folder, file.size) == (
        "Budget.txt",
        "/Shared/a/Budget.txt",
        False,
        5,
    )
    assert file.uploaded_by == "jsmith" and file.entry_id and file.group_id and file.score == 1.0
    assert file.last_modified is not None and file.last_modified.tzinfo is not None
    assert folder.is_folder and folder.path == "/Shared/budgets"
    assert [hit.path for hit in way.list(jane.search("budget", kind="FOLDER"))] == [folder.path]


def test_a_search_is_narrowed_and_ordered(jane: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    for name in ("b", "a", "c"):
        sandbox.add_file("acme", f"/Shared/x/report {name}.txt", b"x")
    now = datetime.now(UTC)
    found = way.list(jane.search("report", folder="/Shared/x/", sort_by="name", descending=True))
    assert [hit.name[7] for hit in found] == ["c", "b", "a"]
    assert not jane.search("report", folder="/Shared/x", modified_after=now + timedelta(hours=1))
    assert jane.search("report", folder="/Shared/x", modified_before=now + timedelta(hours=1))
    assert jane.search("report", snippets=False, uploaded_after=now - timedelta(days=1))


@pytest.mark.parametrize("query", ["", "ab", "  ab ", "x" * 101])
def test_a_term_that_egnyte_would_refuse_is_not_sent(jane: EgnyteClient, query: str) -> None:
    with pytest.raises(ValueError, match="3 to 100"):
        jane.search(query)
    with pytest.raises(ValueError, match="3 to 100"):
        jane.search.with_metadata(query, where=[Where("n", "k", "HAS_KEY")])


@pytest.mark.parametrize("query", ["ab", "x" * 101])
def test_egnyte_refuses_it_too(jane: EgnyteClient, query: str) -> None:
    response = jane.get("/pubapi/v1/search", params={"query": query})
    assert response.status_code == 400
    assert jane.get("/pubapi/v1/search?query=abcd&count=101").status_code == 400


def test_other_bad_input(jane: EgnyteClient) -> None:
    with pytest.raises(ValueError, match="kind"):
        jane.search("abc", kind="file")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time zone"):
        jane.search("abc", modified_after=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="condition"):
        jane.search.with_metadata()
    with pytest.raises(ValueError, match="operator"):
        Where("n", "k", "LIKE", 1)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (Where("bill", "amount", "EQUALS", 5), ["5"]),
        (Where("bill", "amount", "GREATER_THAN", 4), ["5", "9"]),
        (Where("bill", "amount", "LESS_THAN", 5), ["1"]),
        (Where("bill", "amount", "BETWEEN", (1, 5)), ["1", "5"]),
        (Where("bill", "amount", "IN", [9, 1]), ["1", "9"]),
        (Where("bill", "amount", "HAS_KEY"), ["1", "5", "9"]),
        (Where("bill", "client", "HAS_KEY"), []),
    ],
    ids=lambda value: value.operator if isinstance(value, Where) else "",
)
def test_search_by_metadata(
    where: Where, found: list[str], admin: EgnyteClient, sandbox: Sandbox, way: Way
) -> None:
    keys: dict[str, Any] = {"amount": {"type": "decimal"}, "client": {"type": "string"}}
    admin.metadata.create("bill", keys)
    for amount in (1, 5, 9):
        sandbox.add_file("acme", f"/Shared/bill {amount}.txt", b"x")
        [hit] = admin.search(f"bill {amount}")
        admin.metadata.set("bill", {"amount": amount}, file=hit.group_id)
    hits = way.list(admin.search.with_metadata(where=[where], page_size=2))
    assert [hit.name[5] for hit in hits] == found


def test_metadata_and_words_together(admin: EgnyteClient, sandbox: Sandbox, way: Way) -> None:
    now = datetime.now(UTC)
    sandbox.add_file("acme", "/Shared/x/bill one.txt", b"x")
    options: Any = {"folder": "/Shared/x", "kind": "FILE", "modified_after": now - timedelta(1)}
    assert len(way.list(admin.search.with_metadata("bill", **options))) == 1
    options["modified_after"] = now + timedelta(1)
    assert way.list(admin.search.with_metadata("bill", **options)) == []
