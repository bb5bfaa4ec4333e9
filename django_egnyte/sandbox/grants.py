"""Grants, tokens and codes. The caller must hold the lock of the sandbox."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator

from .state import Code, FlowKind, Grant, Issued, Key, Token, TokenKind, TokenPolicy, fingerprint

LAUNCH_WEB_SESSION = "Egnyte.launchwebsession"


class GrantBook:
    """All grants, including revoked tokens, which Egnyte distinguishes from unknown ones."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._grants: list[Grant] = []
        self._codes: dict[str, Code] = {}
        self._tokens: dict[str, Token] = {}
        self._by_fingerprint: dict[str, Token] = {}
        self._serial = 0

    def find(self, value: str) -> Token | None:
        """A token by its value, valid or not."""
        return self._tokens.get(value)

    def find_fingerprint(self, name: str) -> Token | None:
        """A token by the SHA-256 of its value, valid or not."""
        return self._by_fingerprint.get(name)

    def live(self) -> Iterator[Token]:
        """All tokens that are valid now."""
        now = self._now()
        return (token for token in self._tokens.values() if token.alive(now))

    def grant(
        self,
        key: Key,
        policy: TokenPolicy,
        domain: str,
        username: str,
        scopes: Iterable[str],
        flow: FlowKind,
    ) -> Issued:
        """Issue tokens after a consent. With `same_token`, those of an equal valid grant."""
        asked = tuple(dict.fromkeys(scopes))
        if policy.same_token and (old := self._equal(key, domain, username, asked)):
            access, refresh = old
            return self._issued(policy, access, refresh)
        grant = Grant(len(self._grants) + 1, domain, username, key.client_id, asked, flow)
        self._grants.append(grant)
        access = self._mint(grant, "access", policy)
        # The implicit flow issues no refresh token (RFC 6749 section 4.2.2).
        modern = policy.style == "modern" and flow != "implicit"
        return self._issued(
            policy, access, self._mint(grant, "refresh", policy) if modern else None
        )

    def refresh(
        self, value: str, key: Key, policy: TokenPolicy, domain: str
    ) -> tuple[Issued, bool] | None:
        """Refresh: the new tokens, and whether the refresh token changed. None if it is refused."""
        token = self._tokens.get(value)
        if token is None or token.kind != "refresh" or not token.alive(self._now()):
            return None
        grant = token.grant
        if grant.client_id != key.client_id or grant.domain != domain:
            return None
        if policy.refresh_kills_access:
            self._kill(t for t in grant.tokens if t.kind == "access")
        if policy.refresh_rotates:
            token.revoked = True
            token = self._mint(grant, "refresh", policy)
        access = self._mint(grant, "access", policy)
        return self._issued(policy, access, token), policy.refresh_rotates

    def revoke(self, token: Token, policy: TokenPolicy) -> None:
        """Revoke a token. With an access token, also revoke the refresh tokens of its grant."""
        token.revoked = True
        if token.kind == "access":
            siblings = policy.revoke_kills_siblings
            self._kill(t for t in token.grant.tokens if siblings or t.kind == "refresh")

    def kill_user(self, domain: str, username: str) -> int:
        """Revoke a user's tokens and codes, as a new password does. Returns how many tokens."""
        for code in self._codes.values():
            if (code.domain, code.username) == (domain, username):
                code.spent = True
        now = self._now()
        mine = [
            token
            for grant in self._grants
            if (grant.domain, grant.username) == (domain, username)
            for token in grant.tokens
            if token.alive(now)
        ]
        self._kill(mine)
        return len(mine)

    def make_code(
        self,
        key: Key,
        domain: str,
        username: str,
        redirect_uri: str,
        scopes: Iterable[str],
        lifetime: float,
    ) -> str:
        """An authorization code, valid once and for `lifetime` seconds."""
        value = secrets.token_urlsafe(24)
        self._codes[value] = Code(
            value,
            domain,
            username,
            key.client_id,
            redirect_uri,
            tuple(dict.fromkeys(scopes)),
            self._now() + lifetime,
        )
        return value

    def spend_code(self, value: str, key: Key, domain: str, redirect_uri: str) -> Code | None:
        """Use a code. None if it is unknown, used or expired, or was issued for another request."""
        code = self._codes.get(value)
        if code is None or code.spent or self._now() >= code.expires_at:
            return None
        if (code.client_id, code.domain, code.redirect_uri) != (
            key.client_id,
            domain,
            redirect_uri,
        ):
            return None
        code.spent = True
        return code

    def _equal(
        self, key: Key, domain: str, username: str, scopes: tuple[str, ...]
    ) -> tuple[Token, Token | None] | None:
        now = self._now()
        wanted = (key.client_id, domain, username, set(scopes))
        for grant in reversed(self._grants):
            if (grant.client_id, grant.domain, grant.username, set(grant.scopes)) != wanted:
                continue
            alive: dict[TokenKind, Token] = {t.kind: t for t in grant.tokens if t.alive(now)}
            if "access" in alive:
                return alive["access"], alive.get("refresh")
        return None

    def _mint(self, grant: Grant, kind: TokenKind, policy: TokenPolicy) -> Token:
        self._serial += 1
        expires = kind == "access" and policy.style == "modern"
        expires_at = self._now() + policy.lifetime if expires else None
        token = Token(self._serial, secrets.token_hex(16), kind, grant, expires_at)
        grant.tokens.append(token)
        self._tokens[token.value] = token
        self._by_fingerprint[fingerprint(token.value)] = token
        return token

    def _issued(self, policy: TokenPolicy, access: Token, refresh: Token | None) -> Issued:
        left = -1 if access.expires_at is None else round(access.expires_at - self._now())
        return Issued(
            access.value,
            refresh.value if refresh else None,
            left,
            access.grant.id,
            access.id,
            access.grant.scopes,
        )

    @staticmethod
    def _kill(tokens: Iterable[Token]) -> None:
        for token in tokens:
            token.revoked = True


def exchanged_scopes(consented: tuple[str, ...], again: str | None) -> tuple[str, ...]:
    """The scopes of a token for a code, given the `scope` field of the exchange.

    The exchange may request fewer scopes, never more. `Egnyte.launchwebsession` is granted only if
    the exchange requests it again (by one source only).
    """
    asked = set((again or "").split())
    kept = tuple(s for s in consented if s != LAUNCH_WEB_SESSION or s in asked)
    if not asked:
        return kept
    if not consented:
        return tuple((again or "").split())
    return tuple(s for s in kept if s in asked)
