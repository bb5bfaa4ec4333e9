"""``example_project/run.py --port``."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parent.parent / "example_project" / "run.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *arguments], capture_output=True, text=True, timeout=60
    )


def test_a_port_that_is_in_use_is_named_before_anything_is_prepared() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run("--port", str(port))
    assert done.returncode != 0
    assert f"Port {port} is in use" in done.stderr


@pytest.mark.parametrize("port", ["70000", "-1"])
def test_a_number_that_is_no_port_is_refused(port: str) -> None:
    done = run(f"--port={port}")
    assert done.returncode != 0
    assert port in done.stderr
    assert "Traceback" not in done.stderr
