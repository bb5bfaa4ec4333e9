"""Print the project's figures: mutation score, coverage, the wheel, import times, dependencies.

    tox -e figures

builds the wheel in a temporary folder and measures it. The mutation score is read from the file of
``tox -e mutation``, and the coverage from the file of ``python3 tests/run.py --coverage``, which
runs first if its file does not exist.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Iterable, Iterator
from email import message_from_string
from pathlib import Path

import coverage
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 15

IMPORT = """
import time
started = time.perf_counter()
import django_egnyte
print(time.perf_counter() - started)
"""
# The apps of a new project.
SETUP = """
import sys
import time
import django
from django.conf import settings
apps = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
settings.configure(
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in apps), *sys.argv[1:]],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
started = time.perf_counter()
django.setup()
print(time.perf_counter() - started)
"""


def main() -> int:
    for name, value in list(figures()):
        lines = textwrap.wrap(value, 66, break_on_hyphens=False)
        print(f"{name:32}" + f"\n{'':32}".join(lines))
    return 0


def figures() -> Iterator[tuple[str, str]]:
    """The lines of the table. Only they go to standard output."""
    yield "Mutation score", mutation(ROOT / "tests" / "mutation" / "score.json")
    yield "Test coverage", covered(ROOT / ".coverage")
    with tempfile.TemporaryDirectory() as folder:
        wheel = built(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            files = len(archive.namelist())
            site = Path(folder) / "site"
            archive.extractall(site)
        yield "Wheel", f"{wheel.stat().st_size:,} bytes, {files} files"
        alone, without, with_app = import_times(site)
        yield "import django_egnyte", f"{alone:.1f} ms"
        yield "django.setup() without the app", f"{without:.1f} ms"
        more = f"{with_app - without:+.1f} ms, {with_app / without:.2f} times"
        yield "django.setup() with the app", f"{with_app:.1f} ms ({more})"
        (metadata,) = site.glob("*.dist-info/METADATA")
        direct = requirements(metadata.read_text("utf-8"))
    yield "Direct dependencies", f"{len(direct)}: {', '.join(each.name for each in direct)}"
    every = brought(direct)
    yield "A fresh install brings", f"{len(every)} other distributions: {', '.join(sorted(every))}"


def mutation(path: Path) -> str:
    """The share of the mutants that the tests detected."""
    if not path.exists():
        return "never measured"
    score = json.loads(path.read_text())
    return (
        f"{100 * score['killed'] / score['mutants']:.1f} % ({score['date']}: "
        f"{score['killed']} of {score['mutants']} killed, {score['explained']} explained, "
        f"{score['survived']} survived)"
    )


def covered(data: Path) -> str:
    """The coverage of statements and branches by a whole run of the tests."""
    if not data.exists():
        run = ROOT / "tests" / "run.py"
        subprocess.run([sys.executable, run, "--coverage"], stdout=sys.stderr)
        if not data.exists():
            return "not measured: the tests failed"
    measured = coverage.Coverage(data_file=str(data), config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    with io.StringIO() as unread:
        percent = measured.report(file=unread, show_missing=False)
    measured.get_data().close(force=True)
    written = data.stat().st_mtime
    newest = max(path.stat().st_mtime for path in (ROOT / "django_egnyte").rglob("*.py"))
    day = datetime.datetime.fromtimestamp(written, datetime.UTC).date()
    older = ", before the last change of the code" if written < newest else ""
    return f"{percent:.2f} % of statements and branches ({day}{older})"


def built(folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def import_times(site: Path) -> tuple[float, float, float]:
    """Medians in milliseconds over new interpreters, in alternation."""
    programs = ([IMPORT], [SETUP], [SETUP, "django_egnyte"])
    for program in programs:
        seconds(program, site)  # compiles the modules and fills the disk cache
    rounds = [[seconds(program, site) for program in programs] for _ in range(ROUNDS)]
    alone, without, with_app = (
        1000 * statistics.median(each) for each in zip(*rounds, strict=True)
    )
    return alone, without, with_app


def seconds(program: list[str], site: Path) -> float:
    unset = ("PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE")
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", *program],
        cwd=site,
        env={**environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def requirements(metadata: str) -> list[Requirement]:
    """The requirements of a METADATA file without extras, for this Python."""
    lines = message_from_string(metadata).get_all("Requires-Dist") or []
    return list(applying(lines))


def applying(lines: Iterable[str], extras: Iterable[str] = ()) -> Iterator[Requirement]:
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def brought(direct: Iterable[Requirement]) -> set[str]:
    """The names of all direct and indirect requirements. All must be installed."""
    wanted = [(canonical(each.name), frozenset(each.extras)) for each in direct]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        name, extras = each = wanted.pop()
        if each not in seen:
            seen.add(each)
            lines = importlib.metadata.requires(name) or []
            further = applying(lines, extras)
            wanted += [(canonical(need.name), frozenset(need.extras)) for need in further]
    return {name for name, _ in seen}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
