from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_egnyte.admin.acts import MOST_AT_ONCE
from django_egnyte.choices import EventKind, Status
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
    HostState,
)
from django_egnyte.services.administer import RECONNECT_REASON

from .rows import TOKENS, actor, listed, make, make_grant, pick, text_of, url


def test_nothing_is_added_by_hand(superuser: Client) -> None:
    for model in ("egnyteaccount", "egnytegrant", "accountevent"):
        assert superuser.get(url("add", model=model)).status_code == 403


def test_the_history_and_the_outbox_are_for_reading(superuser: Client) -> None:
    event = AccountEvent.objects.create(kind=EventKind.CONNECTED)
    for row, model in ((event, "accountevent"), (make_grant(), "egnytegrant")):
        assert superuser.get(url("delete", row.pk, model=model)).status_code == 403
        assert superuser.post(url("change", row.pk, model=model), {}).status_code == 403
        page = text_of(superuser.get(url("changelist", model=model)))
        assert "delete_selected" not in page


ACTS = [
    ("egnyteaccount", "validate"),
    ("egnyteaccount", "refresh"),
    ("egnyteaccount", "ask_reconnect"),
    ("egnyteaccount", "revoke"),
    ("egnytegrant", "retry"),
    ("egnytegrant", "abandon"),
]


@pytest.mark.parametrize(("model", "act"), ACTS)
def test_each_act_has_a_permission_of_its_own(
    staff: Callable[..., Client],
    account: EgnyteAccount,
    hurried: list[Any],
    model: str,
    act: str,
) -> None:
    row = account if model == "egnyteaccount" else make_grant()
    others = [f"{name}_{m}" for m, name in ACTS if (m, name) != (model, act)]
    client = staff(*others, f"view_{model}", "change_egnyteaccount", "delete_egnyteaccount")

    assert client.post(url(act, row.pk, model=model), {"post": "yes"}).status_code == 403
    assert client.get(url(act, row.pk, model=model)).status_code == 403
    assert f'value="{act}"' not in text_of(client.get(url("changelist", model=model)))
    assert f"/{row.pk}/{act}/" not in text_of(client.get(url("change", row.pk, model=model)))
    pick(client, act, row, model=model, post="yes")
    assert not AccountEvent.objects.exists()
    assert not LogEntry.objects.exists()
    assert hurried == []

    client.administrator.user_permissions.add(  # type: ignore[attr-defined]
        Permission.objects.get(codename=f"{act}_{model}")
    )
    assert f"/{row.pk}/{act}/" in text_of(client.get(url("change", row.pk, model=model)))
    assert client.post(url(act, row.pk, model=model), {"post": "yes"}).status_code == 302
    assert AccountEvent.objects.get().actor == actor(client)


@pytest.mark.parametrize(("model", "act"), ACTS)
def test_an_act_is_not_for_who_may_not_see_the_row(
    staff: Callable[..., Client], account: EgnyteAccount, model: str, act: str
) -> None:
    row = account if model == "egnyteaccount" else make_grant()
    client = staff(f"{act}_{model}")

    assert client.post(url(act, row.pk, model=model), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(("model", "act"), ACTS)
def test_an_act_needs_a_post_and_a_csrf_token(
    superuser: Client, account: EgnyteAccount, model: str, act: str
) -> None:
    row = account if model == "egnyteaccount" else make_grant()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(superuser.administrator)  # type: ignore[attr-defined]

    assert strict.post(url(act, row.pk, model=model), {"post": "yes"}).status_code == 403
    assert superuser.get(url(act, row.pk, model=model)).status_code in (200, 405)
    assert not AccountEvent.objects.exists()
    assert superuser.post(url(act, 987654, model=model)).status_code == 404


@pytest.mark.parametrize("in_list", [True, False])
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize(
    ("act", "kind", "task"),
    [
        ("validate", EventKind.VALIDATION_ASKED, "validate_account"),
        ("refresh", EventKind.REFRESH_ASKED, "refresh_account"),
        ("ask_reconnect", EventKind.RECONNECT_ASKED, None),
        ("revoke", EventKind.REVOKED, "process_revocations"),
    ],
)
def test_an_act_on_an_account_is_done_and_recorded(
    superuser: Client,
    account: EgnyteAccount,
    hurried: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    in_list: bool,
    atomic: bool,
    act: str,
    kind: EventKind,
    task: str | None,
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)
    if in_list:
        pick(superuser, act, account, post="yes")
    else:
        superuser.post(url(act, account.pk), {"post": "yes"})

    event = AccountEvent.objects.get()
    assert (event.kind, event.actor, event.account_ref) == (kind, actor(superuser), account.pk)
    assert LogEntry.objects.get().object_id == str(account.pk)
    args = (account.pk, account.token_id) if task in ("validate_account", "refresh_account") else ()
    assert hurried == ([(task, *args, False)] if task else [])
    found = EgnyteAccount.objects.get()
    now = timezone.now()
    if act == "validate":
        assert found.next_validation_at <= now
    elif act == "refresh":
        due = EgnyteGrant.objects.get().next_refresh_at
        assert due is not None and due <= now
    elif act == "ask_reconnect":
        assert found.status_reason == RECONNECT_REASON
        assert found.status == Status.ACTIVE
    else:
        assert (found.status, found.token) == (Status.REVOKED, None)
        (token,) = EgnyteGrant.objects.exclude(release_at=None).get().tokens.all()
        assert token.open().access_token.reveal() == TOKENS[0]


def test_revoking_is_confirmed_first(
    superuser: Client, account: EgnyteAccount, egnyte_user: Any, hurried: list[Any]
) -> None:
    other = make(egnyte_user, 2)

    for page in (
        superuser.get(url("revoke", account.pk)),
        pick(superuser, "revoke", account, other),
    ):
        assert "stops using the account at once" in text_of(page)
    assert EgnyteAccount.objects.live().count() == 2

    names = re.findall(r'name="(_selected_action|action|post)" value="(\w+)"', text_of(page))
    assert ("_selected_action", str(other.pk)) in names
    superuser.post(
        url("changelist"),
        {
            "action": "revoke",
            "post": "yes",
            "_selected_action": [pk for name, pk in names if name == "_selected_action"],
        },
    )
    assert EgnyteAccount.objects.live().count() == 0


def test_what_does_not_apply_is_left_alone_and_said(
    superuser: Client, egnyte_user: Any, hurried: list[Any]
) -> None:
    dead = make(egnyte_user, 1, status=Status.REVOKED)
    simple = make(egnyte_user, 2, refresh_fingerprint="")

    page = pick(superuser, "refresh", dead, simple)
    assert "2 were left as they are" in text_of(page)
    assert hurried == []
    assert not LogEntry.objects.exists()
    shown = text_of(superuser.get(url("change", dead.pk)))
    assert "ask_reconnect/" in shown
    assert not [act for act in ("validate/", "refresh/", "revoke/") if f"{dead.pk}/{act}" in shown]


def test_an_action_does_not_take_on_too_many(
    superuser: Client, egnyte_user: Any, hurried: list[Any]
) -> None:
    EgnyteAccount.objects.bulk_create(
        EgnyteAccount(user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=n)
        for n in range(MOST_AT_ONCE + 1)
    )
    some = EgnyteAccount.objects.first()

    page = pick(superuser, "validate", some, select_across="1")
    assert f"Select {MOST_AT_ONCE} rows at most" in text_of(page)
    assert hurried == []


def test_deleting_is_revoking(superuser: Client, egnyte_user: Any, hurried: list[Any]) -> None:
    accounts = [make(egnyte_user, n) for n in range(3)]

    superuser.post(url("delete", accounts[0].pk), {"post": "yes"})
    pick(superuser, "delete_selected", *accounts[1:], post="yes")

    assert not EgnyteAccount.objects.exists()
    assert EgnyteGrant.objects.count() == 3
    events = AccountEvent.objects.values_list("kind", "actor")
    assert list(events) == [(EventKind.DISCONNECTED, actor(superuser))] * 3
    assert LogEntry.objects.count() == 3


def test_deleting_has_its_permission(staff: Callable[..., Client], account: EgnyteAccount) -> None:
    client = staff("view_egnyteaccount", "change_egnyteaccount", "revoke_egnyteaccount")

    assert client.post(url("delete", account.pk), {"post": "yes"}).status_code == 403
    assert EgnyteAccount.objects.exists()


def test_the_default_account_is_chosen(superuser: Client, egnyte_user: Any) -> None:
    old = make(egnyte_user, 1, is_default=True)
    new = make(egnyte_user, 2)

    forged = {"is_default": "on", "status": "revoked", "domain": "evil.egnyte.com", "token": "x"}
    assert superuser.post(url("change", new.pk), forged).status_code == 302
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.is_default, new.is_default) == (False, True)
    assert (new.status, new.domain) == (Status.ACTIVE, "acme.egnyte.com")
    assert LogEntry.objects.get().object_id == str(new.pk)

    superuser.post(url("change", new.pk), {})
    new.refresh_from_db()
    assert not new.is_default


def test_a_failed_revocation_is_tried_again(superuser: Client, hurried: list[Any]) -> None:
    row = make_grant()
    HostState.objects.create(host=row.domain, held_off_until=timezone.now() + timedelta(days=1))

    pick(superuser, "retry", row, model="egnytegrant")

    row.refresh_from_db()
    assert row.release_at <= timezone.now() + timedelta(seconds=1)
    assert not HostState.objects.exists()
    assert hurried == [("process_revocations", False)]
    assert AccountEvent.objects.get().kind == EventKind.RETRY_ASKED


def test_a_token_in_flight_is_not_hurried(superuser: Client, hurried: list[Any]) -> None:
    row = make_grant(revoke_attempts=0)

    superuser.post(url("retry", row.pk, model="egnytegrant"))

    row.refresh_from_db()
    assert row.release_at > timezone.now()
    assert hurried == []
    assert not AccountEvent.objects.exists()


def test_abandoning_is_confirmed_and_recorded(superuser: Client) -> None:
    row = make_grant()
    page = superuser.get(url("abandon", row.pk, model="egnytegrant"))
    assert "the tokens may stay valid at Egnyte" in text_of(page)

    done = superuser.post(url("abandon", row.pk, model="egnytegrant"), {"post": "yes"})

    assert done.headers["Location"] == url("changelist", model="egnytegrant")
    assert not EgnyteGrant.objects.exists()
    event = AccountEvent.objects.get()
    assert (event.kind, event.actor) == (EventKind.ABANDONED, actor(superuser))


def test_stuck_revocations_are_found(superuser: Client) -> None:
    make_grant(username="stuck")
    make_grant(username="fresh", revoke_attempts=0)
    make_grant(username="used", revoke_attempts=0, release_at=None)

    address = url("changelist", model="egnytegrant")
    assert listed(superuser.get(address, {"state": "failed"})) == {"stuck"}
    assert listed(superuser.get(address, {"state": "waiting"})) == {"stuck", "fresh"}
    assert listed(superuser.get(address, {"state": "used"})) == {"used"}
    assert len(listed(superuser.get(address))) == 3


def test_the_events_of_an_account_are_linked(superuser: Client, account: EgnyteAccount) -> None:
    AccountEvent.objects.create(kind=EventKind.CONNECTED, account_ref=account.pk, username="mine")
    AccountEvent.objects.create(kind=EventKind.CONNECTED, account_ref=0, username="other")
    shown = text_of(superuser.get(url("change", account.pk)))
    (link,) = re.findall(r'href="([^"]*account_ref__exact=\d+)"', shown)

    assert listed(superuser.get(link)) == {"mine"}
