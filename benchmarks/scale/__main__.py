"""Measure how the sweeps, the admin and deletions grow with the number of accounts.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python -m benchmarks.scale

creates a database on that PostgreSQL server for each of the ``--sizes``, and drops it afterwards.
The sweeps send their tasks to ``--broker``, a Redis. To run only some measures, give their names as
arguments. The limits that the project promises are asserted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("sizes", "pages", "claim", "refreshes", "revocations", "forgotten", "deletions")
QUEUE = f"egnyte-benchmark-{os.getpid()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measures", nargs="*", metavar=f"{{validate,{','.join(MEASURES)}}}")
    parser.add_argument("--sizes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--validations", type=int, default=1_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--broker", default="redis://127.0.0.1:6379/14")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.measures) - {"validate", *MEASURES}:
        parser.error(f"no such measure: {', '.join(unknown)}")
    if not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL server.")
    if options.within:
        measure(options)
        return
    measures = options.measures or ["validate", *MEASURES]
    wanted = [each for each in MEASURES if each in measures]
    tables = {}
    if wanted:
        tables = {size: in_a_process_of_its_own(wanted, size, options) for size in options.sizes}
    if "validate" in measures:
        from benchmarks.scale.validation import sandbox

        with sandbox() as base_url:
            environ = {
                "DJANGO_SETTINGS_MODULE": "tests.livesite",
                "EGNYTE_TEST_BASE_URL": base_url,
            }
            tables[0] = in_a_process_of_its_own(["validate"], 0, options, **environ)
    print_table(tables)


def in_a_process_of_its_own(
    measures: list[str], size: int, options: argparse.Namespace, **environ: str
) -> dict[str, str]:
    """The lines of one size. Each has a new process, so that memory is measured separately."""
    from tests.conservation.database import Database

    with Database(os.environ["DATABASE_URL"], f"scale_{size}_{os.getpid()}") as url:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.scale", *measures, "--within"),
                *("--sizes", str(size), "--rounds", str(options.rounds)),
                *("--validations", str(options.validations)),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "EGNYTE_TEST_BROKER_URL": options.broker,
                **environ,
            },
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    lines: dict[str, str] = json.loads(done.stdout)
    return lines


def measure(options: argparse.Namespace) -> None:
    """Fill the database, measure, and print the lines as JSON. Progress goes to stderr."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    (size,) = options.sizes
    django.setup()
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1_000_000
    call_command("migrate", verbosity=0)
    if not os.environ.get("LOG"):
        logging.disable(logging.CRITICAL)
    lines = {}
    if size:
        settings.EGNYTE_CIPHER = "benchmarks.scale.rows.PlainCipher"
        from benchmarks.scale.rows import fill

        lines["rows made"] = f"in {fill(size):.0f} s"
        print(f"{size:,} accounts {lines['rows made']}", file=sys.stderr)
    for title, value in measured(options):
        lines[title] = value
        print(f"{size:>9,}  {title:36} {value}", file=sys.stderr, flush=True)
    print(json.dumps(lines))


def measured(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    from benchmarks.scale import measures, validation
    from tests.celeryapp import app
    from tests.conservation.processes import forget_queue

    app.conf.task_default_queue = QUEUE  # deletions send a task for the revoker
    try:
        for name in options.measures:
            if name == "validate":
                yield from validation.measure(options.validations, options.rounds)
            elif name == "claim":
                yield from measures.claim(QUEUE)
            else:
                yield from getattr(measures, name)()
    finally:
        forget_queue(app, QUEUE)


def print_table(tables: dict[int, dict[str, str]]) -> None:
    """One line per measure and size."""
    for title in dict.fromkeys(title for lines in tables.values() for title in lines):
        print(title)
        for size, lines in tables.items():
            if title in lines:
                print(f"  {size or '':>9,}  {lines[title]}" if size else f"  {lines[title]}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {versions()}")


def versions() -> str:
    import django
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return f"Django {django.__version__}, PostgreSQL {row[0] if row else '?'}"


if __name__ == "__main__":
    main()
