"""A site tests itself with the fixtures, in a separate pytest run."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command

import django_egnyte
from django_egnyte import pytest_plugin
from django_egnyte.conf import conf
from django_egnyte.services.refresh import refresh

from .docpages import DOCS, code_of, needs_docs, page

PLUGIN = "django_egnyte.pytest_plugin"
GUIDE = DOCS / "guides" / "testing.rst"

SETTINGS = """
INSTALLED_APPS += ["django_egnyte"]
MIDDLEWARE += ["django_egnyte.middleware.EgnyteMiddleware"]
LOGIN_URL = "admin:login"
EGNYTE_CLIENT_ID = "the site's own key"
EGNYTE_CLIENT_SECRET = "the site's own secret"
"""
URLS = """
from django.urls import include
urlpatterns += [path("egnyte/", include("django_egnyte.urls"))]
"""
INI = """
[pytest]
DJANGO_SETTINGS_MODULE = mysite.settings
addopts = --strict-config --strict-markers -p no:cacheprovider
filterwarnings = error
"""


class Site:
    """A new project with the app installed as the README says, and its tests."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.folder = pytester.path
        monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
        # As "pip install django-egnyte" does.
        monkeypatch.setenv("PYTHONPATH", str(Path(django_egnyte.__file__).parent.parent))
        # An installed package is a plugin by its entry point, a checkout is none.
        installed = entry_points(group="pytest11", name="django_egnyte")
        self.plugin = [] if installed else ["-p", PLUGIN]
        call_command("startproject", "mysite", str(self.folder))
        self.write("mysite/settings.py", SETTINGS)
        self.write("mysite/urls.py", URLS)
        self.write("pytest.ini", INI)

    def write(self, name: str, text: str) -> None:
        """Add ``text`` to a file."""
        with (self.folder / name).open("a") as file:
            file.write(text)

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.run_without_plugin(*self.plugin, *arguments)

    def run_without_plugin(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*arguments, timeout=100)


@pytest.fixture
def site(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(pytester, monkeypatch)


@needs_docs
def test_the_tests_in_the_guide_pass(site: Site) -> None:
    blocks = [
        block.code
        for block in code_of(GUIDE, "python")
        if block.options.get("caption", "").startswith("test_")
        and block.options.get("class") != "fragment"
    ]
    for block in code_of(GUIDE, "python"):
        if block.options.get("caption", "").startswith("mysite/"):
            (site.folder / block.options["caption"]).write_text(block.code)
    site.write("test_guide.py", "\n".join(blocks))
    outcomes = site.run().parseoutcomes()
    assert set(outcomes) == {"passed"}
    # A test with parameters passes several times.
    assert outcomes["passed"] >= "".join(blocks).count("def test_")


EACH_FIXTURE = """
import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import TestCase

from django_egnyte.models import EgnyteAccount


@pytest.fixture(scope="session")
def servers():
    return set()


# Twice the same: what the first leaves behind must not be there for the second.
@pytest.mark.parametrize("time", [1, 2])
def test_each_fixture(
    time, settings, servers, egnyte_sandbox_server, egnyte_sandbox, egnyte_user, egnyte_account,
    egnyte_client,
):
    servers.add(egnyte_sandbox_server.base_url)
    assert len(servers) == 1
    assert egnyte_sandbox_server.base_url.startswith("http://127.0.0.1:")
    assert settings.EGNYTE_BASE_URL == egnyte_sandbox_server.base_url
    assert egnyte_sandbox is egnyte_sandbox_server.sandbox
    assert egnyte_sandbox.key(settings.EGNYTE_CLIENT_ID)
    assert egnyte_sandbox.settings.qps_limit is None
    assert list(egnyte_sandbox.domains) == ["acme", "globex"]
    assert abs(egnyte_sandbox.clock_offset) < 1
    assert len(egnyte_sandbox.live_grants()) == 1

    assert list(get_user_model().objects.all()) == [egnyte_user]
    assert list(egnyte_user.egnyte_accounts.all()) == [egnyte_account]
    assert list(EgnyteAccount.objects.all()) == [egnyte_account]
    said = (egnyte_account.username, egnyte_account.domain, egnyte_account.status)
    assert said == ("jsmith", "acme.egnyte.com", "active")
    assert egnyte_client.account == egnyte_account
    assert egnyte_client.userinfo()["username"] == "jsmith"
    assert egnyte_sandbox.counts["userinfo"] == 2  # once to link

    egnyte_sandbox.faults.add(path="/", status=503, times=None)
    egnyte_sandbox.settings.qps_limit = 0
    egnyte_sandbox.add_domain("initech")
    egnyte_sandbox.advance(1e6)
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    get_user_model().objects.create(username="somebody")


def test_a_user_alone_has_no_account(egnyte_user, settings):
    assert list(egnyte_user.egnyte_accounts.all()) == []
    assert not hasattr(settings, "EGNYTE_BASE_URL")
    assert settings.EGNYTE_CLIENT_ID == "the site's own key"


@pytest.mark.django_db(transaction=True)
def test_an_account_without_a_transaction_around_it(egnyte_account):
    assert not connection.in_atomic_block
    assert egnyte_account.client.userinfo()["username"] == "jsmith"


class TestUserOfTheSitesOwn:
    @pytest.fixture
    def egnyte_user(self, db):
        return get_user_model().objects.create(username="own", email="own@example.com")

    def test_has_the_account(self, egnyte_user, egnyte_account):
        assert egnyte_account.user == egnyte_user
        assert egnyte_user.username == "own"


class CaseTest(TestCase):
    @pytest.fixture(autouse=True)
    def _fixtures(self, egnyte_sandbox, egnyte_account):
        self.sandbox = egnyte_sandbox
        self.account = egnyte_account

    def one_account(self):
        assert EgnyteAccount.objects.get() == self.account
        assert self.account.client.userinfo()["username"] == "jsmith"
        self.sandbox.set_password("acme", "jsmith", "another")

    test_one = one_account
    test_two = one_account


def test_nothing_is_left_of_the_case(db):
    assert not EgnyteAccount.objects.exists()
    assert not get_user_model().objects.exists()
"""
NOTHING_LEFT = """
import threading


def pytest_unconfigure():
    assert not [each for each in threading.enumerate() if "sandbox" in each.name]
"""


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_each_fixture_is_new_for_each_test(site: Site, arguments: tuple[str, ...]) -> None:
    if arguments:
        pytest.importorskip("xdist")
    site.write("test_fixtures.py", EACH_FIXTURE)
    site.write("conftest.py", NOTHING_LEFT)
    result = site.run(*arguments)
    result.assert_outcomes(passed=8)
    assert result.ret == 0


MISUSE = """
from django.contrib.auth import get_user_model


def test_rows_without_a_database(egnyte_sandbox):
    get_user_model().objects.count()


def test_an_account(egnyte_account):
    pass
"""


def test_a_test_that_did_not_ask_for_the_database_is_told_so(site: Site) -> None:
    site.write("test_misuse.py", MISUSE)
    result = site.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *Database access not allowed, use the *django_db* mark*"])


def test_a_site_that_did_not_install_the_app_is_told_so(site: Site) -> None:
    site.write("mysite/settings.py", 'INSTALLED_APPS.remove("django_egnyte")\nMIDDLEWARE.pop()\n')
    site.write("mysite/urls.py", "urlpatterns.pop()\n")
    site.write("test_misuse.py", MISUSE)
    result = site.run("-k", "account")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *Egnyte* isn't in an application in INSTALLED_APPS."])


def test_without_settings_the_tests_are_skipped_with_the_reason(site: Site) -> None:
    (site.folder / "pytest.ini").write_text("[pytest]\n")
    site.write("test_misuse.py", "def test_it(egnyte_client): pass\n")
    result = site.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * no Django settings"])


def test_without_pytest_django_what_is_missing_is_named(site: Site) -> None:
    (site.folder / "pytest.ini").write_text("[pytest]\n")
    site.write("test_misuse.py", "def test_it(egnyte_client): pass\n")
    result = site.run("-p", "no:django")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E *fixture 'settings' not found"])


WATCH = """
import json
import sys
import threading

happened = []
start = threading.Thread.start


def watch(event, arguments):
    if event in ("socket.__new__", "socket.bind"):
        happened.append(f"{event} {arguments[1]}")


def watched_start(thread):
    happened.append("thread")
    start(thread)


threading.Thread.start = watched_start
sys.addaudithook(watch)


def pytest_sessionfinish():
    # Not at the very end: the server stops with its session.
    with open("watched.json", "w") as file:
        json.dump({"happened": sorted(happened), "modules": sorted(sys.modules)}, file)
"""


def watched(site: Site, result: pytest.RunResult) -> tuple[list[str], set[str]]:
    """The threads and sockets of a run with ``-p watch``, and the modules it imported."""
    result.assert_outcomes(passed=1)
    told = json.loads((site.folder / "watched.json").read_text())
    return told["happened"], set(told["modules"])


@pytest.mark.parametrize("configured", [True, False], ids=["site", "no-django"])
def test_a_run_without_our_fixtures_pays_nothing(site: Site, configured: bool) -> None:
    site.write("watch.py", WATCH)
    asked = "settings" if configured else ""
    site.write("test_plain.py", f"def test_plain({asked}): pass\n")
    if not configured:
        (site.folder / "pytest.ini").write_text("[pytest]\n")
    without = site.run_without_plugin("-p", "watch", "-p", "no:django_egnyte")
    happened, modules = watched(site, without)
    happened_with, modules_with = watched(site, site.run("-p", "watch"))
    package = set() if configured else {"django_egnyte"}
    assert modules_with - modules == {PLUGIN} | package
    assert modules - modules_with == set()
    assert happened_with == happened
    assert "django_egnyte.sandbox" not in modules_with


def test_the_watch_sees_a_run_with_our_fixtures(site: Site) -> None:
    """Without this, the test above would prove nothing."""
    site.write("watch.py", WATCH)
    site.write("test_plain.py", "def test_plain(egnyte_sandbox): pass\n")
    happened, modules = watched(site, site.run("-p", "watch"))
    assert {"socket.bind ('127.0.0.1', 0)", "thread"} <= set(happened)
    assert "django_egnyte.sandbox.server" in modules


def test_loading_the_plugin_imports_nothing_else() -> None:
    code = f"""
import sys
import pytest
before = set(sys.modules)
import {PLUGIN}
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(django_egnyte.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["django_egnyte", PLUGIN]


@pytest.mark.django_db
@pytest.mark.parametrize("flow", ["authorization_code", "enhanced", "implicit", "password"])
def test_the_key_and_the_account_are_of_the_sites_flow(
    flow: str, settings: Any, request: pytest.FixtureRequest
) -> None:
    settings.EGNYTE_FLOW = flow
    account = request.getfixturevalue("egnyte_account")
    sandbox = request.getfixturevalue("egnyte_sandbox")
    assert checks.run_checks(tags=["egnyte"]) == []
    kind = {"implicit": "implicit", "password": "internal"}.get(flow, "code")
    assert sandbox.key(conf.client_id).flow == kind
    assert account.flow == flow
    if flow != "implicit":
        refresh(account, actor="test")
    assert account.client.userinfo()["username"] == "jsmith"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("named", "error", "said"),
    [
        ({"username": "nobody"}, KeyError, "no user 'nobody', there are: jsmith, bdoe, admin"),
        ({"domain": "initech"}, KeyError, "no domain 'initech', there are: acme, globex"),
        ({"flow": "bogus"}, ValueError, "one of authorization_code, enhanced, .*, not 'bogus'"),
    ],
)
def test_a_link_to_what_there_is_not_says_what_there_is(
    named: Any, error: type[Exception], said: str, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    with pytest.raises(error, match=said):
        pytest_plugin.link_account(egnyte_sandbox, egnyte_user, **named)
    assert not egnyte_user.egnyte_accounts.exists()
    assert egnyte_sandbox.live_tokens() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value", "new"),
    [
        ("EGNYTE_DOMAIN", "mycompany", "acme"),
        ("EGNYTE_ALLOWED_DOMAINS", ["mycompany"], ["mycompany", "acme", "globex"]),
        ("EGNYTE_ALLOWED_DOMAINS", [], ["acme", "globex"]),
    ],
)
def test_a_site_bound_to_its_own_domain_links_the_sandboxs(
    name: str, value: Any, new: Any, settings: Any, request: pytest.FixtureRequest
) -> None:
    setattr(settings, name, value)
    assert request.getfixturevalue("egnyte_account").domain == "acme.egnyte.com"
    assert getattr(settings, name) == new


@pytest.mark.django_db
def test_a_site_without_any_setting_gets_what_is_needed(
    settings: Any, request: pytest.FixtureRequest
) -> None:
    del settings.EGNYTE_CLIENT_ID
    del settings.EGNYTE_CLIENT_SECRET
    assert request.getfixturevalue("egnyte_client").userinfo()["username"] == "jsmith"


@needs_docs
def test_the_types_in_the_guide_are_those_of_the_fixtures() -> None:
    rows = re.findall(r"\* - ``(egnyte_\w+)``\n     - (.*)\n", page("guides/testing.rst"))
    said = {name: re.findall(r"(\w+)``", kind)[0] for name, kind in rows}
    there = {
        node.name: ast.unparse(node.returns)
        for node in ast.parse(inspect.getsource(pytest_plugin)).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("egnyte_") and node.returns
    }
    there["egnyte_sandbox_server"] = there["egnyte_sandbox_server"][len("Iterator[") : -1]
    assert said == there


@needs_docs
def test_the_signature_in_the_guide_is_that_of_the_code() -> None:
    said = re.search(r"py:function:: .*\.link_account\((.*)\)", page("guides/testing.rst"))
    assert said is not None
    there = inspect.signature(pytest_plugin.link_account)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in there.parameters.values()
    ]
    assert str(inspect.Signature(plain)).replace("'", '"') == f"({said[1]})"
