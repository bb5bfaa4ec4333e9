"""The figures for ``egnyte_status``, the admin's health page and monitoring."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Case, Count, Min, Q, When
from django.utils import timezone

from .. import gateway
from ..choices import LIVE, Status
from ..conf import conf
from ..exceptions import DecryptionError
from ..models import (
    EgnyteAccount,
    EgnyteGrant,
    EventCursor,
    HostState,
    ReceivedEvent,
    SweepState,
)
from . import agenda, hosts, keys, ledger, sweep

LATE: Final = timedelta(hours=1)
# With the pauses after each failure, this many in a row take about an hour.
FAILURES_OF_AN_HOUR: Final = 7
SAMPLE: Final = 20
SOON: Final = timedelta(days=7)
KEY_FIGURES: Final = (
    "accounts_of_another_key",
    "token_requests_this_hour",
    "token_requests_for_links",
    "verdicts_paused",
)


@dataclass
class Overview:
    """The figures. Each text in ``problems`` needs an operator. Ages are in seconds."""

    key_missing: str
    accounts: dict[str, int]
    accounts_of_another_key: int
    validations_due: int
    validations_late: int
    validations_overdue: int
    validations_never: int
    refreshes_due: int
    refreshes_late: int
    refreshes_failing: int
    refreshes_in_horizon: int
    refreshes_possible: int
    expiring_soon: int
    expiring_unaided: int
    expired: int
    token_requests_this_hour: int
    token_requests_for_links: int
    token_requests_per_hour: int
    revocations: int
    revocations_due: int
    revocations_failed: int
    revocations_oldest_seconds: int
    revocations_stuck: int
    events_waiting: int
    events_failing: int
    events_late: int
    polls_late: int
    tokens_tried: int
    tokens_unreadable: int
    verdicts_paused: bool
    key_held_off_at: list[dict[str, Any]]
    hosts_held_off: list[dict[str, Any]]
    last_sweep_seconds: int | None
    accounts_older_than_an_hour: bool
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def overdue(now: datetime) -> Q:
    """Live accounts whose last validation is too old."""
    return Q(status__in=LIVE, last_validated_at__lt=now - 2 * conf.validate_every)


def never_validated() -> Q:
    """Live accounts that were never validated."""
    return Q(status__in=LIVE, last_validated_at=None)


def expiring(now: datetime) -> Q:
    """Live accounts whose access token expires within ``SOON``."""
    return Q(status__in=LIVE, token__expires_at__gt=now, token__expires_at__lte=now + SOON)


def expiring_unaided(now: datetime) -> Q:
    """Accounts of ``expiring`` without a usable refresh token. Their users must reconnect."""
    return expiring(now) & Q(token__grant__next_refresh_at=None)


def expired(now: datetime) -> Q:
    """Live accounts whose access token has expired."""
    return Q(status__in=LIVE, token__expires_at__lte=now)


def never_expiring() -> Q:
    """Live accounts whose access token does not expire."""
    return Q(status__in=LIVE, token__expires_at=None)


def overview() -> Overview:
    """Count everything, by indexes. It opens only the tokens of the few oldest accounts."""
    now = timezone.now()
    needed, possible = sweep.refresh_forecast()
    held = HostState.objects.filter(host__in=hosts.held_off())
    oldest = EgnyteAccount.objects.with_token().live().order_by("pk")[:SAMPLE]
    opened = [_opens(account) for account in oldest]
    result = Overview(
        **_key(),
        **_accounts(now),
        **_refreshes(now),
        **_revocations(now),
        **_events(now),
        refreshes_in_horizon=needed,
        refreshes_possible=possible,
        token_requests_per_hour=conf.token_requests_per_hour,
        tokens_tried=len(opened),
        tokens_unreadable=opened.count(False),
        hosts_held_off=[
            {"host": h.host, "failures": h.failures, "until": str(h.held_off_until)} for h in held
        ],
        last_sweep_seconds=_since_last_sweep(now),
        accounts_older_than_an_hour=_has_old_accounts(now),
    )
    result.problems = _problems(result)
    return result


def _key() -> dict[str, Any]:
    try:
        digest = gateway.key_digest()
    except ImproperlyConfigured as error:
        return {**dict.fromkeys(KEY_FIGURES, 0), "key_missing": str(error), "key_held_off_at": []}
    used, for_links = ledger.used_this_hour()
    return {
        "key_missing": "",
        "accounts_of_another_key": _of_another_key(digest),
        "token_requests_this_hour": used,
        "token_requests_for_links": for_links,
        "verdicts_paused": keys.is_doubted(),
        "key_held_off_at": [
            {"host": state.host, "until": str(state.held_off_until)}
            for state in ledger.held_off_until()
        ],
    }


def _of_another_key(digest: str) -> int:
    """Live accounts of another API key. An index finds their grants, which are few or none."""
    # Not exclude(): an index cannot find unequal values.
    other = Q(key_digest__lt=digest) | Q(key_digest__gt=digest)
    grants = EgnyteGrant.objects.filter(other, release_at=None)
    accounts = EgnyteAccount.objects.filter(status__in=LIVE)
    return accounts.filter(token__grant__in=grants).count() if grants.exists() else 0


def counted(condition: Q) -> Count:
    """The number of rows with this condition, as an aggregate over its columns only."""
    # Count a constant: to count a column, PostgreSQL would have to read the rows.
    return Count(Case(When(condition, then=1)))


def _accounts(now: datetime) -> dict[str, Any]:
    accounts = EgnyteAccount.objects
    counts = dict(accounts.values_list("status").annotate(n=Count("*")).order_by("status"))
    due = accounts.due_for_validation(now).order_by()
    return {
        "accounts": {status.value: counts.get(status.value, 0) for status in Status},
        "validations_due": due.count(),
        "validations_late": due.filter(next_validation_at__lt=now - LATE).count(),
        "validations_overdue": accounts.filter(overdue(now)).count(),
        "validations_never": accounts.filter(never_validated()).count(),
    }


def _refreshes(now: datetime) -> dict[str, Any]:
    in_use = EgnyteGrant.objects.filter(release_at=None)
    due = in_use.filter(next_refresh_at__lte=now)
    ending = EgnyteAccount.objects.filter(status__in=LIVE, token__expires_at__lte=now + SOON)
    expiries = ending.aggregate(expired=counted(expired(now)), expiring_soon=counted(expiring(now)))
    return {
        **expiries,
        "refreshes_due": due.count(),
        "refreshes_late": due.filter(next_refresh_at__lt=now - LATE).count(),
        "refreshes_failing": in_use.filter(refresh_attempts__gt=0).count(),
        "expiring_unaided": ending.filter(expiring_unaided(now)).count(),
    }


def _revocations(now: datetime) -> dict[str, Any]:
    figures = EgnyteGrant.objects.exclude(release_at=None).aggregate(
        revocations=Count("*"),
        revocations_due=counted(Q(release_at__lte=now)),
        revocations_failed=counted(Q(revoke_attempts__gt=0)),
        revocations_stuck=counted(Q(revoke_attempts__gte=agenda.FAILURES_OF_A_DAY)),
        oldest=Min("created_at"),
    )
    oldest = figures.pop("oldest")
    figures["revocations_oldest_seconds"] = int((now - oldest).total_seconds()) if oldest else 0
    return figures


def _events(now: datetime) -> dict[str, Any]:
    late = now - LATE
    figures = ReceivedEvent.objects.exclude(due_at=None).aggregate(
        events_waiting=Count("*"),
        events_failing=counted(Q(attempts__gt=0)),
        events_late=counted(Q(due_at__lt=late)),
    )
    return {**figures, "polls_late": EventCursor.objects.filter(next_poll_at__lt=late).count()}


def _since_last_sweep(now: datetime) -> int | None:
    """Seconds since the last sweep of any kind. ``None`` if there was none."""
    ran = SweepState.objects.exclude(ran_at=None).order_by("-ran_at").first()
    if ran is None or ran.ran_at is None:
        return None
    return max(0, int((now - ran.ran_at).total_seconds()))


def _has_old_accounts(now: datetime) -> bool:
    oldest = EgnyteAccount.objects.order_by("pk").first()
    return oldest is not None and oldest.created_at < now - LATE


def _opens(account: EgnyteAccount) -> bool:
    """Whether a key opens the account's token. The oldest accounts show a lost key first."""
    try:
        account.opened_token()
    except DecryptionError:
        return False
    return True


def _problems(seen: Overview) -> list[str]:
    late = "are the sweeps running?"
    idle = seen.last_sweep_seconds or 0
    down = [h["host"] for h in seen.hosts_held_off if h["failures"] >= FAILURES_OF_AN_HOUR]
    found = [
        (seen.key_missing, seen.key_missing),
        (
            seen.verdicts_paused,
            "Egnyte refuses tokens, and nothing proves that it accepts the API key. "
            "Is the key suspended?",
        ),
        (
            len(seen.key_held_off_at) >= ledger.SEVERAL_HOSTS,
            f"Egnyte accepts no token requests for this API key at {len(seen.key_held_off_at)} "
            "hosts. Until that ends, no token is refreshed and nobody can connect.",
        ),
        (down, f"Hosts that have not answered for about an hour: {', '.join(down)}."),
        (
            seen.accounts_older_than_an_hour and seen.last_sweep_seconds is None,
            "No sweep has ever run: set up Celery beat, or cron with egnyte_sweep.",
        ),
        (
            idle > LATE.total_seconds(),
            f"No sweep has run for {idle // 60} minutes.",
        ),
        (seen.validations_late, f"Validations over an hour late: {seen.validations_late}; {late}"),
        (seen.refreshes_late, f"Refreshes over an hour late: {seen.refreshes_late}; {late}"),
        (
            seen.revocations_stuck,
            f"Grants that could not be revoked for over a day: {seen.revocations_stuck}.",
        ),
        (
            seen.events_late,
            f"Events of Egnyte over an hour late: {seen.events_late}; is handle_events or "
            "egnyte_sweep running?",
        ),
        (
            seen.polls_late,
            f"Accounts whose events are polled over an hour late: {seen.polls_late}; is "
            "poll_events or egnyte_sweep running?",
        ),
        (
            seen.tokens_unreadable,
            f"No key decrypts the tokens of {seen.tokens_unreadable} of the {seen.tokens_tried} "
            "oldest accounts: does EGNYTE_ENCRYPTION_KEYS or SECRET_KEY_FALLBACKS lack an older "
            "key?",
        ),
        (
            seen.accounts_of_another_key,
            f"Accounts linked with another API key: {seen.accounts_of_another_key}. Their users "
            "must reconnect.",
        ),
        (
            seen.refreshes_in_horizon > seen.refreshes_possible,
            f"{seen.refreshes_in_horizon} tokens must be refreshed soon, but the API key's limit "
            f"allows only {seen.refreshes_possible} refreshes in that time.",
        ),
    ]
    return [text for is_wrong, text in found if is_wrong]
