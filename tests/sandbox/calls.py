"""Calls that several test modules use."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from django_egnyte.sandbox import Sandbox

API = "/pubapi/v1/"
CALLBACK = "http://127.0.0.1:9/callback"
CLIENT = {"client_id": "sandbox-code-key", "client_secret": "sandbox-code-secret"}
INTERNAL = {"client_id": "sandbox-internal-key", "client_secret": "sandbox-internal-secret"}
JANE = {"username": "jsmith", "password": "demo-password-1"}


def authorization_url(base: str, **changes: str) -> str:
    query = {
        "client_id": "sandbox-code-key",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "Egnyte.filesystem",
        "state": "s 1&2",
    }
    return f"{base}/puboauth/token?{urlencode(query | changes)}"


def code_for(sandbox: Sandbox, base: str, **changes: str) -> str:
    location = sandbox.authorize(authorization_url(base, **changes), "jsmith")
    return parse_qs(urlsplit(location).query)["code"][0]


def token_request(base: str, **fields: str) -> requests.Response:
    return requests.post(f"{base}/puboauth/token", data=fields, timeout=10)


def exchange(base: str, code: str, **changes: str) -> requests.Response:
    fields = CLIENT | {
        "code": code,
        "redirect_uri": CALLBACK,
        "grant_type": "authorization_code",
    }
    return token_request(base, **(fields | changes))


def refresh(base: str, token: str, **changes: str) -> requests.Response:
    fields = CLIENT | {"grant_type": "refresh_token", "refresh_token": token}
    return token_request(base, **(fields | changes))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def userinfo(base: str, token: str, **headers: str) -> requests.Response:
    sent = bearer(token) | headers
    return requests.get(f"{base}/pubapi/v1/userinfo", headers=sent, timeout=10)


class Caller:
    """Calls the file API with one token."""

    def __init__(self, base: str, token: str) -> None:
        self.base, self.headers = base, bearer(token)

    def __call__(
        self, method: str, path: str, headers: dict[str, str] | None = None, **kw: Any
    ) -> requests.Response:
        sent = self.headers | (headers or {})
        return requests.request(method, f"{self.base}{API}{path}", headers=sent, timeout=60, **kw)


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()
