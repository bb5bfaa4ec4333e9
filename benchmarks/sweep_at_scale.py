"""Time the sweep: a million accounts claimed and handed out, and how fast a worker validates.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python benchmarks/sweep_at_scale.py

makes a database of its own on that PostgreSQL server and drops it afterwards, and sends its
messages to ``--broker``, a Redis. ``claim`` or ``validate`` as an argument runs one half only.
The limits that the project promises are asserted.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.conservation.database import Database  # noqa: E402
from tests.conservation.processes import forget_queue  # noqa: E402

QUEUE = f"egnyte-benchmark-{os.getpid()}"
MOST_MEMORY = 64 * 1024 * 1024
LEAST_RATIO = 0.8
HOST = "acme.egnyte.com"

FILL = """
INSERT INTO django_egnyte_egnyteaccount
  (domain, egnyte_user_id, username, first_name, last_name, email, scopes, flow, seal_id,
   access_token, refresh_token, expires_at, token_version, token_fingerprint, refresh_fingerprint,
   grant_id, status, status_reason, is_default, created_at, connected_at, last_validated_at,
   last_used_at, next_attempt_at, next_refresh_at, attempts, lease, leased_until, user_id)
SELECT 'company' || n %% 100 || '.egnyte.com', n, 'jsmith' || n, 'Jane', 'Smith', '',
   'Egnyte.filesystem', 'authorization_code', md5('s' || n), repeat('x', 160), repeat('y', 160),
   now() + random() * interval '30 days', 1, encode(sha256(('a' || n)::bytea), 'hex'),
   encode(sha256(('r' || n)::bytea), 'hex'), md5('g' || n),
   CASE WHEN n %% 1000 = 1 THEN 'suspect' ELSE 'active' END, '', true, now(), now(),
   now() - interval '1 day', now(), now() - random() * interval '1 hour',
   now() + random() * interval '23 days', 0, '', NULL, %(user)s
FROM generate_series(1, %(accounts)s) AS n
"""


def memory(name: str) -> int:
    """Bytes of this process: ``VmRSS`` now, or ``VmHWM`` at the most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def measure_claim(accounts: int, broker: str) -> None:
    from django.contrib.auth import get_user_model
    from django.db import connection

    from django_egnyte import tasks
    from django_egnyte.services import sweep
    from tests.celeryapp import app

    user = get_user_model().objects.create(username="owner")
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"accounts": accounts, "user": user.pk})
        cursor.execute("VACUUM ANALYZE django_egnyte_egnyteaccount")
    print(f"{accounts:,} due accounts made in {time.perf_counter() - started:.0f} s")
    explain()

    queries = 0

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal queries
        queries += 1
        return execute(sql, params, many, context)

    tasks.validate_batch.apply_async(args=[[]], queue=QUEUE)  # the pool's connection
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, handed_out, slices = memory("VmRSS"), 0, 0
    messages: list[float] = []
    started = time.perf_counter()
    with connection.execute_wrapper(count):
        while True:
            slices += 1
            found = 0
            for ids in sweep.claim_due():
                tasks.validate_batch.apply_async(args=[ids], queue=QUEUE)
                found += len(ids)
                messages.append(time.perf_counter())
            handed_out += found
            if not found:
                break
    took = time.perf_counter() - started
    above = memory("VmHWM") - before
    tenth = len(messages) // 10
    first, last = messages[tenth] - started, messages[-1] - messages[-tenth - 1]
    print(
        f"claimed and sent {handed_out:,} in {took:.0f} s ({handed_out / took:,.0f}/s), "
        f"{slices - 1} slice(s); first tenth {first:.1f} s, last tenth {last:.1f} s\n"
        f"queries for each thousand accounts: {queries * 1000 / handed_out:.1f}\n"
        f"peak memory above the start: {above / 1024 / 1024:.1f} MiB"
    )
    forget_queue(app, QUEUE)
    assert handed_out == accounts
    assert above < MOST_MEMORY


def explain() -> None:
    """How PostgreSQL finds the next chunk."""
    from django.db import connection
    from django.utils import timezone

    from django_egnyte.choices import Status
    from django_egnyte.models import EgnyteAccount
    from django_egnyte.services import sweep

    rows = EgnyteAccount.objects.filter(
        status=Status.ACTIVE, next_attempt_at__lte=timezone.now()
    ).order_by("next_attempt_at")
    sql, params = rows.values_list("pk", "domain")[: sweep.CHUNK].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {sql} FOR UPDATE SKIP LOCKED", params)
        plan = [line for (line,) in cursor.fetchall()]
    print("the claim's plan:\n  " + "\n  ".join(plan))
    assert any("egnyte_account_validate" in line for line in plan)


@contextmanager
def sandbox() -> Iterator[str]:
    """A sandbox in a process of its own; its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "django_egnyte.sandbox", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/d/{{domain}}"
    finally:
        process.terminate()
        process.wait(10)


def measure_validation(base_url: str, accounts: int, rounds: int) -> None:
    import requests
    from django.contrib.auth import get_user_model

    from django_egnyte.models import EgnyteAccount
    from django_egnyte.secret import Secret
    from django_egnyte.services import link, sweep
    from tests.conservation.clients import REDIRECT, SCOPES, code_of

    started = time.perf_counter()
    users = get_user_model().objects
    linked = [
        link.link_with_code(
            users.create(username=f"linked{number}"),
            code=Secret(code_of(base_url, HOST, "jsmith")),
            host=HOST,
            redirect_uri=REDIRECT,
            scopes=SCOPES,
        )
        for number in range(accounts)
    ]
    print(f"{accounts:,} accounts linked in {time.perf_counter() - started:.0f} s")
    tokens = [account.access_token for account in linked]
    keys = [account.pk for account in linked]
    url = base_url.replace("{domain}", "acme") + "/pubapi/v1/userinfo"

    def bare() -> float:
        mine = threading.local()

        def begin() -> None:
            mine.session = requests.Session()

        def ask(token: str) -> None:
            headers = {"Authorization": f"Bearer {token}"}
            assert mine.session.get(url, headers=headers, timeout=30).status_code == 200

        began = time.perf_counter()
        with ThreadPoolExecutor(sweep.THREADS, initializer=begin) as pool:
            list(pool.map(ask, tokens))
        return accounts / (time.perf_counter() - began)

    def ours() -> float:
        began = time.perf_counter()
        for start in range(0, accounts, sweep.BATCH):
            outcomes = sweep.validate_batch(keys[start : start + sweep.BATCH], actor="task")
            assert set(outcomes) == {"alive"}
        return accounts / (time.perf_counter() - began)

    bare()
    ours()
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(rounds):
        for name, run in sorted({"bare": bare, "ours": ours}.items(), reverse=bool(number % 2)):
            rates[name].append(run())
    bare_rate, our_rate = map(statistics.median, (rates["bare"], rates["ours"]))
    # Of neighbours, so that a machine that is busy with something else disturbs both alike.
    ratio = statistics.median(
        ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)
    )
    print(
        f"validations per second and worker, {sweep.THREADS} threads, medians of {rounds} rounds: "
        f"{our_rate:,.0f}; a bare loop of requests.Session.get: {bare_rate:,.0f}; "
        f"ratio {ratio:.2f}"
    )
    assert EgnyteAccount.objects.filter(pk__in=keys, status="active").count() == accounts
    assert ratio >= LEAST_RATIO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("half", nargs="?", choices=["claim", "validate"])
    parser.add_argument("--accounts", type=int, default=1_000_000, help="to claim")
    parser.add_argument("--validations", type=int, default=1_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--broker", default="redis://127.0.0.1:6379/14")
    options = parser.parse_args()
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL server.")
    with Database(server, f"egnyte_sweep_at_scale_{os.getpid()}") as url, sandbox() as base_url:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.livesite",
            "DATABASE_URL": url,
            "EGNYTE_TEST_BROKER_URL": options.broker,
            "EGNYTE_TEST_BASE_URL": base_url,
        }
        import django
        from django.conf import settings

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1_000_000
        call_command("migrate", verbosity=0)
        try:
            if options.half != "claim":
                measure_validation(base_url, options.validations, options.rounds)
            if options.half != "validate":
                measure_claim(options.accounts, options.broker)
        finally:
            connection.close()


if __name__ == "__main__":
    main()
