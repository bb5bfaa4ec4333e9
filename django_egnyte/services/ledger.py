"""The ledger of requests to the token endpoint, and its limits.

Egnyte takes 100 token requests per hour for an API key. Each request is inserted before it is made,
whatever its outcome, and then counted together with all others. So parallel requests cannot pass a
limit that sequential ones would not pass.
"""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import Error, connections
from django.db.models import QuerySet
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
from .inserts import insert
from .transactions import DatabaseNow, ago, alias, hence

logger = logging.getLogger("django_egnyte.ledger")

HOUR: Final = 3600
# Requests of users may take 40 % of the key's hour, so that refreshes always have the rest.
BY_USERS: Final = (Purpose.LINK, Purpose.IMPLICIT)
# Egnyte's own limit for one user of an internal application is ten per hour.
PER_USERNAME: Final = 10
# Seconds before a request is charged again.
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
# If this many hosts refuse more token requests, the limit is the key's and not theirs.
SEVERAL_HOSTS: Final = 3
# The errors of a wrong code, password or host, as opposed to a failure of Egnyte.
REFUSALS: Final = (OAuthError, ResponseError, UnauthorizedError)


class Charge(NamedTuple):
    """To whom a request is charged. Only a password has an (Egnyte) username."""

    purpose: Purpose
    host: str
    user_ref: str = ""
    username_digest: str = ""


class Kind(NamedTuple):
    """The properties of past requests that limits count. The flags compare them with a new one."""

    purpose: str
    failed: bool
    refused: bool
    at_host: bool
    by_user: bool
    for_username: bool


class Limit(NamedTuple):
    """At most ``requests`` requests for which ``counted`` is true."""

    counted: Callable[[Kind], bool]
    requests: int
    failures: bool = False
    """Whether to raise ``TooManyFailuresError``."""


class Counts(NamedTuple):
    """The number of requests of each kind in the last hour: in total, and up to one row.

    ``hosts`` is the number of hosts that are held off, and ``is_held`` says whether this one is.
    """

    total: Counter[Kind]
    up_to_row: Counter[Kind]
    is_held: bool
    hosts: int

    def exceeded(self, limits: list[Limit]) -> list[Limit]:
        return [each for each in limits if _number(self.total, each) > each.requests]

    def surely_exceeded(self, limits: list[Limit]) -> list[Limit]:
        return [each for each in limits if _number(self.up_to_row, each) > each.requests]


def _number(counts: Counter[Kind], limit: Limit) -> int:
    return sum(number for kind, number in counts.items() if limit.counted(kind))


# Written by hand, because it runs before each token request: Django takes fifty times as long to
# build such a statement as the database takes to answer it. The placeholders ``{}`` are the tables
# and the database's clock.
_COUNT: Final = """
    SELECT purpose, failed, refused,
           CASE WHEN host = %s THEN 1 ELSE 0 END,
           CASE WHEN user_ref = %s THEN 1 ELSE 0 END,
           CASE WHEN username_digest = %s THEN 1 ELSE 0 END,
           CASE WHEN id <= %s THEN 1 ELSE 0 END,
           COUNT(*),
           MAX((SELECT COUNT(*) FROM {states} WHERE {held})),
           MAX((SELECT COUNT(*) FROM {states} WHERE {held} AND host = %s))
    FROM {requests}
    WHERE key_digest = %s AND created_at > {hour_ago}
    GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
_HELD: Final = "key_digest = %s AND held_off_until > {now}"


@contextmanager
def charged(
    purpose: Purpose,
    *,
    host: str,
    user_ref: str = "",
    username: str = "",
    failed: bool = False,
) -> Iterator[None]:
    """Charge one request. Make it inside the ``with`` block.

    Raises ``RateLimitedError`` or ``TooManyFailuresError``, with ``retry_after``, before the block.
    An exception in the block counts as a failure. A refusal by Egnyte counts as the user's failure,
    and so does a request that has ``failed`` from the start. After a 409 or 429 no token request
    goes to the host for a while.
    """
    digest = _digest(f"{host} {username.casefold()}") if username else ""
    charge = Charge(purpose, host, user_ref, digest)
    # Passwords can be guessed, so count each as wrong until Egnyte accepts it.
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
    """Log an error of the database: the token, or the call's own error, is more important."""
    try:
        yield
    except Error:
        logger.exception(
            "The outcome of a token request could not be stored, so a limit may count it wrongly.",
            extra={"event": "ledger_not_written", "domain": row.host},
        )


def _note_failure(row: TokenRequest, error: BaseException) -> None:
    with _if_possible(row):
        by_user = row.purpose == Purpose.IMPLICIT or isinstance(error, REFUSALS)
        TokenRequest.objects.filter(pk=row.pk).update(failed=True, refused=by_user)
        # With a password the limit is that of the Egnyte user, and with an implicit token that of
        # the token. Neither may stop other users.
        own = row.username_digest or row.purpose == Purpose.IMPLICIT
        if isinstance(error, RateLimitedError) and not own:
            seconds = min(max(error.retry_after, 1.0), DAY)
            write_key_state(row.host, held_off_until=hence(seconds))


def refuse_without_allowance(user_ref: str) -> None:
    """``TooManyFailuresError`` if this user of the site failed too often in the last hour."""
    mine = _recent().filter(user_ref=user_ref, purpose__in=BY_USERS, refused=True)
    failed_at = list(mine.values_list("created_at", flat=True))
    if len(failed_at) >= FAILURES_PER_HOUR:
        raise _too_many_failures(min(failed_at))


def used_this_hour() -> tuple[int, int]:
    """The number of requests of the key in the last hour, and how many of them were for links."""
    mine = _recent_of_key().exclude(purpose=Purpose.IMPLICIT)
    return mine.count(), mine.filter(purpose=Purpose.LINK).count()


def is_used_up() -> bool:
    """Whether the key cannot refresh at any host for now."""
    used, _ = used_this_hour()
    return used >= conf.token_requests_per_hour or len(held_off_until()) >= SEVERAL_HOSTS


def held_off_until() -> list[KeyState]:
    """The hosts at which the key must not make token requests for now."""
    states = KeyState.objects.filter(key_digest=gateway.key_digest())
    return list(states.filter(held_off_until__gt=DatabaseNow()).order_by("host"))


def write_key_state(host: str, **values: Any) -> None:
    """Store values about the configured key at a host."""
    rows = KeyState.objects.filter(key_digest=gateway.key_digest(), host=host)
    if not rows.update(**values):
        row = KeyState(key_digest=gateway.key_digest(), host=host)
        KeyState.objects.bulk_create([row], ignore_conflicts=True)
        rows.update(**values)


def purge() -> int:
    """Delete the requests that no limit counts any more. Returns how many."""
    return TokenRequest.objects.filter(created_at__lt=ago(2 * HOUR)).delete()[0]


def _write_down(charge: Charge, failed: bool) -> TokenRequest:
    """Insert the row of a request, if the limits permit the request.

    It counts after the commit of its own row, with all rows of that moment. So of two parallel
    requests at least the later one sees both, on every database and without a lock. If only a later
    row exceeds the limit, both requests may have seen each other: this one tries again.
    """
    limits = _limits(charge, failed)
    for pause in (*PAUSES, None):
        row = TokenRequest(
            key_digest=gateway.key_digest(),
            created_at=DatabaseNow(),
            failed=failed,
            refused=failed,
            **charge._asdict(),
        )
        insert(row)
        counts = _counts(charge, row)
        over = counts.exceeded(limits)
        if not over and not _is_held_off(charge, counts):
            return row
        row.delete()
        if not over:
            raise _still_held_off(charge.host)
        surely = counts.surely_exceeded(limits)
        if surely or pause is None:
            raise _refusal((surely or over)[0], charge)
        time.sleep(pause * random.uniform(0.3, 1.0))  # noqa: S311
    raise AssertionError("unreachable")


def _is_held_off(charge: Charge, counts: Counts) -> bool:
    is_held = counts.is_held or counts.hosts >= SEVERAL_HOSTS
    return is_held and charge.purpose != Purpose.IMPLICIT


def _counts(charge: Charge, row: TokenRequest) -> Counts:
    """The counts that the limits of this request need, in one query."""
    connection = connections[alias()]
    now, of_now = DatabaseNow().compiled(connection)
    hour_ago, of_hour = ago(HOUR).compiled(connection)
    held = [row.key_digest, *of_now]
    sql = _COUNT.format(
        requests=TokenRequest._meta.db_table,
        states=KeyState._meta.db_table,
        held=_HELD.format(now=now),
        hour_ago=hour_ago,
    )
    values: list[Any] = [charge.host, charge.user_ref, charge.username_digest, row.pk]
    values += [*held, *held, charge.host, row.key_digest, *of_hour]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        found = cursor.fetchall()
    total: Counter[Kind] = Counter()
    up_to_row: Counter[Kind] = Counter()
    hosts, is_held = found[0][-2:] if found else (0, 0)
    for purpose, *flags, is_up_to_row, number, _hosts, _held in found:
        kind = Kind(purpose, *map(bool, flags))
        total[kind] += number
        up_to_row[kind] += number * is_up_to_row
    return Counts(total, up_to_row, bool(is_held), hosts)


def _still_held_off(host: str) -> RateLimitedError:
    held = held_off_until()
    waits = [each for each in held if each.host == host or len(held) >= SEVERAL_HOSTS]
    ends = [each.held_off_until for each in waits if each.held_off_until is not None]
    longest = max(ends, default=timezone.now())
    return _rate_limited(host, (longest - timezone.now()).total_seconds())


def _limits(charge: Charge, failed: bool) -> list[Limit]:
    """The limits of this request, the one with the most specific refusal first."""
    failures = FAILURES_PER_HOUR if failed else FAILURES_PER_HOUR - 1
    hour = conf.token_requests_per_hour
    share = max(1, int(hour * 0.4))
    limits: list[Limit] = []
    if charge.purpose in BY_USERS:
        limits += [
            Limit(lambda r: _is_mine(r) and r.refused, failures, failures=True),
            Limit(_is_mine, max(FAILURES_PER_HOUR, share // 4)),
        ]
    if charge.username_digest:
        limits += [
            Limit(lambda r: r.for_username and r.refused, failures, failures=True),
            Limit(lambda r: r.for_username, PER_USERNAME),
        ]
    if charge.purpose == Purpose.IMPLICIT:
        return limits  # no request to the token endpoint
    # Failures of users do not stop refreshes at their host. Nor does a refusal, which is final.
    fails = _fails_for_users if charge.purpose == Purpose.LINK else _fails_for_workers
    limits.append(Limit(fails, max(FAILURES_PER_HOUR, hour // 4)))
    if charge.purpose != Purpose.REFRESH:
        limits.append(Limit(lambda r: _asks_the_key(r) and r.purpose != Purpose.REFRESH, share))
    if charge.purpose in (Purpose.REVOKE, Purpose.PROOF):
        limits.append(Limit(lambda r: r.purpose == charge.purpose, max(1, hour // 10)))
    return [*limits, Limit(_asks_the_key, hour)]


def _is_mine(request: Kind) -> bool:
    return request.by_user and request.purpose in BY_USERS


def _asks_the_key(request: Kind) -> bool:
    """Whether Egnyte counts it: an implicit token takes no request to the token endpoint."""
    return request.purpose != Purpose.IMPLICIT


def _fails_for_users(request: Kind) -> bool:
    return request.at_host and request.failed and request.purpose == Purpose.LINK


def _fails_for_workers(request: Kind) -> bool:
    others = (Purpose.LINK, Purpose.IMPLICIT)
    return (
        request.at_host and request.failed and not request.refused and request.purpose not in others
    )


def _refusal(limit: Limit, charge: Charge) -> EgnyteError:
    counted = [row.created_at for row in _recent_of_key() if limit.counted(_kind(row, charge))]
    oldest = min(counted, default=None)
    if limit.failures:
        return _too_many_failures(oldest)
    logger.warning(
        "A token request (%s) to %s was not made: a limit of requests per hour is reached. "
        "'manage.py egnyte_status' shows how many there were.",
        charge.purpose.value,
        charge.host,
        extra={"event": "budget", "domain": charge.host},
    )
    return _rate_limited(charge.host, _seconds_left(oldest))


def _kind(row: TokenRequest, charge: Charge) -> Kind:
    return Kind(
        row.purpose,
        row.failed,
        row.refused,
        at_host=row.host == charge.host,
        by_user=row.user_ref == charge.user_ref,
        for_username=row.username_digest == charge.username_digest,
    )


def _rate_limited(host: str, seconds: float) -> RateLimitedError:
    return RateLimitedError(
        "This site has used up its token requests for now.",
        retry_after=max(seconds, 1.0),
        kind="token_endpoint",
        host=host,
    )


def _too_many_failures(oldest: datetime | None) -> TooManyFailuresError:
    return TooManyFailuresError(
        "Too many failed attempts in an hour.", retry_after=_seconds_left(oldest)
    )


def _seconds_left(oldest: datetime | None) -> float:
    """The seconds until the oldest request that counts is an hour old."""
    ends = (oldest or timezone.now()) + timedelta(seconds=HOUR)
    return min(max((ends - timezone.now()).total_seconds(), 1.0), HOUR)


def _recent() -> QuerySet[TokenRequest]:
    return TokenRequest.objects.filter(created_at__gt=ago(HOUR))


def _recent_of_key() -> QuerySet[TokenRequest]:
    return _recent().filter(key_digest=gateway.key_digest())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
