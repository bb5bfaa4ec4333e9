"""All steps under real servers, with cookies as in a browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connections

from tests import walk

ROOT = Path(__file__).resolve().parents[2]
UVICORN = "-m uvicorn tests.reference_site.asgi:application --host 127.0.0.1 --port {port}"
GUNICORN = (
    "-m gunicorn tests.reference_site.wsgi:application --bind 127.0.0.1:{port} "
    "--access-logfile - --threads 2"
)
PASSWORD = "a long enough passphrase"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def serving(command: str, base_url: str, log: Path) -> Iterator[str]:
    """The address of a server that runs ``command``, and ends with the block."""
    port = free_port()
    environ = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.reference_site.live",
        "EGNYTE_TEST_BASE_URL": base_url,
        "EGNYTE_TEST_SQLITE": str(connections["default"].settings_dict["NAME"]),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, *command.format(port=port).split()],
            cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                requests.get(f"{address}/en/", timeout=10)
                break
            except requests.ConnectionError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def form(page: requests.Response, **values: str) -> dict[str, str]:
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text))
    return {"csrfmiddlewaretoken": token, **values}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_a_user_links_an_account_and_lists_a_folder(
    egnyte_sandbox: Any, egnyte_sandbox_server: Any, egnyte_user: Any, tmp_path: Path, command: str
) -> None:
    egnyte_user.set_password(PASSWORD)
    egnyte_user.save()
    log = tmp_path / "log"
    with serving(command, egnyte_sandbox_server.base_url, log) as site, requests.Session() as user:
        user.headers["Accept"] = "text/html"
        to_login = user.get(f"{site}/en/folder/", timeout=20)  # from connect to allauth's form
        assert urlsplit(to_login.url).path == "/en/accounts/login/"
        name = getattr(egnyte_user, egnyte_user.USERNAME_FIELD)
        connect = user.post(to_login.url, form(to_login, login=name, password=PASSWORD), timeout=20)
        assert urlsplit(connect.url).path == "/en/egnyte/connect/"
        begun = [
            user.post(
                f"{site}/en/egnyte/connect/",
                form(connect, domain=domain, next="/en/folder/"),
                allow_redirects=False,
                timeout=20,
            ).headers["Location"]
            for domain in ("globex", "acme")
        ]
        paths = {each.path for each in user.cookies if each.name.startswith("egnyte_attempt_")}
        assert paths == {"/en/egnyte/callback/"}
        location = egnyte_sandbox.authorize(begun[1], "jsmith")
        back = user.get(location, timeout=20)
        assert urlsplit(back.url).path == "/en/folder/"
        assert back.text.startswith("page:")
        first = user.get(
            egnyte_sandbox.authorize(begun[0], "mmiller"), timeout=20, allow_redirects=False
        )
        assert first.headers["Location"] == "/en/folder/"
        assert user.get(f"{site}/auserinfo/", timeout=20).json()["username"] == "jsmith"
    kept = log.read_text()
    assert "/en/egnyte/callback/" in kept
    assert walk.query_of(location)["code"] not in kept
