"""The state of the whole, in figures: for the command, and for monitoring."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.db.models import Count, Min
from django.utils import timezone

from ..choices import Status
from ..conf import conf
from ..exceptions import DecryptionError
from ..models import EgnyteAccount, HostState, PendingRevocation
from . import breaker, hosts, sweep
from .budget import HOUR, key_state
from .outbox import SUPERSEDED
from .transactions import ago, alias

LATE: Final = timedelta(hours=1)
STUCK: Final = timedelta(days=1)
SAMPLE: Final = 20


@dataclass
class Overview:
    """``problems`` are for people; the site needs someone when there is one. Ages in seconds."""

    accounts: dict[str, int]
    validations_due: int
    validations_late: int
    refreshes_due: int
    refreshes_in_horizon: int
    refreshes_possible: int
    token_requests_this_hour: int
    token_requests_per_hour: int
    outbox: int
    outbox_superseded: int
    outbox_oldest_seconds: int
    outbox_stuck: int
    tokens_tried: int
    tokens_unreadable: int
    verdicts_paused: bool
    hosts_held_off: list[dict[str, Any]]
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def overview() -> Overview:
    """Count everything, by indexes. Only the tokens of a few accounts, the oldest, are opened."""
    now = timezone.now()
    accounts = EgnyteAccount.objects.using(alias())
    counted = dict(accounts.values_list("status").annotate(n=Count("*")).order_by("status"))
    due = accounts.due_for_validation(now).order_by()
    rows = PendingRevocation.objects.using(alias())
    waiting = rows.exclude(reason=SUPERSEDED)
    oldest = waiting.aggregate(oldest=Min("created_at"))["oldest"]
    used = (
        key_state().filter(hour_started_at__gt=ago(HOUR)).values_list("token_requests", flat=True)
    )
    needed, possible = sweep.refresh_forecast()
    held = HostState.objects.using(alias()).filter(host__in=hosts.held_off())
    opened = [_opens(account) for account in accounts.live().order_by("pk")[:SAMPLE]]
    result = Overview(
        accounts={status.value: counted.get(status.value, 0) for status in Status},
        validations_due=due.count(),
        validations_late=due.filter(next_attempt_at__lt=now - LATE).count(),
        refreshes_due=accounts.live().filter(next_refresh_at__lte=now).count(),
        refreshes_in_horizon=needed,
        refreshes_possible=possible,
        token_requests_this_hour=next(iter(used), 0),
        token_requests_per_hour=conf.token_requests_per_hour,
        outbox=waiting.count(),
        outbox_superseded=rows.filter(reason=SUPERSEDED).count(),
        outbox_oldest_seconds=int((now - oldest).total_seconds()) if oldest else 0,
        outbox_stuck=waiting.filter(attempts__gt=0, created_at__lt=now - STUCK).count(),
        tokens_tried=len(opened),
        tokens_unreadable=opened.count(False),
        verdicts_paused=breaker.is_paused(),
        hosts_held_off=[{"host": h.host, "failures": h.failures} for h in held],
    )
    result.problems = _problems(result)
    return result


def _opens(account: EgnyteAccount) -> bool:
    """Whether a key is known for its token. The oldest suffer first from one that was lost."""
    try:
        return bool(account.access_token)
    except DecryptionError:
        return False


def _problems(seen: Overview) -> list[str]:
    found = []
    if seen.verdicts_paused:
        found.append("Verdicts are paused: Egnyte refuses many tokens. Is the API key suspended?")
    if seen.validations_late:
        found.append(
            f"{seen.validations_late} validations are over an hour late: are the sweeps running?"
        )
    if seen.outbox_stuck:
        found.append(f"{seen.outbox_stuck} tokens could not be revoked for over a day.")
    if seen.tokens_unreadable:
        found.append(
            f"{seen.tokens_unreadable} of the {seen.tokens_tried} oldest accounts have tokens that "
            "no key opens: does EGNYTE_ENCRYPTION_KEYS lack an older one?"
        )
    if seen.refreshes_in_horizon > seen.refreshes_possible:
        found.append(
            f"{seen.refreshes_in_horizon} accounts are to be refreshed in time, and the key's "
            f"budget reaches {seen.refreshes_possible}."
        )
    return found
