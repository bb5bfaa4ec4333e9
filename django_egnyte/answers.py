"""What an answer of Egnyte's API says: its errors in all their shapes, its throttles, its JSON."""

from __future__ import annotations

import html
import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from django_egnyte import http
from django_egnyte.exceptions import (
    APIError,
    BadRequestError,
    ConflictError,
    EgnyteError,
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

_ERROR_BYTES = 64 * 1024
_MAX_WAIT = 7 * 24 * 3600.0
_DEFAULT_WAIT: dict[RateLimitKind, float] = {"qps": 1.0, "daily": 3600.0, "token_endpoint": 3600.0}
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII).fullmatch
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}").fullmatch
_HEADING = re.compile(r"<(h1|h2|title)\b[^<>]{0,200}>([^<]{1,300})", re.IGNORECASE).search
# A message may quote what was sent, and a token looks like this.
_SECRET_LIKE = re.compile(r"(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[\w-]{20,}", re.ASCII)
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
    404: "Egnyte has nothing there, or does not show it to this user.",
    409: "Egnyte reports a conflict.",
    413: "Egnyte does not take as much as this at once.",
    423: "The file is locked.",
}


def classify(response: requests.Response) -> None:
    """Raise for what no caller should have to look for: a dead token or a throttle.

    UnauthorizedError for 401 and for a 403 whose X-Mashery-Error-Code says that the token is
    unknown; RateLimitedError for the 403s of a throttle, for 429, and for the 409 of the token
    endpoint. Every other answer, a bare 403 included, passes.
    """
    status = response.status_code
    if status not in (401, 403, 409, 429):
        return
    headers = response.headers
    mashery = headers.get("X-Mashery-Error-Code", "").strip()
    code = mashery if _CODE(mashery) else None
    kind: RateLimitKind
    if status == 401 or (status == 403 and mashery == "ERR_403_DEVELOPER_INACTIVE"):
        code = code or _details_of(response)[0]
        raise _close(
            response,
            UnauthorizedError(
                "Egnyte does not accept the token: it was revoked or has expired, or the "
                "password was changed.",
                status=status,
                code=code,
                host=_host(response),
            ),
        )
    # Mashery, Egnyte's gateway, has the same two endings for other limits than the developer's.
    if mashery.endswith("_OVER_RATE"):
        kind = "daily"
    elif mashery.endswith("_OVER_QPS"):
        kind = "qps"
    elif status == 429:
        kind = "daily" if _quota_spent(response) else "qps"
    elif status == 409 and _is_token_endpoint(response):
        kind = "token_endpoint"
    else:
        return
    message = {
        "qps": "Too many calls a second with this token.",
        "daily": "The calls that this token has for a day are spent.",
        "token_endpoint": "Too many token requests within an hour.",
    }[kind]
    raise _close(
        response,
        RateLimitedError(
            message,
            retry_after=retry_after(headers.get("Retry-After"), kind),
            kind=kind,
            status=status,
            code=code,
            host=_host(response),
        ),
    )


def raise_for_status(response: requests.Response) -> None:
    """Raise for every answer that is not a 2xx, and close it.

    As `classify`; UnavailableError for 5xx, ResponseError for a redirect (none is followed), and
    an APIError, of the subclass made for the status if there is one, for all else.
    """
    classify(response)
    status = response.status_code
    if 200 <= status < 300:
        return
    host = _host(response)
    error: EgnyteError
    if 300 <= status < 400:
        error = ResponseError(
            f"{host} answered with a redirect, which is never followed.", status=status, host=host
        )
    else:
        code, message = _details_of(response)
        if status >= 500:
            error = UnavailableError(
                f"{host} answered {status}.", status=status, code=code, host=host
            )
        else:
            message = message or _FALLBACK.get(status) or f"{host} answered {status}."
            kind = _BY_STATUS.get(status, APIError)
            error = kind(message, status=status, code=code, host=host)
    raise _close(response, error)


def json_of(response: requests.Response) -> dict[str, Any]:
    """The JSON object in the answer, whatever its content type. ResponseError if there is none."""
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        value = None
    # Outside the handler: the decoder's exception holds the whole body.
    if not isinstance(value, dict):
        host = _host(response)
        raise ResponseError(
            f"{host} did not answer with a JSON object.", status=response.status_code, host=host
        )
    return value


def error_details(body: bytes, content_type: str = "") -> tuple[str | None, str]:
    """Egnyte's own code and message in the body of an error; None and "" where it has none.

    Understood are {"errorCode", "message"}, {"error", "error_description"}, {"Errors": [{"code",
    "description"}]}, {"errors": {"inputErrors": {field: [{"code", "msg"}]}}} with or without the
    outer level, and the heading of an HTML page. The content type can be wrong, so the body
    decides. The message is one short line, without anything that looks like a token.
    """
    text = body[:_ERROR_BYTES].decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None, ""
        code, message = _from_json(value)
        return (code if code and _CODE(code) else None), _one_line(message)
    if found := _HEADING(text):
        return None, _one_line(html.unescape(found[2]))
    return None, ""


def retry_after(value: str | None, kind: RateLimitKind = "qps") -> float:
    """Seconds to wait, from a Retry-After header: a number or a date.

    Without one, or with nonsense in it: a second for "qps", an hour for the other kinds. Never
    negative and never over a week.
    """
    text = (value or "").strip()
    if _SECONDS(text):
        return min(float(text), _MAX_WAIT)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return _DEFAULT_WAIT[kind]
    return min(max(0.0, moment - time.time()), _MAX_WAIT)


def _from_json(value: Any) -> tuple[str | None, str]:
    """The first code and message in a parsed error body."""
    if isinstance(value, list):
        for item in value[:1]:
            return _from_json(item) if isinstance(item, dict) else (None, "")
        return None, ""
    if not isinstance(value, dict):
        return None, ""
    for name in ("Errors", "errors", "inputErrors", "formErrors"):
        inner = value.get(name)
        if isinstance(inner, dict) and not {"code", "msg", "inputErrors"} & inner.keys():
            # {field: [errors]}: the first field that has any.
            inner = next((errors for errors in inner.values() if errors), None)
        if isinstance(inner, list | dict) and inner:
            found = _from_json(inner)
            if found != (None, ""):
                return found
    code = _first(value, "errorCode", "code", "error")
    message = _first(value, "message", "error_description", "description", "errorMessage", "msg")
    return (code or None), message


def _first(value: dict[str, Any], *names: str) -> str:
    for name in names:
        found = value.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return str(found)[:1000]
    return ""


def _one_line(text: str) -> str:
    text = " ".join(_UNPRINTABLE.sub(" ", text).split())
    text = _SECRET_LIKE.sub("[…]", text)
    return text if len(text) <= 200 else text[:199] + "…"


def _details_of(response: requests.Response) -> tuple[str | None, str]:
    body = b""
    if getattr(response, "_content_consumed", False):
        body = response.content
    else:
        # A streamed answer: read no more of it than an error needs.
        try:
            for piece in http.iter_body(response):
                body += piece
                if len(body) >= _ERROR_BYTES:
                    break
        except EgnyteError:
            pass
    return error_details(body, response.headers.get("Content-Type", ""))


def _quota_spent(response: requests.Response) -> bool:
    current = response.headers.get("X-Accesstoken-Quota-Current", "")
    allotted = response.headers.get("X-Accesstoken-Quota-Allotted", "")
    return bool(_SECONDS(current) and _SECONDS(allotted)) and float(current) >= float(allotted)


def _is_token_endpoint(response: requests.Response) -> bool:
    return (response.url or "").partition("?")[0].endswith("/puboauth/token")


def _host(response: requests.Response) -> str:
    return (response.url or "").partition("://")[2].partition("/")[0]


def _close(response: requests.Response, error: EgnyteError) -> EgnyteError:
    response.close()
    return error
