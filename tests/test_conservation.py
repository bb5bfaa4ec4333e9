"""The long run is ``python -m tests.conservation``; this is a minute of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SERVICES


@pytest.mark.skipif(
    not os.environ.get("EGNYTE_TEST_CONSERVATION"),
    reason="takes over a minute and wants an idle machine: set EGNYTE_TEST_CONSERVATION=1",
)
@pytest.mark.service("postgres")
@pytest.mark.service("redis")
@pytest.mark.timeout(400)
def test_every_token_is_held_or_waiting_or_dead_whatever_fails():
    pytest.importorskip("psycopg")
    command = [sys.executable, "-m", "tests.conservation", "--minutes", "1"]
    command += ["--database-url", SERVICES["postgres"]]
    if shutil.which("redis-server") is None:  # then the broker does not fail
        command += ["--broker", SERVICES["redis"]]
    root = Path(__file__).resolve().parent.parent
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=380)
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
