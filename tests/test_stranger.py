"""Follow the README exactly, in a new project."""

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

import django_egnyte

README = Path(__file__).resolve().parent.parent / "README.rst"
SANDBOX_PORT = "8765"  # what the README's settings say


def install_blocks() -> list[str]:
    """The code under "Install it into a site": shell, settings, URLs, shell."""
    section = README.read_text().split("Install it into a site\n---")[1].split("\n---")[0]
    blocks = re.findall(r"\.\. code-block:: (\w+)\n\n((?:    .*\n|\n)+)", section)
    assert [language for language, _ in blocks] == ["sh", "python", "python", "sh"]
    return [re.sub(r"^    ", "", text, flags=re.M).strip() + "\n" for _, text in blocks]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            **{
                name: value
                for name, value in os.environ.items()
                if name != "DJANGO_SETTINGS_MODULE"
            },
            # As "pip install django-egnyte" does.
            "PYTHONPATH": str(Path(django_egnyte.__file__).parent.parent),
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *arguments: str, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def running(self, port: int, *arguments: str) -> Iterator[str]:
        """Starts a server in the background, and waits until it accepts connections."""
        log = self.folder / f"{arguments[0]}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=self.folder,
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            for _ in range(300):
                assert process.poll() is None, log.read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                raise AssertionError(log.read_text())
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def csrf_of(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None, page
    return found[1]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if not README.exists():
        pytest.skip("README.rst is not beside the tests")
    project = Project(tmp_path)
    project.run("-m", "django", "startproject", "mysite", ".")
    return project


def test_the_readme_is_ten_lines() -> None:
    if not README.exists():
        pytest.skip("README.rst is not beside the tests")
    assert sum(len(block.splitlines()) for block in install_blocks()) == 10


def test_following_the_readme_links_an_account(project: Project) -> None:
    pip, settings, urls, migrate = install_blocks()
    assert pip == "python -m pip install django-egnyte\n"
    site_port, sandbox_port = free_port(), free_port()
    settings = settings.replace(SANDBOX_PORT, str(sandbox_port))
    for name, lines in (("settings.py", settings), ("urls.py", urls)):
        with (project.folder / "mysite" / name).open("a") as file:
            file.write(lines)
    for line in migrate.splitlines():
        project.run(*line.split()[1:])
    assert "no issues" in project.run("manage.py", "check")
    project.run(
        *("manage.py", "createsuperuser", "--no-input", "--username", "me", "--email", "m@e.test"),
        DJANGO_SUPERUSER_PASSWORD="a password",
    )
    with (
        project.running(sandbox_port, "egnyte_sandbox", "--port", str(sandbox_port)) as egnyte,
        project.running(site_port, "runserver", "--noreload", f"127.0.0.1:{site_port}") as site,
        requests.Session() as browser,
    ):
        browser.trust_env = False
        login = browser.get(f"{site}/egnyte/")
        assert urlsplit(login.url).path == "/admin/login/"
        page = post(browser, login, username="me", password="a password")
        assert urlsplit(page.url).path == "/egnyte/"
        assert "No account is connected yet" in page.text
        page = browser.get(f"{site}/egnyte/connect/?next=/egnyte/")
        consent = post(browser, page, domain="acme")
        assert consent.url.startswith(egnyte)
        answer = requests.post(
            f"{egnyte}/_sandbox/authorize", json={"url": consent.url, "username": "jsmith"}
        ).json()
        page = browser.get(answer["location"], headers={"Referer": answer["referer"]})
        assert (page.status_code, urlsplit(page.url).path) == (200, "/egnyte/")
        assert "Jane Smith" in page.text
        assert "acme.egnyte.com" in page.text
        project.run("manage.py", "egnyte_status")
        assert requests.get(f"{egnyte}/_sandbox/tokens").json()["grants"] == 1
        account = re.search(r"/egnyte/\d+/disconnect/", page.text)
        assert account is not None
        page = post(browser, page, path=account[0])
        assert "No account is connected yet" in page.text
        project.run("manage.py", "egnyte_sweep")
        assert requests.get(f"{egnyte}/_sandbox/tokens").json()["grants"] == 0


def post(browser: Any, page: Any, *, path: str = "", **fields: str) -> Any:
    """Send the form of a page, as a browser does."""
    where = urlsplit(page.url)
    target = f"{where.scheme}://{where.netloc}{path}" if path else page.url
    hidden = dict(re.findall(r'type="hidden" name="(next)" value="([^"]*)"', page.text))
    return browser.post(
        target,
        data={"csrfmiddlewaretoken": csrf_of(page.text), **hidden, **fields},
        headers={"Referer": page.url},
    )
