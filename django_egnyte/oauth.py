"""Egnyte's OAuth 2.0 endpoints (RFC 6749), and the calls that check and revoke a token.

Functions take values and return values or raise an ``EgnyteError``. No call is repeated, because
the first one may have used up the code or the refresh token.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from . import answers, http
from .exceptions import (
    EgnyteError,
    GrantTypeError,
    ImplicitKeyError,
    InactiveKeyError,
    InvalidCredentialsError,
    InvalidGrantError,
    MalformedRequestError,
    MissingCredentialsError,
    OAuthError,
    RateLimitedError,
    RequestQuotaError,
    ResponseError,
    UnavailableError,
)
from .secret import NO_SECRET, Secret

TOKEN_PATH: Final = "/puboauth/token"
REVOKE_PATH: Final = "/pubapi/v1/tokens/revoke"
USERINFO_PATH: Final = "/pubapi/v1/userinfo"
WHOAMI_PATH: Final = "/pubapi/v1/whoami"
ENHANCED_PATH: Final = "/services/oauth/code"

_LONGEST_TOKEN = 4096
_LONGEST_LIFE = 10 * 365 * 24 * 3600
_TOKEN = re.compile(r"[\x21-\x7e]+")
# The texts that blame the API key: it is wrong, unknown or not approved.
_BLAMES_KEY = re.compile(
    r"(?:api|app)[ _-]?key|client[ _-]?(?:id|secret)|developer|\bapp (?:info|profile)",
    re.IGNORECASE,
).search
_BY_CODE: dict[str, type[OAuthError]] = {
    "APIKEY_FOR_IMPLICIT": ImplicitKeyError,
    "INVALID_USERNAME_OR_PASSWORD": InvalidCredentialsError,
    "GRANT_PASSWORD": GrantTypeError,
    "RESOURCE_FLOW_ISNULL": MissingCredentialsError,
    "INVALID_GRANT": InvalidGrantError,
    "INVALID_CLIENT": InactiveKeyError,
    "UNAUTHORIZED_CLIENT": GrantTypeError,
    "INVALID_REQUEST": MalformedRequestError,
    "UNSUPPORTED_GRANT_TYPE": GrantTypeError,
}
# For an answer that was cut off. The token in it works, so it must be revoked.
_SALVAGE = re.compile(rb'"(access_token|refresh_token)"\s*:\s*"([\x21\x23-\x5b\x5d-\x7e]+)"')


def fingerprint(host: str, token: Secret) -> str:
    """Identify a token without showing it. '' for no token.

    It is a plain hash and needs no key, so it stays the same when keys rotate. A token has too much
    entropy to be guessed from it.
    """
    return hashlib.sha256(f"{host}\0{token.reveal()}".encode()).hexdigest() if token else ""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the token endpoint issued. ``expires_in`` is in seconds, ``None`` for never.

    ``complete`` is false if the answer was cut off or malformed but contains a token. Revoke that
    token, and never use it.
    """

    access_token: Secret
    refresh_token: Secret = NO_SECRET
    expires_in: int | None = None
    scopes: tuple[str, ...] | None = None
    complete: bool = True


class _NoTokenError(ResponseError):
    """The token endpoint's whole answer contains no token."""


@dataclass(frozen=True, slots=True)
class UserInfo:
    """The Egnyte user of a token (``GET /pubapi/v1/userinfo``)."""

    id: int
    username: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The OAuth endpoints of one Egnyte host, for one API key.

    ``timeout`` is in seconds, to connect and to read; ``deadline`` bounds the whole of each call.
    """

    host: str
    base_url: str
    client_id: str
    client_secret: Secret
    timeout: tuple[float, float]
    deadline: float

    def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        scopes: Sequence[str],
        response_type: str = "code",
        path: str = TOKEN_PATH,
        domain: str = "",
    ) -> str:
        """Where to send the browser (RFC 6749 section 4.1.1, or 4.2.1 for ``token``).

        With ``domain`` the Enhanced service does not ask the user for the domain.
        """
        query = {
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "response_type": response_type,
        }
        if scopes:
            query["scope"] = " ".join(scopes)
        if domain:
            query["domain"] = domain
        return f"{self.base_url}{path}?{urlencode(query)}"

    def exchange_code(self, code: Secret, redirect_uri: str, scopes: Sequence[str]) -> TokenAnswer:
        """Exchange a code for a token (RFC 6749 section 4.1.3); ``InvalidGrantError`` if refused.

        The scope is sent again: one of Egnyte's SDKs says that ``Egnyte.launchwebsession`` is
        otherwise missing from the token.
        """
        form: dict[str, str | Secret] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
        }
        return self._token(form, scopes)

    def password(self, username: str, password: Secret, scopes: Sequence[str]) -> TokenAnswer:
        """Resource owner password credentials (RFC 6749 section 4.3)."""
        return self._token(
            {"grant_type": "password", "username": username, "password": password}, scopes
        )

    def refresh(self, refresh_token: Secret) -> TokenAnswer:
        """Refresh (RFC 6749 section 6). An answer without a refresh token keeps the old one valid.

        ``InvalidGrantError`` if Egnyte refuses the refresh token. Egnyte does not document that
        answer. So it counts as refused if the answer is a 4xx, unless this is a throttle or blames
        the API key or its secret, and if it is a success without a token. Ask ``userinfo`` whether
        the access token still works.
        """
        form: dict[str, str | Secret] = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        try:
            return self._token(form, ())
        except EgnyteError as error:
            if not _refuses_refresh(error):
                raise
            status, code = error.status, error.code
        raise InvalidGrantError(
            f"Egnyte refused the refresh token ({status}).",
            status=status,
            code=code,
            host=self.host,
        )

    def userinfo(self, access_token: Secret) -> UserInfo:
        """Ask Egnyte whose token this is: the cheapest proof that it is valid.

        ``UnauthorizedError`` if it is not valid, ``ResponseError`` if the answer names nobody.
        """
        response = self._send("GET", USERINFO_PATH, bearer=access_token)
        answers.raise_for_status(response)
        return parse_userinfo(response.content)

    def scopes(self, access_token: Secret) -> tuple[str, ...]:
        """The scopes that Egnyte says a token has; empty if it names none. Raises as `userinfo`."""
        response = self._send("GET", WHOAMI_PATH, bearer=access_token)
        answers.raise_for_status(response)
        return _scopes(" ".join(answers.scopes_of(answers.json_of(response)))) or ()

    def revoke(self, access_token: Secret, *, bearer: bool = True) -> None:
        """Revoke a token. Egnyte then also ends the refresh token of its grant.

        ``UnauthorizedError`` if the token is not valid, ``ResponseError`` for a success that cannot
        come from Egnyte.

        With newer keys ``client_secret`` is sent too (one source only). Without ``bearer`` only
        the secret authorizes the request: an expired token cannot authorize its revocation.
        """
        form: dict[str, str | Secret] = {"token": access_token}
        if self.client_secret:
            form |= {"client_secret": self.client_secret}
        if not bearer:
            form |= {"client_id": self.client_id}
        response = self._send(
            "POST", REVOKE_PATH, bearer=access_token if bearer else None, data=form
        )
        answers.raise_for_status(response)
        # Egnyte documents an empty body. An HTML page with a 200 comes from a proxy.
        if response.content.lstrip()[:1] not in (b"", b"{"):
            raise ResponseError(
                "The answer to the revocation does not look like one from Egnyte.", host=self.host
            )

    @http.opaque
    def _token(self, form: dict[str, str | Secret], scopes: Sequence[str]) -> TokenAnswer:
        form = {"client_id": self.client_id, **form}
        if self.client_secret:
            form["client_secret"] = self.client_secret
        if scopes:
            form["scope"] = " ".join(scopes)
        began = time.monotonic()
        response = self._send("POST", TOKEN_PATH, data=form, stream=True)
        body = bytearray()
        failure: EgnyteError | None = None
        try:
            left = self.deadline - (time.monotonic() - began)
            for piece in http.iter_body(response, deadline=left):
                body += piece
                if len(body) > http.TOKEN_MAX_BYTES:
                    del body[http.TOKEN_MAX_BYTES :]
                    failure = ResponseError(
                        "The answer of the token endpoint is too large.", host=self.host
                    )
                    break
        except EgnyteError as error:
            # The part that arrived may contain a token.
            error.host = self.host
            failure = error
        finally:
            response.close()
        if failure is not None and not 200 <= response.status_code < 300:
            raise failure
        return parse_token_answer(
            response.status_code, response.headers, bytes(body), host=self.host, failure=failure
        )

    def _send(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            return http.send(
                method,
                self.base_url + path,
                headers={"Accept": "application/json"},
                timeout=self.timeout,
                deadline=self.deadline,
                **kwargs,
            )
        except EgnyteError as error:
            error.host = self.host
            raise


@http.opaque
def parse_userinfo(body: bytes) -> UserInfo:
    """Read the answer of ``/pubapi/v1/userinfo``. ``ResponseError`` if it names nobody."""
    try:
        found = json.loads(body)
        number = found["id"]
        if isinstance(number, bool) or not 0 <= int(number) < 2**63:
            raise ValueError
        username = found["username"]
        username = _text(username, 255)
        if not username:
            raise ValueError
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise ResponseError("The user info contains no id or username.") from None
    rest = {
        # Only newer servers send the e-mail address.
        name: _text(found.get(name), limit)
        for name, limit in (("first_name", 255), ("last_name", 255), ("email", 254))
    }
    return UserInfo(id=int(number), username=username, **rest)


def _text(value: object, limit: int) -> str:
    """The text without null characters and lone surrogates, which a database would refuse."""
    return "".join(filter(str.isprintable, value))[:limit] if isinstance(value, str) else ""


@http.opaque
def parse_token_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    host: str = "",
    failure: EgnyteError | None = None,
) -> TokenAnswer:
    """Read an answer of the token endpoint. ``failure`` is the error that cut the reading short.

    Raises ``OAuthError`` for a refusal, ``RateLimitedError``, ``UnavailableError`` for a 5xx, and
    ``ResponseError`` for an answer without a token.
    """
    if not 200 <= status < 300:
        raise _refusal(status, headers, body, host)
    try:
        found = json.loads(body)
        access, refresh = found["access_token"], found.get("refresh_token") or ""
        if not (_is_token(access) and (not refresh or _is_token(refresh))):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        rescued = {name: Secret(value.decode()) for name, value in _SALVAGE.findall(body)}
        if b"access_token" in rescued:
            return TokenAnswer(
                rescued[b"access_token"], rescued.get(b"refresh_token", NO_SECRET), complete=False
            )
        # This endpoint sends no HTML; a proxy does.
        kind = ResponseError if body.lstrip()[:1] == b"<" else _NoTokenError
        message = "The answer of the token endpoint contains no token."
        raise failure or kind(message, status=status, host=host) from None
    # The JSON object is complete, whatever failed after it.
    return TokenAnswer(
        Secret(access),
        Secret(refresh),
        _expires_in(found.get("expires_in")),
        _scopes(found.get("scope")),
    )


def browser_answer(given: Mapping[str, str]) -> TokenAnswer:
    """The token that a browser read from the fragment (RFC 6749 section 4.2.2).

    ``OAuthError`` for a text that cannot be a token. Only Egnyte knows whether it issued it.
    """
    token = given.get("access_token", "")
    if not _is_token(token):
        raise OAuthError("The browser posted no token.")
    return TokenAnswer(
        Secret(token),
        expires_in=_expires_in(given.get("expires_in")),
        scopes=_scopes(given.get("scope")),
    )


def _scopes(value: object) -> tuple[str, ...] | None:
    """The granted scopes (RFC 6749 section 3.3). ``None`` if the answer names none."""
    found = value.split() if isinstance(value, str) else []
    return tuple(scope for scope in found if _TOKEN.fullmatch(scope)) or None


def _is_token(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= _LONGEST_TOKEN
        and _TOKEN.fullmatch(value) is not None
    )


def _expires_in(value: object) -> int | None:
    """Seconds. Egnyte sends -1 for never, and may send the number as a string."""
    try:
        seconds = int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_LIFE) if seconds >= 0 else None


def _refusal(status: int, headers: Mapping[str, str], body: bytes, host: str) -> EgnyteError:
    if status < 400 or status in answers.FINAL:
        message = f"Egnyte answered {status} instead of a token."
        return ResponseError(message, status=status, host=host)
    code, message = answers.error_details(body)
    mashery = headers.get("X-Mashery-Error-Code", "").strip()
    throttled = code != "INTERNAL_ERROR" and answers.tells_of_throttle(mashery, code, message)
    if throttled or status in (409, 429):
        return RateLimitedError(
            "Egnyte accepts no more token requests for now.",
            retry_after=answers.retry_after(headers.get("Retry-After"), "token_endpoint"),
            kind="token_endpoint",
            status=status,
            code=code,
            host=host,
        )
    if status >= 500 or status == 408:
        return UnavailableError(f"Egnyte answered {status}.", status=status, host=host)
    kind = _kind(status, (code or "").strip().upper(), message.lower(), mashery)
    message = f"Egnyte refused the token request ({status})."
    return kind(message, status=status, code=code, host=host)


def _kind(status: int, code: str, message: str, mashery: str) -> type[OAuthError]:
    """The seven rows of Egnyte's page on authentication, and RFC 6749 section 5.2."""
    if code == "INTERNAL_ERROR" and ("quota" in message or "rate limit" in message):
        return RequestQuotaError
    if kind := _BY_CODE.get(code):
        return kind
    if mashery == "ERR_403_DEVELOPER_INACTIVE" or _BLAMES_KEY(f"{code} {message}"):
        return InactiveKeyError
    if code == "INTERNAL_ERROR":
        return InactiveKeyError if status == 401 else MalformedRequestError
    return OAuthError


def _refuses_refresh(error: EgnyteError) -> bool:
    if isinstance(error, RequestQuotaError | GrantTypeError | ImplicitKeyError | InactiveKeyError):
        return False
    return isinstance(error, OAuthError | _NoTokenError)
