"""The figures of the health page. Each is one query that reads an index, or one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import gettext as _

from ..choices import LIVE, EventKind, Status
from ..models import AccountEvent, EgnyteAccount, HostState
from ..services.status import counted, overview
from .charts import Chart, bar_chart

DAYS: Final = 30
MOST: Final = 20

LINKS: Final = (EventKind.CONNECTED, EventKind.RECONNECTED)
LOSSES: Final = (EventKind.DISCONNECTED, EventKind.REVOKED)


def figures() -> dict[str, Any]:
    """All that the page shows. The number of queries does not grow with the accounts."""
    now = timezone.now()
    seen = overview()
    return {
        "now": now,
        "seen": seen,
        "statuses": [
            {"status": status.value, "label": status.label, "n": seen.accounts[status.value]}
            for status in Status
        ],
        "oldest": now - timedelta(seconds=seen.revocations_oldest_seconds),
        "domains": _domains(),
        "charts": _charts(now),
        "hosts": _hosts(now),
    }


def _domains() -> Sequence[Mapping[str, Any]]:
    """The domains with the most accounts; the index on domain and status has it all."""
    counts = {status.value: counted(Q(status=status)) for status in Status}
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


def _day_of(name: str) -> TruncDate:
    # UTC needs no time zone tables, which MariaDB often lacks.
    return TruncDate(name, tzinfo=UTC)


def _hosts(now: datetime) -> list[HostState]:
    return list(HostState.objects.filter(held_off_until__gt=now).order_by("-failures")[:MOST])
