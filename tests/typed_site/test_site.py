"""The site's own tests, with the fixtures of the package."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, assert_type, cast

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.utils import timezone

from django_egnyte.access import EgnyteHttpRequest, LinkedClient
from django_egnyte.accounts import follow, unfollow
from django_egnyte.exceptions import (
    EgnyteError,
    ForbiddenError,
    GrantTypeError,
    InTransactionError,
    InvalidPathError,
    LockedError,
    NotLinkedError,
    OAuthError,
    RateLimitedError,
    StateError,
    TokenConflictError,
    UnavailableError,
)
from django_egnyte.middleware import EgnyteMiddleware
from django_egnyte.models import EgnyteAccount, EgnyteToken
from django_egnyte.sandbox import (
    Issued,
    LiveGrant,
    LiveToken,
    LoggedRequest,
    Sandbox,
    SandboxServer,
    Settings,
    TokenPolicy,
)
from django_egnyte.sandbox.faults import Faults
from django_egnyte.secret import Secret

from . import accounts, borrowed, failures, jobs, receivers, settings, views
from .management.commands import nightly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.typed_site.urls")]


@pytest.fixture
def browser(client: Client, egnyte_user: User) -> Client:
    client.force_login(egnyte_user)
    client.defaults["HTTP_ACCEPT"] = "text/html"
    return client


@pytest.fixture
def connected() -> Iterator[None]:
    receivers.happened.clear()
    receivers.calls.clear()
    receivers.connect()
    yield
    receivers.disconnect()


def test_a_view_is_called_without_the_rest_of_the_site(
    egnyte_user: User, egnyte_account: EgnyteAccount
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return views.home(cast(EgnyteHttpRequest, request))

    request = RequestFactory().get("/")
    request.user = egnyte_user
    answer: HttpResponse = EgnyteMiddleware(view)(request)
    assert json.loads(answer.content) == {"linked": str(egnyte_account)}


def test_a_user_without_an_account_is_sent_to_connect(browser: Client) -> None:
    page = browser.get("/folder/", headers={"Accept": "text/html"})
    assert page.headers["Location"].startswith(reverse("egnyte:connect"))
    assert browser.get("/").json()["connect"].startswith(reverse("egnyte:connect"))


def test_a_user_connects_and_sees_the_files(
    browser: Client, egnyte_sandbox: Sandbox, egnyte_user: User, connected: None
) -> None:
    answer = browser.post(reverse("egnyte:connect"), {"domain": "acme"})
    back = egnyte_sandbox.authorize(answer.headers["Location"], "jsmith")
    assert reverse("egnyte:callback") in back
    answer = browser.get(back.removeprefix("http://testserver"))
    assert answer.headers["Location"] == reverse("egnyte:accounts")
    account = accounts.accounts_of(egnyte_user).get()
    assert receivers.happened == [f"new: {account}"]
    assert browser.get("/").json() == {"linked": str(account)}
    names = [file["name"] for file in browser.get("/folder/").json()["files"]]
    assert "report 2024.txt" in names
    assert receivers.calls["GET 200"] >= 1


def test_files_are_shown_and_changed(
    browser: Client, egnyte_sandbox: Sandbox, egnyte_account: EgnyteAccount
) -> None:
    egnyte_sandbox.add_file("acme", "/Shared/plan.txt", b"soon")
    assert browser.get("/file/Shared/plan.txt").json()["name"] == "plan.txt"
    stored = browser.post("/file/Shared/new.txt", b"later", content_type="text/plain")
    assert stored.status_code == 201
    assert b"".join(browser.get("/download/Shared/new.txt")) == b"later"
    assert browser.get("/folder/?path=/None").status_code == 404
    assert browser.post("/archive/", {"path": "/Shared/plan.txt"}).status_code == 302
    assert egnyte_sandbox.read_file("acme", "/Shared/Archive/plan.txt") == b"soon"
    assert browser.get("/links/").json()["status"] == 403  # a scope that was not asked for
    assert browser.get("/colleague/bdoe/").status_code == 403
    assert browser.get(f"/account/{egnyte_account.pk}/").json()["username"] == "jsmith"


def test_the_same_in_coroutines(
    browser: Client, egnyte_account: EgnyteAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Django runs no coroutine under it.
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", False)
    assert browser.get("/async/overview/").json()["user"] == "jsmith"
    assert browser.get("/async/size/").json()["bytes"] > 0
    assert len(browser.get("/async/tidy/").json()["checksum"]) == 128
    assert browser.get("/async/links/").json()["status"] == 403
    download = browser.get("/async/download/Shared/report%202024.txt")
    assert download.status_code == 200
    download.close()


def test_accounts_are_exported(egnyte_user: User, egnyte_account: EgnyteAccount) -> None:
    told = accounts.export(egnyte_account)
    assert "at acme.egnyte.com" in str(told["identity"])
    assert egnyte_account.open_token() not in json.dumps(told, default=str)
    assert accounts.owner(egnyte_account) == str(egnyte_account.user)
    assert accounts.how_many(egnyte_user) == 1
    accounts.correct(egnyte_account, "jane@acme.example")
    assert accounts.export(egnyte_account)["person"] != told["person"]
    assert accounts.figures()["live"] == 1
    assert accounts.forget(timezone.now() + timedelta(days=1)) > 0


def test_users_are_merged(
    egnyte_user: User,
    egnyte_account: EgnyteAccount,
    django_user_model: type[User],
    django_username_field: str,
) -> None:
    other = django_user_model.objects.create(**{django_username_field: "other@example.com"})
    assert accounts.merge(egnyte_user, other) == 1
    account = EgnyteAccount.objects.get()
    assert account.user == other
    assert account.client.userinfo()["username"] == "jsmith"


def test_jobs_use_the_account_s_client(
    egnyte_sandbox: Sandbox, egnyte_account: EgnyteAccount, egnyte_client: LinkedClient
) -> None:
    assert_type(egnyte_client, LinkedClient)
    assert len(jobs.below(egnyte_client, "/Shared")) > 1
    assert jobs.count_files(egnyte_account.pk) == 2
    assert jobs.count_files(egnyte_account.pk + 1) is None
    file = jobs.back_up(egnyte_account, "/Shared/report 2024.txt")
    assert file is not None and file.size
    egnyte_sandbox.faults.add(path="/fs-content", status=503, times=None)
    assert jobs.back_up(egnyte_account, "/Shared/report 2024.txt") is None
    jobs.hurry(egnyte_account)


def test_the_sweeps_run_here(egnyte_account: EgnyteAccount) -> None:
    assert jobs.sweep()["forgotten"] == 0


def test_receivers_are_told_of_events(
    egnyte_account: EgnyteAccount, egnyte_sandbox: Sandbox, connected: None
) -> None:
    follow(egnyte_account)
    egnyte_sandbox.add_file("acme", "/Shared/new.txt", b"x")
    call_command("egnyte_sweep", stdout=StringIO())
    assert receivers.happened == ["create: /Shared/new.txt"]
    assert unfollow(egnyte_account)


def test_receivers_are_told_of_an_end(egnyte_account: EgnyteAccount, connected: None) -> None:
    egnyte_account.delete()
    assert receivers.happened[0].startswith(str(egnyte_account))


def test_failures_are_explained() -> None:
    slow = RateLimitedError(retry_after=2.0, kind="qps")
    assert failures.report(slow)["again_in"] == 2.0
    assert failures.report(ForbiddenError(host="acme.egnyte.com"))["status"] == 403
    assert failures.seconds_to_wait(UnavailableError()) == 30.0
    errors = [
        EgnyteError("Something is wrong."),
        GrantTypeError(),
        InTransactionError(),
        InvalidPathError(),
        LockedError(),
        NotLinkedError(),
        OAuthError(),
        StateError(reason="missing"),
        StateError(reason="expired"),
        TokenConflictError(),
        UnavailableError(),
    ]
    told = [failures.explain(error) for error in errors]
    assert "" not in told
    assert len(set(told)) == len(errors)


def test_the_site_s_own_cipher_seals(egnyte_sandbox: Sandbox, egnyte_user: User) -> None:
    from django_egnyte.pytest_plugin import link_account

    from .ciphers import CIPHERS, PREFIX, moved

    with override_settings(EGNYTE_CIPHER=settings.EGNYTE_CIPHER):
        account = link_account(egnyte_sandbox, egnyte_user)
        tokens = EgnyteToken.objects.filter(accounts=account.pk)
        sealed = tokens.values_list("access_token", flat=True).get()
        assert str(sealed).startswith(PREFIX)
        assert account.client.userinfo()["username"] == "jsmith"
    newer, older, token = Secret("n" * 32), Secret("o" * 32), Secret("token")
    new, old = CIPHERS[0]([newer, older]), CIPHERS[0]([older])
    assert new.open(moved(old.seal(token, "here"), "here", old, new), "here") == token


def test_the_nightly_command_runs(egnyte_account: EgnyteAccount) -> None:
    told = StringIO()
    call_command(nightly.Command(), egnyte_account.pk, stdout=told)
    assert f"{egnyte_account.pk}: 2 files" in told.getvalue()


def test_the_admin_shows_a_column_more(
    browser: Client, egnyte_user: User, egnyte_account: EgnyteAccount
) -> None:
    type(egnyte_user)._default_manager.filter(pk=egnyte_user.pk).update(
        is_staff=True, is_superuser=True
    )
    for name in ("egnyteaccount", "accountevent", "egnytegrant"):
        page = browser.get(reverse(f"typed:django_egnyte_{name}_changelist"))
        assert page.status_code == 200
    assert b"acme" in browser.get("/admin/django_egnyte/egnyteaccount/").content


def test_a_borrowed_token_works(
    egnyte_sandbox: Sandbox, egnyte_sandbox_server: SandboxServer
) -> None:
    issued = egnyte_sandbox.issue("acme", "jsmith")
    assert_type(issued, Issued)
    base_url = egnyte_sandbox_server.base_url.replace("{domain}", "acme")
    token = borrowed.BorrowedToken(base_url, issued.access_token)
    assert borrowed.client_on(token).userinfo()["username"] == "jsmith"
    assert token.seen == [200]


def test_a_file_is_read_and_written(
    egnyte_sandbox: Sandbox, egnyte_account: EgnyteAccount, tmp_path: Path
) -> None:
    egnyte_sandbox.add_file("acme", "/Shared/short.txt", b"short")
    target = tmp_path / "short.txt"
    with target.open("wb") as opened:
        file = views.read_twice(egnyte_account.client.files, "/Shared/short.txt", opened)
    assert (file.size, target.read_bytes()) == (5, b"short")


def test_a_fault_is_played(egnyte_sandbox: Sandbox, egnyte_client: LinkedClient) -> None:
    assert_type(egnyte_sandbox.faults, Faults)
    rule = egnyte_sandbox.faults.add(path="/userinfo", status=503)
    egnyte_client.userinfo()
    assert egnyte_sandbox.faults.hits(rule) == 1


def test_a_sandbox_of_one_s_own() -> None:
    sandbox = Sandbox(settings=Settings(qps_limit=2), policy=TokenPolicy(style="legacy"))
    assert sandbox.issue("acme", "jsmith").expires_in == -1
    assert_type(sandbox.live_tokens(), list[LiveToken])
    assert_type(sandbox.live_grants(), list[LiveGrant])
    assert_type(sandbox.requests_log, list[LoggedRequest])
    assert [grant.username for grant in sandbox.live_grants("acme")] == ["jsmith"]


def test_other_flows_have_pages_of_their_own() -> None:
    assert {reverse(name).split("/")[1] for name in accounts.PAGES.values()} == {"egnyte"}
