"""Read the answers of Egnyte's API: errors in all their shapes, throttles, and JSON."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from django_egnyte import http
from django_egnyte.exceptions import (
    APIError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    LockedError,
    NotFoundError,
    RateLimitedError,
    RateLimitKind,
    ResponseError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    import requests

FINAL = frozenset({501, 505, 596})
"""The statuses of Egnyte's gateway for a path that it does not know. A retry cannot help."""

LONG_SCOPES = {
    "fs": "Egnyte.filesystem",
    **{
        name: f"Egnyte.{name}"
        for name in (
            *("ai", "audit", "bookmark", "filesystem", "group", "launchwebsession", "link"),
            *("permission", "salesforce", "user", "webhooks"),
        )
    },
}
"""The scopes that `/pubapi/v1/whoami` is known to name, by the short names that it uses."""

_ERROR_BYTES = 64 * 1024
_ERROR_SECONDS = 10.0
_ERROR_TEXT = 1000
_DEEPEST = 8
_CODE_NAMES = ("errorcode", "code", "error", "responsecode")
_MESSAGE_NAMES = (
    *("message", "error_description", "description", "errormessage", "msg", "responsemsg"),
    *("faultstring", "detail", "error"),
)
# A 429 with a longer wait is the limit of a day: that of a second passes within seconds.
_LONGEST_QPS_WAIT = 60.0
_NEWER_WAIT = 3.0
_MAX_WAIT = 7 * 24 * 3600.0
_DEFAULT_WAIT: dict[RateLimitKind, float] = {"qps": 1.0, "daily": 3600.0, "token_endpoint": 3600.0}
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII).fullmatch
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}").fullmatch
_HEADING = re.compile(r"<(h1|h2|title)\b[^<>]{0,200}>([^<]{1,300})", re.IGNORECASE).search
# What a token looks like: a message may quote the request.
_SECRET_LIKE = re.compile(r"(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[\w-]{20,}", re.ASCII)
_OVER_LIMIT = re.compile(r"\bover (?:qps|rate)\b|rate limit|too many requests", re.I).search
_TWELVE_HOURS = re.compile(
    r"(?:[a-z]+, )?(?P<month>[a-z]{3})[a-z]* (?P<day>\d{1,2}), (?P<year>\d{4}) "
    r"(?P<hour>\d{1,2}):(?P<rest>\d\d:\d\d) (?P<half>[ap])m(?: (?:gmt|utc))?",
    re.IGNORECASE | re.ASCII,
).fullmatch
_EXISTS = re.compile(r"\balready exists?\b", re.IGNORECASE).search
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    423: LockedError,
}
_FALLBACK = {
    400: "Egnyte did not understand the request.",
    403: "Egnyte does not allow this to the user, or to the token's scope.",
    404: "There is nothing at this path, or Egnyte does not show it to this user.",
    409: "Egnyte reports a conflict.",
    413: "Egnyte does not accept a request of this size.",
    423: "The file is locked.",
}


_THROTTLES: dict[RateLimitKind, str] = {
    "qps": "Too many calls per second with this token.",
    "daily": "This token has used up its calls for today.",
    "token_endpoint": "Too many token requests within an hour.",
}


def classify(response: requests.Response) -> None:
    """Raise for the answers that every caller must handle: an invalid token or a throttle.

    UnauthorizedError for 401 and for a 403 whose X-Mashery-Error-Code says that the token is
    unknown; RateLimitedError for the 403s of a throttle, for 429, and for the 409 of the token
    endpoint. Every other answer, a bare 403 included, passes.
    """
    status = response.status_code
    if status not in (401, 403, 409, 429):
        return
    mashery = response.headers.get("X-Mashery-Error-Code", "").strip()
    code = mashery if _CODE(mashery) else None
    host = _host(response)
    if status == 401 or (status == 403 and mashery == "ERR_403_DEVELOPER_INACTIVE"):
        code = code or _details_of(response)[0]
        response.close()
        raise UnauthorizedError(
            "Egnyte does not accept the token: it was revoked or has expired, or the "
            "password was changed.",
            status=status,
            code=code,
            host=host,
        )
    if kind := _throttle(response, mashery):
        response.close()
        raise RateLimitedError(
            _THROTTLES[kind],
            retry_after=_throttle_wait(response, kind),
            kind=kind,
            status=status,
            code=code,
            host=host,
        )


def _throttle(response: requests.Response, mashery: str) -> RateLimitKind | None:
    """The limit that an answer reports, or None."""
    # Mashery, the older gateway, has the same two endings for other limits than the developer's.
    if mashery.endswith("_OVER_RATE"):
        return "daily"
    if mashery.endswith("_OVER_QPS"):
        return "qps"
    if response.status_code == 429:
        # The newer gateway has one code for the limits of a second and of a day.
        waits = retry_after(response.headers.get("Retry-After")) > _LONGEST_QPS_WAIT
        if waits or _quota_spent(response):
            return "daily"
        code = _details_of(response)[0] or ""
        return "daily" if code.lower().endswith("quotaviolation") else "qps"
    if response.status_code == 409 and _is_token_endpoint(response):
        return "token_endpoint"
    return None


def _throttle_wait(response: requests.Response, kind: RateLimitKind) -> float:
    default = _NEWER_WAIT if response.status_code == 429 and kind == "qps" else 0.0
    if kind == "daily":
        reset = moment_of(response.headers.get("X-Quota-Reset", ""))
        default = _until(reset) if reset is not None else 0.0
    return retry_after(response.headers.get("Retry-After"), kind, default)


def raise_for_status(response: requests.Response, *, path: str | None = None) -> None:
    """Raise for every answer that is not a 2xx, and close it.

    As `classify`; UnavailableError for 5xx, ResponseError for a redirect (none is followed), and
    an APIError otherwise, of the status's own subclass if there is one. The error has the `path`
    of the file or folder. If something exists already, it is a ConflictError whatever the status.
    """
    classify(response)
    status = response.status_code
    if 200 <= status < 300:
        return
    host = _host(response)
    details: dict[str, Any] = {"status": status, "host": host}
    if 300 <= status < 400:
        response.close()
        message = f"{host} answered with a redirect, which is never followed."
        raise ResponseError(message, **details)
    details["code"], message = _details_of(response)
    response.close()
    if status >= 500 and status not in FINAL:
        wait = response.headers.get("Retry-After")
        details["retry_after"] = retry_after(wait) if wait else None
        raise UnavailableError(f"{host} answered {status}.", **details)
    kind = _BY_STATUS.get(status, APIError)
    if status in (400, 403) and _EXISTS(message):
        kind = ConflictError
    message = message or _FALLBACK.get(status) or f"{host} answered {status}."
    raise kind(message, path=path, **details)


def json_of(response: requests.Response) -> dict[str, Any]:
    """The JSON object in the answer, whatever its content type. ResponseError if there is none."""
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        value = None
    # Raise outside the handler: the decoder's exception holds the whole body.
    if not isinstance(value, dict):
        host = _host(response)
        raise ResponseError(
            f"{host} did not answer with a JSON object.", status=response.status_code, host=host
        )
    return value


def scopes_of(value: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes in an answer of `/pubapi/v1/whoami`. An unknown name is returned unchanged."""
    named = value.get("scopes")
    texts = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    return tuple(LONG_SCOPES.get(each.lower(), each) for each in texts)


def error_details(body: bytes) -> tuple[str | None, str]:
    """Egnyte's own code and message from the body of an error. None and "" if it has none.

    Bodies differ from service to service, and so does the case of their names. The content type
    can be wrong. This function reads JSON objects and lists (nested up to a limit) with the names
    below, a JSON string, plain text, and the heading of an HTML page. It prefers an inner object to
    the one around it, which is less precise. The message is one short line, without anything that
    looks like a token.
    """
    text = body[:_ERROR_BYTES].decode("utf-8", errors="replace").strip("\ufeff \t\r\n")
    if text[:1] in ("{", "[", '"'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None, ""
        if isinstance(value, str):
            return None, _one_line(value)
        return _from_objects(list(_objects(value)))
    if text[:1] != "<":
        return None, "" if "\ufffd" in text else _one_line(text[:_ERROR_TEXT])
    found = _HEADING(text)
    return None, _one_line(html.unescape(found[2])) if found else ""


def tells_of_throttle(mashery: str, code: str | None, message: str) -> bool:
    """Whether the gateway's header, the code or the text says that a limit was reached."""
    return bool(
        mashery.endswith(("_OVER_QPS", "_OVER_RATE"))
        or (code or "").lower().endswith(("quotaviolation", "spikearrestviolation"))
        or (not mashery and _OVER_LIMIT(message))
    )


def retry_after(value: str | None, kind: RateLimitKind = "qps", default: float = 0.0) -> float:
    """Seconds to wait, from a Retry-After header: a number or a date.

    If there is none, or it is not valid: `default`, or else one second for "qps" and one hour for
    the other kinds. The result is never negative and never above a week.
    """
    text = (value or "").strip()
    if _SECONDS(text):
        return min(float(text), _MAX_WAIT)
    moment = moment_of(text)
    return (default or _DEFAULT_WAIT[kind]) if moment is None else _until(moment)


def moment_of(text: str) -> datetime | None:
    """A time in one of the forms of Egnyte's headers. None for anything else.

    The forms are an HTTP date, and X-Quota-Reset's "Wednesday, April 17, 2024 12:00:00 AM GMT".
    There 12 AM is midnight, which `email.utils` reads as noon.
    """
    text = text.strip()
    try:
        if found := _TWELVE_HOURS(text):
            hour = int(found["hour"]) % 12 + (12 if found["half"].upper() == "P" else 0)
            text = f"{found['day']} {found['month']} {found['year']} {hour}:{found['rest']} GMT"
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def _until(moment: datetime) -> float:
    return min(max(0.0, moment.timestamp() - time.time()), _MAX_WAIT)


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects in a parsed body, inner ones first, with their names in lower case.

    Levels deeper than any of Egnyte's bodies are ignored.
    """
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, depth + 1)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _objects(inner, depth + 1)
        yield {name.lower(): each for name, each in value.items()}


def _from_objects(objects: list[dict[str, Any]]) -> tuple[str | None, str]:
    codes = (_text(each.get(name)) for each in objects for name in _CODE_NAMES)
    code = next((each for each in codes if each and _CODE(each)), None)
    texts = (_text(each.get(name)) for each in objects for name in _MESSAGE_NAMES)
    message = next((each for each in texts if each and each != code), "")
    return code, _one_line(message)


def _text(value: Any) -> str:
    is_text = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value)[:_ERROR_TEXT] if is_text else ""


def _one_line(text: str) -> str:
    text = " ".join(_UNPRINTABLE.sub(" ", text).split())
    text = _SECRET_LIKE.sub("[…]", text)
    return text if len(text) <= 200 else text[:199] + "…"


def _details_of(response: requests.Response) -> tuple[str | None, str]:
    if isinstance(response._content, bytes):
        return error_details(response.content)
    # The answer is streamed: read only what an error needs, within the deadline.
    return error_details(http.read(response, _ERROR_BYTES, _ERROR_SECONDS))


def _quota_spent(response: requests.Response) -> bool:
    current = response.headers.get("X-Accesstoken-Quota-Current", "")
    allotted = response.headers.get("X-Accesstoken-Quota-Allotted", "")
    return bool(_SECONDS(current) and _SECONDS(allotted)) and float(current) >= float(allotted)


def _is_token_endpoint(response: requests.Response) -> bool:
    return (response.url or "").partition("?")[0].endswith("/puboauth/token")


def _host(response: requests.Response) -> str:
    return (response.url or "").partition("://")[2].partition("/")[0]
