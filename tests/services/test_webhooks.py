"""The secret of an account's webhook, through rotation of the keys, and its renewal."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_egnyte.callers import WEBHOOK_HEADER
from django_egnyte.exceptions import ConflictError, ForbiddenError
from django_egnyte.secret import Secret
from django_egnyte.services import webhooks
from django_egnyte.services.rotate import rotate
from tests.values import assert_stays_as_made

URL = "https://site.example/egnyte/webhook/"
OLD, NEW = "o" * 40, "n" * 40


@pytest.fixture
def admin(link: Any, egnyte_user: Any) -> Any:
    return link(egnyte_user, username="admin", scopes=())


def sent_by(sandbox: Any) -> set[str]:
    """The secrets that Egnyte would send now."""
    sandbox.add_file("acme", "/Shared/x.txt", b"x")
    return {told["headers"][WEBHOOK_HEADER] for told in sandbox.notifications("acme")}


def test_a_sender_stays_as_made():
    assert_stays_as_made(webhooks.Sender)


def test_a_secret_proves_one_account(many):
    one, two = many(2)
    secret = webhooks.secret_of(one)
    assert secret != webhooks.secret_of(two)
    assert webhooks.sender_of(secret) == webhooks.Sender(one.pk, is_current=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.upper(),
        lambda text: "1" + text,
        lambda text: text.partition(".")[2],
        lambda text: "9" * 30 + "." + text.partition(".")[2],
        lambda text: "٣." + text.partition(".")[2],
        lambda text: text.partition(".")[0] + ".",
        lambda text: "\udc80",
        lambda text: "one." + text.partition(".")[2],
        lambda text: "1" * 5000 + ".00",  # more digits than int() takes
        lambda text: "\u00b2.00",  # superscript two
    ],
)
def test_anything_else_proves_none(egnyte_account, change):
    text = webhooks.secret_of(egnyte_account).reveal()
    assert webhooks.sender_of(Secret(change(text))) is None


def test_while_keys_rotate_the_old_secret_proves_too(egnyte_account, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = [OLD]
    old = webhooks.secret_of(egnyte_account)
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
    assert webhooks.sender_of(old) == webhooks.Sender(egnyte_account.pk, is_current=False)
    new = webhooks.secret_of(egnyte_account)
    assert webhooks.sender_of(new) == webhooks.Sender(egnyte_account.pk, is_current=True)
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    assert webhooks.sender_of(old) is None
    assert webhooks.sender_of(new) is not None


def test_no_key_proves_nothing(egnyte_account, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = ["", None]
    with pytest.raises(ImproperlyConfigured):
        webhooks.secret_of(egnyte_account)
    assert webhooks.sender_of(Secret("1.00")) is None


def test_a_renewed_webhook_carries_the_newest_keys_secret(admin, egnyte_sandbox, settings):
    keys = settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS
    first = webhooks.register(admin, URL, kinds=["fs:add_file"], paths=["/Shared", "/Private"])
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW, *keys]
    [hook] = webhooks.of_site(admin)
    renewed = webhooks.renew(admin, hook)
    for _ in rotate():
        pass
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW]
    [sent] = sent_by(egnyte_sandbox)
    assert webhooks.sender_of(Secret(sent)) == webhooks.Sender(admin.pk, is_current=True)
    [hook] = type(admin).objects.get().client.webhooks.list()
    assert hook.webhook_id == renewed.webhook_id != first.webhook_id
    assert (hook.url, hook.event_type, hook.path) == (URL, ("fs:add_file",), "/Shared,/Private")


def test_where_egnyte_takes_no_more_webhooks_the_old_one_goes_first(admin):
    with suppress(ConflictError):
        for _ in range(100):
            webhooks.register(admin, URL)
    hooks = webhooks.of_site(admin)
    assert len(hooks) < 100
    assert webhooks.renew(admin, hooks[0]).webhook_id not in {each.webhook_id for each in hooks}
    assert len(webhooks.of_site(admin)) == len(hooks)


def test_a_renewal_that_fails_keeps_the_old_one(admin, egnyte_sandbox):
    hook = webhooks.register(admin, URL)
    egnyte_sandbox.faults.add(path="/webhooks$", method="POST", status=403)
    with pytest.raises(ForbiddenError):
        webhooks.renew(admin, hook)
    assert [each.webhook_id for each in webhooks.of_site(admin)] == [hook.webhook_id]


def test_webhooks_of_others_are_not_the_sites(admin):
    admin.client.webhooks.register("https://other.example/hook")
    assert webhooks.of_site(admin) == []


def test_the_address_is_at_the_host_of_the_redirect_uri(settings):
    settings.EGNYTE_REDIRECT_URI = "https://site.example/egnyte/callback/"
    assert webhooks.site_url() == URL
    settings.EGNYTE_REDIRECT_URI = None
    assert webhooks.site_url() == ""
