"""The revoker: revokes grants that no account points into, and then deletes them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from django.db.models import F, Q
from django.utils import timezone

from .. import gateway
from ..api.steps import Step, Steps, settled
from ..choices import EventKind, Flow, LeasedFor, Purpose
from ..conf import LEASE, LONGEST_PROOF, REVOKE_SLICE, TOKEN_DEADLINE
from ..exceptions import (
    EgnyteError,
    InvalidGrantError,
    RateLimitedError,
    ResponseError,
    UnauthorizedError,
    UnavailableError,
)
from ..models import EgnyteGrant, EgnyteToken
from ..oauth import OAuthClient
from ..secret import Secret
from . import agenda, grants, history, hosts, keys
from .obtain import obtaining
from .runner import Pass
from .transactions import DatabaseNow, hence, in_short_transaction, refuse_in_transaction

logger = logging.getLogger("django_egnyte.revoke")

PER_DOMAIN: Final = 200
# The number of hosts asked at once, so that hosts that hang leave room for the others.
TOGETHER: Final = 24
CHUNK: Final = 100
# How often a grant may be refreshed in order to revoke the new token.
REFRESHES: Final = 3
OTHER_KEY: Final = (
    "The grant belongs to another API key of this site, and Egnyte refuses its access token. "
    "If that key no longer exists, abandon the grant."
)


def process_revocations(*, seconds: float = REVOKE_SLICE, actor: str = "task") -> Counter[str]:
    """Revoke the grants that are due, for at most ``seconds``. Returns counted outcomes.

    Outcomes: ``revoked``, ``expired``, ``dead`` (no longer valid at Egnyte), ``held`` (an account
    points into it after all), ``merged`` (joined with another grant), ``skipped`` and ``failed``
    (it is tried again later). A grant is skipped if another worker has it, if it got a new token,
    or if a refresh at its host may be about to bring the same token. Many workers may run this at
    once, and each may be killed at any time.
    """
    refuse_in_transaction()
    this: Pass[EgnyteGrant] = Pass("revocations", seconds=seconds, put_off=_put_off)
    return this.run_together(
        _due(this),
        lambda grant: revoking(grant, actor=actor),
        host_of=_host,
        together=TOGETHER,
    )


def _host(grant: EgnyteGrant) -> str:
    return grant.domain


def _due(this: Pass[EgnyteGrant]) -> Iterator[EgnyteGrant]:
    """Each due grant once, by primary key, at most ``PER_DOMAIN`` of one domain.

    It skips hosts that are held off, and those that failed in this pass.
    """
    last, held = 0, hosts.held_off()
    seen: Counter[str] = Counter()
    while True:
        full = {domain for domain, count in seen.items() if count >= PER_DOMAIN}
        rows = list(
            EgnyteGrant.objects.filter(grants.free(), pk__gt=last, release_at__lte=DatabaseNow())
            .exclude(domain__in=full | held | this.lost())
            .order_by("pk")[:CHUNK]
        )
        if not rows:
            return
        for row in rows:
            last = row.pk
            seen[row.domain] += 1
            if seen[row.domain] <= PER_DOMAIN:
                yield row


def revoking(grant: EgnyteGrant, *, actor: str) -> Steps[str]:
    """Lease a grant, revoke it at Egnyte, and delete it. Raises ``EgnyteError`` on failure.

    Only the calls that end a token are steps of their own.
    """
    nonce = grants.lease(grant.pk, LeasedFor.REVOKE, Q(release_at__lte=DatabaseNow()))
    if not nonce:
        return "skipped"
    try:
        # The lease keeps new accounts out, and a process that stores one of these tokens sees the
        # lease. So what is read here stays true until the lease ends.
        if grants.may_await_answer(grant):  # first: the answer may be stored at any moment
            grants.release(grant.pk, nonce)
            return "skipped"
        if grants.twins(grant.pk):
            grants.release(grant.pk, nonce)
            return "merged" if grants.joined(grant.pk) else "skipped"
        if grants.in_use(grant.pk):
            grants.release(grant.pk, nonce, release_at=None, reason="", revoke_attempts=0)
            return "held"
        ending = _Ending(EgnyteGrant.objects.get(pk=grant.pk), nonce)
        outcome = yield from settled(ending.end())
        return in_short_transaction(lambda: _forget(ending, outcome, actor))
    except _Shared as shared:
        ids = shared.ids
    except GeneratorExit:
        raise  # A call may be in flight, so let the lease expire.
    except BaseException:
        # Egnyte may have revoked the token all the same.
        grants.release_safely(grant.pk, nonce, **grants.NO_NEWEST)
        raise
    in_short_transaction(lambda: _join(grant, nonce, ids))
    return "merged"


class _Shared(Exception):
    """A refresh brought a token that other grants, ``ids``, have received meanwhile."""

    def __init__(self, ids: set[int]) -> None:
        super().__init__()
        self.ids = ids


def _join(grant: EgnyteGrant, nonce: str, others: set[int]) -> None:
    """Give the lease back and join the grants, with no gap in which another worker could begin."""
    grants.lock(EgnyteGrant.objects.filter(pk__in={grant.pk, *others}))
    if grants.release(grant.pk, nonce):
        grants.merged({grant.pk, *others})


@dataclass
class _Ending:
    """The calls that end one grant, under the lease ``nonce``."""

    grant: EgnyteGrant
    nonce: str
    refused: float | None = field(default=None, init=False)
    """When Egnyte last refused a token (``time.monotonic()``). It needs proof of the key."""
    tokens: list[EgnyteToken] = field(default_factory=list, init=False)
    ends: float = field(init=False)

    def __post_init__(self) -> None:
        self.ends = time.monotonic() + LEASE - LONGEST_PROOF - TOKEN_DEADLINE

    def end(self) -> Steps[EventKind]:
        """Have Egnyte end the grant, or make sure that it has ended. Otherwise raises."""
        tokens = EgnyteToken.objects.filter(grant=self.grant).order_by("-generation", "-pk")
        self.tokens = list(tokens)
        if (
            not self.tokens
            or (yield from self._end_access_tokens())
            or (yield from self._use_up_refresh_token())
        ):
            return EventKind.TOKEN_REVOKED
        if self._is_expiry_trusted() and all(token.is_expired for token in self.tokens):
            return EventKind.TOKEN_EXPIRED
        if self._is_of_another_key():
            raise ResponseError(OTHER_KEY)  # nothing can prove that key to be good
        assert self.refused is not None
        if not keys.proved_since(self.refused, self.grant):
            raise ResponseError(
                "Egnyte refuses the token, perhaps because the API key is suspended."
            )
        # The key may have been suspended until it was proved good.
        ended = yield from self._end_access_tokens()
        return EventKind.TOKEN_REVOKED if ended else EventKind.TOKEN_DEAD

    def _is_expiry_trusted(self) -> bool:
        """Whether the grant has surely expired. In the implicit flow a browser names the time."""
        return self.grant.flow != Flow.IMPLICIT

    def _end_access_tokens(self) -> Steps[bool]:
        """End the newest token, and all that have not expired. ``True`` if Egnyte has ended one."""
        seen: set[str] = set()
        ended = False
        for token in self.tokens:
            is_over = token.is_expired and self._is_expiry_trusted()
            if token.fingerprint in seen or (seen and is_over):
                continue
            seen.add(token.fingerprint)
            ended = (yield from settled(self._end_access_token(token))) or ended
        return ended

    def _is_of_another_key(self) -> bool:
        return self.grant.key_digest != gateway.key_digest()

    def _client(self) -> OAuthClient:
        if time.monotonic() > self.ends:
            raise ResponseError("Egnyte answers too slowly to revoke this grant in one attempt.")
        client = gateway.oauth(self.grant.domain)
        if self._is_of_another_key():
            # The secret belongs to another key.
            return replace(client, client_secret=Secret())
        return client

    def _end_access_token(self, token: EgnyteToken) -> Steps[bool]:
        """``True`` if Egnyte has ended the token, ``False`` if Egnyte refuses the token."""
        access_token = token.open().access_token
        try:
            yield Step("io", self._client().revoke, access_token)
            return True
        except UnauthorizedError:
            self.refused = time.monotonic()
        if token.is_expired:
            return False
        try:
            yield Step("io", self._client().userinfo, access_token)
        except UnauthorizedError:
            self.refused = time.monotonic()
            return False
        raise ResponseError("Egnyte refused to revoke the token but still accepts it.")

    def _use_up_refresh_token(self) -> Steps[bool]:
        """End a refresh token whose access token has expired and cannot revoke it.

        Refresh, and revoke the new access token: ``True`` on success. The new token is stored in
        the grant first, so that the next pass finds it if this one is killed.
        """
        newest = next((each for each in self.tokens if each.refresh_fingerprint), None)
        if newest is None or self.grant.refresh_refused_at is not None:
            return False
        if self._is_of_another_key():
            raise ResponseError(OTHER_KEY)
        if self.grant.revoke_refreshes >= REFRESHES:
            raise ResponseError("A refresh of this grant gives no token that can be revoked.")
        count = self.grant.revoke_refreshes + 1
        EgnyteGrant.objects.write_to(self.grant, revoke_refreshes=count)
        self._client()
        asked = time.monotonic()
        try:
            token = yield from self._refreshing(newest, newest.open().refresh_token)
        except InvalidGrantError:
            # A refusal that blames the refresh token shows that Egnyte accepts the key.
            keys.note_accepted(self.grant.domain, asked=asked)
            EgnyteGrant.objects.write_to(self.grant, refresh_refused_at=timezone.now())
            return False
        except (RateLimitedError, UnavailableError):
            # Do not count it: there is no new token, and an outage of Egnyte may last for hours.
            EgnyteGrant.objects.write_to(self.grant, revoke_refreshes=count - 1)
            raise
        if others := (grants.twins(self.grant.pk) | {token.grant_id}) - {self.grant.pk}:
            raise _Shared(others)
        self.tokens.append(token)
        if not (yield from settled(self._end_access_token(token))):
            raise ResponseError("Egnyte refuses the token that it has just issued in a refresh.")
        return True

    def _refreshing(self, newest: EgnyteToken, refresh_token: Secret) -> Steps[EgnyteToken]:
        return obtaining(
            lambda client: client.refresh(refresh_token),
            purpose=Purpose.REVOKE,
            host=self.grant.domain,
            user_ref=newest.user_ref,
            refreshed=newest,
        )


def _forget(ending: _Ending, outcome: EventKind, actor: str) -> str:
    """Delete the grant, unless it got another token since it was leased.

    A link may have stored one of the tokens again, and asked for its user before Egnyte ended it.
    Then it finds the token gone, or no longer the newest of its grant, and does not use it.
    """
    grant = ending.grant
    ended = {name for each in ending.tokens for name in grants.names_of(each)}
    others = grants.others_with(ended, grant.pk)
    rows = EgnyteGrant.objects.filter(Q(pk=grant.pk, lease=ending.nonce) | Q(pk__in=others))
    if grant.pk not in grants.lock(rows):
        return "skipped"
    EgnyteGrant.objects.filter(pk__in=others).write(**grants.NO_NEWEST)
    if any(grants.names_of(each) - ended for each in EgnyteToken.objects.filter(grant=grant)):
        grants.release(grant.pk, ending.nonce, **grants.NO_NEWEST)
        return "skipped"
    _delete(grant)
    history.record(outcome, grant, actor=actor, reason=grant.reason)
    return outcome.value.removeprefix("token_")


def _delete(grant: EgnyteGrant) -> None:
    tokens = EgnyteToken.objects.filter(grant=grant)
    tokens._raw_delete(tokens.db)
    rows = EgnyteGrant.objects.filter(pk=grant.pk)
    rows._raw_delete(rows.db)


def _put_off(grant: EgnyteGrant, error: Exception) -> None:
    known = isinstance(error, EgnyteError)
    pause = agenda.wait_after(grant.revoke_attempts, error)
    EgnyteGrant.objects.filter(pk=grant.pk).exclude(release_at=None).write(
        revoke_attempts=F("revoke_attempts") + 1,
        release_at=hence(pause.total_seconds()),
        last_error=f"{type(error).__name__}: {error}"[:255] if known else type(error).__name__,
    )
    attempts = grant.revoke_attempts + 1
    logger.log(
        logging.ERROR if attempts >= agenda.FAILURES_OF_A_DAY else logging.WARNING,
        "A grant at %s could not be revoked (%s, attempt %d). The sweep tries again.",
        grant.domain,
        type(error).__name__,
        attempts,
        extra={
            "event": "revocation_failed",
            "domain": grant.domain,
            "account_id": grant.account_ref,
        },
    )


def abandon(grant: EgnyteGrant, *, actor: str) -> bool:
    """Delete a grant that an administrator abandons. Its tokens may stay valid at Egnyte.

    ``False`` for a grant that is gone, in use, or leased, and for one that never failed: its token
    may belong to a call in flight. The history records it.
    """

    def work() -> bool:
        now = DatabaseNow()
        rows = EgnyteGrant.objects.filter(
            grants.free(), Q(release_at__lte=now) | Q(revoke_attempts__gt=0), pk=grant.pk
        ).exclude(release_at=None)
        found = rows.select_for_update().first()
        if found is None or grants.in_use(found.pk):
            return False
        _delete(found)
        history.record(EventKind.ABANDONED, found, actor=actor)
        return True

    return in_short_transaction(work)
