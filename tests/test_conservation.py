"""Half a minute of the check. For a long run, use ``python -m tests.conservation``.

``EGNYTE_TEST_CONSERVATION_MINUTES`` is the number of minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SERVICES

MINUTES = os.environ.get("EGNYTE_TEST_CONSERVATION_MINUTES", "0.5")


@pytest.mark.service("postgres")
@pytest.mark.service("redis")
@pytest.mark.timeout(360 + 60 * float(MINUTES))
def test_every_token_is_held_or_waiting_or_dead_whatever_fails():
    pytest.importorskip("psycopg")
    command = [sys.executable, "-m", "tests.conservation", "--minutes", MINUTES]
    command += ["--database-url", SERVICES["postgres"]]
    if shutil.which("redis-server") is None:  # then use a shared broker, which does not fail
        command += ["--broker", SERVICES["redis"]]
    root = Path(__file__).resolve().parent.parent
    ran = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=330 + 60 * float(MINUTES)
    )
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
