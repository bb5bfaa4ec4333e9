"""Work on many rows uses indexes, and the number of queries does not grow with the rows.

PostgreSQL's plan shows the index of a query. On a small table it would scan the table, so the
tests make table scans very expensive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_egnyte.choices import Release
from django_egnyte.gateway import key_digest
from django_egnyte.models import EgnyteAccount, EgnyteGrant, new_id
from django_egnyte.services import grants, revoke, status, sweep
from django_egnyte.services.runner import Pass

pytestmark = pytest.mark.django_db(transaction=True)


def make(count: int, **values: Any) -> list[EgnyteGrant]:
    """Grants with an account each, due for a validation and a refresh. ``values`` are a grant's."""
    ago = timezone.now() - timedelta(minutes=5)
    users = get_user_model()
    made = []
    for _ in range(count):
        name = new_id()
        user = users._default_manager.create(**{users.USERNAME_FIELD: f"{name}@example.com"})
        grant = EgnyteGrant.objects.create(
            domain=f"{name[:8]}.egnyte.com", key_digest=key_digest(), fingerprint=name,
            user_ref=str(user.pk), next_refresh_at=ago, **values,
        )  # fmt: skip
        token = grant.tokens.create(
            domain=grant.domain, user_ref=grant.user_ref, fingerprint=name,
            refresh_fingerprint=f"r{name}", expires_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
        EgnyteAccount.objects.create(
            user=user, domain=grant.domain, egnyte_user_id=grant.pk, token=token,
            next_validation_at=ago,
        )  # fmt: skip
        made.append(grant)
    return made


def a_pass() -> Pass[Any]:
    return Pass("tests", seconds=60, put_off=lambda row, error: None)


WORK: dict[str, Callable[[], Any]] = {
    "claim": lambda: list(sweep.claim_due()),
    "refreshes": lambda: list(sweep._due_for_refresh(a_pass())),
    "revoker": lambda: list(revoke._due(a_pass())),
    "forgotten": sweep.release_forgotten,
    "another key": lambda: status._of_another_key(key_digest()),
    "refreshes in flight": lambda: grants.may_await_answer(EgnyteGrant.objects.order_by("pk")[0]),
}


@pytest.fixture
def dear_tables() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET enable_seqscan")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans of PostgreSQL")
@pytest.mark.parametrize("name", WORK)
def test_no_work_on_many_rows_reads_a_whole_table(name: str, dear_tables: None) -> None:
    make(2)
    make(2, release_at=timezone.now() - timedelta(minutes=1), reason=Release.DEAD)
    EgnyteAccount.objects.filter(token__grant__release_at__isnull=False)._raw_delete("default")
    plans = []
    with CaptureQueriesContext(connection) as queries:
        WORK[name]()
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if query["sql"].startswith("SELECT") and "_egnyte" in query["sql"]:
                cursor.execute("EXPLAIN " + query["sql"].replace("%", "%%"))
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    # Other tables hold a row for each host, key or sweep.
    big = ("egnyteaccount", "egnytegrant", "egnytetoken", "accountevent")
    whole = [
        plan for plan in plans for table in big if f"Seq Scan on django_egnyte_{table}" in plan
    ]
    assert not whole


@pytest.mark.parametrize("name", WORK)
def test_the_queries_do_not_grow_with_the_rows(name: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            WORK[name]()
        return len(captured)

    make(2)
    make(1, release_at=timezone.now() - timedelta(minutes=1))
    queries()  # the row of a sweep's state is made once
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - timedelta(minutes=1))
    few = queries()
    make(20)
    make(10, release_at=timezone.now() - timedelta(minutes=1))
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - timedelta(minutes=1))
    assert queries() == few


def test_forgotten_grants_are_released_together() -> None:
    counts = []
    sweep.release_forgotten()  # makes the row of the sweep's state
    for count in (2, 20):
        make(count)
        EgnyteAccount.objects.all()._raw_delete("default")
        with CaptureQueriesContext(connection) as captured:
            assert sweep.release_forgotten() == count
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans of PostgreSQL")
def test_each_chunk_of_refreshes_begins_in_the_index_where_the_last_one_ended(
    dear_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the total work would grow with the square of the rows."""
    monkeypatch.setattr(sweep, "CHUNK", 2)
    make(5)
    with CaptureQueriesContext(connection) as queries:
        assert len(list(sweep._due_for_refresh(a_pass()))) == 5
    chunks = [each["sql"] for each in queries.captured_queries if "LIMIT 2" in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_sort = off")
        cursor.execute(f"EXPLAIN {chunks[-2].replace('%', '%%')}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_sort")
    assert "Index Cond: ((next_refresh_at <= " in plan
    assert plan.count("next_refresh_at >= ") == 1, plan
    condition = next(line for line in plan.splitlines() if "next_refresh_at >= " in line)
    assert "Index Cond" in condition, plan
