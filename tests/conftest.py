from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

import django_egnyte
from example_project.environment import alone

if TYPE_CHECKING:
    from tests.browsing import Axe

pytest_plugins = ["pytester"]

SERVICES = {
    "mariadb": os.environ.get("EGNYTE_TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306/test"),
    "postgres": os.environ.get(
        "EGNYTE_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres"
    ),
    "rabbitmq": os.environ.get("EGNYTE_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//"),
    "redis": os.environ.get("EGNYTE_TEST_REDIS_URL", "redis://127.0.0.1:6379/15"),
}
AXE_CORE = "axe-core@4.14.1"
PROGRAMS = {"browser": ("chromium", "chromedriver"), "node": ("node", "npm")}
# The headers that browsers send when they navigate.
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# If one of these services is missing, tests that need it fail and are not skipped.
REQUIRED = {name for name in os.environ.get("EGNYTE_TEST_REQUIRE", "").split(",") if name}


def pytest_configure(config: pytest.Config) -> None:
    # tox tests the wheel, so the checkout must not be imported in its place.
    where = Path(django_egnyte.__file__)
    if os.environ.get("EGNYTE_TEST_WHEEL") and "site-packages" not in where.parts:
        raise pytest.UsageError("django_egnyte was imported from the checkout, not from the wheel")
    if unknown := REQUIRED - {*SERVICES, *PROGRAMS}:
        raise pytest.UsageError(f"EGNYTE_TEST_REQUIRE names no service: {', '.join(unknown)}")


def services_of(item: pytest.Item) -> set[str]:
    return {marker.args[0] for marker in item.iter_markers("service")}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One worker begins with all of them, so few start a browser, and none is left at the end.
    items.sort(key=lambda item: "browser" not in services_of(item))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("service"):
        need(marker.args[0])


def need(name: str) -> None:
    """Skip the test if the service ``name`` is missing, or fail it if the service is required."""
    if answers(name):
        return
    if name in REQUIRED:
        pytest.fail(f"{name} is required by EGNYTE_TEST_REQUIRE and is not there", pytrace=False)
    pytest.skip(f"{name} is not there")


def answers(name: str) -> bool:
    if name in PROGRAMS:
        return all(shutil.which(program) for program in PROGRAMS[name])
    address = urlsplit(SERVICES[name])
    try:
        with socket.create_connection((address.hostname, address.port), timeout=2):
            return True
    except OSError:
        return False


@pytest.fixture
def browser(client: Client, egnyte_user: Any) -> Client:
    """The browser of the site's user."""
    client.force_login(egnyte_user)
    client.defaults["HTTP_ACCEPT"] = ACCEPT
    return client


def npm_package(config: pytest.Config, name: str) -> Path:
    """The folder of ``NAME@VERSION``. npm installs it into pytest's cache at first use."""
    cache: Any = config.cache
    home: Path = cache.mkdir(name.replace("@", "-"))
    with alone(home / "lock"):
        if not (home / "complete").exists():
            install(name, home)
            (home / "complete").touch()
    return home / "node_modules" / name.rpartition("@")[0]


def install(name: str, home: Path) -> None:
    npm = shutil.which("npm")
    assert npm
    command = [npm, "install", "--prefix", str(home), "--ignore-scripts", "--no-audit"]
    done = subprocess.run([*command, "--no-fund", name], capture_output=True, text=True)
    if done.returncode != 0 and "node" not in REQUIRED:
        pytest.skip(f"npm could not install {name}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Chromium for all tests, because starting one takes some seconds."""
    need("browser")
    from tests import browsing

    program, driver = shutil.which("chromium") or "", shutil.which("chromedriver") or ""
    chromium = browsing.start(program, driver, str(tmp_path_factory.mktemp("chromium")))
    yield chromium
    chromium.quit()


@pytest.fixture
def chromium(_chromium: Any) -> Any:
    """The browser, in a new tab and without cookies."""
    from tests import browsing

    browsing.clear(_chromium)
    return _chromium


@pytest.fixture(scope="session")
def axe_core(request: pytest.FixtureRequest) -> str:
    """The source of axe-core."""
    need("node")
    return (npm_package(request.config, AXE_CORE) / "axe.min.js").read_text()


@pytest.fixture
def axe(chromium: Any, axe_core: str) -> Axe:
    """Checks the pages of ``chromium`` with axe. ``axe.everywhere(url)`` is a list of faults."""
    from tests.browsing import Axe

    return Axe(chromium, axe_core)


@pytest.fixture
def redis_url() -> str:
    need("redis")
    return SERVICES["redis"]


@pytest.fixture
def amqp_url() -> str:
    need("rabbitmq")
    return SERVICES["rabbitmq"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    from tests.flush import quick_flush, written_by_migrate

    with django_db_blocker.unblock():
        written = written_by_migrate()
    with quick_flush(written):
        yield


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Fail a test that opens a connection to another machine."""

    def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
        def refusing(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
                pytest.fail(f"the tests may not leave this machine: connection to {address!r}")
            return connect(self, address)

        return refusing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        yield


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
