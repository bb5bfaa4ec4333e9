"""The steps of a user in the Enhanced, implicit and password flows."""

from __future__ import annotations

import html
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from django_egnyte import conf, state
from tests import walk

ACCOUNTS, CONNECT, CALLBACK = "/egnyte/", "/egnyte/connect/", "/egnyte/callback/"
DOMAIN, IMPLICIT, PASSWORD = "/egnyte/domain/", "/egnyte/implicit/", "/egnyte/password/"
# The password of jsmith under the fixture `internal`.
SECRET = "c0rrect <horse> & =+%C3%BCnïcödé"


def assert_page(response: Any, status: int, *words: str) -> str:
    page = html.unescape(response.content.decode())
    assert response.status_code == status, page
    for word in words:
        assert word in page
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] in ("same-origin", "no-referrer")
    return page


def hidden(response: Any, name: str) -> str:
    """The value of a hidden field."""
    (found,) = re.findall(rf'name="{name}" value="([^"]*)"', response.content.decode())
    return html.unescape(found)


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the clock over ten minutes ahead. The session stays valid for two weeks."""
    moment = time.time() + conf.STATE_LIFETIME + 1
    monkeypatch.setattr(state.time, "time", lambda: moment)


def begin(client: Client, **data: Any) -> str:
    """As `walk.begin`, but without a domain."""
    response = client.post(CONNECT, data)
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def come_back(client: Client, location: str, referer: str | None = None) -> Any:
    parts = urlsplit(location)
    headers = {} if referer is None else {"Referer": referer}
    return client.get(f"{parts.path}?{parts.query}", headers=headers)


def fragment_of(location: str) -> dict[str, str]:
    parts = urlsplit(location)
    assert parts.path == CALLBACK
    assert parts.query == ""
    return {name: values[0] for name, values in parse_qs(parts.fragment).items()}


def granted(client: Client, sandbox: Any, user: str = "jsmith", **data: Any) -> dict[str, str]:
    """The fragment of the redirect after a consent."""
    return fragment_of(sandbox.authorize(walk.begin(client, **data), user))


def posted(client: Client, fragment: dict[str, str], **changes: str) -> Any:
    """Do what the script of the page does. test_flows_browser tests the script itself."""
    names = ("access_token", "state", "expires_in", "scope", "error")
    return client.post(IMPLICIT, {name: fragment.get(name, "") for name in names} | changes)


def log_in(client: Client, password: str = SECRET, **data: Any) -> Any:
    data = {"domain": "acme", "username": "jsmith", "password": password, **data}
    return client.post(PASSWORD, data)
