#!/usr/bin/env python3
"""Run the test suite. It needs only Python 3.11 or newer.

Creates a virtual environment in ``.venv-tests`` beside this folder, installs the project and the
requirements of its tests, and runs pytest. Without arguments, the whole suite runs on all cores.
Arguments are passed to pytest: ``python3 tests/run.py -k callback -x``. With ``--coverage`` as the
only argument, the suite is also measured, and fails if the coverage is too low. That takes half as
long again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 (this very file is what an older one starts)
        return complain(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    sys.path.append(str(ROOT / "example_project"))
    from environment import NotPrepared, prepared

    try:
        python = prepared(".venv-tests", ["-e", ".[test]"])
    except NotPrepared as error:
        return complain(str(error))
    # The tests start many processes, and each would compile the package again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    colour = "--color=yes" if sys.stdout.isatty() else "--color=no"
    # One more than there are cores, because some tests wait for servers and for deadlines.
    workers = str((os.cpu_count() or 1) + 1)
    whole = ["-m", "pytest", "-n", workers, "--dist", "worksteal", colour]
    if arguments == ["--coverage"]:
        return measured(python, whole)
    command = ["-m", "pytest", *arguments] if arguments else whole
    return subprocess.run([python, *command], cwd=ROOT).returncode


def measured(python: Path, command: list[str]) -> int:
    """Run ``command`` with coverage, and report it."""
    for stale in ROOT.glob(".coverage.*"):
        stale.unlink()
    status, closing = run_holding_last_line([str(python), "-m", "coverage", "run", *command])
    uncovered = False
    if status == 0:
        coverage = [str(python), "-m", "coverage"]
        subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, check=True)
        uncovered = subprocess.run([*coverage, "report"], cwd=ROOT).returncode != 0
    show(closing)
    if uncovered:
        return complain("the tests cover too little: see the report above")
    return status


def run_holding_last_line(command: list[str]) -> tuple[int, bytes]:
    """Run ``command`` and print its output, but print pytest's summary line last.

    The summary belongs below the coverage report. A line that starts like a summary ("=====") is
    held back until another line follows.
    """
    held = b""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 65536):
            held += chunk
            start = held.rfind(b"\n", 0, -1) + 1
            if not re.match(rb"(\x1b\[[0-9;]*m)*=", held[start:]):
                start = len(held)
            show(held[:start])
            held = held[start:]
    return process.returncode, held


def show(output: bytes) -> None:
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def complain(problem: str) -> int:
    print(f"tests/run.py: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
