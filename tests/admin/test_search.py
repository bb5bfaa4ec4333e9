"""The search in the list of accounts: its results, and that it makes no table scan."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, RequestFactory

from django_egnyte.admin import EgnyteAccountAdmin, search
from django_egnyte.models import EgnyteAccount

from .rows import listed, make, url


@pytest.fixture
def others(django_user_model: Any) -> Any:
    def another(name: str, number: int, **values: Any) -> EgnyteAccount:
        names = {django_user_model.USERNAME_FIELD: name, "email": f"{name}@mail.example"}
        if django_user_model.USERNAME_FIELD == "email":
            names["email"] = name
        return make(django_user_model.objects.create(**names), number, **values)

    return another


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pat", "1"),
        ("Pat", "1"),
        ("ROBIN", "2"),
        ("jane.d", "1"),
        ("Jane.Doe", "1"),
        ("j2@acme.example", "2"),
        ("acme", "2"),
        ("globex.egnyte.com", "1"),
        ("jane globex", "1"),
        ("jane acme", ""),
        ('"jane d"', ""),
        ('"mary ann"', "2"),
        ("doe", ""),
        ("100%", ""),
        ("_", ""),
        ("", "12"),
    ],
)
def test_a_word_finds_what_begins_with_it(
    superuser: Client, others: Any, text: str, expected: str
) -> None:
    others("pat", 1, domain="globex.egnyte.com", username="Jane.Doe", email="Jane@Globex.example")
    others("robin", 2, username="Mary Ann")
    names = {"1": "Jane.Doe", "2": "Mary Ann"}
    assert listed(superuser.get(url("changelist"), {"q": text})) == {names[n] for n in expected}


def test_a_word_that_begins_more_than_a_list_can_hold_finds_all(
    superuser: Client, others: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST", 2)
    for number in range(4):
        others(f"pat{number}", number, domain=f"d{number}.egnyte.com", username=f"u{number}")
    every = {f"u{number}" for number in range(4)}
    assert listed(superuser.get(url("changelist"), {"q": "pat"})) == every
    assert listed(superuser.get(url("changelist"), {"q": "d"})) == every


def test_a_site_searches_what_it_likes(others: Any) -> None:
    class Own(EgnyteAccountAdmin):
        search_fields = ("first_name",)

    others("pat", 1, first_name="Patricia")
    request = RequestFactory().get("/")
    for own, word, count in [(Own, "tric", 1), (Own, "pat", 1), (EgnyteAccountAdmin, "tric", 0)]:
        options = own(EgnyteAccount, admin.site)
        assert options.get_search_fields(request)
        rows, _ = options.get_search_results(request, EgnyteAccount.objects.all(), word)
        assert rows.count() == count


@pytest.mark.skipif(connection.vendor == "sqlite", reason="its LIKE uses no index of ours")
def test_a_search_reads_indexes(others: Any) -> None:
    others("pat", 1)
    rows = search.found(EgnyteAccount.objects.order_by(), "pat")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # would read so few rows without an index
            cursor.execute("SET enable_seqscan = off")
    try:
        plan = rows.explain()
    finally:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("RESET enable_seqscan")
    for index in ("username_lower", "email_lower", "unique"):
        assert f"egnyte_account_{index}" in plan, plan
