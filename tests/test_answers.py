from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from django_egnyte import answers, http
from django_egnyte.exceptions import (
    APIError,
    BadRequestError,
    ConflictError,
    EgnyteError,
    ForbiddenError,
    LockedError,
    NotFoundError,
    RateLimitedError,
    ResponseError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from tests.rawserver import Visitor, always, answer, serving

TOKEN = "68zc95e3xv954u6k3hbnma3q"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["errorCode", "message", "error", "Errors", "errors", "inputErrors", "code", "msg"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def fetch(raw: bytes, *, stream: bool = False, path: str = "/pubapi/v1/x") -> requests.Response:
    with serving(always(raw)) as server:
        return http.send("GET", server.url + path, stream=stream)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"errorCode": "NOPE", "message": "No such thing"}, ("NOPE", "No such thing")),
        ({"error": "invalid_grant", "error_description": "Bad"}, ("invalid_grant", "Bad")),
        ({"Errors": [{"code": "QUOTA", "description": "Full"}]}, ("QUOTA", "Full")),
        ({"errors": {"inputErrors": {"f": [{"code": "C", "msg": "M"}]}}}, ("C", "M")),
        ({"formErrors": [], "inputErrors": {"f": [{"code": "C", "msg": "M"}]}}, ("C", "M")),
        ({"formErrors": [{"code": "C", "msg": "M"}], "inputErrors": {}}, ("C", "M")),
        ({"errorMessage": "Bad path"}, (None, "Bad path")),
        ({"errorCode": 17, "message": "numbered"}, ("17", "numbered")),
        ([{"code": "C", "message": "M"}], ("C", "M")),
        ({"errorCode": "with blanks in it", "message": None}, (None, "")),
        ({"Errors": []}, (None, "")),
        (
            {"errors": [{"msg": "Too late", "code": "INVALID_DATE_RANGE"}]},
            ("INVALID_DATE_RANGE", "Too late"),
        ),
        ({"errors": [{"code": "C"}], "message": "outer"}, ("C", "outer")),
        (
            {"fault": {"faultstring": "Over", "detail": {"errorcode": "a.QuotaViolation"}}},
            ("a.QuotaViolation", "Over"),
        ),
        ({"ErrorCode": "NOPE", "Error": "No such thing"}, ("NOPE", "No such thing")),
        ({"responseCode": 404, "responseMsg": "Gone", "success": False}, ("404", "Gone")),
        ({"ERRORMESSAGE": "Loud", "errorcode": "C"}, ("C", "Loud")),
        ({"code": "QUOTA_EXCEEDED", "message": "Too many"}, ("QUOTA_EXCEEDED", "Too many")),
        ({"error": "No such thing"}, (None, "No such thing")),
        ({"error": "invalid_grant"}, ("invalid_grant", "")),
        ({}, (None, "")),
        ([], (None, "")),
        ([1], (None, "")),
    ],
)
def test_every_shape_of_error_is_understood(body: object, expected: tuple[str | None, str]) -> None:
    raw = json.dumps(body).encode()
    assert answers.error_details(raw) == expected
    assert answers.error_details(b"\xef\xbb\xbf " + raw) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<h1>Developer Over Qps</h1>", "Developer Over Qps"),
        (b"<html><head><TITLE>Oh &amp; no</TITLE></head><body>secret</body>", "Oh & no"),
        (b" plain text\r\non two lines ", "plain text on two lines"),
        (b"x" * 100_000, "x" * 199 + "\u2026"),
        (b'"a JSON string"', "a JSON string"),
        (b"<p>no heading", ""),
        (b"{broken", ""),
        (b"\xff\xfe\x00", ""),
        (b"", ""),
        (b"[" * 100_000, ""),
        (b"<h1" * 20_000, ""),
    ],
)
def test_what_is_no_json_tells_its_text_or_heading(body: bytes, expected: str) -> None:
    assert answers.error_details(body) == (None, expected)


@pytest.mark.parametrize("levels", [5, 9, 500, 5_000, 30_000])
@pytest.mark.parametrize("piece", ['{"errors":[', "[", '{"a":'])
def test_nesting_is_read_to_a_limit(piece: str, levels: int) -> None:
    closing = {"{": "}", "[": "]"}
    end = "".join(closing[each] for each in reversed(piece) if each in closing)
    body = piece * levels + '{"code":"C"}' + end * levels
    expected = "C" if levels == 5 and len(piece) < 8 else None
    assert answers.error_details(body.encode()) in ((expected, ""), ("C", ""))


def test_a_message_is_one_short_line_without_what_looks_like_a_token() -> None:
    body = json.dumps({"message": f"Bad\r\ntoken\x00 {TOKEN} " + "long " * 100}).encode()
    _, message = answers.error_details(body)
    assert TOKEN not in message
    assert message.startswith("Bad token […] long")
    assert len(message) <= 200


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_upsets_the_reading_of_errors(body: bytes) -> None:
    code, message = answers.error_details(body)
    assert code is None or (code.isascii() and code.isprintable() and len(code) <= 64)
    assert len(message) <= 200
    assert "\n" not in message


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("7", "qps", 7.0),
        (" 0.5 ", "qps", 0.5),
        ("0", "qps", 0.0),
        (None, "qps", 1.0),
        (None, "daily", 3600.0),
        ("", "token_endpoint", 3600.0),
        ("-5", "qps", 1.0),
        ("inf", "daily", 3600.0),
        ("nan", "qps", 1.0),
        ("1e9", "qps", 1.0),
        ("\u0663", "qps", 1.0),
        ("999999999", "qps", 604800.0),
        ("Wednesday, April 17, 2024 12:00:00 AM GMT", "daily", 0.0),
        ("9" * 400, "qps", 1.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "qps", 0.0),
        ("Thu, 99 Jan 2099 00:00:00 GMT", "qps", 1.0),
    ],
)
def test_retry_after_is_read(value: str | None, kind: str, expected: float) -> None:
    assert answers.retry_after(value, kind) == expected  # type: ignore[arg-type]


def test_retry_after_may_be_a_date() -> None:
    assert 55 < answers.retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60


@given(st.text(max_size=40))
def test_retry_after_is_always_a_possible_wait(value: str) -> None:
    assert 0 <= answers.retry_after(value, "daily") <= 604800


@pytest.mark.parametrize(("status", "code"), [(401, None), (403, "ERR_403_DEVELOPER_INACTIVE")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_dead_token_is_found_out(status: int, code: str | None, stream: bool) -> None:
    headers = {"X_Mashery_Error_Code": code} if code else {}
    response = fetch(answer(f"{status} No", b"<h1>No</h1>", **headers), stream=stream)
    with pytest.raises(UnauthorizedError) as caught:
        answers.classify(response)
    assert (caught.value.status, caught.value.code) == (status, code)


QUOTA = b'{"fault": {"detail": {"errorcode": "policies.ratelimit.QuotaViolation"}}}'


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("Wednesday, April 17, 2024 12:00:00 AM GMT", 0),
        ("Wednesday, April 17, 2024 1:00:00 am", 1),
        ("April 17, 2024 12:00:00 PM UTC", 12),
        ("Wednesday, April 17, 2024 11:00:00 PM GMT", 23),
        ("Wed, 17 Apr 2024 05:00:00 GMT", 5),
    ],
)
def test_the_end_of_a_quota_is_read(text: str, hour: int) -> None:
    assert answers.moment_of(text) == datetime(2024, 4, 17, hour, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "Wednesday, Smarch 99, 2024 12:00:00 AM GMT"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert answers.moment_of(text) is None


@pytest.mark.parametrize(
    ("raw", "kind", "seconds"),
    [
        (
            answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_QPS", Retry_After="2"),
            "qps",
            2,
        ),
        (answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_QPS"), "qps", 1),
        (
            answer("403 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_RATE", Retry_After="9"),
            "daily",
            9,
        ),
        (answer("429 x", Retry_After="3"), "qps", 3),
        (answer("429 x"), "qps", 3),
        (answer("429 x", Retry_After="60"), "qps", 60),
        (answer("429 x", Retry_After="61"), "daily", 61),
        (answer("429 x", QUOTA), "daily", 3600),
        (
            answer(
                "429 x",
                X_Accesstoken_Quota_Allotted="9",
                X_Accesstoken_Quota_Current="9",
                X_Quota_Reset="Friday, January 4, 2999 12:00:00 AM GMT",
            ),
            "daily",
            604800,
        ),
        (
            answer(
                "429 x",
                X_Accesstoken_Quota_Allotted="9",
                X_Accesstoken_Quota_Current="9",
                X_Quota_Reset="Wednesday, April 17, 2024 12:00:00 AM GMT",
            ),
            "daily",
            3600,
        ),
        (answer("429 x", X_Mashery_Error_Code="ERR_403_DEVELOPER_OVER_RATE"), "daily", 3600),
        (
            answer(
                "429 x", X_Accesstoken_Quota_Allotted="1000", X_Accesstoken_Quota_Current="1000"
            ),
            "daily",
            3600,
        ),
    ],
)
def test_a_throttle_is_found_out(raw: bytes, kind: str, seconds: float) -> None:
    with pytest.raises(RateLimitedError) as caught:
        answers.classify(fetch(raw))
    assert (caught.value.kind, caught.value.retry_after) == (kind, seconds)
    assert caught.value.retryable


def test_a_409_is_a_throttle_at_the_token_endpoint_only() -> None:
    with pytest.raises(RateLimitedError) as caught:
        answers.classify(fetch(answer("409 x", Retry_After="1800"), path="/puboauth/token"))
    assert (caught.value.kind, caught.value.retry_after) == ("token_endpoint", 1800)
    answers.classify(fetch(answer("409 x", Retry_After="1800")))


@pytest.mark.parametrize("status", [200, 204, 302, 400, 403, 404, 500])
def test_every_other_answer_passes_the_classification(status: int) -> None:
    response = fetch(answer(f"{status} x", b""))
    answers.classify(response)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ResponseError),
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, TooLargeError),
        (418, APIError),
        (423, LockedError),
        (500, UnavailableError),
        (501, APIError),
        (503, UnavailableError),
        (505, APIError),
        (596, APIError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_each_status_has_its_exception(status: int, kind: type[EgnyteError], stream: bool) -> None:
    body = b'{"errorCode": "WHY", "message": "Because"}'
    response = fetch(answer(f"{status} x", body, Location="http://elsewhere/"), stream=stream)
    with pytest.raises(kind) as caught:
        answers.raise_for_status(response)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.host == response.url.split("/")[2]
    if issubclass(kind, APIError) and status != 401:
        assert (caught.value.code, str(caught.value)) == ("WHY", "Because")


@pytest.mark.parametrize("status", [400, 403, 409])
def test_what_exists_already_is_a_conflict_whichever_status_says_so(status: int) -> None:
    body = b'{"errorMessage": "Folder already exists at this location"}'
    with pytest.raises(ConflictError) as caught:
        answers.raise_for_status(fetch(answer(f"{status} x", body)), path="/Shared/s3cret")
    assert (caught.value.status, caught.value.path) == (status, "/Shared/s3cret")
    assert "s3cret" not in str(caught.value) + repr(caught.value)


def test_trouble_tells_when_to_come_back() -> None:
    with pytest.raises(UnavailableError) as caught:
        answers.raise_for_status(fetch(answer("503 x", Retry_After="7")))
    assert caught.value.retry_after == 7
    with pytest.raises(UnavailableError) as caught:
        answers.raise_for_status(fetch(answer("503 x")))
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [401, 404])
def test_the_body_of_a_refusal_to_a_streamed_call_is_not_waited_for(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(visitor: Visitor) -> None:
        visitor.request()
        visitor.send(f"HTTP/1.1 {status} No\r\nContent-Length: 500\r\n\r\n".encode())
        visitor.trickle(b'{"errorCode": "WHY", ' + b" " * 400)

    monkeypatch.setattr(answers, "_ERROR_SECONDS", 0.2)
    with serving(script) as server:
        response = http.send("GET", server.url, stream=True, deadline=5, timeout=(1, 60))
        with pytest.raises(APIError) as caught:
            answers.raise_for_status(response)
    assert (caught.value.status, caught.value.code) == (status, None)


def test_success_raises_nothing() -> None:
    response = fetch(answer("204 No Content", b""))
    answers.raise_for_status(response)
    assert response.ok


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"x"', b"{", b"null", b"[" * 200_000, b"\xff\xff"]
)
def test_what_is_no_json_object_is_an_error_that_does_not_hold_it(body: bytes) -> None:
    response = fetch(answer("200 OK", body, Content_Type="application/json"))
    with pytest.raises(ResponseError) as caught:
        answers.json_of(response)
    assert caught.value.__context__ is None


def test_json_is_read_whatever_the_content_type() -> None:
    response = fetch(answer("200 OK", b'\xef\xbb\xbf{"a": 1}', Content_Type="text/html"))
    assert answers.json_of(response) == {"a": 1}
