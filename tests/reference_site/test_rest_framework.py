"""Django REST framework, and users who are known from a JSON web token alone."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client
from rest_framework.test import APIClient

from django_egnyte.choices import Status
from django_egnyte.contrib.rest_framework import IsEgnyteLinked
from django_egnyte.decorators import egnyte_required
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.scopes import read
from django_egnyte.tasks import refresh_accounts
from tests import walk
from tests.users import another_user

from . import api

GUARDED = [
    "permitted", "dispatched", "decorated", "handled", "function", "outside", "wrapped",
    "wrapped-set", "guarded", "folders/mine",
]  # fmt: skip
# The framework's own permissions refuse requests without a login.
CLOSED = [name for name in GUARDED if name != "outside"]


@pytest.mark.parametrize("name", GUARDED)
def test_a_linked_user_with_a_token_passes(
    client: Client, egnyte_account: EgnyteAccount, bearer: dict[str, str], name: str
) -> None:
    response = client.get(f"/api/{name}/", headers=bearer)
    assert (response.status_code, response.json()) == (200, {"username": "jsmith"})


@pytest.mark.parametrize("name", GUARDED)
def test_a_user_without_an_account_is_told_where_to_connect(
    client: Client, egnyte_user: Any, bearer: dict[str, str], name: str
) -> None:
    headers = bearer | {"Referer": "http://testserver/app/"}
    response = client.get(f"/api/{name}/", headers=headers)
    assert response.status_code == 401
    found = response.json()
    assert found["error"] == "egnyte_not_linked"
    assert found["connect_url"] == "/en/egnyte/connect/?next=%2Fapp%2F"


@pytest.mark.parametrize("name", CLOSED)
def test_an_anonymous_caller_is_told_to_log_in(client: Client, db: None, name: str) -> None:
    response = client.get(f"/api/{name}/")
    assert response.status_code == 401
    assert response.json() == {"detail": "Authentication credentials were not provided."}
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_an_anonymous_caller_of_an_open_view_is_told_to_log_in(client: Client, db: None) -> None:
    response = client.get("/api/outside/")
    assert response.status_code == 401
    assert "credentials" in response.json()["detail"]


def test_a_wrong_token_is_refused_before_anything_is_asked(client: Client, db: None) -> None:
    response = client.get("/api/permitted/", headers={"Authorization": "Bearer no.such.token"})
    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"


@pytest.mark.parametrize("name", ["sharing", "sharing-by-name", "dispatched-sharing"])
def test_a_scope_that_was_not_granted_is_asked_for(
    client: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    name: str,
) -> None:
    response = client.get(f"/api/{name}/", headers=bearer)
    assert response.status_code == 401
    found = response.json()
    assert found["error"] == "egnyte_scopes_missing"
    query = walk.query_of(found["connect_url"])
    assert query["domain"] == "acme.egnyte.com"
    assert read(egnyte_account.user, query["scopes"]) == ("Egnyte.filesystem", "Egnyte.link")
    link_account(egnyte_sandbox, egnyte_account.user, scopes=("Egnyte.filesystem", "Egnyte.link"))
    assert client.get(f"/api/{name}/", headers=bearer).json() == {"username": "jsmith"}


def test_the_session_of_a_browser_will_do(browser: Client, egnyte_account: EgnyteAccount) -> None:
    response = browser.get("/api/permitted/", headers={"Accept": "application/json"})
    assert response.json() == {"username": "jsmith"}


def test_a_forged_post_of_a_browser_is_refused(
    egnyte_account: EgnyteAccount,
) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(egnyte_account.user)
    assert client.post("/api/permitted/").status_code == 403


def test_a_script_comes_back_to_its_page(
    client: Client, egnyte_user: Any, bearer: dict[str, str]
) -> None:
    headers = {**bearer, "Referer": "http://testserver/app/?tab=2"}
    found = client.post("/api/permitted/", headers=headers).json()
    assert walk.query_of(found["connect_url"]) == {"next": "/app/?tab=2"}
    # The user cannot return to a view of the API, because the browser has no token for it.
    found = client.get("/api/permitted/", headers=bearer).json()
    assert found["connect_url"] == "/en/egnyte/connect/"


def test_a_permission_costs_one_query(
    client: Client, egnyte_account: EgnyteAccount, bearer: dict[str, str]
) -> None:
    with walk.Queries() as queries:
        client.get("/api/permitted/", headers=bearer)
    assert len(queries.made) == 1, queries.made  # no session and no user


def test_needing_adds_up_and_keeps_its_name() -> None:
    both = IsEgnyteLinked.needing("Egnyte.link").needing("Egnyte.user")
    assert tuple(both.scopes) == ("Egnyte.link", "Egnyte.user")
    assert both.__name__ == "IsEgnyteLinked"
    assert tuple(IsEgnyteLinked.scopes) == ()


def test_a_decorated_api_view_keeps_its_name() -> None:
    assert api.outside.__doc__ == "Answers with the name of the user."
    assert api.Decorated.__name__ == "Decorated"


def test_a_method_that_is_decorated_as_a_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="method_decorator"):

        class Wrong(api.APIView):  # type: ignore[misc]
            @egnyte_required
            def get(self, request: Any) -> None: ...


# The user of a JSON web token, whose primary key is text.


def test_a_users_account_is_found_by_a_token_alone(
    client: Client, egnyte_account: EgnyteAccount, bearer: dict[str, str]
) -> None:
    found = client.get(f"/api/chosen/{egnyte_account.pk}/", headers=bearer).json()
    assert found["username"] == "jsmith"


def test_another_users_account_is_not(
    client: Client,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    django_user_model: Any,
    django_username_field: str,
) -> None:
    other = another_user(django_user_model, django_username_field)
    theirs = link_account(egnyte_sandbox, other, username="bdoe")
    response = client.get(f"/api/chosen/{theirs.pk}/", headers=bearer)
    assert (response.status_code, response.json()["error"]) == (401, "egnyte_not_linked")


def test_without_the_exception_handler_the_middleware_knows_that_user_too(
    client: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    settings: Any,
) -> None:
    handler = "rest_framework.views.exception_handler"
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": handler}
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    response = client.get("/api/unguarded/", headers=bearer)
    assert (response.status_code, response.json()["error"]) == (401, "egnyte_not_linked")


# Errors of Egnyte.


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("headers", [{}, {"Accept": "application/json"}])
def test_a_dead_token_leads_to_connect_and_never_to_a_500(
    client: Client,
    egnyte_user: Any,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    atomic: bool,
    headers: dict[str, str],
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", atomic)
    # In a transaction, a worker refreshes the token: see the next test.
    egnyte_sandbox.policy.style = "legacy"
    link_account(egnyte_sandbox, egnyte_user)
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    response = client.get("/api/unguarded/", headers=bearer | headers)
    assert response.status_code == 401
    assert response.json()["connect_url"].startswith("/en/egnyte/connect/?")
    assert EgnyteAccount.objects.get().status in (Status.SUSPECT, Status.REVOKED)


@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_a_transaction_left_to_a_worker_stays_due(
    client: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    (access,) = (each for each in egnyte_sandbox.live_tokens() if each.kind == "access")
    egnyte_sandbox.expire_token(access.value)
    response = client.get("/api/unguarded/", headers=bearer)
    assert (response.status_code, response.json()["error"]) == (503, "egnyte_busy")
    refresh_accounts()
    assert client.get("/api/unguarded/", headers=bearer).json()["username"] == "jsmith"


def test_a_refusal_that_cannot_be_written_down_again_breaks_no_answer(
    client: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down(error: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("django_egnyte.contrib.rest_framework.settle_again", down)
    egnyte_sandbox.set_password("acme", "jsmith", "another")
    assert client.get("/api/unguarded/", headers=bearer).status_code == 401
    assert "refusal_not_written" in [getattr(each, "event", "") for each in caplog.records]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("No/Such", 404, "egnyte_not_found"),
        ("../../userinfo", 400, "egnyte_invalid_path"),
    ],
)
def test_egnytes_refusals_are_json(
    client: Client,
    egnyte_account: EgnyteAccount,
    bearer: dict[str, str],
    path: str,
    status: int,
    error: str,
) -> None:
    response = client.get(f"/api/files/{path}", headers=bearer)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert "Such" not in response.json()["detail"]


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        ({"status": 403}, 403, "egnyte_forbidden"),
        ({"status": 409}, 409, "egnyte_conflict"),
        ({"status": 423}, 423, "egnyte_locked"),
        ({"status": 503}, 503, "egnyte_unavailable"),
        ({"status": 200, "body": "no JSON"}, 502, "egnyte_error"),
    ],
)
def test_each_trouble_has_its_status(
    client: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    settings: Any,
    fault: dict[str, Any],
    status: int,
    error: str,
) -> None:
    settings.EGNYTE_MAX_RETRIES = 0
    egnyte_sandbox.faults.add(path="^/pubapi/v1/fs/", **fault)
    response = client.get("/api/files/Shared", headers=bearer)
    assert (response.status_code, response.json()["error"]) == (status, error)


def test_a_throttle_says_how_long_to_wait(
    client: Client,
    egnyte_account: EgnyteAccount,
    egnyte_sandbox: Any,
    bearer: dict[str, str],
    settings: Any,
) -> None:
    settings.EGNYTE_MAX_RETRIES = 0
    egnyte_sandbox.faults.add(path="^/pubapi/v1/fs/", status=429, headers={"Retry-After": "7200"})
    response = client.get("/api/files/Shared", headers=bearer)
    assert (response.status_code, response["Retry-After"]) == (503, "7200")
    assert response.json()["error"] == "egnyte_busy"


def test_other_errors_are_the_frameworks(client: Client, bearer: dict[str, str]) -> None:
    assert client.post("/api/bare/", headers=bearer).status_code == 405
    client.raise_request_exception = False
    assert client.get("/api/chosen/0/", headers=bearer).status_code == 500
