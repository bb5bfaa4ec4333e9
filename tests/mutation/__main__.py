"""Run it: see the package's docstring."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import random
import re
import shutil
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, count
from pathlib import Path
from queue import SimpleQueue

from coverage import CoverageData

from . import child, mutants
from .mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".mutation"
SCORE = Path(__file__).with_name("score.json")
RESULTS = Path(__file__).with_name("results.json")
# Only the plugins that the tests need; and the copy's own, whether or not another is installed.
PLUGINS = ("pytest_django.plugin", "pytest_timeout", "django_egnyte.pytest_plugin")
PYTEST = ["-q", "-m", "not service", "-p", "no:cacheprovider"]
PYTEST += [argument for name in PLUGINS for argument in ("-p", name)]
# The mutants share one database, which the baseline makes.
PYTEST += ["--reuse-db"]
DATABASE, MADE = "site_test.sqlite3", "made.sqlite3"
SECONDS_AT_LEAST = 20.0
KILLED, EXPLAINED, SURVIVED = "killed", "explained", "survived"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at once")
    parser.add_argument("--sample", type=int, help="only so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=1, help="for the drawing")
    parser.add_argument("--only", default="", help="a pattern in the modules' paths")
    parser.add_argument("--seconds", type=float, default=8, help="of other modules' tests")
    parser.add_argument("--tests", nargs="+", default=[], help="let only these files judge")
    parser.add_argument("--afresh", action="store_true", help="forget what an earlier run found")
    options = parser.parse_args()
    if options.afresh:
        shutil.rmtree(HOME, ignore_errors=True)
        RESULTS.unlink(missing_ok=True)
    HOME.mkdir(exist_ok=True)
    slots = [copy(HOME / f"slot{number}") for number in range(options.jobs)]
    baseline = Baseline(slots, options.tests, options.seconds)
    every = mutants.every(slots[0], HOME / "mutants")
    results = Results(every)
    pending = [
        mutant
        for mutant in every
        if re.search(options.only, mutant.path.as_posix()) and results.is_open(mutant)
    ]
    if options.sample:
        random.Random(options.seed).shuffle(pending)
    run(pending[: options.sample], results, baseline, slots)
    return report(every, results)


def digest(root: Path) -> str:
    """A digest of all code and all tests, without this tool."""
    paths = sorted(
        path
        for name in (mutants.PACKAGE, "tests")
        for path in (root / name).rglob("*.py")
        if path.parent.name != "mutation"
    )
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def copy(slot: Path) -> Path:
    """A copy of the project, in which mutants may be made."""
    shutil.rmtree(slot, ignore_errors=True)
    ignored = shutil.ignore_patterns(".*", "__pycache__", "_build", "*.sqlite3*")
    shutil.copytree(ROOT, slot, ignore=ignored)
    return slot


def pytest_in(
    slot: Path, arguments: list[str], limit: float | None = None, **variables: str
) -> int | None:
    """The exit code of pytest in a slot. ``None`` if it took longer than ``limit`` seconds."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EGNYTE_", "COV", "DATABASE_URL", "PYTHONDONT"))
    }
    own = {
        "EGNYTE_TEST_SQLITE": str(slot / DATABASE.replace("_test", "")),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(slot),
    }
    for left in slot.glob(f"{DATABASE}*"):
        left.unlink()
    if (slot / MADE).exists():
        shutil.copy(slot / MADE, slot / DATABASE)
    return child.run(slot, [*PYTEST, *arguments], inherited | own | variables, limit)


class Baseline:
    """Which tests reach which line, and how long they take. Measured in one run of all tests.

    Each slot runs a share of the files. All of its module's own tests judge a mutant, and at most
    ``limit`` seconds of other tests.
    """

    def __init__(self, slots: list[Path], files: list[str], limit: float) -> None:
        self._limit = limit
        folder = HOME / "baseline"
        stamp, now = folder / "digest", f"{digest(slots[0])} {files}"
        if not stamp.exists() or stamp.read_text() != now:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self._measure(slots, files, folder)
            stamp.write_text(now)
        for slot in slots:
            shutil.copy(folder / MADE, slot / MADE)
        self.seconds: dict[str, float] = {}
        self._by_line: dict[tuple[str, int], set[str]] = defaultdict(set)
        for passed in folder.glob("*.json"):
            self.seconds |= json.loads(passed.read_text())
        for data in folder.glob("*.coverage"):
            self._read_lines(data)
        print(f"{len(self.seconds)} tests pass without a mutant", flush=True)

    def _measure(self, slots: list[Path], files: list[str], folder: Path) -> None:
        found = files or sorted(
            path.relative_to(slots[0]).as_posix()
            for path in slots[0].glob("tests/**/test_*.py")
            # These need settings of their own.
            if path.parent.name not in ("watched_site", "reference_site")
        )

        def measure(number: int, slot: Path) -> int | None:
            with contextlib.suppress(FileNotFoundError):
                (slot / MADE).unlink()
            share = found[number :: len(slots)]
            plugin = ["-p", "tests.mutation.baseline"]
            return pytest_in(slot, [*plugin, *share], BASELINE=str(folder / str(number)))

        with ThreadPoolExecutor(len(slots)) as pool:
            codes = set(pool.map(measure, range(len(slots)), slots))
        if not codes <= {0, 1}:
            sys.exit(f"pytest did not run all tests: see {HOME}/slot*/output.txt")
        if 1 in codes:
            print("Some tests fail without any mutant; those judge nothing.")
        shutil.copy(slots[0] / DATABASE, folder / MADE)

    def _read_lines(self, path: Path) -> None:
        data = CoverageData(str(path))
        data.read()
        for name in data.measured_files():
            relative = Path(*Path(name).parts[len(HOME.parts) + 1 :]).as_posix()
            for line, contexts in data.contexts_by_lineno(name).items():
                self._by_line[relative, line] |= {c for c in contexts if c in self.seconds}

    def tests(self, mutant: Mutant) -> list[list[str]]:
        """The tests that reach the mutant, the fastest first: those of its module, then others.

        Code that runs at import affects all functions of its module. It is not known which lines
        a test reaches in other processes, so the rest of the module's own tests come last.
        """
        path = mutant.path.as_posix()
        reaching = [
            self._by_line[path, line]
            for line in range(mutant.first, mutant.last + 1)
            if (path, line) in self._by_line
        ]
        if not any(reaching):
            reaching = [those for (name, _), those in self._by_line.items() if name == path]
        tests = set().union(*reaching)
        is_own = re.compile(rf"/test_{mutant.path.stem}(_\w+)?\.py::").search
        own = {test for test in self.seconds if is_own(test)}
        rest = self._fastest_first(tests - own)
        spent = accumulate(self.seconds[test] for test in rest)
        rest = [test for test, seconds in zip(rest, spent, strict=True) if seconds < self._limit]
        rounds = self._fastest_first(tests & own), rest + self._fastest_first(own - tests)
        return [tests for tests in rounds if tests]

    def _fastest_first(self, tests: set[str]) -> list[str]:
        return sorted(tests, key=lambda test: (self.seconds[test], test))


class Results:
    """The result of each mutant, kept in a file for later runs and for other clones.

    A mutant is tried again when its function changes. One that survived is tried in every run until
    it is explained.
    """

    def __init__(self, every: list[Mutant]) -> None:
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        self._results: dict[str, str] = {
            mutant.key: found[mutant.key] for mutant in every if mutant.key in found
        }

    def of(self, mutant: Mutant) -> str | None:
        return self._results.get(mutant.key)

    def is_open(self, mutant: Mutant) -> bool:
        """Whether to try it: it was not tried yet, or it survived and is not explained."""
        found = self.of(mutant)
        return found is None or (found == SURVIVED and not mutant.is_explained)

    def put(self, mutant: Mutant, result: str) -> None:
        self._results[mutant.key] = result
        RESULTS.write_text(json.dumps(self._results, indent=0, sort_keys=True) + "\n")


def run(pending: list[Mutant], results: Results, baseline: Baseline, slots: list[Path]) -> None:
    free: SimpleQueue[Path] = SimpleQueue()
    for slot in slots:
        free.put(slot)

    def judged(mutant: Mutant) -> str:
        slot = free.get()
        try:
            return judge(mutant, baseline, slot)
        finally:
            free.put(slot)

    print(f"{len(pending)} mutants to try", flush=True)
    started = time.monotonic()
    with ThreadPoolExecutor(len(slots)) as pool:
        outcomes = zip(pending, pool.map(judged, pending), strict=True)
        for number, (mutant, result) in enumerate(outcomes, 1):
            results.put(mutant, result)
            if result == SURVIVED:
                print(f"survived: {mutant}", flush=True)
            if number % 50 == 0:
                seconds = (time.monotonic() - started) / number * (len(pending) - number)
                print(f"{number} of {len(pending)}, {seconds / 60:.0f} minutes left", flush=True)


def judge(mutant: Mutant, baseline: Baseline, slot: Path) -> str:
    path, chosen = slot / mutant.path, slot / "chosen.txt"
    write(path, mutant.after)
    try:
        for tests in baseline.tests(mutant):
            chosen.write_text("\n".join(tests))
            limit = SECONDS_AT_LEAST + 4 * sum(baseline.seconds[name] for name in tests)
            if pytest_in(slot, ["-x", f"@{chosen}"], limit) != 0:
                return KILLED
    finally:
        write(path, mutant.before)
    return SURVIVED


_times = count(1)


def write(path: Path, source: str) -> None:
    """Write a module with a time of its own.

    Otherwise Python would use the old bytecode of a module that changes twice in a second.
    """
    path.write_text(source, encoding="utf-8")
    time = next(_times)
    os.utime(path, (time, time))


def report(every: list[Mutant], results: Results) -> int:
    """Print the score. After a complete run, store it for the docs and ``figures``."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    left = []
    for mutant in every:
        outcome = results.of(mutant)
        if outcome is None:
            continue
        if outcome == SURVIVED and mutant.is_explained:
            outcome = EXPLAINED
        elif outcome == SURVIVED:
            left.append(mutant)
        counts[mutant.path.as_posix()][outcome] += 1
    total: Counter[str] = Counter()
    print(f"\n{'module':48} mutants  killed  explained  survived   score")
    for path, found in sorted(counts.items()):
        total += found
        print(row(path, found))
    print(row("all", total))
    for mutant in left:
        print(f"- {mutant}")
    known = {(mutant.path.as_posix(), mutant.change) for mutant in every}
    for module, change in sorted(mutants.explained().keys() - known):
        print(f"explained, and no mutant any more: {module}: {change}")
    if total.total() == len(every):
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        outcomes = {name: total[name] for name in (KILLED, EXPLAINED, SURVIVED)}
        score = {"date": today, "mutants": total.total(), **outcomes}
        SCORE.write_text(json.dumps(score, indent=2) + "\n")
    return 1 if left else 0


def row(name: str, found: Counter[str]) -> str:
    every = found.total()
    cells = f"{every:7} {found[KILLED]:7} {found[EXPLAINED]:10} {found[SURVIVED]:9}"
    return f"{name:48} {cells} {100 * found[KILLED] / max(1, every):6.1f}%"


if __name__ == "__main__":
    sys.exit(main())
