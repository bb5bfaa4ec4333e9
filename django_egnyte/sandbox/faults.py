"""Simulated faults: rules that match requests and change their answers."""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .messages import Request, Response, Trickle, Wire
from .state import fingerprint

BLOCK = 65_536
TOKEN_PATH = "/puboauth/token"


@dataclass(slots=True)
class Rule:
    """A rule: which requests it matches, and the effect. `Faults.add` describes the fields."""

    id: int = 0
    method: str | None = None
    path: str | None = None
    domain: str | None = None
    token: str | None = field(default=None, repr=False)
    grant_type: str | None = None
    times: int | None = 1
    probability: float = 1.0
    skip: int = 0
    delay: float = 0.0
    delay_after: float = 0.0
    acted: bool = False
    status: int | None = None
    body: str | bytes | dict[str, Any] | list[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = None
    reset: bool = False
    hang: float | None = None
    truncate: int | None = None
    malformed: bool = False
    html: bool = False
    huge: int | None = None
    trickle: Mapping[str, Any] | None = None
    redirect: str | None = None
    hits: int = 0

    @property
    def needs_egnyte(self) -> bool:
        """Whether the request is carried out before this fault, or needed for its answer."""
        replaced = self.reset or self.hang is not None or self.replaces
        return self.acted or not replaced

    @property
    def replaces(self) -> bool:
        """Whether the fault replaces the sandbox's answer."""
        given = (self.status, self.body, self.redirect, self.huge)
        return self.html or any(value is not None for value in given)

    def matches(self, request: Request) -> bool:
        """Whether it is for this request, without counts and probability."""
        if self.method is not None and self.method != request.method:
            return False
        if self.domain is not None and self.domain != request.label:
            return False
        if self.path is not None and not re.search(self.path, request.path):
            return False
        if self.token is not None:
            sent = request.headers.get("authorization", "").removeprefix("Bearer ")
            if fingerprint(sent) != self.token:
                return False
        if self.grant_type is not None:
            if request.path != TOKEN_PATH or request.method != "POST":
                return False
            return request.form().get("grant_type") == self.grant_type
        return True

    def answer(self, real: Response | None) -> Response:
        """The answer to send, made from `real`, the sandbox's answer, if there is one."""
        if self.redirect is not None:
            made = Response(self.status or 302, b"", [("Location", self.redirect)])
        elif self.replaces or real is None:
            made = self._replacement()
        elif self.malformed:
            made = _broken(real)
        else:
            made = real
        if self.headers:
            named = {name.lower() for name in self.headers}
            kept = [pair for pair in made.headers if pair[0].lower() not in named]
            made.headers = [*kept, *self.headers.items()]
        made.wire = Wire(
            delay=self.delay_after,
            reset=self.reset,
            hang=self.hang,
            truncate=self.truncate,
            trickle=_trickle(self.trickle) if self.trickle is not None else None,
        )
        return made

    def _replacement(self) -> Response:
        status = self.status or 200
        if self.huge is not None:
            kind = self.content_type or "application/json"
            return Response(status, _blocks(self.huge), [("Content-Type", kind)], self.huge)
        if self.html:
            body: bytes = b"<html><body><h1>Something went wrong</h1></body></html>"
            return Response(
                status, body, [("Content-Type", self.content_type or "application/json")]
            )
        kind = self.content_type or "application/json"
        if isinstance(self.body, (dict, list)):
            body = json.dumps(self.body).encode()
        elif isinstance(self.body, str):
            body, kind = self.body.encode(), self.content_type or "text/html; charset=utf-8"
        else:
            body = self.body or b""
        return Response(status, body, [("Content-Type", kind)])


class Faults:
    """The active rules. The first one that matches is applied, in the order of adding."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._serial = 0
        self._hits: dict[int, int] = {}
        self._random = random.Random(seed)  # noqa: S311

    @property
    def rules(self) -> list[Rule]:
        """A copy of the active rules."""
        with self._lock:
            return list(self._rules)

    def add(self, **rule: Any) -> int:
        """Add a rule and return its id.

        Matching: `method`, `path` (a regular expression, searched in the path after the
        domain), `domain` (label), `token` (its value), `grant_type` (of a token request),
        `times` (how often, None without limit), `probability`, `skip` (not the first N requests).

        Effect: `delay` and `delay_after` in seconds; `acted`: carry the request out before
        the fault; `status`, `body`, `headers`, `content_type`: another answer; `reset`: RST
        and no answer; `hang`: seconds without an answer before a close; `truncate`: how many
        bytes of the body to send; `malformed`: the answer with invalid JSON; `html`: an HTML
        page with the content type of JSON; `huge`: the size of the body in bytes; `trickle`: a
        mapping of `bytes`, `interval` in seconds and `part` ("headers", "body" or "both");
        `redirect`: a Location. Raises TypeError for an unknown name, re.error and
        ValueError for an invalid value.
        """
        settable = {f.name for f in fields(Rule)} - {"id", "hits"}
        if unknown := set(rule) - settable:
            raise TypeError(f"unknown fault fields: {', '.join(sorted(unknown))}")
        made = Rule(**rule)
        if made.path is not None:
            re.compile(made.path)
        if made.trickle is not None:
            _trickle(made.trickle)
        if made.token is not None:
            made.token = fingerprint(made.token)
        if made.method is not None:
            made.method = made.method.upper()
        with self._lock:
            self._serial += 1
            made.id = self._serial
            self._rules.append(made)
            return made.id

    def remove(self, rule_id: int) -> None:
        """Remove a rule, if it exists."""
        with self._lock:
            self._rules = [rule for rule in self._rules if rule.id != rule_id]

    def clear(self) -> None:
        """Remove every rule."""
        with self._lock:
            self._rules = []

    def hits(self, rule_id: int) -> int:
        """How often a rule was applied, also if it is used up."""
        with self._lock:
            return self._hits.get(rule_id, 0)

    def take(self, request: Request) -> Rule | None:
        """The rule to apply to a request. It is counted."""
        if not self._rules:
            return None
        # Matching may read the body from the peer, so do it without the lock.
        for rule in [rule for rule in self.rules if rule.matches(request)]:
            with self._lock:
                if rule not in self._rules:
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.probability < 1.0 and self._random.random() >= rule.probability:
                    continue
                rule.hits += 1
                self._hits[rule.id] = rule.hits
                if rule.times is not None and rule.hits >= rule.times:
                    self._rules.remove(rule)
                return rule
        return None


def _trickle(value: Mapping[str, Any]) -> Trickle:
    if unknown := set(value) - {"bytes", "interval", "part"}:
        raise ValueError(f"unknown trickle fields: {', '.join(sorted(unknown))}")
    part = str(value.get("part", "both"))
    if part not in ("headers", "body", "both"):
        raise ValueError("trickle part must be headers, body or both")
    return Trickle(int(value.get("bytes", 1)), float(value.get("interval", 0.1)), part)


def _broken(real: Response) -> Response:
    body = real.body if isinstance(real.body, bytes) else b""
    return Response(real.status, body[: max(1, len(body) // 2)] or b"{", real.headers)


def _blocks(size: int) -> Iterator[bytes]:
    block = b" " * BLOCK
    while size > 0:
        yield block[: min(size, BLOCK)]
        size -= BLOCK
