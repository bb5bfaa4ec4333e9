"""A traceback may be read with its local variables: by Django's debug page, Sentry, Rollbar.

No token, code, password, client secret or key may be found in any frame, ours or not.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings as site
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from django_egnyte import gateway, http
from django_egnyte.api import steps
from django_egnyte.ciphers import FernetCipher
from django_egnyte.exceptions import DecryptionError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.oauth import TokenAnswer
from django_egnyte.secret import Secret
from django_egnyte.services import (
    disconnect,
    grants,
    history,
    link,
    obtain,
    refresh,
    revoke,
    rotate,
    sweep,
    validate,
    webhooks,
)

from .conftest import HOST, all_due

CODE = "c0de-that-nobody-may-see"
PASSWORD = "passw0rd-that-nobody-may-see"
BROUGHT = "t0ken-that-nobody-may-see"


def shown_of(error: BaseException) -> str:
    """What a tool prints if it reads local variables, also of causes and contexts."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


@pytest.fixture
def secrets(egnyte_sandbox: Any) -> Callable[[], set[str]]:
    def all_of_them() -> set[str]:
        found = {token.value for token in egnyte_sandbox.live_tokens()}
        return found | {
            CODE,
            PASSWORD,
            BROUGHT,
            gateway.oauth(HOST).client_secret.reveal(),
            site.SECRET_KEY,
        }

    return all_of_them


@pytest.fixture
def assert_kept(secrets: Callable[[], set[str]]) -> Callable[..., None]:
    def check(call: Callable[[], Any]) -> None:
        before = secrets()
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            call()
        # Without this frame, because it holds all secrets.
        assert caught.value.__traceback__ is not None
        shown = shown_of(caught.value.with_traceback(caught.value.__traceback__.tb_next))
        assert "Traceback" in shown
        for secret in before | secrets():
            assert secret not in shown

    return check


def test_a_traceback_shows_what_is_not_kept_from_it() -> None:
    def careless() -> float:
        token = BROUGHT
        return len(token) / 0

    with pytest.raises(ZeroDivisionError) as caught:
        careless()
    assert BROUGHT in shown_of(caught.value)


def bug(*args: Any, **kwargs: Any) -> None:
    raise ZeroDivisionError("a bug")


def interrupted(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def database_away(*args: Any, **kwargs: Any) -> None:
    raise OperationalError("away")


FAULTS: list[Any] = [
    pytest.param((http, "send", bug), id="bug"),
    pytest.param((http, "send", interrupted), id="interrupt"),
    pytest.param((grants, "write_down", database_away), id="database"),
    pytest.param({"status": 503}, id="503"),
    pytest.param({"reset": True}, id="reset"),
    pytest.param({"status": 400, "body": {"error": "invalid_grant"}}, id="refused"),
    pytest.param({"truncate": 60}, id="cut"),
]


@pytest.fixture(params=FAULTS)
def fault(request: Any, monkeypatch: pytest.MonkeyPatch, egnyte_sandbox: Any) -> Any:
    """A fault at the token endpoint, before it, or after it."""

    def strike() -> None:
        if isinstance(request.param, tuple):
            monkeypatch.setattr(*request.param)
        else:
            egnyte_sandbox.faults.add(path="^/puboauth/token", method="POST", **request.param)

    return strike


def test_a_code_that_is_exchanged(egnyte_user, fault, assert_kept):
    fault()
    given = {"code": Secret(CODE), "host": HOST, "redirect_uri": "https://a/", "scopes": []}
    assert_kept(lambda: link.link_with_code(egnyte_user, **given))


def test_a_password_that_is_traded(egnyte_user, fault, assert_kept):
    fault()
    given = {"username": "jsmith", "password": Secret(PASSWORD), "host": HOST, "scopes": []}
    assert_kept(lambda: link.link_with_password(egnyte_user, **given))


def test_a_refresh(egnyte_account, fault, assert_kept):
    fault()
    assert_kept(lambda: refresh.refresh(egnyte_account, actor="test"))


@pytest.fixture(params=[bug, interrupted, database_away])
def broken_door(request: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(http, "send", request.param)


def test_a_token_that_a_browser_brought(egnyte_user, broken_door, assert_kept):
    broken_door()
    answer = TokenAnswer(Secret(BROUGHT))
    assert_kept(lambda: link.link_with_token(egnyte_user, answer, host=HOST, scopes=[]))


def test_a_token_that_is_given_back(egnyte_user, monkeypatch, assert_kept):
    monkeypatch.setattr(grants, "make_due", bug)
    answer = TokenAnswer(Secret(BROUGHT))
    assert_kept(lambda: link.give_back_token(egnyte_user, answer, host=HOST))


def test_a_token_that_is_written_down(egnyte_sandbox, monkeypatch, broken_door, assert_kept):
    monkeypatch.setattr(FernetCipher, "seal", bug)
    broken_door()
    answer = TokenAnswer(Secret(BROUGHT), Secret(BROUGHT))
    client = gateway.oauth(HOST)
    assert_kept(lambda: obtain.keep(answer, client=client, user_ref="1"))


def test_a_validation(egnyte_account, monkeypatch, assert_kept):
    monkeypatch.setattr(http, "send", bug)
    assert_kept(lambda: validate.validate(egnyte_account.pk, actor="test"))


def test_a_revocation(egnyte_account, broken_door, assert_kept):
    disconnect.disconnect(egnyte_account.pk, actor="test")
    all_due()
    broken_door()
    grant = EgnyteGrant.objects.get()
    assert_kept(lambda: steps.run(revoke.revoking(grant, actor="test")))


def test_a_deletion(egnyte_account, monkeypatch, assert_kept):
    monkeypatch.setattr(history, "announce", bug)
    assert_kept(egnyte_account.delete)


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"status": 401}])
def test_a_call(egnyte_account, egnyte_sandbox, fault, assert_kept):
    egnyte_sandbox.faults.add(path="^/pubapi/v1/userinfo", times=None, **fault)
    assert_kept(egnyte_account.client.userinfo)


def test_a_call_whose_send_has_a_bug(egnyte_account, broken_door, assert_kept):
    broken_door()
    assert_kept(egnyte_account.client.userinfo)


def test_a_rotation(egnyte_account, monkeypatch, settings, assert_kept):
    settings.EGNYTE_ENCRYPTION_KEYS = [
        "a new key of thirty-two characters or more",
        settings.SECRET_KEY,
    ]
    monkeypatch.setattr(FernetCipher, "seal", bug)
    assert_kept(lambda: list(rotate.rotate()))


def test_a_sweep_tells_no_token_to_the_log(egnyte_account, monkeypatch, secrets, caplog):
    monkeypatch.setattr(http, "send", bug)
    with suppress(ZeroDivisionError):
        sweep.validate_batch([egnyte_account.pk], actor="task")
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert errors
    for error in errors:
        for secret in secrets():
            assert secret not in shown_of(error)


def test_a_row_that_no_key_opens_shows_no_key(egnyte_account, assert_kept):
    EgnyteToken.objects.write(seal_id="0" * 32)
    assert_kept(EgnyteAccount.objects.get().open_token)
    with pytest.raises(DecryptionError):
        EgnyteAccount.objects.get().open_token()


def test_keys_that_cannot_be_used_are_not_shown(egnyte_account, settings, assert_kept):
    settings.EGNYTE_ENCRYPTION_KEYS = ["short", settings.SECRET_KEY]
    assert_kept(EgnyteAccount.objects.get().open_token)
    with pytest.raises(ImproperlyConfigured):
        EgnyteAccount.objects.get().open_token()


@pytest.mark.parametrize("broken", ["_keys", "_derived", "is_from_egnyte"])
def test_a_webhooks_secret_that_is_compared(egnyte_account, monkeypatch, broken):
    sent = webhooks.secret_of(egnyte_account)
    monkeypatch.setattr(webhooks, broken, bug)
    with pytest.raises(ZeroDivisionError) as caught:
        webhooks.sender_of(sent)
    # The argument of bug() is one of its local variables.
    ours = shown_of(caught.value).partition("in bug")[0]
    assert "in sender_of" in ours
    assert sent.reveal().partition(".")[2] not in ours
