"""Fixtures for the tests of sites that install this app. They need pytest-django.

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
    from django_egnyte.sandbox.state import FlowKind

# Each EGNYTE_FLOW needs a key of its kind; "code" is the default.
KINDS: dict[str, FlowKind] = {"implicit": "implicit", "password": "internal"}


@pytest.fixture(scope="session")
def egnyte_sandbox_server() -> Iterator[SandboxServer]:
    """A sandbox on a free port of the loopback interface, for the whole session."""
    from django_egnyte.sandbox import SandboxServer

    with SandboxServer() as server:
        yield server


@pytest.fixture
def egnyte_sandbox(egnyte_sandbox_server: SandboxServer, settings: Any) -> Sandbox:
    """The sandbox, reset to its initial state. The site's ``EGNYTE_*`` settings point to it.

    The API key is one for the site's flow. The domains of the sandbox are allowed.
    """
    from django_egnyte.conf import conf

    sandbox = egnyte_sandbox_server.sandbox
    sandbox.reset()
    settings.EGNYTE_BASE_URL = egnyte_sandbox_server.base_url
    kind = KINDS.get(conf.flow, "code")
    settings.EGNYTE_CLIENT_ID = f"sandbox-{kind}-key"
    settings.EGNYTE_CLIENT_SECRET = "" if kind == "implicit" else f"sandbox-{kind}-secret"
    if conf.domain:
        settings.EGNYTE_DOMAIN = "acme"
    if conf.allowed_domains is not None:
        settings.EGNYTE_ALLOWED_DOMAINS = [*conf.allowed_domains, *sandbox.domains]
    return sandbox


@pytest.fixture
def egnyte_user(db: None, django_user_model: Any, django_username_field: str) -> Any:
    """A user of the site, without an account."""
    name = "egnyte@example.com" if "email" in django_username_field else "egnyte-user"
    user, made = django_user_model._default_manager.get_or_create(**{django_username_field: name})
    if not made:
        # In a Django TestCase, the rows of a fixture stay for all tests of the class.
        user.egnyte_accounts.all().delete()
    return user


@pytest.fixture
def egnyte_account(egnyte_sandbox: Sandbox, egnyte_user: Any) -> EgnyteAccount:
    """``egnyte_user``'s account, linked to ``jsmith`` at ``acme.egnyte.com``."""
    from django_egnyte.conf import conf

    return link_account(egnyte_sandbox, egnyte_user, scopes=tuple(conf.scopes), flow=conf.flow)


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
    flow: str = "authorization_code",
) -> EgnyteAccount:
    """Link ``user`` to a user of the sandbox, as the callback does but without a browser.

    ``KeyError`` if the sandbox has no such domain or user, ``ValueError`` for an unknown flow.
    """
    from django_egnyte import gateway
    from django_egnyte.choices import Flow
    from django_egnyte.conf import conf
    from django_egnyte.oauth import TokenAnswer
    from django_egnyte.secret import Secret
    from django_egnyte.services.link import LinkRequest, prove_and_store
    from django_egnyte.services.obtain import keep

    if flow not in Flow.values:
        raise ValueError(f"flow must be one of {', '.join(Flow.values)}, not {flow!r}")
    kind = KINDS.get(flow, "code")
    issued = sandbox.issue(domain, username, scopes=scopes, client_id=conf.client_id, flow=kind)
    expires_in = issued.expires_in if issued.expires_in > 0 else None
    answer = TokenAnswer(
        Secret(issued.access_token), Secret(issued.refresh_token or ""), expires_in
    )
    host = gateway.host_of(domain)
    token = keep(answer, client=gateway.oauth(host), user_ref=str(user.pk), flow=flow)
    request = LinkRequest(user, host, scopes, flow, relink=None, actor=f"user:{user.pk}")
    return prove_and_store(request, token)
