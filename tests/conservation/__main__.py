"""Run the check: see the docstring of the package."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from django_egnyte.sandbox import SandboxServer

from . import processes
from .database import Database
from .egnyte import Observed, Saboteur
from .processes import Killer

SWEEPS = ("validate_accounts", "refresh_accounts", "process_revocations")
USERS = 24


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conservation")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument(
        "--database-url",
        default="postgres://postgres@127.0.0.1:5432/postgres",
        help="a PostgreSQL server, on which a database is made and dropped",
    )
    parser.add_argument("--broker", help="default: a Redis of its own, which fails at times")
    parser.add_argument("--keep", action="store_true", help="leave the database and the logs")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    where = Path(tempfile.mkdtemp(prefix="conservation-"))
    name = f"egnyte_conservation_{os.getpid()}"
    sandbox = Observed()
    database = Database(options.database_url, name, keep=options.keep)
    with SandboxServer(sandbox) as server, database as url:
        sandbox.watch(server)
        broker_url = options.broker
        broker = None
        if broker_url is None:
            port = processes.free_port()
            broker = processes.broker(port, where)
            broker_url = f"redis://127.0.0.1:{port}/0"
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.conservation.settings",
            "DATABASE_URL": url,
            "EGNYTE_TEST_BROKER_URL": broker_url,
            "CONSERVATION_CALLS": str(where),
            "CONSERVATION_EGNYTE": server.base_url,
            "CONSERVATION_QUEUE": name,
        }
        for variant in ("USER_MODEL", "ATOMIC", "NO_TZ"):
            os.environ.pop(f"EGNYTE_TEST_{variant}", None)
        try:
            prepare()
            return storm_and_judge(options, sandbox, server, broker, where)
        finally:
            from django.db import connection

            from tests.celeryapp import app

            if broker is not None:
                broker.kill()
            else:
                processes.forget_queue(app, name)
            connection.close()
            if options.keep:
                print(f"logs in {where}, database {name}")
            else:
                shutil.rmtree(where, ignore_errors=True)


def prepare() -> None:
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from . import ledger

    call_command("migrate", verbosity=0)
    ledger.install()
    for number in range(USERS):
        get_user_model().objects.create(username=f"user{number}")


def storm_and_judge(
    options: argparse.Namespace,
    sandbox: Observed,
    server: SandboxServer,
    broker: processes.Process | None,
    where: Path,
) -> int:
    from . import verdict

    rng = random.Random(options.seed)
    stop = threading.Event()
    workers = [processes.worker(f"worker{n}", where) for n in range(2)]
    clients = [processes.client(f"client{n}", options.seed + n, 4, where) for n in range(2)]
    saboteur = Saboteur(sandbox, server, random.Random(rng.random()), stop)
    killer = Killer(
        random.Random(rng.random()), stop, workers=workers, clients=clients, broker=broker
    )
    running = [
        threading.Thread(target=saboteur.run),
        threading.Thread(target=killer.run),
        threading.Thread(target=beat, args=(stop,)),
    ]
    for thread in running:
        thread.start()
    try:
        time.sleep(options.minutes * 60)
    finally:
        stop.set()
        for thread in running:
            thread.join()
        for process in clients:
            process.end(10)
        for process in workers:
            process.end(15)
    killer.kills.append(time.time())  # processes that did not exit were killed, too
    settled = verdict.settle()
    judged = verdict.Verdict(sandbox, where, killer.kills)
    counts = judged.judge()
    from django_egnyte.models import EgnyteAccount

    EgnyteAccount.objects.all().delete()
    ended = verdict.settle()
    # Include the tokens and rows of the settling phase.
    last = verdict.Verdict(sandbox, where, killer.kills)
    end_counts = last.judge_end()
    violations = judged.violations + last.violations
    done = verdict.operations(where, violations)
    logged = verdict.tracebacks(where, violations)
    if settled["not settled"] or ended["not settled"]:
        violations.append(f"the sweeps do not come to an end: {dict(settled)} {dict(ended)}")
    report("operations", done)
    report("faults at Egnyte", saboteur.counts())
    report("faults of processes", killer.counts)
    report("tracebacks in logs", logged)
    report("settling", settled + ended)
    report("counts", {**counts, **end_counts, "deadlocks": deadlocks()})
    print(f"\n{len(violations)} violations, seed {options.seed}")
    for violation, times in Counter(violations).most_common(40):
        print(f"- {violation}" + (f"  ({times} times)" if times > 1 else ""))
    return 1 if violations else 0


def deadlocks() -> int:
    """How often the database ended a transaction. A transaction of the app's own is tried again."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def beat(stop: threading.Event) -> None:
    """Send the sweeps to the broker every second. One that cannot be sent is skipped.

    Waits of a minute and more are shortened, so that they end within the run.
    """
    from django.db import connection

    from tests.celeryapp import app

    from . import verdict

    while not stop.wait(1.0):
        verdict.cut_short()
        for name in SWEEPS:
            try:
                app.send_task(f"django_egnyte.tasks.{name}", expires=5, retry=False)
            except Exception:  # the library may raise anything
                continue
    connection.close()


def report(title: str, counts: Counter[str] | dict[str, int]) -> None:
    print(f"\n{title}")
    for name, count in sorted(counts.items()):
        print(f"  {count:6} {name}")


if __name__ == "__main__":
    sys.exit(main())
