#!/usr/bin/env python3
"""Run the example site. It needs only Python 3.11 or newer.

``python3 example_project/run.py`` creates a virtual environment in ``.venv-example`` beside this
folder, starts an Egnyte sandbox, a Celery worker, Celery beat and the site, and prints the URL.
``--check`` starts the same in a temporary folder, tests the site over HTTP and prints each step.
``demo/settings.py`` describes how to use Egnyte, another database or another broker.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:  # imported later, when this Python is known to be new enough
    from processes import Processes

HERE = Path(__file__).resolve().parent
SITE_PORT, SANDBOX_PORT = 8000, 8765


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="walk through the story and exit")
    parser.add_argument("--port", type=int, help=f"the site's port; by default near {SITE_PORT}")
    options = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 (this very file is what an older one starts)
        return complain(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: sys.exit(128 + number))
    if options.port is not None and not is_free(options.port):
        return complain(f"Port {options.port} is in use, or not for this user. Name another.")
    from environment import NotPrepared, prepared

    environ = clean_environ() if options.check else dict(os.environ)
    try:
        python = prepared(".venv-example", requirements(environ))
    except NotPrepared as error:
        return complain(str(error))
    if not options.check:
        var = Path(environ.get("EXAMPLE_VAR", HERE / "var"))
        return demo(str(python), environ, var, options.port)
    with tempfile.TemporaryDirectory(prefix="egnyte-example-") as folder:
        return check(str(python), environ, Path(folder))


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of the loopback interface."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except (OSError, OverflowError):
        return False


def demo(python: str, environ: dict[str, str], var: Path, port: int | None) -> int:
    """Run until interrupted."""
    from processes import Ended, Processes, port_near

    sandbox_port = None if environ.get("EGNYTE_CLIENT_ID") else port_near(SANDBOX_PORT)
    site = f"http://127.0.0.1:{port or port_near(SITE_PORT)}"
    # With access to real files, the user needs a password that cannot be guessed.
    words = "demo admin"
    if sandbox_port is None:
        words = f"{secrets.token_urlsafe(12)} {secrets.token_urlsafe(12)}"
    environ.setdefault("EXAMPLE_PASSWORDS", words)
    with Processes(var / "logs") as processes:
        try:
            start(processes, python, environ, var, site, sandbox_port)
            print(introduction(environ, var, site, sandbox_port), flush=True)
            while True:
                time.sleep(1)
                processes.ensure_running()
        except Ended as error:
            print(processes.tails(), file=sys.stderr)
            return complain(str(error))
        except KeyboardInterrupt:
            print("\nEnding ...", flush=True)
            return 0


def check(python: str, environ: dict[str, str], var: Path) -> int:
    """Walk through the story. Returns 0 only if every step succeeds."""
    from processes import Processes, port_near
    from story import Broken, tell

    started = time.monotonic()
    site = f"http://127.0.0.1:{port_near(0)}"
    sandbox_port = port_near(0)
    environ |= {"EXAMPLE_SWEEP_EVERY": "3", "EXAMPLE_PASSWORDS": "demo admin"}
    with Processes(var / "logs") as processes:
        try:
            tell(
                processes,
                lambda: start(processes, python, environ, var, site, sandbox_port),
                site,
                f"http://127.0.0.1:{sandbox_port}",
            )
        except Broken as error:
            print(processes.tails(), file=sys.stderr, flush=True)
            return complain(str(error))
    print(f"The whole story holds ({time.monotonic() - started:.0f} s).")
    return 0


def start(
    processes: Processes,
    python: str,
    environ: dict[str, str],
    var: Path,
    site: str,
    sandbox_port: int | None,
) -> None:
    """Start everything and wait until it is ready. Raises ``processes.Ended``."""
    from processes import Ended, answers

    env = {
        **environ,
        "DJANGO_SETTINGS_MODULE": "demo.settings",
        "EXAMPLE_VAR": str(var),
        "NO_PROXY": f"127.0.0.1,localhost,{environ.get('NO_PROXY', '')}",
        "PYTHONUNBUFFERED": "1",
    }
    sandbox = f"http://127.0.0.1:{sandbox_port}"
    if sandbox_port is not None:
        env["EGNYTE_BASE_URL"] = f"{sandbox}/d/{{domain}}"
        command = ["-m", "django_egnyte.sandbox", "--port", str(sandbox_port)]
        processes.start("sandbox", [python, *command], cwd=HERE, env=env)
    if subprocess.run([python, "manage.py", "prepare_demo"], cwd=HERE, env=env).returncode:
        raise Ended("the database could not be prepared: see above")

    celery = [python, "-m", "celery", "-A", "demo"]
    pool = ["--pool", "solo"] if os.name == "nt" else ["--concurrency", "1"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = [*celery, "worker", "--loglevel", "INFO", *pool, *quiet]
    processes.start("worker", worker, cwd=HERE, env=env)
    # No pid file: after a crash, the old one would prevent the next start.
    beat = [*celery, "beat", "--loglevel", "INFO", "--pidfile", ""]
    processes.start("beat", beat, cwd=HERE, env=env)
    served = [python, "manage.py", "runserver", "--noreload", site.removeprefix("http://")]
    processes.start("site", served, cwd=HERE, env=env)

    if sandbox_port is not None:
        processes.wait_until(lambda: answers(sandbox), "the sandbox does not answer")
    processes.wait_until(lambda: answers(f"{site}/login/"), "the site does not answer")
    ready = " ready."
    processes.wait_until(lambda: ready in processes.log("worker"), "the worker is not ready")


def introduction(environ: dict[str, str], var: Path, site: str, sandbox_port: int | None) -> str:
    demo_password, admin_password = environ["EXAMPLE_PASSWORDS"].split()
    if public := environ.get("EGNYTE_REDIRECT_URI"):
        site = "{0.scheme}://{0.netloc}".format(urlsplit(public))
    egnyte = "\nIt talks to Egnyte itself, with the API key of EGNYTE_CLIENT_ID."
    if sandbox_port is not None:
        egnyte = """
At Egnyte (a sandbox, in memory):
  domain acme     jsmith    demo-password-1
  domain globex   mmiller   demo-password-3
It forgets everything when it ends: what was connected before asks to be reconnected."""
    return f"""
Open {site}/

  demo   {demo_password:18} the file browser
  admin  {admin_password:18} the same, and {site}/admin/
{egnyte}

Logs are in {var / "logs"}. Ctrl-C ends everything."""


def requirements(environ: dict[str, str]) -> list[str]:
    """The arguments for pip, depending on the environment variables."""
    wanted = ["-e", ".", "dj-database-url>=2.2"]
    drivers = {
        "postgres": "psycopg[binary]>=3.2",
        "postgresql": "psycopg[binary]>=3.2",
        "mysql": "mysqlclient>=2.2.1",
        "redis": "celery[redis]",
        "rediss": "celery[redis]",
    }
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        driver = drivers.get(environ.get(name, "").partition(":")[0])
        wanted += [driver] if driver else []
    if os.name == "nt":  # the broker in a folder needs file locks
        wanted.append("pywin32")
    return wanted


def clean_environ() -> dict[str, str]:
    """The environment without the variables that select real services."""
    ours = ("EGNYTE_", "EXAMPLE_", "CELERY_", "DATABASE_URL", "DJANGO_", "SECRET_KEY")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def complain(problem: str) -> int:
    print(f"example_project/run.py: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
