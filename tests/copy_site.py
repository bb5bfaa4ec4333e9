"""Copy the tests' files without the package: ``copy_site.py CHECKOUT TARGET``. tox uses it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NEEDED = [
    ".github",
    "CHANGELOG.rst",
    "README.rst",
    "benchmarks",
    "docs",
    "example_project",
    "pyproject.toml",
    "tests",
    "tox.ini",
]


def copy_site(checkout: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in NEEDED:
        source = checkout / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "_build", ".venv*", "*.sqlite3*")
            shutil.copytree(source, target / name, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, target / name)


if __name__ == "__main__":
    copy_site(Path(sys.argv[1]), Path(sys.argv[2]))
