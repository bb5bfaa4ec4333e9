from __future__ import annotations

import requests

from django_egnyte.sandbox import Sandbox

from .calls import bearer, refresh


def revoke(base: str, token: str, by: str | None = None, **fields: str) -> requests.Response:
    headers = bearer(by) if by else {}
    url = f"{base}/pubapi/v1/tokens/revoke"
    return requests.post(url, data={"token": token, **fields}, headers=headers, timeout=10)


def test_revoking_takes_the_refresh_token_along_but_no_sibling(sandbox: Sandbox, acme: str) -> None:
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    sibling = refresh(acme, first.refresh_token).json()["access_token"]
    answer = revoke(acme, first.access_token, by=first.access_token)
    assert (answer.status_code, answer.content) == (200, b"")
    assert not sandbox.is_alive(first.access_token)
    assert not sandbox.is_alive(first.refresh_token)
    assert sandbox.is_alive(sibling)
    sandbox.policy.revoke_kills_siblings = True
    revoke(acme, first.access_token, by=sibling)
    assert not sandbox.is_alive(sibling)


def test_an_expired_token_cannot_revoke_itself_but_the_secret_can(
    sandbox: Sandbox, acme: str
) -> None:
    first = sandbox.issue("acme", "jsmith")
    sandbox.expire_token(first.access_token)
    assert first.refresh_token
    assert revoke(acme, first.access_token, by=first.access_token).status_code == 401
    assert revoke(acme, first.access_token).status_code == 401
    assert revoke(acme, first.access_token, client_secret="wrong").status_code == 401
    assert sandbox.is_alive(first.refresh_token)
    answer = revoke(acme, first.access_token, client_secret="sandbox-code-secret")
    assert answer.status_code == 200
    assert not sandbox.is_alive(first.refresh_token)


def test_a_key_without_a_secret_cannot_revoke_without_a_bearer(sandbox: Sandbox, acme: str) -> None:
    first = sandbox.issue("acme", "jsmith", client_id="sandbox-legacy-key")
    assert revoke(acme, first.access_token, client_secret="anything").status_code == 401
    assert sandbox.is_alive(first.access_token)


def test_a_revocation_names_a_token_of_its_own_domain(
    sandbox: Sandbox, acme: str, globex: str
) -> None:
    jane, mia = sandbox.issue("acme", "jsmith"), sandbox.issue("globex", "mmiller")
    assert revoke(acme, "", by=jane.access_token).status_code == 400
    assert revoke(acme, mia.access_token, by=jane.access_token).status_code == 200
    assert revoke(acme, mia.access_token, client_secret="sandbox-code-secret").status_code == 401
    assert sandbox.is_alive(mia.access_token)
    assert revoke(globex, mia.access_token, by=mia.access_token).status_code == 200


def test_nobody_revokes_another_users_token(sandbox: Sandbox, acme: str) -> None:
    jane, bob = sandbox.issue("acme", "jsmith"), sandbox.issue("acme", "bdoe")
    assert revoke(acme, jane.access_token, by=bob.access_token).status_code == 403
    assert sandbox.is_alive(jane.access_token)
    assert revoke(acme, "unknown", by=bob.access_token).status_code == 200


def test_a_refresh_token_is_revoked_unless_that_is_switched_off(
    sandbox: Sandbox, acme: str
) -> None:
    first = sandbox.issue("acme", "jsmith")
    assert first.refresh_token
    sandbox.settings.revoke_accepts_refresh = False
    assert revoke(acme, first.refresh_token, by=first.access_token).status_code == 400
    sandbox.settings.revoke_accepts_refresh = True
    assert revoke(acme, first.refresh_token, by=first.access_token).status_code == 200
    assert not sandbox.is_alive(first.refresh_token)
    assert sandbox.is_alive(first.access_token)
