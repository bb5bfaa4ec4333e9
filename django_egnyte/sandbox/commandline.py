"""The common part of `python -m django_egnyte.sandbox` and `manage.py egnyte_sandbox`."""

from __future__ import annotations

import threading
from collections.abc import Callable

from . import seed
from .server import SandboxServer

DEFAULT_PORT = 8765


def introduction(server: SandboxServer) -> str:
    """Instructions for a running sandbox: URLs, users and settings."""
    people = "\n".join(
        f"  {p.domain:8} {p.username:8} {p.password:22}"
        f"{p.first_name} {p.last_name}{' (administrator)' if p.admin else ''}"
        for p in seed.PEOPLE
    )
    return f"""\
An Egnyte sandbox (not Egnyte: everything in it is invented) listens at {server.url}

Users: domain, username, password
{people}

Settings for your project:
  EGNYTE_CLIENT_ID = "{seed.CODE_KEY}"
  EGNYTE_CLIENT_SECRET = "{seed.CODE_SECRET}"
  EGNYTE_BASE_URL = "{server.base_url}"
or, for a host per domain, if your browser resolves such names:
  EGNYTE_BASE_URL = "{server.host_base_url}"
Other keys, for EGNYTE_FLOW = "implicit": {seed.IMPLICIT_KEY} (without a secret),
and for EGNYTE_FLOW = "password": {seed.INTERNAL_KEY}, secret {seed.INTERNAL_SECRET}

Press Ctrl-C to stop it."""


def serve(port: int, host: str, write: Callable[[str], object]) -> None:
    """Serve until interrupted.

    Raises ValueError for a host that is not loopback or an invalid port, and OSError for a port in
    use.
    """
    with SandboxServer(port=port, host=host) as server:
        try:
            write(introduction(server))
            threading.Event().wait()
        except KeyboardInterrupt:
            write("\nThe sandbox has stopped.")
