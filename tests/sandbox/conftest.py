from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_egnyte.sandbox import Sandbox, SandboxServer

from .calls import Caller


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
