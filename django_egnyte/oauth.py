"""Egnyte's OAuth 2.0 endpoints (RFC 6749), and the two calls that prove and end a token.

Pure: values in, values or an ``EgnyteError`` out. No call here is ever repeated: a code or a
refresh token may be spent by the first.
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
ENHANCED_PATH: Final = "/services/oauth/code"

_LONGEST_TOKEN = 4096
_LONGEST_LIFE = 10 * 365 * 24 * 3600
_TOKEN = re.compile(r"[\x21-\x7e]+")
# For an answer that was cut off: the token in it lives, so it must be revoked.
_SALVAGE = re.compile(rb'"(access_token|refresh_token)"\s*:\s*"([\x21\x23-\x5b\x5d-\x7e]+)"')


def fingerprint(host: str, token: Secret) -> str:
    """Name a token without showing it; '' for no token.

    A plain hash, so that it outlives every key: tokens have too much entropy to be guessed.
    """
    return hashlib.sha256(f"{host}\0{token.reveal()}".encode()).hexdigest() if token else ""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the token endpoint issued. ``expires_in`` is in seconds, ``None`` for never.

    ``complete`` is false for an answer that was cut off or is malformed although a token stands in
    it: that token must be revoked and never used.
    """

    access_token: Secret
    refresh_token: Secret = NO_SECRET
    expires_in: int | None = None
    scopes: tuple[str, ...] | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Whom a token belongs to (``GET /pubapi/v1/userinfo``)."""

    id: int
    username: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """One Egnyte host, asked in the name of one API key.

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

        ``domain`` lets the Enhanced service skip its question for one.
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
        """Refresh (RFC 6749 section 6). An answer without a refresh token keeps the old one."""
        return self._token({"grant_type": "refresh_token", "refresh_token": refresh_token}, ())

    def userinfo(self, access_token: Secret) -> UserInfo:
        """Ask whose token this is, the cheapest proof that it lives.

        ``UnauthorizedError`` if it is dead, ``ResponseError`` if the answer names nobody.
        """
        response = self._send("GET", USERINFO_PATH, bearer=access_token)
        answers.raise_for_status(response)
        return parse_userinfo(response.content)

    def revoke(self, access_token: Secret, *, bearer: bool = True) -> None:
        """End a token; its grant's refresh token ends with it. ``UnauthorizedError`` if it is dead,
        ``ResponseError`` for a success that Egnyte cannot have said.

        Newer keys send ``client_secret`` along (one source only); without ``bearer`` that is all
        the proof there is, which an expired token needs, since it cannot speak for itself.
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
        # Documented is an empty body. A page of some proxy's, though a 200, revokes nothing.
        if response.content.lstrip()[:1] not in (b"", b"{"):
            raise ResponseError("The answer to a revocation is not Egnyte's.", host=self.host)

    def _token(self, form: dict[str, str | Secret], scopes: Sequence[str]) -> TokenAnswer:
        form = {"client_id": self.client_id, **form}
        if self.client_secret:
            form["client_secret"] = self.client_secret
        if scopes:
            form["scope"] = " ".join(scopes)
        ends = time.monotonic() + self.deadline
        response = self._send("POST", TOKEN_PATH, data=form, stream=True)
        body = bytearray()
        failure: EgnyteError | None = None
        try:
            # Byte by byte, since a larger piece would be waited for: the door's deadline ends with
            # the headers. So the last wait ends one read timeout after the deadline at the latest.
            for chunk in http.iter_body(response, chunk_size=1):
                body += chunk
                if len(body) > http.TOKEN_MAX_BYTES:
                    failure = ResponseError("The token answer is too large.", host=self.host)
                    break
                if time.monotonic() > ends:
                    failure = UnavailableError("The token answer took too long.", host=self.host)
                    break
        except EgnyteError as error:
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


def parse_userinfo(body: bytes) -> UserInfo:
    """Read the answer of ``/pubapi/v1/userinfo``; ``ResponseError`` if it names nobody."""
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
        raise ResponseError("The user info names no user.") from None
    rest = {
        # Newer servers add the e-mail address.
        name: _text(found.get(name), limit)
        for name, limit in (("first_name", 255), ("last_name", 255), ("email", 254))
    }
    return UserInfo(id=int(number), username=username, **rest)


def _text(value: object, limit: int) -> str:
    """What a database takes and a page may show: no null characters, no lone surrogates."""
    return "".join(filter(str.isprintable, value))[:limit] if isinstance(value, str) else ""


def parse_token_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    host: str = "",
    failure: EgnyteError | None = None,
) -> TokenAnswer:
    """Read an answer of the token endpoint. ``failure`` is what went wrong while it was read.

    ``OAuthError`` for a refusal, ``RateLimitedError``, ``UnavailableError`` for Egnyte's own
    trouble, ``ResponseError`` for an answer without any token in it.
    """
    if not 200 <= status < 300:
        raise _refusal(status, headers, body, host)
    try:
        if failure is not None:
            raise ValueError
        found = json.loads(body)
        access, refresh = found["access_token"], found.get("refresh_token") or ""
        if not (_is_token(access) and (not refresh or _is_token(refresh))):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        rescued = {name: value.decode() for name, value in _SALVAGE.findall(body)}
        if b"access_token" in rescued:
            return TokenAnswer(
                Secret(rescued[b"access_token"]),
                Secret(rescued.get(b"refresh_token", "")),
                complete=False,
            )
        raise failure or ResponseError("The token answer holds no token.", host=host) from None
    return TokenAnswer(
        Secret(access),
        Secret(refresh),
        _expires_in(found.get("expires_in")),
        _scopes(found.get("scope")),
    )


def browser_answer(given: Mapping[str, str]) -> TokenAnswer:
    """What a browser says stood in the fragment (RFC 6749 section 4.2.2); ``OAuthError`` for
    what is no token. Only Egnyte can say whether it is one of its own."""
    token = given.get("access_token", "")
    if not _is_token(token):
        raise OAuthError("The browser posted no token.")
    return TokenAnswer(
        Secret(token),
        expires_in=_expires_in(given.get("expires_in")),
        scopes=_scopes(given.get("scope")),
    )


def _scopes(value: object) -> tuple[str, ...] | None:
    """The scopes granted (RFC 6749 section 3.3); ``None`` if the answer names none."""
    found = value.split() if isinstance(value, str) else []
    return tuple(scope for scope in found if _TOKEN.fullmatch(scope)) or None


def _is_token(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= _LONGEST_TOKEN
        and _TOKEN.fullmatch(value) is not None
    )


def _expires_in(value: object) -> int | None:
    """Seconds; Egnyte says -1 for never, and may send the number as a string."""
    try:
        seconds = int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_LIFE) if seconds >= 0 else None


def _refusal(status: int, headers: Mapping[str, str], body: bytes, host: str) -> EgnyteError:
    code, message = answers.error_details(body, headers.get("Content-Type", ""))
    mashery = headers.get("X-Mashery-Error-Code", "").strip()
    if status in (409, 429) or mashery.endswith(("_OVER_QPS", "_OVER_RATE")):
        return RateLimitedError(
            "Egnyte takes no more token requests for now.",
            retry_after=answers.retry_after(headers.get("Retry-After"), "token_endpoint"),
            kind="token_endpoint",
            status=status,
            code=code,
            host=host,
        )
    if status >= 500:
        return UnavailableError(f"Egnyte answered {status}.", status=status, host=host)
    if status < 400:
        message = f"Egnyte answered {status} instead of a token."
        return ResponseError(message, status=status, host=host)
    kind = _kind(status, (code or "").strip(), message.lower(), mashery)
    message = f"Egnyte refused the token request ({status})."
    return kind(message, status=status, code=code, host=host)


def _kind(status: int, code: str, message: str, mashery: str) -> type[OAuthError]:
    """The seven rows of Egnyte's page on authentication, and RFC 6749 section 5.2."""
    if mashery == "ERR_403_DEVELOPER_INACTIVE":
        return InactiveKeyError
    if code == "INTERNAL_ERROR":
        if "quota" in message or "rate limit" in message:
            return RequestQuotaError
        if status == 401 or "developer profile" in message:
            return InactiveKeyError
        return MalformedRequestError
    return {
        "APIKEY_FOR_IMPLICIT": ImplicitKeyError,
        "INVALID_USERNAME_OR_PASSWORD": InvalidCredentialsError,
        "GRANT_PASSWORD": GrantTypeError,
        "RESOURCE_FLOW_ISNULL": MissingCredentialsError,
        "invalid_grant": InvalidGrantError,
        "invalid_client": InactiveKeyError,
        "unauthorized_client": GrantTypeError,
        "invalid_request": MalformedRequestError,
        "unsupported_grant_type": GrantTypeError,
    }.get(code, OAuthError)
