"""Users are told on their next page when a connection has ended."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from django_egnyte.models import EgnyteAccount
from django_egnyte.services.disconnect import revoke

pytestmark = pytest.mark.django_db(transaction=True)


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_a_user_is_told_once_that_a_connection_has_ended(
    browser: Client, egnyte_account: EgnyteAccount, django_assert_num_queries: Any
) -> None:
    assert told(browser.get("/plain/")) == []
    revoke(egnyte_account, actor="task", reason="Egnyte refuses the token")
    # A page that does not use Egnyte shows no message and makes no query.
    assert told(browser.get("/")) == []
    first = browser.get("/plain/")
    assert first.content == b"not linked"
    assert told(first) == ["Your connection to acme.egnyte.com has ended. Please reconnect."]
    # The message waits for a page that shows messages, and is shown once.
    page = browser.get("/egnyte/").content.decode()
    assert page.count("has ended") == 1
    assert told(browser.get("/plain/")) == []


def test_a_user_is_told_again_when_the_connection_ends_again(
    browser: Client, egnyte_account: EgnyteAccount, egnyte_sandbox: Any
) -> None:
    from django_egnyte.pytest_plugin import link_account

    revoke(egnyte_account, actor="task", reason="Egnyte refuses the token")
    browser.get("/plain/")
    browser.get("/egnyte/")
    account = link_account(egnyte_sandbox, egnyte_account.user)
    assert told(browser.get("/plain/")) == []
    revoke(account, actor="task", reason="Egnyte refuses the token")
    assert len(told(browser.get("/plain/"))) == 1


def test_a_401_says_why_the_user_is_sent_to_connect(
    browser: Client, egnyte_sandbox: Any, egnyte_user: Any
) -> None:
    from django_egnyte.pytest_plugin import link_account

    egnyte_sandbox.policy.style = "legacy"
    link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    page = browser.get("/egnyte-userinfo/", follow=True)
    assert page.redirect_chain[-1][0].startswith("/egnyte/connect/")
    assert "no longer accepts your connection to acme.egnyte.com" in page.content.decode()
