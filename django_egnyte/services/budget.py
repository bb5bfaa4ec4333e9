"""The API key's budget at the token endpoint, shared by all workers through one row.

Egnyte takes 100 token requests an hour for a key. Connecting users may have 40 % of it, so that
what keeps accounts alive always has the rest.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.utils import timezone

from .. import gateway
from ..choices import EventKind
from ..conf import FAILURES_PER_HOUR, conf
from ..exceptions import (
    EgnyteError,
    OAuthError,
    RateLimitedError,
    TooManyFailuresError,
    UnauthorizedError,
)
from ..models import AccountEvent, KeyState, SpentState
from .transactions import DatabaseNow, ago, alias, hence

logger = logging.getLogger("django_egnyte.budget")

HOUR: Final = 3600
SHARE_FOR_LINKING: Final = 0.4


def key_state() -> QuerySet[KeyState]:
    """The row of the configured API key: one, or none before its first token call."""
    return KeyState.objects.using(alias()).filter(key_digest=gateway.key_digest())


def prepare() -> None:
    """Make the key's row if it is not there yet."""
    KeyState.objects.using(alias()).get_or_create(key_digest=gateway.key_digest())


def draw(*, refresh: bool) -> None:
    """Take one request out of this hour's budget; ``RateLimitedError`` when there is none left."""
    limit = conf.token_requests_per_hour
    linking = 0 if refresh else 1
    new_hour = Q(hour_started_at=None) | Q(hour_started_at__lte=ago(HOUR))
    within = Q(token_requests__lt=limit)
    if not refresh:
        within &= Q(link_requests__lt=max(1, int(limit * SHARE_FOR_LINKING)))

    def take() -> int:
        # MariaDB evaluates these one after the other, so the hour's beginning comes last.
        return (
            key_state()
            .filter(Q(held_off_until=None) | Q(held_off_until__lte=DatabaseNow()))
            .filter(new_hour | within)
            .update(
                token_requests=Case(When(new_hour, then=1), default=F("token_requests") + 1),
                link_requests=Case(
                    When(new_hour, then=linking), default=F("link_requests") + linking
                ),
                hour_started_at=Case(
                    When(new_hour, then=DatabaseNow()), default=F("hour_started_at")
                ),
            )
        )

    if take():
        return
    prepare()
    if take():
        return
    state = key_state().get()
    now = timezone.now()
    until = state.held_off_until or now
    if not key_state().filter(new_hour | within).exists() and state.hour_started_at:
        until = max(until, state.hour_started_at + timedelta(seconds=HOUR))
    left = (until - now).total_seconds()
    logger.warning("The API key's budget for token requests is used up.", extra={"event": "budget"})
    raise RateLimitedError(
        "This site's budget for token requests is used up.",
        retry_after=max(left, 1.0),
        kind="token_endpoint",
    )


def give_back(*, refresh: bool) -> None:
    """What was drawn never left this machine, so Egnyte did not count it."""
    linking = 0 if refresh else 1
    drawn = key_state().filter(token_requests__gt=0, link_requests__gte=linking)
    drawn.update(token_requests=F("token_requests") - 1, link_requests=F("link_requests") - linking)


def hold_off(seconds: float) -> None:
    """Egnyte said no more for now: no worker asks again before ``seconds`` have passed."""
    key_state().update(held_off_until=hence(min(max(seconds, 1.0), 24 * HOUR)))


def refuse_after_failures(user_ref: str) -> None:
    """``TooManyFailuresError`` when a user's codes were refused too often in the last hour.

    Nobody guesses a code, and what many attempts at once could cost is bounded by ``draw``.
    """
    since = timezone.now() - timedelta(seconds=HOUR)
    failed = AccountEvent.objects.using(alias()).filter(
        user_ref=user_ref, kind=EventKind.LINK_FAILED, created_at__gt=since
    )
    if failed.count() >= FAILURES_PER_HOUR:
        raise TooManyFailuresError("Too many failed attempts in an hour.", retry_after=HOUR)


@contextmanager
def attempt(
    user_ref: str,
    host: str = "",
    username: str = "",
    *,
    failures: tuple[type[EgnyteError], ...] = (OAuthError, UnauthorizedError),
) -> Iterator[None]:
    """Use up one of the hour's ``FAILURES_PER_HOUR`` attempts of a user, and of an Egnyte username
    where one is given, unless what happens within is none of ``failures``: by default what only
    a wrong code or password leads to, and no trouble of Egnyte's own.

    It is taken beforehand, so that many attempts at once cannot pass where failures were counted.
    ``TooManyFailuresError`` when there is none left.
    """
    whose = [_user(user_ref)]
    if username:
        whose.append(f"username {host} {username.casefold()}")
    taken: list[str] = []
    failed = False
    try:
        for who in whose:
            taken.append(_take_attempt(who))
        yield
    except failures:
        failed = True
        raise
    finally:
        if not failed:
            SpentState.objects.using(alias()).filter(digest__in=taken).delete()


def use_attempt(user_ref: str) -> None:
    """Use up one of a user's attempts for good; ``TooManyFailuresError`` when none is left."""
    _take_attempt(_user(user_ref))


def refuse_without_attempts(user_ref: str) -> None:
    """``TooManyFailuresError`` when a user has no attempt left, before any is begun."""
    used = SpentState.objects.using(alias()).filter(
        digest__in=_digests(_user(user_ref)), expires_at__gt=DatabaseNow()
    )
    if used.count() >= FAILURES_PER_HOUR:
        raise TooManyFailuresError("Too many failed attempts in an hour.", retry_after=HOUR)


def _user(user_ref: str) -> str:
    return f"user {user_ref}"


def _digests(who: str) -> list[str]:
    return [
        hashlib.sha256(f"attempt {number} {who}".encode()).hexdigest()
        for number in range(FAILURES_PER_HOUR)
    ]


def _take_attempt(who: str) -> str:
    using = alias()
    rows = SpentState.objects.using(using)
    for digest in _digests(who):
        try:
            with transaction.atomic(using=using, durable=True):
                rows.create(digest=digest, expires_at=hence(HOUR))
        except IntegrityError:
            over = rows.filter(digest=digest, expires_at__lte=DatabaseNow())
            if not over.update(expires_at=hence(HOUR)):
                continue
        return digest
    raise TooManyFailuresError("Too many failed attempts in an hour.", retry_after=HOUR)
