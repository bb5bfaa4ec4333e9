"""A user's way through the pages, with the sandbox in Egnyte's place."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_egnyte.models import EgnyteAccount, EgnyteGrant
from django_egnyte.oauth import fingerprint
from django_egnyte.sandbox import Sandbox
from django_egnyte.secret import Secret
from django_egnyte.services.revoke import process_revocations

_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "START", "SET ")


def begin(client: Any, domain: str = "acme", **data: Any) -> str:
    """Press the button; returns the address at Egnyte that the browser is sent to."""
    response = client.post(reverse("egnyte:connect"), {"domain": domain, **data})
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def come_back(client: Any, location: str) -> Any:
    """Follow Egnyte's redirect to the callback."""
    parts = urlsplit(location)
    assert parts.path == reverse("egnyte:callback")
    return client.get(f"{parts.path}?{parts.query}", secure=parts.scheme == "https")


def link(
    client: Client,
    sandbox: Sandbox,
    *,
    username: str = "jsmith",
    domain: str = "acme",
    **data: Any,
) -> Any:
    """The whole way; returns the callback's answer."""
    return come_back(client, sandbox.authorize(begin(client, domain, **data), username))


def query_of(location: str) -> dict[str, str]:
    """The query of an address, each name once."""
    found = parse_qs(urlsplit(location).query, strict_parsing=True, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def orphans(sandbox: Sandbox) -> list[str]:
    """After a pass of the revoker: who still has a live token that no account holds."""
    process_revocations()
    held = {
        value
        for row in EgnyteAccount.objects.live().values_list(
            "token__fingerprint", "token__refresh_fingerprint"
        )
        for value in row
    }
    return [
        f"{token.kind} of {token.username}"
        for token in sandbox.live_tokens()
        if fingerprint(f"{token.domain}.egnyte.com", Secret(token.value)) not in held
    ]


class Queries(CaptureQueriesContext):
    """The statements made within, without those that only begin or end transactions."""

    def __init__(self) -> None:
        super().__init__(connection)

    @property
    def made(self) -> list[str]:
        return [
            query["sql"]
            for query in self.captured_queries
            if not query["sql"].upper().startswith(_TRANSACTIONS)
        ]


def assert_refusal(response: Any, status: int, *words: str) -> None:
    """A page for people: the status, a message, a way on, nothing of the machine."""
    page = response.content.decode()
    assert response.status_code == status, page
    assert response["Content-Type"].startswith("text/html")
    assert reverse("egnyte:accounts") in page
    assert "Traceback" not in page
    for word in words:
        assert word in page
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"


def assert_nothing_is_left(sandbox: Any) -> None:
    assert not EgnyteAccount.objects.exists()
    assert orphans(sandbox) == []
    assert not EgnyteGrant.objects.exists()
