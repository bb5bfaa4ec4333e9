"""A bug's report shows every frame's variables: none of ours may hold a token then."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS
from django.views.debug import ExceptionReporter

import django_egnyte
from django_egnyte import fields, gateway, http
from django_egnyte.ciphers import FernetCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.models import EgnyteAccount, PendingRevocation
from django_egnyte.oauth import TokenAnswer
from django_egnyte.services import (
    history,
    hosts,
    link,
    obtain,
    outbox,
    refresh,
    revoke,
    rotate,
    sweep,
    validate,
)

pytestmark = pytest.mark.django_db

PACKAGE = Path(django_egnyte.__file__).parent
HOST = "acme.egnyte.com"
SECRET = "t0ken-that-nobody-may-see"


@pytest.fixture
def account(egnyte_account):
    """Its instance holds its tokens in the clear, as after a call."""
    EgnyteAccount.objects.write(
        access_token=fields.seal(SECRET, egnyte_account.seal_context("access_token")),
        refresh_token=fields.seal(SECRET, egnyte_account.seal_context("refresh_token")),
    )
    found = EgnyteAccount.objects.get()
    assert found.open_token() == found.opened_token().refresh_token.reveal() == SECRET
    return found


@pytest.fixture
def bug(monkeypatch):
    """Let a function of ours fail, wherever it is called from."""

    def plant(where, name):
        def fail(*args, **kwargs):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(where, name, fail)

    return plant


def report(call):
    """What a site's error mail would show of this call: each frame's file and variables."""
    try:
        call()
    except ZeroDivisionError:
        frames = ExceptionReporter(None, *sys.exc_info()).get_traceback_frames()
        return [(frame["filename"], str(frame["vars"])) for frame in frames]
    pytest.fail("nothing was wrong")


def assert_kept(call):
    ours = [shown for path, shown in report(call) if Path(path).is_relative_to(PACKAGE)]
    assert ours
    assert SECRET not in "".join(ours)


def test_a_report_shows_what_is_not_kept_from_it():
    def careless():
        token = SECRET
        return len(token) / 0

    assert SECRET in report(careless)[-1][1]


def test_a_code_that_is_traded(egnyte_user, bug):
    bug(http, "send")
    given = {"code": SECRET, "host": HOST, "redirect_uri": "https://a.example/", "scopes": []}
    assert_kept(lambda: link.link_with_code(egnyte_user, **given))


def test_a_password_that_is_traded(egnyte_user, bug):
    bug(http, "send")
    given = {"username": "jsmith", "password": SECRET, "host": HOST, "scopes": []}
    assert_kept(lambda: link.link_with_password(egnyte_user, **given))


def test_a_token_that_a_browser_brought(egnyte_user, bug):
    bug(http, "send")
    answer = TokenAnswer(SECRET)
    assert_kept(lambda: link.link_with_token(egnyte_user, answer, host=HOST, scopes=[]))


def test_a_token_that_is_given_back(egnyte_user, bug):
    bug(outbox, "make_due")
    assert_kept(lambda: link.give_back_token(egnyte_user, TokenAnswer(SECRET), host=HOST))


def test_a_token_that_is_stored(account, bug):
    row = outbox.put_held(account, using=DEFAULT_DB_ALIAS, reason="test")
    new = obtain.Obtained(TokenAnswer(SECRET, SECRET), row)
    bug(http, "send")
    options = {"host": HOST, "scopes": [], "flow": "authorization_code", "relink": None}
    assert_kept(lambda: link.prove_and_store(account.user, new, **options))


def test_a_token_that_is_obtained(egnyte_sandbox, bug):
    bug(http, "send")
    given = {"host": HOST, "user_ref": "1", "reason": "test"}
    assert_kept(lambda: obtain.obtain(lambda client: client.refresh(SECRET), **given))


def test_a_token_that_is_written_down(egnyte_sandbox, bug):
    bug(FernetCipher, "seal")
    bug(http, "send")
    client = gateway.oauth(HOST)
    answer = TokenAnswer(SECRET, SECRET)
    assert_kept(lambda: obtain.keep(answer, client=client, user_ref="1", reason="test"))


def test_a_refresh(account, bug):
    bug(http, "send")
    assert_kept(lambda: refresh.refresh(account, actor="test"))


def test_a_validation(account, bug):
    bug(http, "send")
    assert_kept(lambda: validate.validate_loaded(account, actor="test"))


def test_a_revocation(account, bug):
    account.delete()
    row = PendingRevocation.objects.get()
    bug(http, "send")
    assert_kept(lambda: revoke.revoke_row(row, actor="test", failures=hosts.Failures()))


def test_a_deletion(account, bug):
    bug(history, "announce")
    assert_kept(account.delete)


def test_a_rotation(account, bug, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = [
        "a new key of thirty-two characters or more",
        *fields.conf.encryption_keys,
    ]
    bug(FernetCipher, "seal")
    assert_kept(lambda: list(rotate.rotate()))


def test_a_token_that_a_sweep_s_thread_asks_about(account, bug):
    bug(http, "send")
    assert_kept(lambda: sweep.validate_batch([account.pk], actor="task"))


def shown_of(error):
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    frames = reporter.get_traceback_frames()
    ours = [each for each in frames if Path(each["filename"]).is_relative_to(PACKAGE)]
    assert ours
    return "".join(str(each["vars"]) for each in ours)


def test_a_row_that_no_key_opens_shows_no_key(egnyte_account):
    EgnyteAccount.objects.write(access_token=fields.seal("a token", "of elsewhere"))
    with pytest.raises(DecryptionError) as caught:
        _ = EgnyteAccount.objects.get().open_token()
    assert fields.conf.encryption_keys[0] not in shown_of(caught.value)


def test_keys_that_cannot_be_used_are_not_shown(egnyte_account, settings):
    old = fields.conf.encryption_keys[0]
    settings.EGNYTE_ENCRYPTION_KEYS = ["short", old]
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = EgnyteAccount.objects.get().open_token()
    assert old not in shown_of(caught.value)
