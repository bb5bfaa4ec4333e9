from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_egnyte.sandbox import SandboxServer

from .conftest import SERVICES
from .conservation.database import Database

PROCESSES, THREADS = 4, 5


def ready_of(racer: subprocess.Popen[str]) -> str:
    assert racer.stdout is not None
    return racer.stdout.readline().strip()


@pytest.mark.timeout(400)
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
                command,
                cwd=root,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

        with start("prepare") as preparing:
            assert preparing.wait(100) == 0
        egnyte.sandbox.policy.refresh_rotates = True
        egnyte.sandbox.faults.add(grant_type="refresh_token", delay_after=0.5, times=None)
        racers = [start("race", THREADS) for _ in range(PROCESSES)]
        # None begins before all are ready, however long they take to start.
        assert [ready_of(racer) for racer in racers] == ["ready"] * PROCESSES
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        held: list[str] = []
        for racer in racers:
            out, _ = racer.communicate(timeout=100)
            assert racer.returncode == 0
            held += out.split()
        assert egnyte.sandbox.counts["token:refresh_token"] == 1
        assert len(held) == PROCESSES * THREADS
        assert len(set(held)) == 1
