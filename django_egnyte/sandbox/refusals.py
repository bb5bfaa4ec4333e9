"""How Egnyte says no: every error body and header of the protocol, in one place."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from .messages import Response, html_answer, json_answer
from .state import ErrorShape


class Row(NamedTuple):
    """A row of the error table on Egnyte's authentication page."""

    status: int
    code: str
    message: str


IMPLICIT_KEY: Final = Row(
    400,
    "APIKEY_FOR_IMPLICIT",
    "This API key is configured only for Implicit Grant flow. "
    "Please check the documentation and try again.",
)
REQUEST_QUOTA: Final = Row(
    400, "INTERNAL_ERROR", "Oauth request from this source has gone over its rate limit quota."
)
INACTIVE_KEY: Final = Row(401, "INTERNAL_ERROR", "No active developer profile found for api key")
MALFORMED: Final = Row(400, "INTERNAL_ERROR", "null")
INVALID_CREDENTIALS: Final = Row(
    403, "INVALID_USERNAME_OR_PASSWORD", "Invalid client credentials were supplied."
)
GRANT_PASSWORD: Final = Row(
    403,
    "GRANT_PASSWORD",
    "For resource owner flow, grant_type must be password. Check documentation and try again.",
)
MISSING_CREDENTIALS: Final = Row(
    400,
    "RESOURCE_FLOW_ISNULL",
    "Resource owner flow based access request but username and/or password is null. "
    "Please check documentation and try again.",
)


def refuse(row: Row, shape: ErrorShape = "errorCode", *headers: tuple[str, str]) -> Response:
    """An error in one of the shapes Egnyte is known to use."""
    if shape == "html":
        # Seen in the wild: a page, said to be something else.
        body = f"<h1>{row.message}</h1>".encode()
        return Response(row.status, body, [("Content-Type", "text/xml"), *headers])
    bodies: dict[str, object] = {
        "errorCode": {"errorCode": row.code, "message": row.message},
        "error": {"error": row.code, "error_description": row.message},
        "Errors": {"Errors": [{"code": row.code, "description": row.message}]},
        "inputErrors": {"errors": {"inputErrors": [{"code": row.code, "msg": row.message}]}},
    }
    return json_answer(bodies[shape], row.status, *headers)


def invalid_grant() -> Response:
    """A code or refresh token that is wrong, spent, expired, or another key's."""
    return json_answer({"error": "invalid_grant"}, 400)


def unauthorized() -> Response:
    """401: the token is dead."""
    body = json.dumps({"errorCode": "UNAUTHORIZED", "message": "Invalid access token"}).encode()
    headers = [("Content-Type", "application/json"), ("WWW-Authenticate", "Bearer")]
    return Response(401, body, headers)


def inactive() -> Response:
    """The gateway's answer to a token it never knew."""
    return _mashery(403, "DEVELOPER_INACTIVE", "Developer Inactive")


def over_qps(status: int, retry_after: int) -> Response:
    """Too many calls in a second, in the old (403) or the new (429) form."""
    if status == 429:
        return _too_many(retry_after)
    return _mashery(403, "DEVELOPER_OVER_QPS", "Developer Over Qps", retry_after)


def over_rate(status: int, retry_after: int) -> Response:
    """Too many calls in a day, in the old (403) or the new (429) form."""
    if status == 429:
        return _too_many(retry_after)
    return _mashery(403, "DEVELOPER_OVER_RATE", "Developer Over Rate", retry_after)


def over_token_requests(retry_after: int) -> Response:
    """409 with Retry-After, from the token endpoint only."""
    body = {"errorCode": "TOO_MANY_TOKEN_REQUESTS", "message": "Too many token requests"}
    return json_answer(body, 409, ("Retry-After", str(retry_after)))


def lacking(method: str, path: str) -> str:
    """What is said, with 501, where Egnyte may have something and the sandbox has not."""
    return f"{method} {path} is not in the sandbox"


def failure(status: int, message: str) -> Response:
    """An error of the file API: `errorMessage`, as the official SDK expects it."""
    return json_answer({"errorMessage": message}, status)


def _mashery(status: int, code: str, title: str, retry_after: int | None = None) -> Response:
    headers = [("X-Mashery-Error-Code", f"ERR_{status}_{code}")]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return html_answer(f"<h1>{title}</h1>", status, *headers)


def _too_many(retry_after: int) -> Response:
    body = {"errorCode": "TOO_MANY_REQUESTS", "message": "Too many requests"}
    return json_answer(body, 429, ("Retry-After", str(retry_after)))
