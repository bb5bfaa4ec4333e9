from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_egnyte.admin import paging
from django_egnyte.admin.filters import MOST_DOMAINS, some_domains
from django_egnyte.choices import EventKind, Status
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteToken,
)

from .rows import TOKENS, listed, make, make_grant, pick, text_of, url


def test_no_page_holds_a_token(superuser: Client, account: EgnyteAccount) -> None:
    row = make_grant()
    AccountEvent.objects.create(kind=EventKind.CONNECTED, account_ref=account.pk)
    pages = [
        superuser.get(url("changelist")),
        superuser.get(url("changelist"), {"q": "jsmith"}),
        superuser.get(url("change", account.pk)),
        superuser.get(url("history", account.pk)),
        superuser.get(url("delete", account.pk)),
        superuser.get(url("revoke", account.pk)),
        superuser.get(url("health")),
        pick(superuser, "revoke", account),
        pick(superuser, "delete_selected", account),
        superuser.get(url("changelist", model="egnytegrant")),
        superuser.get(url("change", row.pk, model="egnytegrant")),
        superuser.get(url("abandon", row.pk, model="egnytegrant")),
        superuser.get(url("changelist", model="accountevent")),
        superuser.get(url("change", AccountEvent.objects.get().pk, model="accountevent")),
    ]
    sealed = [
        value
        for row in EgnyteToken.objects.values_list("access_token", "refresh_token")
        for value in row
    ]
    for page in pages:
        shown = text_of(page)
        assert not [secret for secret in (*TOKENS, *map(str, sealed)) if secret in shown]
        assert "style=" not in page.content.decode().partition("egnyte-health")[2]


def test_the_token_is_shown_as_stored(superuser: Client, account: EgnyteAccount) -> None:
    AccountEvent.objects.create(kind=EventKind.REFRESHED, account_ref=account.pk)
    EgnyteToken.objects.update(created_at=timezone.now() - timedelta(days=3, minutes=1))

    shown = text_of(superuser.get(url("change", account.pk)))
    assert "stored, 3\xa0days old, fingerprint access12" in shown
    assert account.token.fingerprint not in shown
    assert "Token refreshed" in shown

    EgnyteAccount.objects.write(token=None)
    assert "stored" not in text_of(superuser.get(url("change", account.pk)))


def test_a_row_that_no_key_opens_can_be_seen(
    superuser: Client, account: EgnyteAccount, settings: Any
) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = ["quite another key, of thirty-two characters or more"]

    assert "jsmith121" in text_of(superuser.get(url("changelist")))
    assert "jsmith121" in text_of(superuser.get(url("change", account.pk)))


@pytest.mark.parametrize("name", ["access_token", "refresh_token__startswith", "seal_id"])
def test_nobody_asks_about_a_token_by_the_address(
    superuser: Client, account: EgnyteAccount, name: str
) -> None:
    assert superuser.get(url("changelist"), {name: "g"}).status_code == 400


def test_users_and_identities_are_searched_for(
    superuser: Client, egnyte_user: Any, django_user_model: Any
) -> None:
    make(egnyte_user, 1)
    other = django_user_model.objects.create(
        **{django_user_model.USERNAME_FIELD: "pat@example.com"}
    )
    make(other, 2, domain="globex.egnyte.com")

    for words, found in {
        "pat@": {"jsmith2"},
        "jsmith1": {"jsmith1"},
        "j2@acme": {"jsmith2"},
        "globex": {"jsmith2"},
        "jsmith": {"jsmith1", "jsmith2"},
        TOKENS[0]: set(),
        "access1": set(),
    }.items():
        assert listed(superuser.get(url("changelist"), {"q": words})) == found, words


def test_the_filters_find(superuser: Client, egnyte_user: Any) -> None:
    now = timezone.now()
    day = timedelta(days=1)
    make(egnyte_user, 1, last_validated_at=now, expires_at=now + 20 * day)
    make(egnyte_user, 2, last_validated_at=now - 3 * day, expires_at=now + 3 * day)
    make(egnyte_user, 3, status=Status.REVOKED, expires_at=now + day)
    make(egnyte_user, 4, scopes=["Egnyte.link", "Egnyte.filesystem"], expires_at=now - day)
    make(
        egnyte_user,
        5,
        refresh_fingerprint="",
        expires_at=now + day,
        domain="b.egnyte.com",
    )
    make(egnyte_user, 6, scopes=["Egnyte.linkage"], last_validated_at=now)

    for query, found in {
        "status__exact=revoked": "3",
        "stale=yes": "2",
        "stale=never": "45",
        "expiring=week": "25",
        "expiring=unaided": "5",
        "expiring=expired": "4",
        "expiring=never": "6",
        "scope=Egnyte.link": "4",
        "scope=Egnyte.filesystem": "12345",
        "domain=b.egnyte.com": "5",
    }.items():
        page = superuser.get(f"{url('changelist')}?{query}")
        assert listed(page) == {f"jsmith{n}" for n in found}, query


def test_domains_are_offered_while_they_are_few(superuser: Client, egnyte_user: Any) -> None:
    table = EgnyteAccount._meta.db_table
    assert some_domains("default", table) == []
    for n in range(MOST_DOMAINS):
        make(egnyte_user, n, domain=f"d{n:02}.egnyte.com")
        make(egnyte_user, n + 1000, domain=f"d{n:02}.egnyte.com")
    assert some_domains("default", table) == [f"d{n:02}.egnyte.com" for n in range(MOST_DOMAINS)]
    assert "By domain" in text_of(superuser.get(url("changelist")))

    make(egnyte_user, 99, domain="z.egnyte.com")
    assert "By domain" not in text_of(superuser.get(url("changelist")))
    page = superuser.get(url("changelist"), {"domain": "z.egnyte.com"})
    assert listed(page) == {"jsmith99"}


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_the_number_of_queries_does_not_grow(
    superuser: Client, django_user_model: Any, egnyte_user: Any
) -> None:
    first = make(egnyte_user, 1)
    pages = [
        url("changelist"),
        f"{url('changelist')}?q=jsmith",
        f"{url('changelist')}?stale=never",
        url("change", first.pk),
        url("health"),
        url("changelist", model="accountevent"),
        url("changelist", model="egnytegrant"),
    ]
    make_grant()
    for page in pages:
        superuser.get(page)  # content types are cached
    before = [queries_of(superuser, page) for page in pages]

    for n in range(2, 20):
        other = django_user_model.objects.create(
            **{django_user_model.USERNAME_FIELD: f"user{n}@example.com"}
        )
        make(other, n, domain=f"d{n}.egnyte.com")
        make_grant(domain=f"d{n}.egnyte.com")
        AccountEvent.objects.create(kind=EventKind.CONNECTED, account_ref=first.pk)

    assert [queries_of(superuser, page) for page in pages] == before


def test_large_tables_are_not_counted(
    superuser: Client, egnyte_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(egnyte_user, 1)
    monkeypatch.setattr(paging, "LARGE", 0)
    is_postgres = connection.vendor == "postgresql"
    if is_postgres:
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {EgnyteAccount._meta.db_table}")

    paginator = paging.EstimatingPaginator(EgnyteAccount.objects.order_by("pk"), 50)
    with CaptureQueriesContext(connection) as queries:
        counted = paginator.count
    assert ("COUNT" in queries.captured_queries[-1]["sql"]) is not is_postgres
    assert counted == 1
    monkeypatch.setattr(paging, "LARGE", 1000)
    filtered = EgnyteAccount.objects.filter(domain="x").order_by("pk")
    assert paging.EstimatingPaginator(filtered, 50).count == 0
    assert paging.EstimatingPaginator([1, 2], 50).count == 2


def test_some_rows_of_a_large_table_are_counted_up_to_a_limit(
    egnyte_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        make(egnyte_user, n)
    monkeypatch.setattr(paging, "LARGE", 3)
    rows = EgnyteAccount.objects.filter(domain="acme.egnyte.com").order_by("-pk")
    assert paging.EstimatingPaginator(rows, 2).count == 3


def test_a_page_far_back_reads_no_rows_before_it(egnyte_user: Any) -> None:
    for n in range(5):
        make(egnyte_user, n)
    rows = EgnyteAccount.objects.order_by("-pk").select_related("user", "token__grant")
    paginator = paging.EstimatingPaginator(rows, 2)
    with CaptureQueriesContext(connection) as queries:
        shown = [[row.username for row in paginator.page(number)] for number in (1, 2, 3)]
    assert shown == [["jsmith4", "jsmith3"], ["jsmith2", "jsmith1"], ["jsmith0"]]
    skipping = [q["sql"] for q in queries.captured_queries if "OFFSET" in q["sql"]]
    assert len(skipping) == 2
    assert not [sql for sql in skipping if "scopes" in sql or "JOIN" in sql]
    assert [len(paging.EstimatingPaginator([1, 2, 3], 2).page(n)) for n in (1, 2)] == [2, 1]
