"""Somebody follows the quickstart and the page on Django REST framework, in a fresh project."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.docpages import DOCS, code_of, needs_docs
from tests.test_stranger import SANDBOX_PORT, Project, free_port, post

pytestmark = needs_docs


def added(project: Project, page: str, names: tuple[str, ...], sandbox_port: int) -> None:
    """Append the page's first block for each of these files, as it says."""
    for name in names:
        blocks = code_of(DOCS / page, "python")
        code = next(each.code for each in blocks if each.options.get("caption") == name)
        with (project.folder / name).open("a") as file:
            file.write(code.replace(SANDBOX_PORT, str(sandbox_port)) + "\n")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.run("-m", "django", "startproject", "mysite", ".")
    return project


def test_following_the_pages_gives_a_folder_as_json(project: Project) -> None:
    site_port, sandbox_port = free_port(), free_port()
    quickstart = ("mysite/settings.py", "mysite/urls.py")
    added(project, "quickstart.rst", quickstart, sandbox_port)
    added(project, "with/rest-framework.rst", (*quickstart, "mysite/views.py"), sandbox_port)
    project.run("manage.py", "migrate")
    assert "no issues" in project.run("manage.py", "check")
    project.run(
        *(
            "manage.py",
            "createsuperuser",
            "--no-input",
            "--username",
            "alice",
            "--email",
            "a@e.test",
        ),
        DJANGO_SUPERUSER_PASSWORD="a password",
    )
    with (
        project.running(sandbox_port, "egnyte_sandbox", "--port", str(sandbox_port)) as egnyte,
        project.running(site_port, "runserver", "--noreload", f"127.0.0.1:{site_port}") as site,
        requests.Session() as browser,
    ):
        browser.trust_env = False
        answer = requests.post(
            f"{site}/api/token/", data={"username": "alice", "password": "a password"}
        )
        caller = {"Authorization": f"Token {answer.json()['token']}"}
        # The user has not connected yet, and opens the URL from the API in a browser.
        answer = requests.get(f"{site}/api/folders/", headers=caller)
        assert (answer.status_code, answer.json()["error"]) == (401, "egnyte_not_linked")
        login = browser.get(
            f"{site}{answer.json()['connect_url']}", headers={"Accept": "text/html"}
        )
        assert urlsplit(login.url).path == "/admin/login/"
        connect = post(browser, login, username="alice", password="a password")
        consent = post(browser, connect, domain="acme")
        assert consent.url.startswith(egnyte)
        page = requests.post(
            f"{egnyte}/_sandbox/authorize", json={"url": consent.url, "username": "jsmith"}
        ).json()
        browser.get(page["location"], headers={"Referer": page["referer"]})
        folder = requests.get(f"{site}/api/folders/", headers=caller)
        assert folder.status_code == 200
        text = (DOCS / "with/rest-framework.rst").read_text()
        said = re.search(r'^      (\[\{"name":.*\])$', text, re.M)
        assert said is not None
        assert folder.text == said[1]
