"""Sentry at its default settings gets no token, code, password, client secret or key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from celery import Celery
from cryptography.fernet import Fernet
from django.db import OperationalError
from django.test import Client
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

from django_egnyte import http, queue
from django_egnyte.api import steps
from django_egnyte.ciphers import FernetCipher
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.oauth import TokenAnswer
from django_egnyte.secret import Secret
from django_egnyte.services import disconnect, grants, link, revoke, rotate, sweep, validate
from django_egnyte.services.refresh import refresh
from django_egnyte.services.transactions import DatabaseNow
from tests import walk

pytestmark = pytest.mark.django_db(transaction=True)

HOST = "acme.egnyte.com"
CODE = "c0de-that-nobody-may-see"
PASSWORD = "passw0rd-that-nobody-may-see"
BROUGHT = "t0ken-that-nobody-may-see"
# Not in the tests, because Sentry shows their lines.
NEW_KEY = "a new key of tokens, of thirty-two characters and more"


class Kept(Transport):
    """Sends nothing and keeps the events."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.events: list[str] = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            found = item.payload.json
            self.events.append(json.dumps(found) if found else str(item.payload.get_bytes()))


@pytest.fixture(params=["defaults", "everything"])
def sentry(request: Any) -> Iterator[Kept]:
    """Sentry with its default settings and tracing, but without the scrubber of variables."""
    options: Any = {}
    if request.param == "everything":
        keeps_all = EventScrubber(denylist=[], pii_denylist=[])
        options = {"traces_sample_rate": 1.0, "event_scrubber": keeps_all}
    kept = Kept()
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=kept, **options)
    yield kept
    sentry_sdk.get_client().close()
    sentry_sdk.init()


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys that are derived for each place."""
    found: set[str] = set()
    make = Fernet.__init__

    def noting(self: Fernet, key: Any, *args: Any) -> None:
        found.add(key.decode())
        make(self, key, *args)

    monkeypatch.setattr(Fernet, "__init__", noting)
    return found


@pytest.fixture
def assert_kept(
    sentry: Kept, egnyte_sandbox: Any, settings: Any, derived: set[str]
) -> Callable[..., None]:
    def secrets() -> set[str]:
        found = {token.value for token in egnyte_sandbox.live_tokens()}
        found |= {CODE, PASSWORD, BROUGHT, settings.EGNYTE_CLIENT_SECRET, settings.SECRET_KEY}
        return found | derived | set(settings.EGNYTE_ENCRYPTION_KEYS)

    def check(call: Callable[[], Any], *names: str) -> None:
        before = secrets()
        reported(call)
        events = [each for each in sentry.events if '"exception"' in each]
        assert events
        text = "\n".join(sentry.events)
        assert '"vars"' in text  # the local variables
        for name in names:
            assert name in text
        for secret in before | secrets():
            assert secret
            assert secret not in text

    return check


def reported(call: Callable[[], Any]) -> None:
    """As in a site's own code: a second error has the first one as its context."""
    try:
        try:
            call()
        except Exception as error:
            sentry_sdk.capture_exception(error)
            raise LookupError("what the site makes of it") from error
    except LookupError as error:
        sentry_sdk.capture_exception(error)


def bug(*args: Any, **kwargs: Any) -> None:
    raise ZeroDivisionError("a bug")


def chained(*args: Any, **kwargs: Any) -> None:
    try:
        bug()
    except ZeroDivisionError as error:
        raise OperationalError("away") from error


FAULTS: list[Any] = [
    pytest.param((http, "send", bug), id="bug"),
    pytest.param((grants, "write_down", chained), id="database"),
    pytest.param({"status": 503}, id="503"),
    pytest.param({"reset": True}, id="reset"),
    pytest.param({"status": 400, "body": {"error": "invalid_grant"}}, id="refused"),
    pytest.param({"malformed": True}, id="malformed"),
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


def test_sentry_shows_what_is_not_kept_from_it(sentry: Kept) -> None:
    def careless() -> float:
        found = BROUGHT
        return len(found) / 0

    reported(careless)
    assert BROUGHT in "\n".join(sentry.events)


def test_a_link_by_code(egnyte_user: Any, fault: Any, assert_kept: Any) -> None:
    fault()
    given: Any = {"host": HOST, "redirect_uri": "https://a/", "scopes": []}
    assert_kept(
        lambda: link.link_with_code(egnyte_user, code=Secret(CODE), **given), "link_with_code"
    )


def test_a_link_by_password(egnyte_user: Any, fault: Any, assert_kept: Any) -> None:
    fault()
    given: Any = {"username": "jsmith", "host": HOST, "scopes": []}
    assert_kept(lambda: link.link_with_password(egnyte_user, password=Secret(PASSWORD), **given))


def test_a_link_by_a_token_from_the_browser(egnyte_user: Any, assert_kept: Any) -> None:
    answer = TokenAnswer(Secret(BROUGHT))
    assert_kept(lambda: link.link_with_token(egnyte_user, answer, host=HOST, scopes=[]))


def test_a_link_whose_owner_egnyte_does_not_name(
    browser: Client, egnyte_sandbox: Any, assert_kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_egnyte.oauth.OAuthClient.userinfo", chained)
    browser.raise_request_exception = False
    location = egnyte_sandbox.authorize(walk.begin(browser), "jsmith")
    assert_kept(lambda: browser.get(location), "OperationalError", "ZeroDivisionError")


def test_a_refresh(egnyte_account: EgnyteAccount, fault: Any, assert_kept: Any) -> None:
    fault()
    assert_kept(lambda: refresh(egnyte_account, actor="test"), "refresh_leased")


def due_grant(account: EgnyteAccount) -> EgnyteGrant:
    disconnect.disconnect(account.pk, actor="test")
    EgnyteGrant.objects.write(release_at=DatabaseNow())
    return EgnyteGrant.objects.get()


@pytest.mark.parametrize("broken", [bug, chained])
def test_a_revocation(
    egnyte_account: EgnyteAccount,
    assert_kept: Any,
    monkeypatch: pytest.MonkeyPatch,
    broken: Any,
) -> None:
    grant = due_grant(egnyte_account)
    monkeypatch.setattr(http, "send", broken)
    assert_kept(lambda: steps.run(revoke.revoking(grant, actor="test")), "ZeroDivisionError")


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"status": 400}])
def test_a_revocation_that_egnyte_refuses(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, assert_kept: Any, fault: Any
) -> None:
    grant = due_grant(egnyte_account)
    for path in ("revoke", "userinfo", "token"):
        egnyte_sandbox.faults.add(path=path, times=None, **fault)
    assert_kept(lambda: steps.run(revoke.revoking(grant, actor="test")), "revoking")


def test_a_pass_of_the_revoker_reports_a_bug(
    egnyte_account: EgnyteAccount, assert_kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    due_grant(egnyte_account)
    monkeypatch.setattr(http, "send", bug)
    assert_kept(revoke.process_revocations, "ZeroDivisionError", "row_failed")


def test_a_validation(
    egnyte_account: EgnyteAccount, assert_kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "send", bug)
    assert_kept(lambda: validate.validate(egnyte_account.pk, actor="test"), "ZeroDivisionError")


def test_a_sweep_reports_a_bug(
    egnyte_account: EgnyteAccount, assert_kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "send", bug)
    assert_kept(lambda: sweep.validate_batch([egnyte_account.pk], actor="task"), "ZeroDivision")


@pytest.mark.parametrize("lose", ["place", "key"])
def test_a_decryption(
    egnyte_account: EgnyteAccount, assert_kept: Any, settings: Any, lose: str
) -> None:
    if lose == "place":
        EgnyteToken.objects.write(seal_id="0" * 32)
    else:
        settings.EGNYTE_ENCRYPTION_KEYS = [NEW_KEY]
    assert_kept(EgnyteAccount.objects.get().open_token, "DecryptionError")
    assert_kept(lambda: refresh(EgnyteAccount.objects.get(), actor="test"), "DecryptionError")


def test_a_key_rotation(
    egnyte_account: EgnyteAccount,
    assert_kept: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.EGNYTE_ENCRYPTION_KEYS = [NEW_KEY, *settings.EGNYTE_ENCRYPTION_KEYS]
    monkeypatch.setattr(FernetCipher, "seal", chained)
    assert_kept(lambda: list(rotate.rotate()), "OperationalError")


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"status": 401}])
def test_a_call(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Any, assert_kept: Any, fault: Any
) -> None:
    egnyte_sandbox.faults.add(path="^/pubapi/v1/userinfo", times=None, **fault)
    assert_kept(egnyte_account.client.userinfo, "userinfo")


@pytest.mark.parametrize("url", ["/egnyte-userinfo/", "/egnyte-userinfo-async/"])
def test_a_page_whose_call_has_a_bug(
    browser: Client,
    egnyte_account: EgnyteAccount,
    assert_kept: Any,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
) -> None:
    monkeypatch.setattr(http, "send", chained)
    browser.raise_request_exception = False
    assert_kept(lambda: browser.get(url), "ZeroDivisionError")


def test_a_broker_that_takes_no_task(
    egnyte_account: EgnyteAccount, assert_kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_site_app", lambda: Celery("site", set_as_current=False))
    monkeypatch.setattr(queue, "_publish_in_time", chained)
    monkeypatch.setattr(http, "send", bug)
    queue.resume()

    def disconnect_and_revoke() -> None:
        steps.run(revoke.revoking(due_grant(egnyte_account), actor="test"))

    assert_kept(disconnect_and_revoke, "ZeroDivisionError", "broker")
    queue.resume()
