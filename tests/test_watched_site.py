"""``tests.watched_site`` runs in a separate process, because its packages patch Django."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = "tests.watched_site.settings"


def test_an_audit_log_and_sentry_get_no_token() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--ds", SETTINGS, "tests/watched_site"]
    # A worker of pytest-xdist would take this process for one of its own.
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
