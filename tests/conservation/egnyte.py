"""A sandbox that records its tokens and revocations, and its random faults."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from django_egnyte.sandbox import Sandbox, SandboxServer, TokenPolicy
from django_egnyte.sandbox.messages import Request, Response
from django_egnyte.sandbox.state import LoggedRequest, Token

from .witness import HEADER

READ_TIMEOUT = 2.0
PEOPLE = {"acme": ["jsmith", "bdoe", "cara", "dan", "eve"], "globex": ["mmiller", "nora", "omar"]}

TOKEN = {"path": "^/puboauth/token", "method": "POST"}
REVOKE = {"path": "/tokens/revoke"}
USERINFO = {"path": "/userinfo"}
FILES = {"path": "^/pubapi/v1/fs"}
QPS = {"X-Mashery-Error-Code": "ERR_403_DEVELOPER_OVER_QPS", "Retry-After": "1"}
# Faults of the token endpoint that lose a token. No client can prevent this.
LOSSY = {
    "answer lost": {"acted": True, "reset": True},
    "answer replaced": {"acted": True, "status": 503},
    "answer late": {"delay_after": READ_TIMEOUT + 1.5},
    "acted late": {"delay": READ_TIMEOUT + 1.5},
    "answer cut": {"truncate": 60},
    "answer cut later": {"truncate": 110},
}
TROUBLE: dict[str, dict[str, Any]] = {
    "5xx": {"status": 503},
    "reset": {"reset": True},
    "hang": {"hang": READ_TIMEOUT + 1.5},
    "html": {"html": True},
    "slow": {"delay": 0.3},
    "throttle": {"status": 403, "headers": QPS},
    "trickle": {"trickle": {"bytes": 20, "interval": 0.05}},
}


class Observed(Sandbox):
    """A sandbox that never forgets the data that the verdict needs."""

    def __init__(self) -> None:
        self._here = threading.local()
        self.minted: dict[int, str] = {}
        """By the id of a token: the call that first returned it."""
        self.issued: list[tuple[int, str]] = []
        """The grant and the call of each answer with a token, even if the answer was lost."""
        self.revoked: list[tuple[float, int, str]] = []
        """The time, the grant and the call of each revocation."""
        super().__init__()
        ends, mints = self.grants.revoke, self.grants._mint

        def revoke(token: Token, policy: TokenPolicy) -> None:
            self._here.revoked = token.grant.id
            ends(token, policy)

        def mint(*args: Any) -> Token:
            token = mints(*args)
            self.minted[token.id] = self._here.call
            return token

        self.grants.revoke = revoke  # type: ignore[method-assign]
        self.grants._mint = mint  # type: ignore[method-assign]
        for domain, people in PEOPLE.items():
            for name in people:
                if name not in self.domains[domain].users:
                    self.add_user(domain, name)

    def watch(self, server: SandboxServer) -> None:
        """Record to which call each request belongs."""
        respond = server.app.respond

        def watched(request: Request) -> Response:
            self._here.call = request.headers.get(HEADER.lower(), "")
            return respond(request)

        server.app.respond = watched  # type: ignore[method-assign]

    def record(self, entry: LoggedRequest) -> None:
        super().record(entry)
        if entry.endpoint.startswith("token:") and entry.token_id is not None:
            with self.lock:
                token = next(t for t in self.grants._tokens.values() if t.id == entry.token_id)
            self.issued.append((token.grant.id, self._here.call))
        grant = getattr(self._here, "revoked", None)
        if grant is not None:
            self._here.revoked = None
            self.revoked.append((entry.at, grant, self._here.call))

    def all_tokens(self) -> list[Token]:
        with self.lock:
            return list(self.grants._tokens.values())


@dataclass
class Saboteur:
    """Makes the sandbox fail and change its behaviour at random, until stopped."""

    sandbox: Observed
    server: SandboxServer
    rng: random.Random
    stop: threading.Event

    def __post_init__(self) -> None:
        self.kinds: dict[int, str] = {}

    def run(self) -> None:
        policy_until = 0.0
        while not self.stop.wait(self.rng.uniform(0.1, 0.7)):
            if time.monotonic() > policy_until:
                self.sandbox.policy = self.policy()
                policy_until = time.monotonic() + self.rng.uniform(1, 5)
            self.strike()
        self.sandbox.faults.clear()
        self.sandbox.policy = TokenPolicy()

    def policy(self) -> TokenPolicy:
        """A random policy for tokens."""
        flip = self.rng.random
        return TokenPolicy(
            style="modern" if flip() < 0.8 else "legacy",
            lifetime=self.rng.choice([12, 40, 2_592_000]),
            refresh_rotates=flip() < 0.5,
            refresh_repeats=flip() < 0.5,
            refresh_kills_access=flip() < 0.3,
            same_token=flip() < 0.5,
            revoke_kills_siblings=flip() < 0.5,
        )

    def strike(self) -> None:
        chance = self.rng.random()
        rule: dict[str, Any]
        if chance < 0.05:
            self.server.drop_connections()
            return
        if chance < 0.25:
            name = self.rng.choice(list(LOSSY))
            rule, name = {**TOKEN, **LOSSY[name]}, f"token: {name}"
        elif chance < 0.40:
            lost: dict[str, Any] = self.rng.choice([*LOSSY.values()][:4])
            rule, name = {**REVOKE, **lost}, "revoke: answer lost or late"
        elif chance < 0.55:
            # Never at both calls that together prove a refusal.
            rule, name = {**self.rng.choice([USERINFO, FILES]), "status": 401}, "false 401"
        elif chance < 0.58:
            rule = {**TOKEN, "status": 409, "headers": {"Retry-After": "1"}}
            name = "token: throttle"
        else:
            name = self.rng.choice(list(TROUBLE))
            where: dict[str, Any] = self.rng.choice([TOKEN, REVOKE, USERINFO, FILES, {}])
            rule = {**where, **TROUBLE[name]}
        number = self.sandbox.faults.add(**rule, times=self.rng.randint(1, 4))
        self.kinds[number] = name

    def counts(self) -> Counter[str]:
        """How often each kind of fault occurred."""
        found: Counter[str] = Counter()
        for number, name in self.kinds.items():
            if hits := self.sandbox.faults.hits(number):
                found[name] += hits
        return found
