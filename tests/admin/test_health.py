from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from django_egnyte.admin import charts
from django_egnyte.choices import Purpose, Status
from django_egnyte.gateway import key_digest
from django_egnyte.models import (
    AccountEvent,
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
    make_grant(created_at=now - 3 * day)
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
    assert [chart.total for chart in figures["charts"]] == [2, 1, 3]
    assert figures["charts"][0].bars[-6].value == 1
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
    assert shown.count('<svg class="egnyte-chart') == shown.count("as a table</summary>") == 3
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


def test_a_bar_is_as_high_as_its_value() -> None:
    days = [date(2026, 1, n) for n in range(1, 11)]
    chart = charts.bar_chart("Links", "links", days, {days[0]: 100, days[1]: 50, days[2]: 1})

    heights = [bar.height for bar in chart.bars]
    assert heights[0] == 2 * heights[1] > 0
    assert heights[2] > 1
    assert heights[3:] == [0.0] * 7
    for bar in chart.bars:
        assert bar.x >= chart.left
        assert bar.x + bar.width <= chart.width
        assert round(bar.y + bar.height, 1) == chart.floor
