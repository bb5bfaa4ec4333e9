from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from django_egnyte.sandbox import Sandbox, SandboxServer
from tests.conftest import npm_package

from .calls import Caller

JS_SDK = "egnyte-js-sdk@2.10.1"


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(server: SandboxServer) -> Sandbox:
    return server.sandbox


@pytest.fixture
def acme(server: SandboxServer) -> str:
    return server.base_url.format(domain="acme")


@pytest.fixture
def globex(server: SandboxServer) -> str:
    return server.base_url.format(domain="globex")


@pytest.fixture
def call(sandbox: Sandbox, acme: str) -> Caller:
    """Calls of jsmith, who may do everything with files."""
    issued = sandbox.issue("acme", "jsmith", scopes=["Egnyte.filesystem"])
    return Caller(acme, issued.access_token)


@pytest.fixture(scope="session")
def js_sdk(request: pytest.FixtureRequest) -> Path:
    """The folder with Egnyte's SDK for JavaScript."""
    return npm_package(request.config, JS_SDK)


@pytest.fixture(scope="session")
def run_js(js_sdk: Path) -> Callable[[str], dict[str, Any]]:
    """Run a script of this folder as administrator of a new sandbox. Returns its output."""

    def run(script: str) -> dict[str, Any]:
        with SandboxServer() as server:
            token = server.sandbox.issue("acme", "admin").access_token
            address = server.base_url.format(domain="acme")
            path = Path(__file__).with_name(script)
            command = ["node", str(path), str(js_sdk), address, token]
            done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    return run
