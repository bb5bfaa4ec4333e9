"""The steps of a user through the pages, with the sandbox instead of Egnyte."""

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
    """Submit the connect page. Returns the URL of the redirect to Egnyte."""
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
    """All steps. Returns the answer of the callback."""
    return come_back(client, sandbox.authorize(begin(client, domain, **data), username))


def query_of(location: str) -> dict[str, str]:
    """The query of a URL, each name once."""
    found = parse_qs(urlsplit(location).query, strict_parsing=True, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def orphans(sandbox: Sandbox) -> list[str]:
    """The kind and user of each valid token that no account uses, after a revoker pass."""
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
    """The statements in the ``with`` block, without those that begin or end transactions."""

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
    """Assert that an error page has the status, a message and a link, and no internals."""
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
