"""The figures of the health page. Each is one query that reads an index, or one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Case, Count, Min, Q, When
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import gettext as _

from ..choices import LIVE, EventKind, Status
from ..conf import conf
from ..models import AccountEvent, EgnyteAccount, HostState, KeyState, PendingRevocation
from ..services.budget import HOUR, key_state
from .charts import Chart, bar_chart

DAYS: Final = 30
MOST: Final = 20
SOON: Final = timedelta(days=7)

LINKS: Final = (EventKind.CONNECTED, EventKind.RECONNECTED)
LOSSES: Final = (EventKind.DISCONNECTED, EventKind.REVOKED)


def figures() -> dict[str, Any]:
    """All that the page shows. The number of queries does not grow with the accounts."""
    now = timezone.now()
    return {
        "now": now,
        "statuses": _statuses(),
        "domains": _domains(),
        "most_domains": MOST,
        "charts": _charts(now),
        "validation": _validation(now),
        "expiry": _expiry(now),
        "outbox": _outbox(now),
        "key": _key(now),
        "hosts": _hosts(now),
    }


def _statuses() -> list[dict[str, Any]]:
    counted = dict(
        EgnyteAccount.objects.values_list("status").annotate(n=Count("*")).order_by("status")
    )
    return [
        {"status": status.value, "label": status.label, "n": counted.get(status.value, 0)}
        for status in Status
    ]


def _domains() -> Sequence[Mapping[str, Any]]:
    """The domains with the most accounts; the index on domain and status has it all."""
    counts = {status.value: _count(Q(status=status)) for status in Status}
    rows = EgnyteAccount.objects.values("domain").annotate(n=Count("*"), **counts)
    return list(rows.order_by("-n", "domain")[:MOST])


def _charts(now: datetime) -> list[Chart]:
    last = now.astimezone(UTC).date() if timezone.is_aware(now) else now.date()
    days = [last - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    since = datetime.combine(days[0], time(), tzinfo=UTC if timezone.is_aware(now) else None)
    events = (
        AccountEvent.objects.filter(kind__in=[*LINKS, *LOSSES], created_at__gte=since)
        .annotate(day=_day_of("created_at"))
        .values_list("day", "kind")
        .annotate(n=Count("*"))
        .order_by()
    )
    links: Counter[date] = Counter()
    losses: Counter[date] = Counter()
    for day, kind, n in events:
        (links if kind in LINKS else losses)[day] += n
    validated = (
        EgnyteAccount.objects.filter(status__in=LIVE, last_validated_at__gte=since)
        .annotate(day=_day_of("last_validated_at"))
        .values_list("day")
        .annotate(n=Count("*"))
        .order_by()
    )
    return [
        bar_chart(_("Links"), "links", days, links, note=_("Accounts connected or reconnected.")),
        bar_chart(
            _("Losses"), "losses", days, losses, note=_("Accounts disconnected, or found dead.")
        ),
        bar_chart(
            _("Last validations"),
            "validations",
            days,
            dict(validated),
            note=_(
                "Live accounts by the day on which Egnyte last said that their token lives; "
                "earlier validations of the same account are not counted."
            ),
        ),
    ]


def _count(condition: Q) -> Count:
    # Of a constant: to count a column, PostgreSQL would have to read the rows.
    return Count(Case(When(condition, then=1)))


def _day_of(name: str) -> TruncDate:
    # UTC needs no time zone tables, which MariaDB often lacks.
    return TruncDate(name, tzinfo=UTC)


def _validation(now: datetime) -> dict[str, int]:
    live = EgnyteAccount.objects.filter(status__in=LIVE)
    return {
        "overdue": live.filter(last_validated_at__lt=now - 2 * conf.validate_every).count(),
        "never": live.filter(last_validated_at=None).count(),
    }


def _expiry(now: datetime) -> dict[str, int]:
    # next_refresh_at is empty where there is no refresh token, and is in the index.
    soon = EgnyteAccount.objects.filter(
        status__in=LIVE, expires_at__gt=now, expires_at__lte=now + SOON
    )
    counted = soon.aggregate(soon=Count("*"), unaided=_count(Q(next_refresh_at=None)))
    expired = EgnyteAccount.objects.filter(status__in=LIVE, expires_at__lte=now).count()
    return {**counted, "expired": expired}


def _outbox(now: datetime) -> dict[str, Any]:
    counted = PendingRevocation.objects.aggregate(
        size=Count("*"),
        due=_count(Q(not_before__lte=now)),
        failed=_count(Q(attempts__gt=0)),
        oldest=Min("created_at"),
    )
    oldest = counted["oldest"]
    return {**counted, "late": oldest is not None and now - oldest > timedelta(days=1)}


def _key(now: datetime) -> dict[str, Any]:
    try:
        state = key_state().first() or KeyState()
    except ImproperlyConfigured as error:
        return {"missing": str(error)}
    limit = conf.token_requests_per_hour
    started = state.hour_started_at
    current = started is not None and now - started < timedelta(seconds=HOUR)
    held = state.held_off_until
    return {
        "limit": limit,
        "used": state.token_requests if current else 0,
        "linking": state.link_requests if current else 0,
        "held_off_until": held if held is not None and held > now else None,
        "paused_at": state.verdicts_paused_at,
    }


def _hosts(now: datetime) -> list[HostState]:
    return list(HostState.objects.filter(held_off_until__gt=now).order_by("-failures")[:MOST])
