"""Fixtures for the tests of sites that install this app; needs pytest-django.

Nothing here is imported or started before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django_egnyte.access import LinkedClient
    from django_egnyte.models import EgnyteAccount
    from django_egnyte.sandbox import Sandbox, SandboxServer


@pytest.fixture(scope="session")
def egnyte_sandbox_server() -> Iterator[SandboxServer]:
    """An Egnyte in memory, on a free port of the loopback interface, for the whole session."""
    from django_egnyte.sandbox import SandboxServer

    with SandboxServer() as server:
        yield server


@pytest.fixture
def egnyte_sandbox(egnyte_sandbox_server: SandboxServer, settings: Any) -> Sandbox:
    """The sandbox in its first state, and the site's ``EGNYTE_*`` settings pointing at it."""
    sandbox = egnyte_sandbox_server.sandbox
    sandbox.reset()
    settings.EGNYTE_BASE_URL = egnyte_sandbox_server.base_url
    settings.EGNYTE_CLIENT_ID = "sandbox-code-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-code-secret"
    return sandbox


@pytest.fixture
def egnyte_user(db: None, django_user_model: Any, django_username_field: str) -> Any:
    """A user of the site, without an account."""
    name = "egnyte@example.com" if "email" in django_username_field else "egnyte-user"
    return django_user_model.objects.create(**{django_username_field: name})


@pytest.fixture
def egnyte_account(egnyte_sandbox: Sandbox, egnyte_user: Any) -> EgnyteAccount:
    """``egnyte_user``'s account, linked to ``jsmith`` at ``acme.egnyte.com``."""
    from django_egnyte.conf import conf

    return link_account(egnyte_sandbox, egnyte_user, scopes=tuple(conf.scopes))


@pytest.fixture
def egnyte_client(egnyte_account: EgnyteAccount) -> LinkedClient:
    """The client of ``egnyte_account``."""
    return egnyte_account.client


def link_account(
    sandbox: Sandbox,
    user: Any,
    *,
    domain: str = "acme",
    username: str = "jsmith",
    scopes: tuple[str, ...] = ("Egnyte.filesystem",),
) -> EgnyteAccount:
    """Link ``user`` to a user of the sandbox, as the callback does but without a browser."""
    from django_egnyte import gateway
    from django_egnyte.choices import Flow
    from django_egnyte.conf import conf
    from django_egnyte.oauth import TokenAnswer
    from django_egnyte.services.link import prove_and_store
    from django_egnyte.services.obtain import keep

    issued = sandbox.issue(domain, username, scopes=scopes, client_id=conf.client_id)
    expires_in = issued.expires_in if issued.expires_in > 0 else None
    answer = TokenAnswer(issued.access_token, issued.refresh_token or "", expires_in)
    host = gateway.host_of(domain)
    flow = Flow.AUTHORIZATION_CODE
    obtained = keep(answer, client=gateway.oauth(host), user_ref=str(user.pk), reason=flow)
    return prove_and_store(user, obtained, host=host, scopes=scopes, flow=flow, relink=None)
