"""The measures. Each returns lines of the table: name and value."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.urls import reverse

from benchmarks.scale.rows import HANGING, HOSTS
from django_egnyte import http, tasks
from django_egnyte.exceptions import UnavailableError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.services import revoke, sweep
from django_egnyte.services.runner import Pass

Lines = Iterator[tuple[str, str]]

MOST_MEMORY = 64 * 1024 * 1024
ANSWERS_AFTER = 0.05
USERS = (100, 1000)
ROUNDS = 5


def memory(name: str) -> int:
    """The memory of this process in bytes: ``VmRSS`` is the current, ``VmHWM`` the peak value."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


class Meter:
    """Measures the queries, time and memory of the ``with`` block."""

    def __enter__(self) -> Meter:
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        self.queries, self.before = 0, memory("VmRSS")
        self._wrapper = connection.execute_wrapper(self._count)
        self._wrapper.__enter__()
        self.started = time.perf_counter()
        return self

    def _count(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.queries += 1
        return execute(sql, params, many, context)

    def __exit__(self, *details: Any) -> None:
        self.seconds = time.perf_counter() - self.started
        self._wrapper.__exit__(*details)
        self.above = memory("VmHWM") - self.before
        assert self.above < MOST_MEMORY, self.above

    def line(self, rows: int) -> str:
        return (
            f"{rows:,} in {self.seconds:.1f} s; {self.queries * 1000 / rows:.0f} queries for each "
            f"1,000; {self.above / 1024 / 1024:.0f} MiB"
        )


# The sweeps


def claim(queue: str) -> Lines:
    """A sweep claims all accounts for validation, and sends tasks to the broker."""
    with Meter() as meter:
        claimed = 0
        while found := _claimed_in_a_slice(queue):
            claimed += found
    assert claimed == EgnyteAccount.objects.count()
    yield "claim for validation", meter.line(claimed)


def _claimed_in_a_slice(queue: str) -> int:
    found = 0
    for ids in sweep.claim_due():
        tasks.validate_batch.apply_async(args=[ids], queue=queue)
        found += len(ids)
    return found


def refreshes() -> Lines:
    """A sweep lists the due refreshes. Each refresh claims its grant by a lease."""
    due = EgnyteAccount.objects.count() // 10
    this: Pass[EgnyteAccount] = Pass("benchmark", seconds=600, put_off=lambda row, error: None)
    with Meter() as meter:
        listed = sum(1 for _ in sweep._due_for_refresh(this))
    assert listed == due
    yield "list for refresh", meter.line(listed)
    with door() as asked, Meter() as meter:
        outcomes = sweep.refresh_due(actor="benchmark", seconds=20)
    assert set(outcomes) == {"refreshed"}, outcomes
    assert asked.total() == outcomes["refreshed"]
    each = meter.queries / outcomes["refreshed"]
    yield (
        "one refresh after the other",
        (f"{outcomes['refreshed'] / meter.seconds:.0f} a second, {each:.0f} queries each"),
    )


def forgotten() -> Lines:
    """SQL deletes 1 % of the accounts. The slow sweep then goes through all grants."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_egnyte_egnyteaccount WHERE egnyte_user_id % 100 = 7")
        deleted = cursor.rowcount
    grants = EgnyteGrant.objects.filter(release_at=None).count()
    with Meter() as meter:
        found = sweep.release_forgotten(seconds=600)
    assert found == deleted
    yield "sweep for forgotten grants", f"{meter.line(grants)}; found {found:,}"


@contextmanager
def door() -> Iterator[Counter[str]]:
    """Imitates Egnyte's answers after ``ANSWERS_AFTER`` seconds. Hosts in ``HANGING`` hang."""
    asked: Counter[str] = Counter()
    lock = threading.Lock()
    real = http.send

    def send(method: str, url: str, *, deadline: float, **options: Any) -> requests.Response:
        host = urlsplit(url).hostname or ""
        with lock:
            asked[host] += 1
            number = asked.total()
        if host in HANGING and url.endswith("/revoke"):
            time.sleep(deadline)
            raise UnavailableError("No answer in time.", host=host)
        time.sleep(ANSWERS_AFTER)
        return _answer(f"{number}-{time.time_ns()}")

    http.send = send  # type: ignore[assignment]
    try:
        yield asked
    finally:
        http.send = real


def _answer(number: str) -> requests.Response:
    """A new random token. A revocation reads nothing else of it."""
    body = {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}"}
    text = json.dumps({**body, "expires_in": 30 * 24 * 3600, "token_type": "bearer"}).encode()
    answer = requests.Response()
    answer.status_code, answer.url = 200, "https://h1.egnyte.com/"
    answer.raw = urllib3.HTTPResponse(io.BytesIO(text), preload_content=False)
    return answer


def revocations() -> Lines:
    """One pass over the due grants. Ten of their hosts hang."""
    due = EgnyteGrant.objects.exclude(release_at=None).count()
    with door() as asked, Meter() as meter:
        outcomes = revoke.process_revocations(actor="benchmark")
    revoked = outcomes["revoked"]
    assert set(outcomes) <= {"revoked", "failed"}, outcomes
    assert all(asked[host] <= 1 for host in HANGING), "a host that hangs was asked again"
    others = len(asked.keys() - HANGING)
    assert meter.seconds < revoke.REVOKE_SLICE + 35
    yield (
        f"revoker, {len(HANGING)} of {HOSTS:,} hosts hang",
        (
            f"{revoked:,} of {due:,} in a pass of {meter.seconds:.0f} s, at {others} other hosts; "
            f"{meter.queries / revoked:.1f} queries each; {meter.above / 1024 / 1024:.0f} MiB"
        ),
    )


# The admin


def pages() -> Lines:
    user, _ = get_user_model()._default_manager.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client()
    client.force_login(user)
    accounts = reverse("admin:django_egnyte_egnyteaccount_changelist")
    grants = reverse("admin:django_egnyte_egnytegrant_changelist")
    count = EgnyteAccount.objects.count()
    domain = "h7.egnyte.com"
    addresses = {
        "list": accounts,
        "list, last page": f"{accounts}?p={count // 50 - 1}",
        "search: user": f"{accounts}?q=user4711",
        "search: e-mail address": f"{accounts}?q=JSmith4711@company.example",
        "search: domain": f"{accounts}?q={domain}",
        "search: all fit": f"{accounts}?q=jsmith",
        "search: nothing fits": f"{accounts}?q=nobody",
        "filter: suspect": f"{accounts}?status__exact=suspect",
        "filter: active": f"{accounts}?status__exact=active",
        "filter: domain": f"{accounts}?domain={domain}",
        "filter: scope nobody has": f"{accounts}?scope=Egnyte.sign",
        "filter: expiring": f"{accounts}?expiring=week",
        "grants to be revoked": f"{grants}?state=waiting",
        "history": reverse("admin:django_egnyte_accountevent_changelist"),
        "health": reverse("admin:django_egnyte_egnyteaccount_health"),
    }
    for name, address in addresses.items():
        queries, milliseconds = best_of(lambda address=address: client.get(address))
        yield f"admin, {name}", f"{milliseconds:.0f} ms, {queries} queries"


def best_of(get: Callable[[], Any]) -> tuple[int, float]:
    """The number of queries, and the fastest of some rounds in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        with Meter() as meter:
            response = get()
        assert response.status_code == 200, (response.status_code, response.headers)
        times.append(meter.seconds * 1000)
    return meter.queries, min(times)


# Deletion


def deletions() -> Lines:
    users = get_user_model()._default_manager
    counts = []
    for count in USERS:
        keys = list(users.order_by("pk").values_list("pk", flat=True)[:count])
        with Meter() as meter:
            users.filter(pk__in=keys).delete()
        assert not EgnyteAccount.objects.filter(user_id__in=keys).exists()
        counts.append(f"{count:,} users: {meter.queries} queries, {meter.seconds:.1f} s")
    yield "deletion", "; ".join(counts)


def sizes() -> Lines:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    tokens = EgnyteToken.objects.count()
    yield "the database", f"{size / 1024 / 1024:,.0f} MiB, {tokens:,} tokens"
