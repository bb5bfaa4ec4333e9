"""The invariants after the faults have stopped and the sweeps have finished."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django_egnyte.choices import EventKind, Status
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    HostState,
    KeyState,
    TokenRequest,
)
from django_egnyte.oauth import fingerprint
from django_egnyte.sandbox.state import Token
from django_egnyte.secret import Secret
from django_egnyte.services import revoke, sweep
from django_egnyte.services.transactions import DatabaseNow

from . import ledger, witness
from .egnyte import Observed

# A killed process may lose an access and a refresh token in each of its four threads.
TOKENS_AT_ONCE = 8
# Seconds. Both clocks are this machine's.
TOLERANCE = 0.05
EXPECTED = re.compile(
    r"^(kombu\.exceptions\.OperationalError|redis\.exceptions\.\w+|ConnectionResetError|"
    r"ConnectionRefusedError|TimeoutError|BrokenPipeError|OSError|ConnectionError|socket\.timeout|"
    r"billiard\.exceptions\.WorkerLostError|EOFError|celery\.exceptions\.WorkerLostError|"
    r"amqp\.exceptions\.\w+)\b"
)


def cut_short() -> None:
    """Make failed work due at once, as an operator can."""
    HostState.objects.all().delete()
    KeyState.objects.update(held_off_until=None, doubted_at=None)
    TokenRequest.objects.all().delete()
    released = EgnyteGrant.objects.filter(revoke_attempts__gt=0).exclude(release_at=None)
    released.write(release_at=DatabaseNow(), revoke_refreshes=0)
    failing = EgnyteGrant.objects.filter(refresh_attempts__gt=0)
    failing.exclude(next_refresh_at=None).write(next_refresh_at=DatabaseNow())
    EgnyteAccount.objects.filter(validation_attempts__gt=0).update(next_validation_at=DatabaseNow())


def forgive() -> None:
    """As if all waits were over and all leases had expired."""
    cut_short()
    EgnyteGrant.objects.write(lease="", leased_until=None, leased_for="")
    EgnyteGrant.objects.exclude(release_at=None).write(release_at=DatabaseNow())


def settle(rounds: int = 12) -> Counter[str]:
    """Run the sweeps until no work is left."""
    total: Counter[str] = Counter()
    for number in range(rounds):
        forgive()
        EgnyteAccount.objects.update(next_validation_at=DatabaseNow())
        if number < 2:
            grants = EgnyteGrant.objects.exclude(next_refresh_at=None)
            grants.write(next_refresh_at=DatabaseNow())
        outcomes: Counter[str] = Counter()
        outcomes += sweep.refresh_due(actor="command")
        outcomes += sweep.validate_due(actor="command")
        outcomes += revoke.process_revocations(actor="command")
        outcomes["forgotten"] += sweep.release_forgotten()
        outcomes += Counter()  # without zeros
        total += outcomes
        if number >= 2 and set(outcomes) <= {"alive", "skipped"}:
            return total
    total["not settled"] += 1
    return total


class Verdict:
    """The counts of a run, and its violations."""

    def __init__(self, sandbox: Observed, where: Path, kills: list[float]) -> None:
        self.sandbox, self.where = sandbox, where
        self.calls = witness.calls(where)
        self.written = ledger.written()
        self.violations: list[str] = []
        self.tokens = {self.name(token): token for token in sandbox.all_tokens()}
        self.unwritten = {name for name in self.tokens if name not in self.written}
        self.most_lost_to_kills = TOKENS_AT_ONCE * len(kills)
        # Grants of these may have a valid token that no process of the run has seen.
        self.half_known = {grant for grant, call in sandbox.issued if not self.arrived(call)}
        self.half_known |= {self.tokens[name].grant.id for name in self.unwritten}

    def arrived(self, call: str) -> bool:
        """Whether the caller received the whole answer."""
        found = self.calls.get(call)
        return found is not None and found.arrived

    @staticmethod
    def name(token: Token) -> str:
        return fingerprint(f"{token.grant.domain}.egnyte.com", Secret(token.value))

    def judge(self) -> Counter[str]:
        """All checks, while accounts are still linked."""
        counts: Counter[str] = Counter()
        counts["tokens issued"] = len(self.tokens)
        self._losses_are_explained(counts)
        self._tokens_are_conserved(counts)
        self._held_tokens_live(counts)
        self._no_grant_waits(counts)
        self._no_account_is_lost(counts)
        self._no_held_token_was_revoked(counts)
        return counts

    def judge_end(self) -> Counter[str]:
        """After the deletion of all accounts: no stored token is valid or due for revocation."""
        left = EgnyteGrant.objects.count() + EgnyteToken.objects.count()
        if left:
            rows = EgnyteGrant.objects.values_list("reason", "last_error", "revoke_attempts")
            self.violations.append(f"{left} grants and tokens stay: {list(rows)[:5]}")
        alive = [n for n, t in self.alive().items() if n not in self.unwritten]
        for name in alive:
            self.violations.append(f"{self.describe(name)} outlives all accounts")
        return Counter({"orphans at the end": len(alive), "grants and tokens at the end": left})

    def alive(self) -> dict[str, Token]:
        now = self.sandbox.now()
        return {name: token for name, token in self.tokens.items() if token.alive(now)}

    def describe(self, name: str) -> str:
        token = self.tokens[name]
        others = [
            f"{t.kind}{'' if t.revoked else ' alive'}" for t in token.grant.tokens if t is not token
        ]
        return f"{token.kind} token {token.id} of grant {token.grant.id} (beside {others})"

    def _losses_are_explained(self, counts: Counter[str]) -> None:
        """Between Egnyte's answer and the first write, a token is not stored. No client can prevent
        that. Only tokens that a fault or a kill lost in this window may be missing."""
        by_kills = 0
        for name in self.unwritten:
            counts["never written, and nothing can be done"] += 1
            call = self.calls.get(self.sandbox.minted[self.tokens[name].id])
            if call is not None and not call.arrived:
                continue
            by_kills += 1
            if call is not None and not call.last:
                # Its thread made more calls, so no kill came between the answer and the write.
                self.violations.append(f"{self.describe(name)} was issued and never written")
        counts["of these lost with a killed process"] = by_kills
        if by_kills > self.most_lost_to_kills:
            self.violations.append(f"{by_kills} tokens are too many for these kills")

    def _tokens_are_conserved(self, counts: Counter[str]) -> None:
        known = set()
        for token in EgnyteToken.objects.all():
            known |= {token.fingerprint, token.refresh_fingerprint}
        orphans = [n for n in self.alive() if n not in known and n not in self.unwritten]
        counts["orphans"] = len(orphans)
        counts["of these alive"] = len(self.unwritten & set(self.alive()))
        for name in orphans:
            self.violations.append(f"{self.describe(name)} lives and nobody knows it")

    def _held_tokens_live(self, counts: Counter[str]) -> None:
        alive = self.alive()
        for account in EgnyteAccount.objects.with_token().live():
            counts["live accounts"] += 1
            token = account.token
            if token is None or token.fingerprint not in alive:
                self.violations.append(f"account {account.pk} ({account.status}): no live token")
            elif token.refresh_fingerprint and token.refresh_fingerprint not in alive:
                # A refresh whose answer was lost used up the refresh token, and may leave the
                # access token valid. The account is active until that expires, and is told so.
                counts["refresh tokens that were refused"] += 1
                if token.grant.refresh_refused_at is None:
                    self.violations.append(
                        f"account {account.pk} ({account.status}): nobody knows that its refresh "
                        f"token is not valid: {self._history(account)}"
                    )

    @staticmethod
    def _history(account: EgnyteAccount) -> list[str]:
        told = AccountEvent.objects.filter(account_ref=account.pk).order_by("pk")
        return [f"{event.kind} {event.reason}" for event in told]

    def _no_grant_waits(self, counts: Counter[str]) -> None:
        used = set(EgnyteAccount.objects.live().values_list("token__grant", flat=True))
        for grant in EgnyteGrant.objects.all():
            counts["grants"] += 1
            if grant.pk not in used or grant.release_at is not None:
                self.violations.append(
                    f"grant {grant.pk} ({grant.reason}, {grant.revoke_attempts} attempts, "
                    f"{grant.last_error!r}) stays though no account points into it"
                )

    def _no_account_is_lost(self, counts: Counter[str]) -> None:
        ever, deleted = ledger.accounts()
        there = set(EgnyteAccount.objects.values_list("pk", flat=True))
        # The history has no deletion without signals.
        told = set(
            AccountEvent.objects.filter(kind=EventKind.DISCONNECTED).values_list(
                "account_ref", flat=True
            )
        )
        counts["accounts ever"], counts["accounts deleted"] = len(ever), len(deleted)
        if lost := ever - there - (deleted & told) - unnoticed(self.where):
            self.violations.append(f"accounts are gone that nobody deleted: {sorted(lost)[:9]}")

    def _no_held_token_was_revoked(self, counts: Counter[str]) -> None:
        """The app revoked no grant that an account used at that moment.

        Two unavoidable kinds are counted separately: Egnyte revoked after the revoker had timed out
        or was killed, or an answer of the grant was lost, so that the app could not know that two
        tokens are of one grant.
        """
        by_grant = defaultdict(list)
        for holding in ledger.holdings():
            if holding.fingerprint in self.tokens:
                by_grant[self.tokens[holding.fingerprint].grant.id].append(holding)
        counts["grants revoked"] = len(self.sandbox.revoked)
        for at, grant, call in self.sandbox.revoked:
            for holding in by_grant[grant]:
                if not holding.began + TOLERANCE < at < holding.ended - TOLERANCE:
                    continue
                if not self.arrived(call):
                    counts["held grants revoked after the revoker had given up"] += 1
                elif grant in self.half_known:
                    counts["held grants revoked of which an answer was lost"] += 1
                else:
                    self.violations.append(
                        f"grant {grant} was revoked while account {holding.account} held it"
                    )
        counts["accounts revoked"] = EgnyteAccount.objects.filter(status=Status.REVOKED).count()


def unnoticed(where: Path) -> set[int]:
    """The accounts that were deleted without Django's signals."""
    return {line["account"] for line in _lines(where) if "account" in line}


def _lines(where: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(where.glob("client*.jsonl")):
        for text in path.read_text().splitlines():
            try:
                yield json.loads(text)
            except ValueError:  # killed while it wrote
                continue


def operations(where: Path, violations: list[str]) -> Counter[str]:
    """The outcomes of the operations. Exceptions other than ``EgnyteError`` are violations."""
    found: Counter[str] = Counter()
    for line in _lines(where):
        found[f"{line['op']}: {line['result']}"] += 1
        if "traceback" in line:
            violations.append(f"{line['op']} raised:\n{line['traceback']}")
    return found


def tracebacks(where: Path, violations: list[str]) -> Counter[str]:
    """The exceptions in the logs. Those from this app are violations, unless the broker or a
    killed process caused them."""
    found: Counter[str] = Counter()
    for path in sorted(where.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if not line.startswith("Traceback (most recent call last)"):
                continue
            rest = enumerate(lines[number + 1 :], number + 1)
            last = next((i for i, text in rest if text and not text[0].isspace()), len(lines) - 1)
            error = lines[last]
            found[f"{path.stem}: {error.partition(':')[0]}"] += 1
            block = "\n".join(lines[max(0, number - 1) : last + 1])
            if "/django_egnyte/" in block and not EXPECTED.match(error):
                violations.append(f"{path.name}:\n{block}")
    return found
