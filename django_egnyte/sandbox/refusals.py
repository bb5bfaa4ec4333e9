"""Every error body and header of Egnyte's protocol."""

from __future__ import annotations

from typing import Final, NamedTuple

from .messages import Response, html_answer, json_answer
from .state import ErrorShape, Settings


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
CODES = {
    400: "BAD_REQUEST",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    413: "TOO_LARGE",
    423: "LOCKED",
}


def refuse(row: Row, shape: ErrorShape = "errorCode", *headers: tuple[str, str]) -> Response:
    """An error in one of the shapes that Egnyte is known to use."""
    status, code, message = row
    if shape == "html":
        # Egnyte has sent HTML pages with another content type.
        page = f"<h1>{message}</h1>".encode()
        return Response(status, page, [("Content-Type", "text/xml"), *headers])
    if shape == "text":
        return Response(status, message.encode(), [("Content-Type", "text/plain"), *headers])
    if shape == "empty":
        return Response(status, b"", list(headers))
    field = {"code": code, "msg": message}
    bodies: dict[str, object] = {
        "errorCode": {"errorCode": code, "message": message},
        "error": {"error": code, "error_description": message},
        "Errors": {"Errors": [{"code": code, "description": message}]},
        "inputErrors": {"errors": {"inputErrors": [field]}},
        "formErrors": {"formErrors": [field]},
        "errors": {"errors": [field]},
        "errorMessage": {"errorMessage": message},
        "ErrorCode": {"ErrorCode": code, "Error": message},
        "responseCode": {"responseCode": code, "responseMsg": message, "success": False},
        "message": {"code": code, "message": message},
        "fault": {"fault": {"faultstring": message, "detail": {"errorcode": code}}},
    }
    return json_answer(bodies[shape], status, *headers)


def invalid_code() -> Response:
    """The answer to a code that is wrong, used, expired, or another key's."""
    return json_answer({"error": "invalid_grant"}, 400)


def refused_refresh(settings: Settings) -> Response:
    """The answer to a refused refresh token. Egnyte's answer is not documented."""
    kind, status = settings.refused_refresh, settings.refused_refresh_status
    if kind == "no_token":
        return json_answer({"token_type": "bearer"}, 200)
    if kind == "row":
        return refuse(MALFORMED)
    if kind == "invalid_grant":
        return json_answer({"error": "invalid_grant"}, status)
    return refuse(Row(status, "invalid_grant", "Invalid refresh token"), kind)


def unauthorized(settings: Settings) -> Response:
    """401: the token is not valid."""
    if settings.api_error_shape == "fault":
        row = Row(401, "keymanagement.service.invalid_access_token", "Invalid Access Token")
        return refuse(row, "fault", ("WWW-Authenticate", "Bearer"))
    body = {"errorCode": "UNAUTHORIZED", "message": "Invalid access token"}
    return json_answer(body, 401, ("WWW-Authenticate", "Bearer"))


def inactive() -> Response:
    """The gateway's answer to an unknown token."""
    return _mashery(403, "DEVELOPER_INACTIVE", "Developer Inactive")


def unknown_key(settings: Settings) -> Row:
    """The error for a key that is unknown, not approved or suspended. Older or newer text."""
    if settings.unknown_key_text == "newer":
        return INACTIVE_KEY._replace(message="No valid app info found for api key")
    return INACTIVE_KEY


def over_qps(settings: Settings, retry_after: int) -> Response:
    """Too many calls per second, in the form of the older (403) or newer (429) gateway."""
    wait = _wait(settings, retry_after)
    if settings.throttle_status == 429:
        return _too_many(settings, "Developer Over Qps", "SpikeArrestViolation", wait)
    return _mashery(403, "DEVELOPER_OVER_QPS", "Developer Over Qps", *wait)


def over_rate(settings: Settings, retry_after: int) -> Response:
    """Too many calls per day, in the form of the older (403) or newer (429) gateway."""
    wait = _wait(settings, retry_after)
    if settings.throttle_status == 429:
        return _too_many(settings, "Developer Over Rate", "QuotaViolation", wait)
    return _mashery(403, "DEVELOPER_OVER_RATE", "Developer Over Rate", *wait)


def over_token_requests(retry_after: int) -> Response:
    """409 with Retry-After. Only the token endpoint sends it."""
    body = {"errorCode": "TOO_MANY_TOKEN_REQUESTS", "message": "Too many token requests"}
    return json_answer(body, 409, ("Retry-After", str(retry_after)))


def lacking(method: str, path: str) -> str:
    """The message of a 501: the sandbox lacks something that Egnyte may have."""
    return f"{method} {path} is not in the sandbox"


def failure(status: int, message: str, shape: ErrorShape = "errorMessage") -> Response:
    """An error of the API, in the form that the official SDKs expect or in another form."""
    return refuse(Row(status, CODES.get(status, "ERROR"), message), shape)


def _mashery(status: int, code: str, title: str, *headers: tuple[str, str]) -> Response:
    named = ("X-Mashery-Error-Code", f"ERR_{status}_{code}")
    return html_answer(f"<h1>{title}</h1>", status, named, *headers)


def _too_many(
    settings: Settings, message: str, violation: str, headers: list[tuple[str, str]]
) -> Response:
    if settings.api_error_shape == "fault":
        row = Row(429, f"policies.ratelimit.{violation}", message)
        return refuse(row, "fault", *headers)
    return json_answer({"message": message}, 429, *headers)


def _wait(settings: Settings, seconds: int) -> list[tuple[str, str]]:
    return [("Retry-After", str(seconds))] if settings.retry_after else []
