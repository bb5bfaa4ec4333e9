"""Create a virtual environment below the checkout if needed. Both run.py files use this.

It uses only the standard library, because it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "django-egnyte.stamp"


class NotPrepared(Exception):
    """The environment could not be created. The message says why."""


def prepared(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment ``NAME/cpython311`` of the checkout.

    ``requirements`` are arguments of ``pip install``, which runs in the checkout. The environment
    is created again if they, this Python, ``pyproject.toml`` or the checkout's path have changed.
    Raises ``NotPrepared``.
    """
    folder = ROOT / name / f"{sys.implementation.name}{sys.version_info[0]}{sys.version_info[1]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # An editable install has the path of the checkout, so create it again after a move.
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    made_for = "\n".join([sys.version, str(ROOT), *requirements, project])
    wanted = hashlib.sha256(made_for.encode()).hexdigest()
    stamp = folder / STAMP
    with alone(folder.with_suffix(".lock")):
        if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
            _make(folder, python, requirements)
            stamp.write_text(wanted)
    return python


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let only one process at a time do something, for example create the environment."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make(folder: Path, python: Path, requirements: Sequence[str]) -> None:
    print(f"Preparing {folder.relative_to(ROOT)} ...", flush=True)
    try:
        venv.create(folder, clear=True, with_pip=True, symlinks=os.name != "nt")
    except (OSError, ImportError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NotPrepared(
            f"no virtual environment could be made ({error}). On Debian and Ubuntu, install "
            "the package python3-venv."
        ) from None
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    if subprocess.run([str(python), *install], cwd=ROOT).returncode:
        raise NotPrepared("pip could not install the project: see its message above")
