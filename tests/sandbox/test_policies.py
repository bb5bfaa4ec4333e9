"""The sandbox's settings for behaviour about which Egnyte's sources disagree."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from django_egnyte.sandbox import Sandbox, Settings

from .calls import CLIENT, Caller, bearer, code_for, refresh, token_request, userinfo

SHAPES = {
    "errorCode": {"errorCode": "NOT_FOUND", "message": "File or folder not found"},
    "error": {"error": "NOT_FOUND", "error_description": "File or folder not found"},
    "Errors": {"Errors": [{"code": "NOT_FOUND", "description": "File or folder not found"}]},
    "inputErrors": {
        "errors": {"inputErrors": [{"code": "NOT_FOUND", "msg": "File or folder not found"}]}
    },
    "formErrors": {"formErrors": [{"code": "NOT_FOUND", "msg": "File or folder not found"}]},
    "errors": {"errors": [{"code": "NOT_FOUND", "msg": "File or folder not found"}]},
    "errorMessage": {"errorMessage": "File or folder not found"},
    "ErrorCode": {"ErrorCode": "NOT_FOUND", "Error": "File or folder not found"},
    "responseCode": {
        "responseCode": "NOT_FOUND",
        "responseMsg": "File or folder not found",
        "success": False,
    },
    "message": {"code": "NOT_FOUND", "message": "File or folder not found"},
    "fault": {
        "fault": {"faultstring": "File or folder not found", "detail": {"errorcode": "NOT_FOUND"}}
    },
}


def add(call: Caller, path: str) -> requests.Response:
    return call("POST", f"fs{path}", json={"action": "add_folder"})


def transfer(call: Caller, action: str, path: str, destination: str, **more: Any) -> Any:
    body = {"action": action, "destination": destination, **more}
    return call("POST", f"fs{path}", json=body)


@pytest.mark.parametrize("status", [403, 409])
def test_an_existing_folder(sandbox: Sandbox, call: Caller, status: int) -> None:
    sandbox.settings.existing_folder_status = status
    answer = add(call, "/Shared/Documents")
    assert answer.status_code == status
    assert answer.json() == {"errorMessage": "Folder already exists at this location"}
    assert "X-Mashery-Error-Code" not in answer.headers


@pytest.mark.parametrize("status", [403, 409])
@pytest.mark.parametrize("path", ["/Shared", "/New", ""])
def test_a_folder_directly_below_the_root_is_a_409_always(
    sandbox: Sandbox, call: Caller, path: str, status: int
) -> None:
    sandbox.settings.existing_folder_status = status
    assert add(call, path).status_code == 409


@pytest.mark.parametrize("action", ["move", "copy"])
@pytest.mark.parametrize("status", [403, 409])
def test_a_taken_destination(sandbox: Sandbox, call: Caller, action: str, status: int) -> None:
    sandbox.settings.taken_destination_status = status
    sandbox.add_folder("acme", "/Shared/other")
    taken = ["/Shared/Documents", "/Shared/report 2024.txt"]
    answers = [transfer(call, action, "/Shared/other", path).status_code for path in taken]
    assert answers == [status, status]


def test_a_folder_may_be_poured_into_another(sandbox: Sandbox, call: Caller) -> None:
    sandbox.settings.taken_destination_status = 200
    sandbox.add_file("acme", "/Shared/other/welcome.txt", b"newer")
    sandbox.add_file("acme", "/Shared/other/deep/er.txt", b"deep")
    sandbox.add_file("acme", "/Shared/Documents/deep/own.txt", b"own")
    kept = call("GET", "fs/Shared/Documents").json()["folder_id"]
    copied = transfer(call, "copy", "/Shared/other", "/Shared/Documents")
    assert (copied.status_code, copied.json()["folder_id"]) == (200, kept)
    assert sandbox.read_file("acme", "/Shared/Documents/welcome.txt") == b"newer"
    assert call("GET", "fs/Shared/Documents/welcome.txt").json()["num_versions"] == 2
    assert call("GET", "fs/Shared/Documents/deep").json()["total_count"] == 2
    assert transfer(call, "move", "/Shared/other", "/Shared/Documents").status_code == 200
    assert call("GET", "fs/Shared/other").status_code == 404
    file = transfer(call, "move", "/Shared/report 2024.txt", "/Shared/Documents")
    assert file.status_code == 409


def test_an_unknown_field_of_an_action_is_refused(call: Caller) -> None:
    for more in ({"colour": "red"}, {"permissions": "all"}, {"permissions": {"mode": "all"}}):
        assert transfer(call, "copy", "/Shared/Documents", "/Shared/x", **more).status_code == 400
    for number, value in enumerate(("keep_original", {"mode": "inherit_from_parent"})):
        copied = transfer(call, "copy", "/Shared/Documents", f"/Shared/{number}", permissions=value)
        assert copied.status_code == 200


def test_an_empty_file_is_stored_or_refused(sandbox: Sandbox, call: Caller) -> None:
    assert call("POST", "fs-content/Shared/empty", data=b"").status_code == 200
    assert call("GET", "fs-content/Shared/empty").content == b""
    assert call("GET", "fs-content/Shared/empty", {"Range": "bytes=0-"}).status_code == 416
    sandbox.settings.stores_empty_files = False
    assert call("POST", "fs-content/Shared/none", data=b"").status_code == 400
    assert call("GET", "fs/Shared/none").status_code == 404


def test_missing_parents_are_made_or_refused(sandbox: Sandbox, call: Caller) -> None:
    assert add(call, "/Shared/a/b").status_code == 201
    assert call("POST", "fs-content/Shared/c/d", data=b"x").status_code == 200
    sandbox.settings.makes_parents = False
    assert add(call, "/Shared/e/f").status_code == 404
    assert call("POST", "fs-content/Shared/g/h", data=b"x").status_code == 404
    assert transfer(call, "move", "/Shared/a/b", "/Shared/i/j").status_code == 404
    assert add(call, "/Shared/a/f").status_code == 201
    assert call("POST", "fs-content/Shared/c/h", data=b"x").status_code == 200


def test_a_full_folder_is_deleted_or_kept(sandbox: Sandbox, call: Caller) -> None:
    sandbox.settings.deletes_full_folders = False
    assert call("DELETE", "fs/Shared/Documents").status_code == 403
    assert call("DELETE", "fs/Shared/Documents/welcome.txt").status_code == 200
    assert call("DELETE", "fs/Shared/Documents").status_code == 200
    sandbox.settings.deletes_full_folders = True
    sandbox.add_file("acme", "/Shared/full/a", b"a")
    assert call("DELETE", "fs/Shared/full").status_code == 200


@pytest.mark.parametrize(
    ("statuses", "stored", "deleted"), [("live", 200, 200), ("mocks", 201, 204)]
)
def test_success_is_told_as_live_or_as_in_mocks(
    sandbox: Sandbox, call: Caller, statuses: Any, stored: int, deleted: int
) -> None:
    sandbox.settings.statuses = statuses
    assert call("POST", "fs-content/Shared/x", data=b"x").status_code == stored
    assert call("DELETE", "fs/Shared/x").status_code == deleted


def test_a_server_may_filter_pages_after_it_cut_them(sandbox: Sandbox, call: Caller) -> None:
    assert call("GET", "fs/Private").json()["total_count"] == 1
    sandbox.settings.filters_pages = True
    pages = [
        call("GET", "fs/Private", params={"offset": offset, "count": 1}).json()
        for offset in range(4)
    ]
    assert [page["total_count"] for page in pages] == [3, 3, 3, 3]
    assert [page["count"] for page in pages] == [1, 1, 1, 0]
    assert [len(page["folders"]) for page in pages] == [0, 0, 1, 0]


def test_values_may_be_text(sandbox: Sandbox, call: Caller) -> None:
    sandbox.settings.values_as_text = True
    folder = call("GET", "fs/Shared").json()
    assert (folder["is_folder"], folder["total_count"], folder["offset"]) == ("true", "2", "0")
    (file,) = folder["files"]
    assert (file["is_folder"], file["size"], file["num_versions"]) == ("false", "29", "1")
    assert file["custom_metadata"] == []


@pytest.mark.parametrize(("limit", "default"), [(20, 20), (100, 25)])
def test_a_search_has_limits(sandbox: Sandbox, call: Caller, limit: int, default: int) -> None:
    sandbox.settings.search_limit = limit
    for number in range(30):
        sandbox.add_file("acme", f"/Shared/found/{number:02} match.txt", b"x")
    counts = {}
    for count in (None, limit, limit + 1):
        answer = call("GET", "search", params={"query": "match", "count": count})
        counts[count] = answer.json()["count"] if answer.status_code == 200 else answer.status_code
    assert counts == {None: default, limit: min(limit, 30), limit + 1: 400}
    for query in ("ab", "x" * 101):
        assert call("GET", "search", params={"query": query}).status_code == 400
    assert call("GET", "search", params={"query": "mat", "folder": "/Shared/found/"}).json() == {
        "results": [],
        "total_count": 0,
        "offset": 0,
        "count": 0,
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_an_error_of_the_api_takes_every_known_shape(
    sandbox: Sandbox, call: Caller, shape: Any
) -> None:
    sandbox.settings.api_error_shape = shape
    answer = call("GET", "fs/Shared/none")
    assert (answer.status_code, answer.json()) == (404, SHAPES[shape])


@pytest.mark.parametrize(
    ("shape", "kind", "text"),
    [
        ("text", "text/plain", "File or folder not found"),
        ("html", "text/xml", "<h1>File or folder not found</h1>"),
        ("empty", "", ""),
    ],
)
def test_an_error_may_be_no_json(
    sandbox: Sandbox, call: Caller, shape: Any, kind: str, text: str
) -> None:
    sandbox.settings.api_error_shape = shape
    answer = call("GET", "fs/Shared/none")
    assert (answer.status_code, answer.text) == (404, text)
    assert answer.headers.get("Content-Type", "") == kind


def test_the_newer_gateway_speaks_of_faults(sandbox: Sandbox, acme: str) -> None:
    sandbox.settings.api_error_shape = "fault"
    sandbox.settings.throttle_status = 429
    token = sandbox.issue("acme", "jsmith").access_token

    def violation() -> str:
        answer = userinfo(acme, token)
        assert answer.status_code in (401, 429)
        return str(answer.json()["fault"]["detail"]["errorcode"])

    sandbox.settings.daily_limit = 0
    assert violation() == "policies.ratelimit.QuotaViolation"
    sandbox.settings.daily_limit, sandbox.settings.qps_limit = None, 0
    assert violation() == "policies.ratelimit.SpikeArrestViolation"
    sandbox.revoke(token)
    assert violation() == "keymanagement.service.invalid_access_token"


@pytest.mark.parametrize("status", [403, 429])
def test_a_throttle_may_come_without_a_wait(sandbox: Sandbox, acme: str, status: int) -> None:
    sandbox.settings.throttle_status = status
    sandbox.settings.qps_limit = 0
    token = sandbox.issue("acme", "jsmith").access_token
    assert userinfo(acme, token).headers["Retry-After"] == "1"
    sandbox.settings.retry_after = False
    answer = userinfo(acme, token)
    assert (answer.status_code, "Retry-After" in answer.headers) == (status, False)
    # This distinguishes the limit per day from the limit per second.
    assert answer.headers["X-Accesstoken-Quota-Current"] == "0"


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("invalid_grant", '{"error": "invalid_grant"}'),
        (
            "fault",
            '{"fault": {"faultstring": "Invalid refresh token",'
            ' "detail": {"errorcode": "invalid_grant"}}}',
        ),
        ("ErrorCode", '{"ErrorCode": "invalid_grant", "Error": "Invalid refresh token"}'),
        ("errorMessage", '{"errorMessage": "Invalid refresh token"}'),
        ("text", "Invalid refresh token"),
        ("empty", ""),
    ],
)
def test_a_refused_refresh(sandbox: Sandbox, acme: str, kind: Any, body: str, status: int) -> None:
    sandbox.settings.refused_refresh = kind
    sandbox.settings.refused_refresh_status = status
    answer = refresh(acme, "unknown")
    assert (answer.status_code, answer.text) == (status, body)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("row", 400, {"errorCode": "INTERNAL_ERROR", "message": "null"}),
        ("no_token", 200, {"token_type": "bearer"}),
    ],
)
def test_a_refused_refresh_of_one_status(
    sandbox: Sandbox, acme: str, kind: Any, status: int, body: dict[str, str]
) -> None:
    sandbox.settings.refused_refresh = kind
    sandbox.settings.refused_refresh_status = 403
    answer = refresh(acme, "unknown")
    assert (answer.status_code, answer.json()) == (status, body)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("older", "No active developer profile found for api key"),
        ("newer", "No valid app info found for api key"),
    ],
)
def test_an_unknown_key(sandbox: Sandbox, acme: str, words: Any, text: str) -> None:
    sandbox.settings.unknown_key_text = words
    answer = token_request(acme, **(CLIENT | {"client_id": "none"}))
    assert (answer.status_code, answer.json()["message"]) == (401, text)
    page = requests.get(f"{acme}/puboauth/token?client_id=none&response_type=code", timeout=10)
    assert page.status_code == 401
    assert text in page.text


@pytest.mark.parametrize("path", ["/puboauth/token", "/puboauth/authorize"])
def test_both_addresses_of_the_consent_page_serve(sandbox: Sandbox, acme: str, path: str) -> None:
    args = {
        "client_id": "sandbox-code-key",
        "redirect_uri": "https://x.test/",
        "response_type": "code",
    }
    page = requests.get(f"{acme}{path}", params=args, timeout=10)
    assert (page.status_code, "asks for access" in page.text) == (200, True)
    query = "&".join(f"{name}={value}" for name, value in args.items())
    assert "code=" in sandbox.authorize(f"https://acme.egnyte.com{path}?{query}", "jsmith")


def test_a_setting_takes_its_known_values_only(sandbox: Sandbox, acme: str) -> None:
    for name, value in (
        ("existing_folder_status", 404),
        ("locked_status", 200),
        ("refused_refresh", "none"),
        ("search_limit", 50),
        ("statuses", "dead"),
    ):
        with pytest.raises(ValueError, match=name):
            setattr(sandbox.settings, name, value)
        root = acme.rpartition("/d/")[0]
        answer = requests.post(f"{root}/_sandbox/settings", json={name: value}, timeout=10)
        assert answer.status_code == 400


def test_a_policy_is_switched_from_another_process(
    sandbox: Sandbox, call: Caller, acme: str
) -> None:
    root = acme.rpartition("/d/")[0]
    told = requests.post(
        f"{root}/_sandbox/settings", json={"existing_folder_status": 409}, timeout=10
    )
    assert told.json()["existing_folder_status"] == 409
    assert add(call, "/Shared/Documents").status_code == 409
    sandbox.reset()
    assert sandbox.settings == Settings()


def test_a_code_is_short_lived(sandbox: Sandbox, acme: str) -> None:
    code = code_for(sandbox, acme)
    sandbox.advance(60)
    fields = CLIENT | {"code": code, "grant_type": "authorization_code"}
    answer = token_request(acme, **fields, redirect_uri="http://127.0.0.1:9/callback")
    assert answer.json() == {"error": "invalid_grant"}
    assert userinfo(acme, "unknown").status_code == 403
    sandbox.settings.unknown_token_status = 401
    assert (
        requests.get(
            f"{acme}/pubapi/v1/userinfo", headers=bearer("unknown"), timeout=10
        ).status_code
        == 401
    )
