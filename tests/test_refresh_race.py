from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from django_egnyte.sandbox import SandboxServer

from .conftest import SERVICES
from .conservation.database import Database

PROCESSES, THREADS = 4, 5


@pytest.mark.service("postgres")
def test_processes_and_threads_that_race_make_one_refresh():
    pytest.importorskip("psycopg")
    with (
        SandboxServer() as egnyte,
        Database(SERVICES["postgres"], f"egnyte_race_{os.getpid()}") as url,
    ):
        variants = ("EGNYTE_TEST_USER_MODEL", "EGNYTE_TEST_ATOMIC", "EGNYTE_TEST_NO_TZ")
        environment = {name: text for name, text in os.environ.items() if name not in variants}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "tests.livesite",
            "DATABASE_URL": url,
            "EGNYTE_TEST_BASE_URL": egnyte.base_url,
        }

        def start(*arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "tests.refresh_racer", *map(str, arguments)]
            root = Path(__file__).resolve().parent.parent
            return subprocess.Popen(
                command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True
            )

        with start("prepare") as preparing:
            assert preparing.wait(60) == 0
        egnyte.sandbox.policy.refresh_rotates = True
        egnyte.sandbox.faults.add(grant_type="refresh_token", delay_after=0.5, times=None)
        at = time.time() + 8
        racers = [start("race", at, THREADS) for _ in range(PROCESSES)]
        held: list[str] = []
        for racer in racers:
            out, _ = racer.communicate(timeout=60)
            assert racer.returncode == 0
            held += out.split()
        assert egnyte.sandbox.counts["token:refresh_token"] == 1
        assert len(held) == PROCESSES * THREADS
        assert len(set(held)) == 1
