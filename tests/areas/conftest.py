from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient
from django_egnyte.sandbox import Sandbox, SandboxServer
from tests.api.connections import Line

MakeClient = Callable[..., EgnyteClient]


@pytest.fixture(scope="package")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(server: SandboxServer) -> Sandbox:
    server.sandbox.reset()
    return server.sandbox


@pytest.fixture
def client_of(server: SandboxServer, sandbox: Sandbox) -> MakeClient:
    """The client of a user of the sandbox. No scopes means all scopes."""

    def make(username: str, *scopes: str, domain: str = "acme", **limits: Any) -> EgnyteClient:
        token = sandbox.issue(domain, username, scopes=scopes).access_token
        return EgnyteClient(Line(server.base_url.replace("{domain}", domain), token, **limits))

    return make


@pytest.fixture
def jane(client_of: MakeClient) -> EgnyteClient:
    return client_of("jsmith")


@pytest.fixture
def admin(client_of: MakeClient) -> EgnyteClient:
    return client_of("admin")


class Way:
    """Calls an area, and iterates over its lists, either sync or async."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, area: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        if self.kind == "sync":
            return getattr(area, name)(*args, **kwargs)
        return asyncio.run(getattr(area, f"a{name}")(*args, **kwargs))

    def list(self, items: Any) -> list[Any]:
        if self.kind == "sync":
            return list(items)

        async def gather() -> list[Any]:
            return [item async for item in items]

        return asyncio.run(gather())

    def total(self, listing: Any) -> int | None:
        total: int | None = listing.total if self.kind == "sync" else asyncio.run(listing.atotal())
        return total


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> Way:
    return Way(request.param)
