"""The figures of the health page. Each is one query that reads an index, or one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Count, DateField, Q
from django.db.models.functions import TruncDate, TruncMonth
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy

from ..choices import LIVE, EventKind, Status
from ..models import AccountEvent, EgnyteAccount, HostState
from ..services.status import counted, overview
from .charts import Chart, Step, chart_of

MOST: Final = 20
YOUNG: Final = timedelta(days=14)

GAINED: Final = (EventKind.CONNECTED, EventKind.RECONNECTED)
LOST: Final = (EventKind.DISCONNECTED, EventKind.REVOKED)

PERIODS: Final = {
    "week": gettext_lazy("Week"),
    "month": gettext_lazy("Month"),
    "year": gettext_lazy("Year"),
}
DAYS: Final = {"week": 7, "month": 30}

AGES: Final = (
    (timedelta(days=1), gettext_lazy("within a day")),
    (timedelta(days=2), gettext_lazy("1 to 2 days ago")),
    (timedelta(days=7), gettext_lazy("2 to 7 days ago")),
    (timedelta(days=30), gettext_lazy("7 to 30 days ago")),
    (None, gettext_lazy("longer ago")),
)


@dataclass(frozen=True, slots=True)
class Share:
    """A number of accounts, its percentage of the largest number, and the URL of their list."""

    label: Any
    n: int
    percent: float
    query: str


@dataclass(frozen=True, slots=True)
class Line:
    """The label of a step of the chart, and the URLs of its events."""

    step: Step
    label: str
    name: str
    gained_query: str
    lost_query: str


def figures(period: str = "") -> dict[str, Any]:
    """All figures of the page. The number of queries does not grow with the accounts.

    ``period`` is one of ``PERIODS``. For anything else, the site's age decides.
    """
    now = timezone.now()
    seen = overview()
    if period not in PERIODS:
        period = _period_that_suits(now)
    starts = _starts(period, now)
    chart = _chart(period, starts)
    return {
        "now": now,
        "seen": seen,
        "statuses": [
            {"status": status.value, "label": status.label, "n": seen.accounts[status.value]}
            for status in Status
        ],
        "live": _query(status__in=",".join(LIVE)),
        "validations_due": _query(status__in=",".join(LIVE), next_validation_at__lte=now),
        "refreshes_due": _query(release_at__isnull=True, next_refresh_at__lte=now),
        "refreshes_failing": _query(release_at__isnull=True, refresh_attempts__gt=0),
        "last_sweep": _ago(now, seen.last_sweep_seconds),
        "oldest": _ago(now, seen.revocations_oldest_seconds),
        "held_off_at": [
            {"host": held["host"], "until": parse_datetime(held["until"])}
            for held in seen.key_held_off_at
        ],
        "domains": _domains(),
        "ages": _ages(now),
        "periods": [{"name": name, "label": PERIODS[name]} for name in PERIODS],
        "period": period,
        "chart": chart,
        "lines": _lines(period, starts, chart),
        "gained_query": _events_query(GAINED, starts[0]),
        "lost_query": _events_query(LOST, starts[0]),
        "hosts": _hosts(now),
    }


def _ago(now: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else now - timedelta(seconds=seconds)


def _query(**filters: Any) -> str:
    """The query string of a list's URL."""
    plain = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in filters.items()
    }
    return urlencode(plain)


def _domains() -> Sequence[Mapping[str, Any]]:
    """The domains with the most accounts, read from the index on domain and status."""
    counts = {status.value: counted(Q(status=status)) for status in Status}
    rows: Any = EgnyteAccount.objects.values("domain").annotate(n=Count("*"), **counts)
    return [
        {
            **row,
            "statuses": [
                {
                    "n": row[status.value],
                    "query": _query(domain=row["domain"], status=status.value),
                }
                for status in Status
            ],
        }
        for row in rows.order_by("-n", "domain")[:MOST]
    ]


def _ages(now: datetime) -> list[Share]:
    """Live accounts by how long ago Egnyte last accepted their token."""
    bounds = [(label, now - age if age else None) for age, label in AGES]
    conditions, queries = {}, []
    after = None
    for number, (_label, before) in enumerate(bounds):
        limits: dict[str, Any] = {}
        if after is not None:
            limits["last_validated_at__lt"] = after
        if before is not None:
            limits["last_validated_at__gte"] = before
        conditions[f"n{number}"] = counted(Q(**limits))
        queries.append(_query(status__in=",".join(LIVE), **limits))
        after = before
    live = EgnyteAccount.objects.filter(status__in=LIVE)
    found = live.aggregate(**conditions)
    largest = max(*found.values(), 1)
    return [
        Share(label, n, round(100 * n / largest, 1), query)
        for (label, _before), n, query in zip(bounds, found.values(), queries, strict=True)
    ]


def _period_that_suits(now: datetime) -> str:
    first = AccountEvent.objects.order_by("created_at").first()
    return "week" if first is None or now - first.created_at < YOUNG else "month"


def _starts(period: str, now: datetime) -> list[date]:
    """The days of the chart, or the first days of its months."""
    # UTC needs no time zone tables, which MariaDB often lacks.
    today = now.astimezone(UTC).date() if timezone.is_aware(now) else now.date()
    if days := DAYS.get(period):
        return [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    last = today.year * 12 + today.month - 1
    return [date(month // 12, month % 12 + 1, 1) for month in range(last - 11, last + 1)]


def _moment(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC if timezone.is_aware(timezone.now()) else None)


def _chart(period: str, starts: list[date]) -> Chart:
    zone = UTC if timezone.is_aware(timezone.now()) else None
    step = (
        TruncMonth("created_at", output_field=DateField(), tzinfo=zone)
        if period == "year"
        else TruncDate("created_at", tzinfo=zone)
    )
    events = (
        AccountEvent.objects.filter(kind__in=[*GAINED, *LOST], created_at__gte=_moment(starts[0]))
        .annotate(step=step)
        .values_list("step", "kind")
        .annotate(n=Count("*"))
        .order_by()
    )
    gained: Counter[date] = Counter()
    lost: Counter[date] = Counter()
    for start, kind, n in events:
        (gained if kind in GAINED else lost)[start] += n
    return chart_of(starts, gained, lost)


def _lines(period: str, starts: list[date], chart: Chart) -> list[Line]:
    ends = [*starts[1:], None]
    short, long = ("M", "YEAR_MONTH_FORMAT") if period == "year" else ("j M", "DATE_FORMAT")
    return [
        Line(
            step,
            date_format(step.start, short),
            date_format(step.start, long),
            _events_query(GAINED, step.start, end),
            _events_query(LOST, step.start, end),
        )
        for step, end in zip(chart.steps, ends, strict=True)
    ]


def _events_query(kinds: Sequence[str], start: date, end: date | None = None) -> str:
    limits = {"created_at__gte": _moment(start)}
    if end is not None:
        limits["created_at__lt"] = _moment(end)
    return _query(kind__in=",".join(kinds), **limits)


def _hosts(now: datetime) -> list[HostState]:
    return list(HostState.objects.filter(held_off_until__gt=now).order_by("-failures")[:MOST])
