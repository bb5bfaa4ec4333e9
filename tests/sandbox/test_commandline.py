from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from django_egnyte.sandbox import SandboxServer

ROOT = Path(__file__).resolve().parents[2]
MODULE = [sys.executable, "-m", "django_egnyte.sandbox"]
COMMAND = [
    sys.executable,
    "-c",
    "import django; from django.conf import settings;"
    "settings.configure(INSTALLED_APPS=[]); django.setup();"
    "from django.core.management import call_command;"
    "from django_egnyte.management.commands.egnyte_sandbox import Command;"
    "import sys; Command().run_from_argv(['manage.py', 'egnyte_sandbox', *sys.argv[1:]])",
]


@pytest.mark.parametrize("program", [MODULE, COMMAND], ids=["module", "command"])
def test_it_serves_until_interrupted(program: list[str]) -> None:
    with subprocess.Popen(
        [*program, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Started from a background shell, a process would inherit that it ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line
            said += line
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found
        assert "acme" in requests.get(found[0], timeout=5).text
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "has stopped" in rest
    assert errors == ""
    assert f'EGNYTE_BASE_URL = "{found[0]}/d/{{domain}}"' in said
    assert 'EGNYTE_CLIENT_ID = "sandbox-code-key"' in said
    assert re.search(r"acme +jsmith +demo-password-1 +Jane Smith", said)


@pytest.mark.parametrize("program", [MODULE, COMMAND], ids=["module", "command"])
def test_a_foreign_host_or_a_port_that_cannot_be_had_is_refused(
    program: list[str], server: SandboxServer
) -> None:
    ports = [["--port", str(port)] for port in (server.port, 99999, -1)]
    for options in (["--host", "0.0.0.0"], *ports):
        done = subprocess.run(
            [*program, *options], cwd=ROOT, capture_output=True, text=True, timeout=20
        )
        assert done.returncode != 0
        assert re.search("loopback|in use|from 0 to 65535", done.stderr)
        assert "Traceback" not in done.stderr


def test_the_sandbox_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import django_egnyte.sandbox.__main__;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert done.stdout.strip() == "['django_egnyte']"
