"""Run the contenders in alternation and print the table. See the docstring of the package."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS

ROUNDS = int(os.environ.get("EGNYTE_BENCHMARK_ROUNDS", "30"))
MINUTES = float(os.environ.get("EGNYTE_BENCHMARK_MINUTES", "60"))
"""The seconds after which no further round begins."""
FLOWS, VIEWS = 3, 20
"""The number of repetitions of each contender in each round."""
LINK = ("start", "callback", "disconnect")
OURS, AGAINST = "egnyte", "allauth"
PACKAGES = ("Django", "django-allauth", "social-auth-app-django", "Authlib")

SERVER = """
import sys
from django_egnyte.sandbox import SandboxServer
with SandboxServer() as server:
    print(server.base_url.replace("{domain}", "acme"), flush=True)
    sys.stdin.read()
"""
SETUP = """
import json, resource, sys, time
import django
from django.conf import settings
apps, middleware = json.loads(sys.argv[1])
contrib = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
settings.configure(
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in contrib), *apps],
    MIDDLEWARE=middleware,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    PROVIDER="http://127.0.0.1/d/acme",
    FLOOR={},
)
began = time.process_time()
django.setup()
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
Figures = dict[str, dict[str, list[float]]]
"""One number per round, by row and contender."""

# Row, unit, factor, digits.
ROWS = (
    ("start", "ms", 1e3, 2),
    ("callback", "ms", 1e3, 2),
    ("disconnect", "ms", 1e3, 2),
    ("link and unlink", "ms", 1e3, 2),
    ("the same, scopes named", "ms", 1e3, 2),
    ("deletion of the user", "ms", 1e3, 2),
    ("revocation by a worker", "ms", 1e3, 2),
    ("a token in a view", "ms", 1e3, 3),
    ("middleware", "µs", 1e6, 2),
    ("django.setup(), more than without", "ms", 1e3, 1),
    ("its memory, more than without", "MB", 1e-6, 1),
    ("memory of the site's process", "MB", 1e-6, 1),
)
NAMES = {"delete": "deletion of the user", "worker": "revocation by a worker"}


def main() -> int:
    if sys.argv[1:] == ["shares"]:
        return shares()
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _, provider = stack.enter_context(process("-c", SERVER))
        sites = {
            name: stack.enter_context(running(name, provider, Path(folder))) for name in CONTENDERS
        }
        queries = {name: ask(site, "queries") for name, site in sites.items()}
        for site in sites.values():
            ask(site, f"flow {FLOWS}")
            ask(site, f"named {FLOWS}")
            ask(site, f"view {VIEWS}")
        until = time.monotonic() + MINUTES * 60
        for number in range(ROUNDS):
            if time.monotonic() > until:
                break
            one_round(sites, figures)
            print(f"\rround {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        for name, site in sites.items():
            figures["memory of the site's process"][name].append(ask(site, "memory")["memory"])
    print(table(figures, queries))
    return 0


def shares() -> int:
    """Print the parts of this app's CPU time, in percent."""
    with (
        tempfile.TemporaryDirectory() as folder,
        process("-c", SERVER) as (_, provider),
        running(OURS, provider, Path(folder)) as site,
    ):
        for work, parts in ask(site, f"shares {ROUNDS}").items():
            print(f"{work}:", *(f"{part} {share:.0f}" for part, share in parts.items()), sep="\n  ")
    return 0


@contextlib.contextmanager
def running(name: str, provider: str, folder: Path) -> Iterator[Any]:
    """The process of a contender's site."""
    place = folder / name
    place.mkdir()
    if url := os.environ.get("DATABASE_URL"):
        create_database(url, name)
    command = ("-m", "benchmarks.peers.site", name, provider, str(place))
    with process(*command, database=name) as (site, _):
        yield site


def one_round(sites: dict[str, Any], figures: Figures) -> None:
    plain = setup()
    for name, site in sites.items():
        spent = ask(site, f"flow {FLOWS}")
        named = ask(site, f"named {FLOWS}")
        spent["link and unlink"] = sum(spent[step] for step in LINK)
        spent["the same, scopes named"] = sum(named[step] for step in LINK)
        spent |= ask(site, f"view {VIEWS}")
        spent["a token in a view"] = spent.pop("token")
        seconds, memory = setup(CONTENDERS[name].apps, CONTENDERS[name].middleware)
        spent["django.setup(), more than without"] = seconds - plain[0]
        spent["its memory, more than without"] = memory - plain[1]
        for row, value in spent.items():
            figures[NAMES.get(row, row)][name].append(value)


def setup(apps: Sequence[str] = (), middleware: Sequence[str] = ()) -> tuple[float, float]:
    """The CPU seconds of ``django.setup()`` in a new process, and its peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP, json.dumps([apps, middleware])],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def environment(database: str = "") -> dict[str, str]:
    unset = ("PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE")
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    root = Path(__file__).resolve().parents[2]
    environ["PYTHONPATH"] = os.pathsep.join([str(root), environ.get("PYTHONPATH", "")])
    if database and environ.get("DATABASE_URL"):
        environ["DATABASE_URL"] = database_url(environ["DATABASE_URL"], database)
    return environ


def database_url(url: str, name: str) -> str:
    """The database of a contender, named after the given one."""
    return f"{url}_{name}"


def create_database(url: str, name: str) -> None:
    """On PostgreSQL."""
    import psycopg
    from psycopg import sql

    server, _, database = database_url(url, name).rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        named = sql.Identifier(database)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(named))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(named))


@contextlib.contextmanager
def process(*command: str, database: str = "") -> Iterator[tuple[Any, str]]:
    """A long-running process, and the first line that it prints."""
    with subprocess.Popen(
        [sys.executable, *command],
        env=environment(database),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.stdin.close()
            running.wait(timeout=30)


def ask(site: Any, command: str) -> dict[str, Any]:
    site.stdin.write(f"{command}\n")
    site.stdin.flush()
    line = site.stdout.readline()
    if not line:
        raise SystemExit(f"{command}: the contender's process has ended; its error is above.")
    answer: dict[str, Any] = json.loads(line)
    return answer


def table(figures: Figures, queries: dict[str, Any]) -> str:
    """The last run, as reStructuredText for the documentation."""
    head = ["", *(CONTENDERS[name].title for name in CONTENDERS), f"of {AGAINST}'s"]
    rows = []
    for row, unit, times, digits in ROWS:
        values = figures[row]
        ratio = ratios(values) if row != "revocation by a worker" else ""
        medians = [f"{statistics.median(values[name]) * times:.{digits}f}" for name in CONTENDERS]
        rows.append([f"{row}, {unit}", *medians, ratio])
    for step, name in (
        ("start", "start"),
        ("callback", "callback"),
        ("disconnect", "disconnect"),
        ("delete", "deletion of the user"),
        ("token", "a token in a view"),
    ):
        rows.append([f"{name}, queries", *(str(queries[each][step]) for each in CONTENDERS), ""])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip()
        for each in (head, *rows)
    ]
    # An empty first cell would continue the row above.
    lines[0] = "\\" + lines[0][1:]
    rounds = len(figures["start"][OURS])
    return "\n".join([machine(rounds), "", rule, lines[0], rule, *lines[1:], rule])


def ratios(values: dict[str, list[float]]) -> str:
    """The median ratio of ours to theirs by round. Empty if theirs is almost zero."""
    pairs = list(zip(values[OURS], values[AGAINST], strict=True))
    if any(theirs <= 0 for _, theirs in pairs):
        return ""
    return f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}"


def machine(rounds: int) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    model = ""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        model = found[1] if found else ""
    database = (os.environ.get("DATABASE_URL") or "sqlite").partition(":")[0]
    broker = os.environ.get("EGNYTE_BENCHMARK_BROKER", "memory").partition(":")[0]
    return (
        f"{os.cpu_count()} cores of {model or platform.machine()}, {platform.system()}, Python "
        f"{platform.python_version()}, {versions}; database {database}, broker {broker}; medians "
        f"of {rounds} rounds."
    )


if __name__ == "__main__":
    sys.exit(main())
