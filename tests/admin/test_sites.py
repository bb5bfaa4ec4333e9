"""The admin on a site's own ``AdminSite``, and under a site's own permissions for each row."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.http import HttpRequest
from django.test import Client
from django.urls import URLResolver, path

from django_egnyte.admin import AccountEventAdmin, EgnyteAccountAdmin, EgnyteGrantAdmin
from django_egnyte.choices import EventKind
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant
from tests.urls import urlpatterns

from .rows import make, make_grant, text_of

HIDDEN = "hidden.egnyte.com"


class RowPermissions:
    """As with django-guardian: nobody may see the rows of one domain."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        seen: bool = super().has_view_permission(request, obj)  # type: ignore[misc]
        return seen and (obj is None or obj.domain != HIDDEN)


class OwnAccountAdmin(RowPermissions, EgnyteAccountAdmin):
    pass


class OwnGrantAdmin(RowPermissions, EgnyteGrantAdmin):
    pass


class OwnEventAdmin(AccountEventAdmin):
    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).exclude(kind=EventKind.REFRESHED)


class RevokesOnlyAtAcme(EgnyteAccountAdmin):
    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_revoke_permission(request, obj)
        return allowed and (obj is None or obj.domain == "acme.egnyte.com")


few = admin.AdminSite(name="few")
few.register(EgnyteAccount, EgnyteAccountAdmin)

every = admin.AdminSite(name="every")
every.register(EgnyteAccount, OwnAccountAdmin)
every.register(EgnyteGrant, OwnGrantAdmin)
every.register(AccountEvent, OwnEventAdmin)
every.register(get_user_model())

careful = admin.AdminSite(name="careful")
careful.register(EgnyteAccount, RevokesOnlyAtAcme)

SITES = {site.name: site for site in (few, every, careful)}


def mounted(*sites: admin.AdminSite) -> list[URLResolver]:
    return [path(f"{site.name}/", site.urls) for site in sites]


def others() -> list[Any]:
    """The test site's addresses without the default admin."""
    return [each for each in urlpatterns if getattr(each, "app_name", "") != "admin"]


@pytest.fixture(params=["beside the default site", "alone"])
def sites(request: pytest.FixtureRequest, settings: Any) -> None:
    """All sites of this module beside Django's own, or each alone with the rest of the pages."""
    beside = request.param == "beside the default site"
    first = urlpatterns if beside else others()
    settings.ROOT_URLCONF = (*first, *mounted(*SITES.values()))


def links_of(page: str) -> set[str]:
    main = page.partition('<main id="content-start"')[2] or page
    found = re.findall(r'(?:href|action)="([^"]+)"', main)
    return {unescape(each) for each in found if not each.startswith(("#", "http"))}


@pytest.mark.usefixtures("sites")
@pytest.mark.parametrize("name", ["few", "every"])
def test_each_link_stays_on_the_site(name: str, superuser: Client, egnyte_user: Any) -> None:
    account = make(egnyte_user, 1)
    make_grant(account_ref=account.pk)
    event = {"account_ref": account.pk, "user_ref": str(egnyte_user.pk)}
    AccountEvent.objects.create(kind=EventKind.CONNECTED, **event)

    start = f"/{name}/django_egnyte/egnyteaccount/"
    waiting, seen = {start, f"/{name}/"}, set()
    while waiting:
        address = waiting.pop()
        seen.add(address)
        response = superuser.get(address, follow=True)
        if response.status_code == 405:  # acts that need no confirmation are forms
            continue
        for link in links_of(text_of(response)):
            found = link if link.startswith("/") else f"{address.partition('?')[0]}{link}"
            assert not found.startswith(("/admin/", "/few/" if name == "every" else "/every/"))
            if found.startswith(f"/{name}/django_egnyte/") and "?" not in link:
                waiting |= {found} - seen
    pages = {each.removeprefix(f"/{name}/django_egnyte/") for each in seen}
    assert {f"egnyteaccount/{account.pk}/{page}/" for page in ("change", "revoke")} <= pages
    assert "egnyteaccount/health/" in pages
    assert ("egnytegrant/" in pages) is (name == "every")


@pytest.mark.usefixtures("sites")
def test_an_act_comes_back_to_its_site(
    superuser: Client, egnyte_user: Any, hurried: list[Any]
) -> None:
    account = make(egnyte_user, 1)
    start = "/few/django_egnyte/egnyteaccount/"

    done = superuser.post(f"{start}{account.pk}/validate/")
    assert done.headers["Location"] == f"{start}{account.pk}/change/"
    page = text_of(superuser.get(f"{start}{account.pk}/revoke/"))
    assert f'href="{start}{account.pk}/change/" class="button cancel-link"' in page


@pytest.mark.usefixtures("sites")
def test_where_events_have_no_admin_they_are_shown_without_a_link(
    superuser: Client, egnyte_user: Any
) -> None:
    account = make(egnyte_user, 1)
    AccountEvent.objects.create(kind=EventKind.CONNECTED, account_ref=account.pk)
    AccountEvent.objects.create(kind=EventKind.REFRESHED, account_ref=account.pk)

    address = f"django_egnyte/egnyteaccount/{account.pk}/change/"
    shown = text_of(superuser.get(f"/few/{address}"))
    assert "Token refreshed" in shown
    assert "All events of this account" not in shown
    # The site's own admin does not show some of the events.
    shown = text_of(superuser.get(f"/every/{address}"))
    assert "Latest events" in shown
    assert "All events of this account" in shown
    assert "Token refreshed" not in shown


@pytest.mark.parametrize("name", ["admin", "few"])
@pytest.mark.usefixtures("sites")
def test_the_history_needs_the_permission_to_view_events(
    staff: Callable[..., Client], egnyte_user: Any, settings: Any, name: str
) -> None:
    settings.ROOT_URLCONF = (*urlpatterns, *mounted(few))
    account = make(egnyte_user, 1)
    AccountEvent.objects.create(
        kind=EventKind.CONNECTED, account_ref=account.pk, reason="a reason that is not for all"
    )
    client = staff("view_egnyteaccount")
    address = f"/{name}/django_egnyte/egnyteaccount/{account.pk}/change/"

    shown = text_of(client.get(address))
    assert "jsmith1" in shown
    assert "a reason that is not for all" not in shown
    assert "accountevent" not in shown

    client.administrator.user_permissions.add(  # type: ignore[attr-defined]
        Permission.objects.get(codename="view_accountevent")
    )
    assert "a reason that is not for all" in text_of(client.get(address))


@pytest.mark.parametrize("permitted", [True, False])
def test_the_health_page_links_only_lists_that_may_be_viewed(
    staff: Callable[..., Client], permitted: bool
) -> None:
    make_grant()
    client = staff("view_egnyteaccount", *(["view_egnytegrant"] if permitted else []))

    shown = text_of(client.get("/admin/django_egnyte/egnyteaccount/health/"))
    assert ("/admin/django_egnyte/egnytegrant/" in shown) is permitted


def test_everybody_with_a_row_hidden_from_them_is_refused_each_page_of_it(
    superuser: Client, egnyte_user: Any, hurried: list[Any], settings: Any
) -> None:
    settings.ROOT_URLCONF = (*urlpatterns, *mounted(every))
    rows = {
        "egnyteaccount": (
            make(egnyte_user, 1, domain=HIDDEN),
            ["change", "history", "delete", "validate", "refresh", "ask_reconnect", "revoke"],
        ),
        "egnytegrant": (make_grant(domain=HIDDEN), ["change", "history", "retry", "abandon"]),
    }

    for model, (row, pages) in rows.items():
        for page in pages:
            address = f"/every/django_egnyte/{model}/{row.pk}/{page}/"
            assert superuser.get(address).status_code == 403, address
            assert superuser.post(address, {"post": "yes"}).status_code == 403, address
            # On a site without such rules, everything is permitted.
            elsewhere = superuser.get(address.replace("/every/", "/admin/"))
            assert elsewhere.status_code in (200, 405), address
    assert not AccountEvent.objects.exists()
    assert hurried == []


ACTS = [
    ("egnyteaccount", "validate", EventKind.VALIDATION_ASKED),
    ("egnyteaccount", "refresh", EventKind.REFRESH_ASKED),
    ("egnyteaccount", "ask_reconnect", EventKind.RECONNECT_ASKED),
    ("egnyteaccount", "revoke", EventKind.REVOKED),
    ("egnytegrant", "retry", EventKind.RETRY_ASKED),
    ("egnytegrant", "abandon", EventKind.ABANDONED),
]


@pytest.mark.parametrize(("model", "act", "kind"), ACTS)
def test_an_act_on_selected_rows_leaves_out_those_that_are_hidden(
    superuser: Client,
    egnyte_user: Any,
    hurried: list[Any],
    settings: Any,
    model: str,
    act: str,
    kind: EventKind,
) -> None:
    settings.ROOT_URLCONF = (*urlpatterns, *mounted(every))
    if model == "egnyteaccount":
        seen, hidden = make(egnyte_user, 1), make(egnyte_user, 2, domain=HIDDEN)
    else:
        seen, hidden = make_grant(), make_grant(domain=HIDDEN)
    address = f"/every/django_egnyte/{model}/"
    data = {"action": act, "_selected_action": [seen.pk, hidden.pk], "post": "yes"}

    page = text_of(superuser.post(address, data, follow=True))
    assert "1 was left as it is: you do not have permission" in page
    assert [event.domain for event in AccountEvent.objects.filter(kind=kind)] == [seen.domain]
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(seen.pk)]

    data["_selected_action"] = [hidden.pk]
    del data["post"]
    page = text_of(superuser.post(address, data, follow=True))
    assert "1 was left as it is: you do not have permission" in page
    assert AccountEvent.objects.filter(kind=kind).count() == 1


def test_what_is_to_be_confirmed_leaves_out_what_is_hidden(
    superuser: Client, egnyte_user: Any, settings: Any
) -> None:
    settings.ROOT_URLCONF = (*urlpatterns, *mounted(every))
    seen, hidden = make(egnyte_user, 1), make(egnyte_user, 2, domain=HIDDEN)
    data = {"action": "revoke", "_selected_action": [seen.pk, hidden.pk]}

    page = text_of(superuser.post("/every/django_egnyte/egnyteaccount/", data))
    assert f'name="_selected_action" value="{seen.pk}"' in page
    assert f'value="{hidden.pk}"' not in page
    assert "jsmith2" not in page


def test_rows_that_are_hidden_are_not_deleted_with_others(
    superuser: Client, egnyte_user: Any, hurried: list[Any], settings: Any
) -> None:
    settings.ROOT_URLCONF = (*urlpatterns, *mounted(every))
    seen, hidden = make(egnyte_user, 1), make(egnyte_user, 2, domain=HIDDEN)
    data = {"action": "delete_selected", "_selected_action": [seen.pk, hidden.pk], "post": "yes"}

    assert superuser.post("/every/django_egnyte/egnyteaccount/", data).status_code == 403
    assert EgnyteAccount.objects.count() == 2


def test_a_site_can_grant_an_act_for_some_rows(
    superuser: Client, egnyte_user: Any, hurried: list[Any], settings: Any
) -> None:
    settings.ROOT_URLCONF = (*urlpatterns, *mounted(careful))
    ours, theirs = make(egnyte_user, 1), make(egnyte_user, 2, domain="globex.egnyte.com")
    start = "/careful/django_egnyte/egnyteaccount/"

    assert f"{start}{ours.pk}/revoke/" in text_of(superuser.get(f"{start}{ours.pk}/change/"))
    shown = text_of(superuser.get(f"{start}{theirs.pk}/change/"))
    assert f"{start}{theirs.pk}/validate/" in shown
    assert f"{start}{theirs.pk}/revoke/" not in shown
    assert superuser.post(f"{start}{theirs.pk}/revoke/", {"post": "yes"}).status_code == 403
    data = {"action": "revoke", "_selected_action": [ours.pk, theirs.pk], "post": "yes"}
    superuser.post(start, data)
    assert [each.pk for each in EgnyteAccount.objects.live()] == [theirs.pk]
