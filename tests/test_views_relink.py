from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse

from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.services import link as linking
from tests import walk
from tests.walk import assert_nothing_is_left, assert_refusal


def another_user(django_user_model: Any, django_username_field: str) -> Any:
    return django_user_model.objects.create(**{django_username_field: "other@example.com"})


def test_a_wrong_egnyte_user_does_not_replace_the_account_to_relink(
    browser: Client, egnyte_sandbox: Any
) -> None:
    walk.link(browser, egnyte_sandbox)
    account = EgnyteAccount.objects.get()
    before = account.open_token()
    response = walk.link(browser, egnyte_sandbox, username="bdoe", account=account.pk)
    assert_refusal(response, 409, "logged in as another user")
    assert EgnyteAccount.objects.get().open_token() == before
    assert walk.orphans(egnyte_sandbox) == []
    assert {token.username for token in egnyte_sandbox.live_tokens()} == {"jsmith"}


def test_a_relink_replaces_the_token_and_ends_the_old_one(
    browser: Client, egnyte_sandbox: Any
) -> None:
    walk.link(browser, egnyte_sandbox)
    account = EgnyteAccount.objects.get()
    old, version = account.open_token(), account.token_id
    assert walk.link(browser, egnyte_sandbox, account=account.pk).status_code == 302
    account = EgnyteAccount.objects.get()
    assert account.token_id == version + 1
    assert account.open_token() != old
    assert walk.orphans(egnyte_sandbox) == []
    assert not egnyte_sandbox.is_alive(old)
    assert egnyte_sandbox.is_alive(account.open_token())


@pytest.mark.parametrize("style", ["modern", "legacy"])
def test_a_token_that_egnyte_gives_twice_is_not_revoked(
    browser: Client, egnyte_sandbox: Any, style: str
) -> None:
    egnyte_sandbox.policy.same_token = True
    egnyte_sandbox.policy.style = style
    walk.link(browser, egnyte_sandbox)
    before = EgnyteAccount.objects.get().open_token()
    walk.link(browser, egnyte_sandbox)
    account = EgnyteAccount.objects.get()
    assert account.open_token() == before
    assert walk.orphans(egnyte_sandbox) == []
    assert egnyte_sandbox.is_alive(account.open_token())
    assert EgnyteAccount.objects.get().is_live


def test_a_token_that_another_user_of_the_site_holds_survives_this_ones_disconnect(
    browser: Client,
    egnyte_sandbox: Any,
    django_user_model: Any,
    django_username_field: str,
) -> None:
    egnyte_sandbox.policy.same_token = True
    other = another_user(django_user_model, django_username_field)
    theirs = link_account(egnyte_sandbox, other)
    walk.link(browser, egnyte_sandbox)
    mine = EgnyteAccount.objects.exclude(pk=theirs.pk).get()
    assert mine.open_token() == theirs.open_token()
    browser.post(reverse("egnyte:disconnect", args=[mine.pk]))
    assert walk.orphans(egnyte_sandbox) == []
    assert egnyte_sandbox.is_alive(theirs.open_token())


def test_a_relink_of_an_account_that_was_disconnected_meanwhile_links_nothing(
    browser: Client, egnyte_sandbox: Any
) -> None:
    walk.link(browser, egnyte_sandbox)
    account = EgnyteAccount.objects.get()
    location = egnyte_sandbox.authorize(walk.begin(browser, account=account.pk), "jsmith")
    browser.post(reverse("egnyte:disconnect", args=[account.pk]))
    assert_refusal(walk.come_back(browser, location), 409)
    assert_nothing_is_left(egnyte_sandbox)


@pytest.mark.django_db(transaction=True)
def test_a_user_deleted_during_the_exchange_leaves_no_token(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    prove = linking.prove_and_store

    def deleting(request: Any, token: Any) -> Any:
        # A stand-in, so that the request's own user keeps its primary key.
        type(egnyte_user).objects.get(pk=request.user.pk).delete()
        return prove(request, token)

    monkeypatch.setattr(linking, "prove_and_store", deleting)
    response = walk.come_back(browser, location)
    assert_refusal(response, 400)
    assert_nothing_is_left(egnyte_sandbox)


def test_the_budget_of_the_key_is_a_503_page_and_no_call(
    browser: Client, egnyte_sandbox: Any, settings: Any
) -> None:
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 2
    walk.link(browser, egnyte_sandbox)
    response = walk.link(browser, egnyte_sandbox)
    assert_refusal(response, 503, "busy")
    assert 0 < int(response["Retry-After"]) <= 3600
    assert egnyte_sandbox.counts["token"] == 1


def test_the_callback_is_in_nobodys_transaction(
    browser: Client, egnyte_sandbox: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert walk.link(browser, egnyte_sandbox).status_code == 302
    account = EgnyteAccount.objects.get()
    assert browser.post(reverse("egnyte:disconnect", args=[account.pk])).status_code == 302
    assert_nothing_is_left(egnyte_sandbox)
