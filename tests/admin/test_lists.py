from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_egnyte.admin import EgnyteAccountAdmin, paging
from django_egnyte.admin.filters import MOST_VALUES, values_in_use
from django_egnyte.admin.times import exactly
from django_egnyte.choices import EventKind, Status
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
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
    make(egnyte_user, 7, scopes=[], last_validated_at=now, expires_at=now + 20 * day)

    for query, found in {
        "status=revoked": "3",
        "status__exact=revoked": "3",
        "scope=everything": "7",
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
    rows = EgnyteAccount.objects.all()
    assert values_in_use(rows, "domain") == []
    for n in range(MOST_VALUES):
        make(egnyte_user, n, domain=f"d{n:02}.egnyte.com")
        make(egnyte_user, n + 1000, domain=f"d{n:02}.egnyte.com")
    assert values_in_use(rows, "domain") == [f"d{n:02}.egnyte.com" for n in range(MOST_VALUES)]
    assert "By domain" in text_of(superuser.get(url("changelist")))

    make(egnyte_user, 99, domain="z.egnyte.com")
    assert len(values_in_use(rows, "domain")) == MOST_VALUES + 1
    assert "By domain" not in text_of(superuser.get(url("changelist")))
    page = superuser.get(url("changelist"), {"domain": "z.egnyte.com"})
    assert "By domain" in text_of(page)
    assert listed(page) == {"jsmith99"}


def offered(page: Any) -> dict[str, list[str]]:
    """The values of each filter that the page shows."""
    return {
        spec.title: [value for value, _label in spec.lookup_choices]
        for spec in page.context["cl"].filter_specs
    }


def test_the_filters_offer_only_what_occurs(superuser: Client, egnyte_user: Any) -> None:
    expiry = ["week", "unaided", "expired", "never"]
    make(egnyte_user, 1, last_validated_at=timezone.now())
    assert offered(superuser.get(url("changelist"))) == {"token expiry": expiry}

    make(egnyte_user, 2, status=Status.REVOKED, scopes=["Egnyte.link", "Egnyte.filesystem"])
    make(egnyte_user, 3, domain="b.egnyte.com", scopes=[])
    assert offered(superuser.get(url("changelist"))) == {
        "status": ["active", "revoked"],
        "validation": ["never"],
        "token expiry": expiry,
        "domain": ["acme.egnyte.com", "b.egnyte.com"],
        "scope": ["everything", "Egnyte.filesystem", "Egnyte.link"],
    }
    # The chosen value is still offered, so that it can be deselected.
    page = superuser.get(url("changelist"), {"status": "suspect", "stale": "yes"})
    assert offered(page)["status"] == ["active", "revoked", "suspect"]
    assert offered(page)["validation"] == ["yes", "never"]


def test_the_filters_of_the_other_lists_offer_only_what_occurs(superuser: Client) -> None:
    grants, events = url("changelist", model="egnytegrant"), url("changelist", model="accountevent")
    assert offered(superuser.get(grants)) == offered(superuser.get(events)) == {}

    make_grant(revoke_attempts=0)
    for kind in (EventKind.REVOKED, EventKind.CONNECTED, EventKind.CONNECTED):
        AccountEvent.objects.create(kind=kind, domain="acme.egnyte.com")
    assert offered(superuser.get(grants)) == {"state": ["waiting"]}
    # In the order of their names: "Account revoked" and "Connected".
    assert offered(superuser.get(events)) == {"event": ["revoked", "connected"]}
    assert superuser.get(events, {"kind": "revoked"}).context["cl"].result_count == 1


def test_the_filters_know_no_more_than_the_list_shows(
    superuser: Client, egnyte_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(egnyte_user, 1, domain="a.egnyte.com")
    make(egnyte_user, 2, domain="b.egnyte.com", scopes=[])
    make(egnyte_user, 3, domain="secret.egnyte.com", scopes=["Egnyte.audit"])
    whole = EgnyteAccountAdmin.get_queryset
    monkeypatch.setattr(
        EgnyteAccountAdmin,
        "get_queryset",
        lambda self, request: whole(self, request).exclude(domain="secret.egnyte.com"),
    )

    found = offered(superuser.get(url("changelist")))
    assert found["domain"] == ["a.egnyte.com", "b.egnyte.com"]
    assert found["scope"] == ["everything", "Egnyte.filesystem"]


def event(user: Any, **values: Any) -> AccountEvent:
    return AccountEvent.objects.create(
        **{"kind": EventKind.CONNECTED, "user_ref": str(user.pk), "actor": f"user:{user.pk}"}
        | values
    )


def test_events_are_searched_for(superuser: Client, egnyte_user: Any) -> None:
    other = superuser.administrator  # type: ignore[attr-defined]
    event(egnyte_user, username="jsmith", domain="acme.egnyte.com")
    event(other, username="mmiller", domain="globex.egnyte.com")
    address = url("changelist", model="accountevent")

    for words, found in {
        "jsmith": {"jsmith"},
        "JSmith": {"jsmith"},
        egnyte_user.get_username(): {"jsmith"},
        "admin@example.com": {"mmiller"},
        str(other.pk): {"mmiller"},
        "globex.egnyte.com": {"mmiller"},
        "Globex": {"mmiller"},
        "globex mmiller": {"mmiller"},
        "globex jsmith": set(),
        '"acme.egnyte.com"': {"jsmith"},
        "jsmi": set(),
        "no such domain!": set(),
    }.items():
        assert listed(superuser.get(address, {"q": words})) == found, words


def test_events_say_who_did_what_and_why(superuser: Client, egnyte_user: Any) -> None:
    administrator = superuser.administrator  # type: ignore[attr-defined]
    event(egnyte_user)
    event(egnyte_user, actor=f"admin:{administrator.pk}", reason="Revoked by an administrator")
    event(egnyte_user, actor=f"user:{administrator.pk}")
    event(egnyte_user, actor="task", user_ref="a user who is gone")
    event(egnyte_user, actor="", user_ref="")
    event(egnyte_user, actor="admin:gone")

    address = url("changelist", model="accountevent")
    page = superuser.get(address)
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text_of(page)))
    assert "Revoked by an administrator" in shown
    name = egnyte_user.get_username()
    for words in (
        f"{name} the user",
        f"{name} administrator admin@example.com",
        f"{name} user admin@example.com",
        "a user who is gone background task",
        "administrator gone",
    ):
        assert words in re.sub(r" +", " ", shown), words

    one = AccountEvent.objects.get(reason="Revoked by an administrator")
    detail = text_of(superuser.get(url("change", one.pk, model="accountevent")))
    linked = f"/{egnyte_user.pk}/change/" in detail
    assert linked is admin.site.is_registered(type(egnyte_user))
    assert name in detail
    assert "administrator admin@example.com" in detail
    assert listed(superuser.get(address, {"user_ref": egnyte_user.pk})) == {""}


def test_an_event_links_an_account_that_still_exists(
    superuser: Client, account: EgnyteAccount
) -> None:
    there = event(account.user, account_ref=account.pk)
    gone = event(account.user, account_ref=987654)

    shown = text_of(superuser.get(url("change", there.pk, model="accountevent")))
    assert url("change", account.pk) in shown
    shown = text_of(superuser.get(url("change", gone.pk, model="accountevent")))
    assert "987654" in shown
    assert url("change", 987654) not in shown


@pytest.mark.parametrize("language", ["en", "de", "pl"])
def test_times_are_written_in_one_way(
    superuser: Client, account: EgnyteAccount, language: str
) -> None:
    moment = timezone.now() + timedelta(days=3)
    EgnyteToken.objects.write(expires_at=moment)
    EgnyteGrant.objects.write(next_refresh_at=moment)
    EgnyteAccount.objects.write(last_validated_at=moment)
    event(account.user, account_ref=account.pk, created_at=moment)
    superuser.cookies[settings.LANGUAGE_COOKIE_NAME] = language

    shown = text_of(superuser.get(url("change", account.pk)))
    with translation.override(language):
        text = exactly(moment)
    assert text is not None
    # The validation, the token's end, the next refresh and the event.
    assert shown.count(text) == 4
    assert not re.search(r"20\d\d-\d\d-\d\d", shown.partition('id="content"')[2])
    listing = text_of(superuser.get(url("changelist")))
    assert f'title="{text}"' in listing


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
    make_grant(user_ref=str(egnyte_user.pk))
    event(egnyte_user, account_ref=first.pk)
    for page in pages:
        superuser.get(page)  # content types are cached
    before = [queries_of(superuser, page) for page in pages]

    for n in range(2, 20):
        other = django_user_model.objects.create(
            **{django_user_model.USERNAME_FIELD: f"user{n}@example.com"}
        )
        make(other, n, domain=f"d{n}.egnyte.com")
        make_grant(domain=f"d{n}.egnyte.com", user_ref=str(other.pk))
        event(other, account_ref=first.pk, domain=f"d{n}.egnyte.com")

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
