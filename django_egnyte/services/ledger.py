"""The one ledger of requests to the token endpoint, and the limits that it keeps.

Egnyte takes 100 token requests an hour for a key. Each request is written down before it is made,
whatever becomes of it, and then counted together with all others. So many at once cannot pass a
limit that one after the other could not.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple

from django.db import Error
from django.db.models import Case, Count, Exists, Max, Q, QuerySet, Subquery, When
from django.utils import timezone

from .. import gateway
from ..choices import Purpose
from ..conf import FAILURES_PER_HOUR, conf
from ..exceptions import (
    EgnyteError,
    OAuthError,
    RateLimitedError,
    ResponseError,
    TooManyFailuresError,
    UnauthorizedError,
)
from ..models import KeyState, TokenRequest
from .agenda import DAY
from .transactions import DatabaseNow, ago, hence

logger = logging.getLogger("django_egnyte.ledger")

HOUR: Final = 3600
# What a user asks for: 40 % of the key's hour, so that refreshes always have the rest.
BY_USERS: Final = (Purpose.LINK, Purpose.IMPLICIT)
# Egnyte's own limit for one user of an internal application is ten an hour.
PER_USERNAME: Final = 10
# Seconds before a request is charged again.
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
# So many hosts that refuse more token requests are the key's limit, not their own.
SEVERAL_HOSTS: Final = 3
# What a wrong code, password or host leads to, and no trouble of Egnyte's.
REFUSALS: Final = (OAuthError, ResponseError, UnauthorizedError)


class Charge(NamedTuple):
    """Whom a request is charged to. ``username`` is Egnyte's, for passwords only."""

    purpose: Purpose
    host: str
    user_ref: str = ""
    username_digest: str = ""


class Limit(NamedTuple):
    """At most so many ``requests`` of those that fit ``which``."""

    which: Q
    requests: int
    failures: bool = False
    """Whether to raise ``TooManyFailuresError``."""


@contextmanager
def charged(
    purpose: Purpose,
    *,
    host: str,
    user_ref: str = "",
    username: str = "",
    failed: bool = False,
) -> Iterator[None]:
    """Charge one request, which is then made within.

    Raises ``RateLimitedError`` or ``TooManyFailuresError``, with ``retry_after``, before anything
    is asked. Whatever is raised within is counted as a failure. A refusal by Egnyte is counted as
    the user's failure, and so is a request that has ``failed`` from the start. A 409 or 429 holds
    off the host.
    """
    digest = _digest(f"{host} {username.casefold()}") if username else ""
    charge = Charge(purpose, host, user_ref, digest)
    # Passwords can be guessed, so one is wrong until Egnyte has said that it is right.
    row = _write_down(charge, failed or bool(username))
    try:
        yield
    except BaseException as error:
        _note_failure(row, error)
        raise
    if username:
        with _if_possible(row):
            TokenRequest.objects.filter(pk=row.pk).update(failed=False, refused=False)


@contextmanager
def _if_possible(row: TokenRequest) -> Iterator[None]:
    """What was obtained, or the failure itself, matters more than what is written of it."""
    try:
        yield
    except Error:
        logger.exception(
            "The outcome of a token request could not be recorded.",
            extra={"event": "ledger_not_written", "domain": row.host},
        )


def _note_failure(row: TokenRequest, error: BaseException) -> None:
    with _if_possible(row):
        by_user = row.purpose == Purpose.IMPLICIT or isinstance(error, REFUSALS)
        TokenRequest.objects.filter(pk=row.pk).update(failed=True, refused=by_user)
        # For a password that limit is the Egnyte user's own, and for a token from a browser the
        # token's own: neither may stop others.
        own = row.username_digest or row.purpose == Purpose.IMPLICIT
        if isinstance(error, RateLimitedError) and not own:
            seconds = min(max(error.retry_after, 1.0), DAY)
            write_key_state(row.host, held_off_until=hence(seconds))


def refuse_without_allowance(user_ref: str) -> None:
    """``TooManyFailuresError`` for a user of the site who has failed too often in the last hour."""
    mine = _recent().filter(user_ref=user_ref, purpose__in=BY_USERS, refused=True)
    if mine.count() >= FAILURES_PER_HOUR:
        raise _too_many_failures(mine)


def used_this_hour() -> tuple[int, int]:
    """How many requests the key has made within the last hour, and how many of them for links."""
    mine = _recent().filter(key_digest=gateway.key_digest()).exclude(purpose=Purpose.IMPLICIT)
    return mine.count(), mine.filter(purpose=Purpose.LINK).count()


def is_used_up() -> bool:
    """Whether the key can make no refresh for now, at whichever host."""
    used, _ = used_this_hour()
    return used >= conf.token_requests_per_hour or len(held_off_until()) >= SEVERAL_HOSTS


def held_off_until() -> list[KeyState]:
    """The hosts where Egnyte takes no token request of this key for now."""
    states = KeyState.objects.filter(key_digest=gateway.key_digest())
    return list(states.filter(held_off_until__gt=DatabaseNow()).order_by("host"))


def write_key_state(host: str, **values: Any) -> None:
    """Note something about the configured key at a host."""
    rows = KeyState.objects.filter(key_digest=gateway.key_digest(), host=host)
    if not rows.update(**values):
        row = KeyState(key_digest=gateway.key_digest(), host=host)
        KeyState.objects.bulk_create([row], ignore_conflicts=True)
        rows.update(**values)


def purge() -> int:
    """Forget what no limit counts any more. Returns how many."""
    return TokenRequest.objects.filter(created_at__lt=ago(2 * HOUR)).delete()[0]


def _write_down(charge: Charge, failed: bool) -> TokenRequest:
    """The row of a request that may be made.

    It is counted after its commit, with every row that is there by then. So of two requests at
    once at least the later one sees both, on every database and without a lock. Where only a later
    row is in the way, both may have seen each other: this one tries again.
    """
    limits = _limits(charge, failed)
    for pause in (*PAUSES, None):
        row: TokenRequest = TokenRequest.objects.create(
            key_digest=gateway.key_digest(),
            created_at=DatabaseNow(),
            failed=failed,
            refused=failed,
            **charge._asdict(),
        )
        counts = _counts(limits, row)
        over = [limit for n, limit in enumerate(limits) if counts[f"all_{n}"] > limit.requests]
        is_held = counts["here"] or (counts["hosts"] or 0) >= SEVERAL_HOSTS
        is_held = is_held and charge.purpose != Purpose.IMPLICIT
        if not over and not is_held:
            return row
        row.delete()
        if not over:
            raise _still_held_off(charge.host)
        surely = [limit for n, limit in enumerate(limits) if counts[f"to_{n}"] > limit.requests]
        if surely or pause is None:
            raise _refusal((surely or over)[0], charge)
        time.sleep(pause * random.uniform(0.3, 1.0))  # noqa: S311
    raise AssertionError("unreachable")


def _counts(limits: list[Limit], row: TokenRequest) -> dict[str, Any]:
    """For each limit how many requests there are, and how many up to this row."""
    counted: dict[str, Any] = _held_off(row.host)
    for number, limit in enumerate(limits):
        counted[f"all_{number}"] = Count(Case(When(limit.which, then=1)))
        counted[f"to_{number}"] = Count(Case(When(limit.which & Q(pk__lte=row.pk), then=1)))
    return _recent().filter(key_digest=row.key_digest).aggregate(**counted)


def _still_held_off(host: str) -> RateLimitedError:
    held = held_off_until()
    waits = [each for each in held if each.host == host or len(held) >= SEVERAL_HOSTS]
    ends = [each.held_off_until for each in waits if each.held_off_until is not None]
    longest = max(ends, default=timezone.now())
    return _rate_limited(host, (longest - timezone.now()).total_seconds())


def _held_off(host: str) -> dict[str, Max]:
    """Whether a hold-off stands at this host, and at how many hosts, for the same query."""
    states = KeyState.objects.filter(
        key_digest=gateway.key_digest(), held_off_until__gt=DatabaseNow()
    )
    here = When(Exists(states.filter(host=host)), then=1)
    hosts = states.order_by().values("key_digest").annotate(n=Count("pk")).values("n")
    return {"here": Max(Case(here, default=0)), "hosts": Max(Subquery(hosts))}


def _limits(charge: Charge, failed: bool) -> list[Limit]:
    """What holds for this request, the most telling refusal first."""
    failures = FAILURES_PER_HOUR if failed else FAILURES_PER_HOUR - 1
    hour = conf.token_requests_per_hour
    share = max(1, int(hour * 0.4))
    key = ~Q(purpose=Purpose.IMPLICIT)
    at_host = Q(host=charge.host)
    limits: list[Limit] = []
    if charge.purpose in BY_USERS:
        mine = Q(user_ref=charge.user_ref, purpose__in=BY_USERS)
        limits += [
            Limit(mine & Q(refused=True), failures, failures=True),
            Limit(mine, max(FAILURES_PER_HOUR, share // 4)),
        ]
    if charge.username_digest:
        same = Q(username_digest=charge.username_digest)
        limits += [
            Limit(same & Q(refused=True), failures, failures=True),
            Limit(same, PER_USERNAME),
        ]
    if charge.purpose == Purpose.IMPLICIT:
        return limits  # no request to the token endpoint
    # What users make fail at a host stops no refresh there. A refusal, which is final, stops none.
    for_users = Q(purpose=Purpose.LINK)
    same_kind = for_users if charge.purpose == Purpose.LINK else ~for_users & Q(refused=False)
    failed_here = key & at_host & same_kind & Q(failed=True)
    limits.append(Limit(failed_here, max(FAILURES_PER_HOUR, hour // 4)))
    if charge.purpose != Purpose.REFRESH:
        limits.append(Limit(key & ~Q(purpose=Purpose.REFRESH), share))
    if charge.purpose in (Purpose.REVOKE, Purpose.PROOF):
        limits.append(Limit(Q(purpose=charge.purpose), max(1, hour // 10)))
    return [*limits, Limit(key, hour)]


def _refusal(limit: Limit, charge: Charge) -> EgnyteError:
    counted = _recent().filter(limit.which, key_digest=gateway.key_digest())
    if limit.failures:
        return _too_many_failures(counted)
    logger.warning(
        "A token request (%s) at %s was not made: too many in an hour.",
        charge.purpose.value,
        charge.host,
        extra={"event": "budget", "domain": charge.host},
    )
    return _rate_limited(charge.host, _seconds_left(counted))


def _rate_limited(host: str, seconds: float) -> RateLimitedError:
    return RateLimitedError(
        "This site has used up its token requests for now.",
        retry_after=max(seconds, 1.0),
        kind="token_endpoint",
        host=host,
    )


def _too_many_failures(counted: QuerySet[TokenRequest]) -> TooManyFailuresError:
    return TooManyFailuresError(
        "Too many failed attempts in an hour.", retry_after=_seconds_left(counted)
    )


def _seconds_left(counted: QuerySet[TokenRequest]) -> float:
    """Until the oldest of these is an hour old."""
    oldest = counted.order_by("created_at").values_list("created_at", flat=True).first()
    ends = (oldest or timezone.now()) + timedelta(seconds=HOUR)
    return min(max((ends - timezone.now()).total_seconds(), 1.0), HOUR)


def _recent() -> QuerySet[TokenRequest]:
    return TokenRequest.objects.filter(created_at__gt=ago(HOUR))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
