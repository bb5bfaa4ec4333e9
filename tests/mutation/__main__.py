"""Run it: see the package's docstring."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue

from coverage import CoverageData

from . import mutants
from .mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".mutation"
SCORE = Path(__file__).with_name("score.json")
RESULTS = Path(__file__).with_name("results.json")
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not service"]
# Load the plugin of the copy, whether or not another one is installed.
PYTEST += ["-p", "no:django_egnyte", "-p", "django_egnyte.pytest_plugin"]
# Without these plugins, pytest starts in half of the time.
PYTEST += ["-p", "no:cov", "-p", "no:xdist", "-p", "no:hypothesispytest"]
SECONDS_AT_LEAST = 60.0
KILLED, EXPLAINED, SURVIVED = "killed", "explained", "survived"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at once")
    parser.add_argument("--sample", type=int, help="only so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=1, help="for the drawing")
    parser.add_argument("--only", default="", help="a part of the paths of the modules to change")
    parser.add_argument("--seconds", type=float, default=30, help="of tests for a mutant")
    parser.add_argument("--afresh", action="store_true", help="forget what an earlier run found")
    options = parser.parse_args()
    if options.afresh:
        shutil.rmtree(HOME, ignore_errors=True)
        RESULTS.unlink(missing_ok=True)
    HOME.mkdir(exist_ok=True)
    slots = [copy(HOME / f"slot{number}") for number in range(options.jobs)]
    baseline = Baseline(slots[0], options.seconds)
    every = mutants.every(slots[0])
    results = Results(every)
    pending = [
        mutant
        for mutant in every
        if options.only in mutant.path.as_posix() and results.is_open(mutant)
    ]
    if options.sample:
        random.Random(options.seed).shuffle(pending)
    run(pending[: options.sample], results, baseline, slots)
    return report(every, results)


def digest(root: Path) -> str:
    """A digest of all code and all tests."""
    paths = sorted(
        path for name in (mutants.PACKAGE, "tests") for path in (root / name).rglob("*.py")
    )
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def copy(slot: Path) -> Path:
    """A copy of the project, in which mutants may be made."""
    shutil.rmtree(slot, ignore_errors=True)
    ignored = shutil.ignore_patterns(".*", "__pycache__", "_build", "*.sqlite3*")
    shutil.copytree(ROOT, slot, ignore=ignored)
    return slot


def environment(slot: Path) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EGNYTE_", "COV", "DATABASE_URL"))
    }
    return inherited | {
        # Otherwise Python would use the old bytecode of a module that changes twice in a second.
        "PYTHONDONTWRITEBYTECODE": "1",
        "EGNYTE_TEST_SQLITE": str(slot / "site.sqlite3"),
        "BASELINE": str(HOME / "passed.json"),
    }


class Baseline:
    """Which tests reach which line, and how long they take. Measured in one run of all tests.

    Each mutant gets at most ``limit`` seconds of tests.
    """

    def __init__(self, slot: Path, limit: float) -> None:
        self._limit = limit
        self._data = HOME / "coverage.sqlite"
        passed, stamp, now = HOME / "passed.json", HOME / "digest", digest(slot)
        if not stamp.exists() or stamp.read_text() != now:
            self._data.unlink(missing_ok=True)
            self._measure(slot)
            stamp.write_text(now)
        self.seconds: dict[str, float] = json.loads(passed.read_text())
        print(f"{len(self.seconds)} tests pass without a mutant", flush=True)
        self._by_line = self._lines(slot)

    def _measure(self, slot: Path) -> None:
        settings = slot / "mutation.coveragerc"
        settings.write_text(f"[run]\nsource_pkgs = {mutants.PACKAGE}\ndata_file = {self._data}\n")
        command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", *PYTEST]
        command += ["-p", "tests.mutation.baseline"]
        ran = subprocess.run(command, cwd=slot, env=environment(slot) | {"COVERAGE_CORE": "ctrace"})
        if ran.returncode:
            print("Some tests fail without any mutant; those judge nothing.")

    def _lines(self, slot: Path) -> dict[tuple[str, int], set[str]]:
        data = CoverageData(str(self._data))
        data.read()
        found: dict[tuple[str, int], set[str]] = defaultdict(set)
        for name in data.measured_files():
            path = Path(name)
            if slot.parent in path.parents:
                relative = path.relative_to(slot).as_posix()
                for line, contexts in data.contexts_by_lineno(name).items():
                    found[relative, line] = {c for c in contexts if c in self.seconds}
        return found

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that reach the mutant: first those of its module, then the fastest.

        Code that runs at import affects all functions of its module. It is not known which tests
        start processes, so all tests of the module are included.
        """
        path, own = mutant.path.as_posix(), f"/test_{mutant.path.stem}.py::"
        tests = {test for test in self.seconds if own in test}
        coming_by = [
            self._by_line[path, line]
            for line in range(mutant.first, mutant.last + 1)
            if (path, line) in self._by_line
        ]
        if not any(coming_by):
            coming_by = [those for (name, _), those in self._by_line.items() if name == path]
        tests = tests.union(*coming_by)
        found = sorted(tests, key=lambda test: (own not in test, self.seconds[test]))
        spent = accumulate(self.seconds[test] for test in found)
        return [test for test, seconds in zip(found, spent, strict=True) if seconds < self._limit]


class Results:
    """The result of each mutant, kept in a file for later runs and for other clones.

    A mutant is tried again when its module changes. One that survived is tried again in every run,
    until it is explained.
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
    tests = baseline.tests(mutant)
    if not tests:
        return SURVIVED
    chosen = slot / "chosen.txt"
    chosen.write_text("\n".join(tests))
    limit = SECONDS_AT_LEAST + 3 * sum(baseline.seconds[name] for name in tests)
    path = slot / mutant.path
    path.write_text(mutant.after, encoding="utf-8")
    try:
        with subprocess.Popen(
            [sys.executable, *PYTEST, "-x", f"@{chosen}"],
            cwd=slot,
            env=environment(slot),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    finally:
        path.write_text(mutant.before, encoding="utf-8")
    return SURVIVED if code == 0 else KILLED


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
