from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from django_egnyte.admin import charts, health
from django_egnyte.choices import EventKind, Purpose, Status
from django_egnyte.gateway import key_digest
from django_egnyte.models import (
    AccountEvent,
    EgnyteGrant,
    HostState,
    KeyState,
)
from django_egnyte.services import ledger

from .rows import make, make_grant, text_of, url


def test_the_health_page_is_for_who_may_see_accounts(staff: Callable[..., Client]) -> None:
    client = staff("view_accountevent")
    assert client.get(url("health")).status_code == 403

    client.administrator.user_permissions.add(  # type: ignore[attr-defined]
        Permission.objects.get(codename="view_egnyteaccount")
    )
    assert "Link health" in text_of(client.get(url("health")))
    assert url("health") in text_of(client.get(url("changelist")))


def test_the_health_page_counts(superuser: Client, egnyte_user: Any) -> None:
    now = timezone.now()
    day = timedelta(days=1)
    later = {"expires_at": now + day, "last_validated_at": now}
    make(egnyte_user, 1, next_refresh_at=now, **later)
    make(egnyte_user, 2, domain="globex.egnyte.com", next_refresh_at=None, **later)
    make(egnyte_user, 3, status=Status.SUSPECT, last_validated_at=now - 3 * day)
    make(egnyte_user, 4, status=Status.REVOKED, expires_at=now - day)
    make(egnyte_user, 5, expires_at=now - day)
    for age, kind in ((0, "connected"), (5, "reconnected"), (5, "revoked"), (40, "connected")):
        AccountEvent.objects.create(kind=kind, created_at=now - age * day)
    make_grant(revoke_attempts=12)
    make_grant(revoke_attempts=0, release_at=now - day)
    HostState.objects.create(host="lost.egnyte.com", held_off_until=now + day)
    with ledger.charged(Purpose.LINK, host="acme.egnyte.com", user_ref="1"):
        pass

    page = superuser.get(url("health"))
    figures = page.context
    assert [(row["status"], row["n"]) for row in figures["statuses"]] == [
        ("active", 3), ("suspect", 1), ("revoked", 1),
    ]  # fmt: skip
    columns = ("domain", "active", "suspect", "n")
    assert [tuple(row[name] for name in columns) for row in figures["domains"]] == [
        ("acme.egnyte.com", 2, 1, 4), ("globex.egnyte.com", 1, 0, 1),
    ]  # fmt: skip
    assert figures["period"] == "month"
    assert (figures["chart"].gained, figures["chart"].lost) == (2, 1)
    assert [(step.gained, step.lost) for step in figures["chart"].steps[-6:]] == [
        (1, 1), (0, 0), (0, 0), (0, 0), (0, 0), (1, 0),
    ]  # fmt: skip
    assert [share.n for share in figures["ages"]] == [2, 0, 1, 0, 0]
    seen = figures["seen"]
    assert (seen.validations_overdue, seen.validations_never) == (1, 1)
    assert (seen.expiring_soon, seen.expiring_unaided, seen.expired) == (2, 1, 1)
    assert (seen.revocations, seen.revocations_due, seen.revocations_failed) == (2, 1, 1)
    assert seen.revocations_stuck == 1
    assert (seen.token_requests_this_hour, seen.token_requests_for_links) == (1, 1)
    shown = text_of(page)
    assert "1 of 100" in shown
    assert "lost.egnyte.com" in shown
    assert "Is the key suspended?" not in shown
    assert "No sweep has ever run" not in shown
    assert "<script" not in shown.partition('class="egnyte-health"')[2]

    KeyState.objects.create(key_digest=key_digest(), host="acme.egnyte.com", doubted_at=now)
    assert "Is the key suspended?" in text_of(superuser.get(url("health")))


def test_the_health_page_works_on_an_empty_site_without_a_key(
    superuser: Client, settings: Any
) -> None:
    settings.EGNYTE_CLIENT_ID = ""

    shown = text_of(superuser.get(url("health")))
    assert "EGNYTE_CLIENT_ID is not set" in shown
    assert "No account is linked yet" in shown


@pytest.mark.parametrize(
    ("value", "top"), [(0, 2), (1, 2), (2, 2), (3, 4), (9, 10), (11, 20), (81, 100), (4001, 6000)]
)
def test_an_axis_ends_at_a_round_number(value: int, top: int) -> None:
    assert charts.round_up(value) == top


def figures_of(page: str) -> list[tuple[str, int]]:
    """The addresses that figures on the health page link to, with the figure."""
    found = re.findall(r'<a href="([^"]+)">([\d,.\s]+)</a>', page.partition("egnyte-health")[2])
    return [(address, int(re.sub(r"\D", "", figure))) for address, figure in found]


@pytest.mark.parametrize("period", ["week", "month", "year"])
def test_each_figure_is_the_number_of_rows_that_it_links(
    superuser: Client, egnyte_user: Any, period: str
) -> None:
    now = timezone.now()
    for number, age in enumerate((0, 0, 0, 36, 36, 72, 100, 24 * 10, 24 * 11, 24 * 12, 24 * 90)):
        make(
            egnyte_user,
            number,
            last_validated_at=now - timedelta(hours=age),
            domain=f"{'abc'[number % 3]}.egnyte.com",
            status=list(Status)[number % 4 % 3],
            expires_at=now + timedelta(days=number - 3),
            next_refresh_at=None if number % 2 else now - timedelta(hours=number - 4),
            next_validation_at=now + timedelta(hours=number - 5),
        )
    make(egnyte_user, 99)
    EgnyteGrant.objects.filter(pk__in=list(range(1, 5))).write(refresh_attempts=1)
    for attempts in (0, 0, 1, 2):
        make_grant(revoke_attempts=attempts, release_at=now + timedelta(hours=attempts - 1))
    kinds = (EventKind.CONNECTED, EventKind.REVOKED, EventKind.RECONNECTED, EventKind.DISCONNECTED)
    for days in range(0, 400, 2):
        kind = kinds[days // 2 % 4] if days % 3 else EventKind.REFRESHED
        AccountEvent.objects.create(kind=kind, created_at=now - timedelta(days=days))

    links = figures_of(text_of(superuser.get(url("health"), {"period": period})))
    for address, figure in links:
        assert superuser.get(address).context["cl"].result_count == figure, address
    lists = {address.partition("?")[0] for address, _figure in links}
    assert lists == {url("changelist", model=m) for m in ("egnyteaccount", "egnytegrant")} | {
        url("changelist", model="accountevent")
    }
    numbers = [figure for _address, figure in links]
    assert len(numbers) > 30
    assert sum(number > 0 for number in numbers) > 20


def test_a_young_site_sees_a_week_at_first(superuser: Client) -> None:
    page = superuser.get(url("health"))
    assert len(page.context["lines"]) == 7
    assert re.search(r'href="\?period=week" aria-current="true"', text_of(page))

    AccountEvent.objects.create(
        kind=EventKind.CONNECTED, created_at=timezone.now() - timedelta(days=15)
    )
    assert len(superuser.get(url("health")).context["lines"]) == 30
    assert len(superuser.get(url("health"), {"period": "century"}).context["lines"]) == 30


def test_a_year_has_the_twelve_months_that_end_with_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zone = UTC if timezone.is_aware(timezone.now()) else None
    monkeypatch.setattr(timezone, "now", lambda: datetime(2027, 2, 3, 12, tzinfo=zone))
    for moment in ((2026, 2, 28), (2026, 3, 1), (2026, 12, 31), (2027, 2, 2), (2027, 2, 3)):
        AccountEvent.objects.create(
            kind=EventKind.CONNECTED, created_at=datetime(*moment, tzinfo=zone)
        )

    figures = health.figures("year")
    steps = figures["chart"].steps
    assert [step.start for step in steps] == [
        *(date(2026, month, 1) for month in range(3, 13)), date(2027, 1, 1), date(2027, 2, 1),
    ]  # fmt: skip
    assert [step.gained for step in steps] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2]
    assert [line.name for line in figures["lines"]][-2:] == ["January 2027", "February 2027"]


def test_a_bar_is_as_high_as_its_value() -> None:
    days = [date(2026, 1, n) for n in range(1, 11)]
    chart = charts.chart_of(
        days, {days[0]: 100, days[1]: 50, days[2]: 1}, {days[3]: 10, days[9]: 20}
    )

    up = [step.gained_height for step in chart.steps]
    down = [step.lost_height for step in chart.steps]
    assert up[0] == pytest.approx(2 * up[1], abs=0.1)
    assert up[2] > 1
    assert up[3:] == [0.0] * 7
    # Both halves of the chart have the same scale.
    assert down[9] == pytest.approx(2 * down[3], abs=0.1)
    assert up[0] == pytest.approx(5 * down[9], abs=0.3)
    for step in chart.steps:
        assert step.x >= chart.left
        assert step.x + step.width <= chart.right
        assert step.y >= charts.TOP
        assert round(step.y + step.gained_height, 1) == pytest.approx(chart.zero, abs=0.1)
        assert chart.zero + step.lost_height <= chart.height - charts.BOTTOM + 0.1
    assert [tick.value for tick in chart.ticks] == [100, 0, 20]


@pytest.mark.parametrize("length", [7, 12, 30])
def test_the_last_date_and_a_few_before_it_are_labelled(length: int) -> None:
    starts = [date(2026, 1, 1) + timedelta(days=n) for n in range(length)]
    labelled = [step.labelled for step in charts.chart_of(starts, {}, {}).steps]

    assert labelled[-1]
    assert 3 <= sum(labelled) <= charts.LABELS
