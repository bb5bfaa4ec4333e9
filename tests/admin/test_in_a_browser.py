"""The admin's pages in a real browser: violations by axe, and overflow."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from django_egnyte.choices import EventKind, Status
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, HostState, SweepState
from django_egnyte.services import administer
from tests.browsing import LANGUAGES, Axe, follow, log_in, speak, window, words

from .rows import make, make_grant, url

pytestmark = pytest.mark.service("browser")

LISTS = ("egnyteaccount", "egnytegrant", "accountevent")


@pytest.fixture
def rows(egnyte_user: Any) -> None:
    """Rows of every kind, with long names."""
    now = timezone.now()
    for number, status in enumerate((*Status, *Status), 1):
        make(
            egnyte_user,
            number,
            status=status,
            status_reason="Egnyte refuses both tokens" if status != Status.ACTIVE else "",
            username=f"{'a.very.long.' * (number % 3)}username{number}",
            domain=f"umbrella-international-holdings-{number % 2}.egnyte.com",
            scopes=["Egnyte.filesystem", "Egnyte.link", "Egnyte.permission"][: number % 4],
            last_validated_at=now - timedelta(days=number),
            expires_at=now + timedelta(days=number),
        )
    account = EgnyteAccount.objects.filter(status=Status.SUSPECT).latest("pk")
    make_grant(last_error="APIConnectionError: connection timed out", reason="disconnected")
    for number, kind in enumerate(EventKind):
        AccountEvent.objects.create(
            kind=kind, account_ref=account.pk, user_ref=str(egnyte_user.pk),
            domain=account.domain, username=account.username, actor="task",
            reason="Egnyte refuses both tokens", created_at=now - timedelta(days=number),
        )  # fmt: skip
    HostState.objects.create(
        host=account.domain, held_off_until=now + timedelta(hours=1), failures=3, last_error="x"
    )


@pytest.fixture
def administrator(axe: Axe, live_server: Any, superuser: Any) -> Callable[[str, str], str]:
    """Logs the browser in, and opens a page of the admin in a language."""
    log_in(axe.browser, f"{live_server.url}/plain/", superuser)

    def show(address: str, language: str = "en") -> str:
        speak(axe.browser, live_server.url, language)
        axe.browser.get(f"{live_server.url}{address}")
        return f"{live_server.url}{address}"

    return show


def suspect() -> int:
    return EgnyteAccount.objects.filter(status=Status.SUSPECT).latest("pk").pk


def waiting() -> int:
    return EgnyteGrant.objects.exclude(release_at=None).latest("pk").pk


PAGES: dict[str, Callable[[], str]] = {
    "accounts": lambda: url("changelist"),
    "accounts, filtered": lambda: f"{url('changelist')}?status=suspect&q=user",
    "account": lambda: url("change", suspect()),
    "revoke": lambda: url("revoke", suspect()),
    "health": lambda: url("health"),
    "health of a year": lambda: f"{url('health')}?period=year",
    "grants": lambda: url("changelist", model="egnytegrant"),
    "grant": lambda: url("change", waiting(), model="egnytegrant"),
    "abandon": lambda: url("abandon", waiting(), model="egnytegrant"),
    "events": lambda: url("changelist", model="accountevent"),
    "event": lambda: url("change", AccountEvent.objects.latest("pk").pk, model="accountevent"),
}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    axe: Axe, administrator: Callable[..., str], name: str
) -> None:
    administer.request_validation(EgnyteAccount.objects.latest("pk"), actor="admin:1")
    address = PAGES[name]()
    told = axe.everywhere(administrator(address))
    for language in LANGUAGES:
        administrator(address, language)
        assert "egnyte/admin.css" in axe.browser.page_source, address
        for details in axe.browser.find_elements(By.CSS_SELECTOR, "summary"):
            axe.browser.execute_script("arguments[0].parentElement.open = true", details)
        told += [f"{language}: {fault}" for fault in axe.cut_off()]
    assert told == []


DATES = """
    const edges = (each) => {
        const box = each.getBoundingClientRect();
        return [box.left, box.right];
    };
    const dates = document.querySelectorAll(".egnyte-chart text[text-anchor=middle]");
    return [edges(document.querySelector(".egnyte-chart")), [...dates].map(edges)];
"""
COVERED = """
    const covered = [];
    for (const each of document.querySelectorAll(arguments[0])) {
        each.scrollIntoView({block: "center"});
        const box = each.getBoundingClientRect();
        for (const part of [0.1, 0.5, 0.9]) {
            const x = box.left + part * box.width, y = box.top + box.height / 2;
            const top = document.elementFromPoint(x, y);
            if (!each.contains(top)) covered.push(`${each.innerText} by ${top && top.outerHTML}`);
        }
    }
    return covered;
"""


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("language", ["en", "de", "pl", "ar"])
def test_nothing_covers_what_can_be_pressed(
    axe: Axe, administrator: Callable[..., str], language: str
) -> None:
    for address in (PAGES["account"](), PAGES["grant"](), PAGES["accounts"]()):
        for width in (320, 390, 820, 940, 1060, 1280):
            with window(axe.browser, width):
                administrator(address, language)
                buttons = ".egnyte-acts :is(a, button), .object-tools a"
                assert len(axe.browser.find_elements(By.CSS_SELECTOR, buttons)) > 0
                assert axe.browser.execute_script(COVERED, buttons) == [], (address, width)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("language", ["en", "de", "pl", "ar"])
def test_the_lists_have_a_place_for_every_column(
    axe: Axe, administrator: Callable[..., str], language: str
) -> None:
    with window(axe.browser, 1280):
        for model in LISTS:
            administrator(url("changelist", model=model), language)
            room, needed = axe.browser.execute_script(
                "const list = document.querySelector('.results');"
                "return [list.clientWidth, list.scrollWidth];"
            )
            assert needed <= room, model


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("period", ["week", "month", "year"])
def test_each_date_of_the_chart_is_seen(
    axe: Axe, administrator: Callable[..., str], language: str, period: str
) -> None:
    for width in (390, 1280):
        with window(axe.browser, width):
            administrator(f"{url('health')}?period={period}", language)
            chart, dates = axe.browser.execute_script(DATES)
            assert len(dates) >= 3
            assert chart[0] <= dates[0][0]
            assert dates[-1][1] <= chart[1]
            for one, next_one in pairwise(dates):
                assert one[1] < next_one[0], "two dates overlap"


def test_what_came_of_a_validation_appears_on_the_page(
    axe: Axe, administrator: Callable[..., str], egnyte_user: Any, hurried: list[Any]
) -> None:
    account = make(egnyte_user, 1, status=Status.SUSPECT, status_reason="Egnyte refuses the token")
    administrator(url("change", account.pk))
    follow(axe.browser, "form[action$='/validate/'] button")
    assert hurried
    outcome = axe.browser.find_element(By.ID, "egnyte-outcome")
    assert outcome.text.startswith("Validation requested")

    EgnyteAccount.objects.write(
        status=Status.ACTIVE, status_reason="", last_validated_at=timezone.now(),
        next_validation_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    WebDriverWait(axe.browser, 20).until(lambda _: "accepted the token" in outcome.text)
    assert "Suspect" not in words(axe.browser)
    assert "Active" in axe.browser.find_element(By.CSS_SELECTOR, ".field-state").text


def test_the_images_of_the_docs(
    axe: Axe, administrator: Callable[..., str], django_user_model: Any, tmp_path: Path
) -> None:
    """``EGNYTE_TEST_IMAGES=docs/images`` creates them again."""
    folder = Path(os.environ.get("EGNYTE_TEST_IMAGES", tmp_path))
    now = timezone.now()
    people = [
        "ada",
        "bela",
        "carla",
        "dmitri",
        "elena",
        "faisal",
        "grace",
        "hiro",
        "ines",
        "jonas",
        "kim",
    ]
    for number, name in enumerate(people, 1):
        user = django_user_model.objects.create(**{django_user_model.USERNAME_FIELD: name})
        status = {3: Status.SUSPECT, 8: Status.REVOKED}.get(number, Status.ACTIVE)
        age = timedelta(days=number * 41 % 200, hours=number)
        make(
            user, number, username=f"{name}.{name[::-1][:3]}", status=status,
            domain=("acme.egnyte.com", "globex.egnyte.com", "initech.egnyte.com")[number % 7 % 3],
            scopes=["Egnyte.filesystem", "Egnyte.link"][: 1 + number % 2], connected_at=now - age,
            last_validated_at=now - timedelta(hours=number * 5 % 23 + 25 * (number == 3)),
            expires_at=now + timedelta(days=number * 11 % 29 + 2),
        )  # fmt: skip
    for days in range(30):
        moment = now - timedelta(days=days)
        for kind, number in (
            (EventKind.CONNECTED, days * 7 % 5),
            (EventKind.REVOKED, days % 7 // 5),
        ):
            for _ in range(number):
                AccountEvent.objects.create(kind=kind, created_at=moment)
    SweepState.objects.create(name="validate", ran_at=now - timedelta(minutes=3))
    for name, address in {
        "admin-accounts": url("changelist"),
        "admin-health": f"{url('health')}?period=month",
    }.items():
        with window(axe.browser, 1280, 820 if name == "admin-accounts" else 1080):
            administrator(address)
            axe.browser.execute_script("document.documentElement.style.overflow = 'hidden'")
            axe.browser.save_screenshot(str(folder / f"{name}.png"))
        assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
