"""Every exception of this package. `except EgnyteError` catches them all.

Messages and attributes never contain a token, a code, a password, a URL's query or a body. You can
log, show and pickle an exception as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

RateLimitKind = Literal["qps", "daily", "token_endpoint"]
StateReason = Literal["missing", "expired", "spent", "foreign"]

_E = TypeVar("_E", bound="EgnyteError")


def gettext_noop(text: str) -> str:
    """Mark a text for ``makemessages``. The code that shows the text translates it."""
    return text


@dataclass(frozen=True, slots=True)
class TokenUse:
    """The token of a linked account that a call used.

    `unsettled` says that the outcome was written in the caller's transaction, which may be rolled
    back.
    """

    account_id: Any
    user_id: Any
    token_id: int
    acting: bool = False
    unsettled: bool = False


class EgnyteError(Exception):
    """The base class of all errors between this site and Egnyte.

    `status` is the HTTP status of the answer, if there was one. `code` is Egnyte's own error code,
    `hint` what an operator can do, `host` the Egnyte host, and `retry_after` the seconds to wait
    before the next try, if they are known.
    """

    retryable: bool = False
    """Whether the same call may succeed later without a change on our side."""
    status: int | None = None
    code: str | None = None
    hint: str = ""
    host: str | None = None
    retry_after: float | None = None
    used: TokenUse | None = None
    """The account and token of the failed call. The connection of an account sets it."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        hint: str = "",
        host: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        # A value that is not given keeps the default of the class.
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        if hint:
            self.hint = hint
        if host is not None:
            self.host = host
        if retry_after is not None:
            self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[_E], args: tuple[Any, ...], attributes: dict[str, Any]) -> _E:
    """Rebuild a pickled exception without its constructor, which may have required arguments."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class UnavailableError(EgnyteError):
    """Egnyte could not be reached or failed: DNS, connection refused, TLS, timeout, 5xx."""

    retryable = True
    sent: bool = True
    """False if the request certainly never reached Egnyte. Any method may then be repeated."""


class RateLimitedError(EgnyteError):
    """Egnyte asked to slow down. `retry_after` is in seconds.

    `kind` is "qps" (calls per second of one token), "daily" (calls per day of one token) or
    "token_endpoint" (token requests per hour of the API key, or of one user).
    """

    retryable = True
    retry_after: float  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self, message: str = "", *, retry_after: float, kind: RateLimitKind, **details: Any
    ) -> None:
        super().__init__(message, retry_after=retry_after, **details)
        self.kind: RateLimitKind = kind


class TokenExpiredError(EgnyteError):
    """The access token has expired and is not replaced yet. Try again in `retry_after` seconds."""

    retryable = True
    retry_after: float = 5.0  # pyright: ignore[reportIncompatibleVariableOverride]


class ResponseError(EgnyteError):
    """Not a valid answer: not JSON, cut off, too large, or without a required value."""


class InvalidPathError(EgnyteError, ValueError):
    """The path has a ".." segment, names another host, or has a forbidden character.

    Nothing was sent. It is also raised if Egnyte answers that the folder to list is a file.
    """


class InvalidHeaderError(EgnyteError, ValueError):
    """A header, or a name to act as, that may not be sent. No request was made."""


class InvalidDomainError(EgnyteError, ValueError):
    """Not the domain of an Egnyte customer."""


class APIError(EgnyteError):
    """Egnyte refused an API call, with the status and the code given.

    `path` is the path of the file or folder, if the call was about one. The message does not name
    it, because people who read logs may not be allowed to see the folder.
    """

    path: str | None = None

    def __init__(self, message: str = "", *, path: str | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        if path is not None:
            self.path = path


class BadRequestError(APIError):
    """400: a parameter is missing or wrong."""

    status = 400


class UnauthorizedError(APIError):
    """401: the token is unknown, or no longer valid (password changed, revoked, expired)."""

    status = 401


class ForbiddenError(APIError):
    """403 without a throttle's header: the user, or the token's scope, does not permit this."""

    status = 403
    scope: str | None = None
    """The scope that this part of the API needs. If the token has it, the user lacks permission."""


class NotFoundError(APIError):
    """404: there is no such file, folder or resource, or the user may not see it."""

    status = 404


class EventsExpiredError(NotFoundError):
    """404 to a request for events: those after the given id are no longer kept (30 days).

    Start again at the `oldest_event_id` of `client.events.cursor()`. Events in between are lost.
    """


class PartialFailureError(APIError):
    """207: Egnyte did only a part. `failures` has the reason for each id that failed."""

    status = 207

    def __init__(self, message: str = "", *, failures: Mapping[str, str], **kw: Any) -> None:
        super().__init__(message, **kw)
        self.failures: dict[str, str] = dict(failures)


class ConflictError(APIError):
    """409: something of that name exists, or the state of the resource does not permit this.

    Egnyte answers 403 for a folder that exists already. That is a ConflictError too.
    """

    status = 409


class TooLargeError(APIError):
    """413: more than the server takes in one request."""

    status = 413


class LockedError(APIError):
    """423: another user holds a lock on the file."""

    status = 423


class OAuthError(EgnyteError):
    """Egnyte refused to authorize. `hint` is for the operator, `user_hint` for the end user."""

    user_hint: str = gettext_noop(
        "Egnyte did not complete the request. Please try to connect again."
    )


class InvalidGrantError(OAuthError):
    """The code or refresh token is wrong, used, expired or revoked (RFC 6749, 5.2)."""

    hint = (
        "The code or refresh token was already used, has expired or was revoked, or the redirect "
        "URI differs from the one registered for the API key."
    )
    user_hint = gettext_noop("This sign-in is no longer valid. Please connect to Egnyte again.")


class AccessDeniedError(OAuthError):
    """The user refused (`error=access_denied` on the callback)."""

    hint = "The user, or an administrator's policy, did not allow access."
    user_hint = gettext_noop("Access was not allowed at Egnyte, so nothing was connected.")


class ImplicitKeyError(OAuthError):
    """APIKEY_FOR_IMPLICIT, 400: the API key is made for the implicit flow only."""

    status = 400
    code = "APIKEY_FOR_IMPLICIT"
    hint = (
        'Set EGNYTE_FLOW to "implicit", or ask api-support@egnyte.com to convert the key for the '
        "flow you use."
    )
    user_hint = gettext_noop(
        "This site is not set up correctly for Egnyte. Please tell its administrator."
    )


class RequestQuotaError(OAuthError):
    """INTERNAL_ERROR, 400, "... gone over its rate limit quota": too many token requests."""

    status = 400
    code = "INTERNAL_ERROR"
    hint = (
        "Tokens are being requested again and again for the same user: check that the linked "
        "account is stored and used again, and that one API key serves one database."
    )
    user_hint = gettext_noop(
        "Too many sign-ins were made in a short time. Please wait an hour and try again."
    )


class InactiveKeyError(OAuthError):
    """INTERNAL_ERROR, 401, "No active developer profile found for api key": the key is not valid.

    Newer answers say "No valid app info found for api key". Any text that blames the key counts.
    """

    status = 401
    code = "INTERNAL_ERROR"
    hint = (
        "EGNYTE_CLIENT_ID is unknown to Egnyte or switched off: compare it with the key shown on "
        "developers.egnyte.com, and check that it was approved for this domain."
    )
    user_hint = gettext_noop(
        "This site is not set up correctly for Egnyte. Please tell its administrator."
    )


class MalformedRequestError(OAuthError):
    """INTERNAL_ERROR, 400, "null": a parameter's name or syntax is wrong."""

    status = 400
    code = "INTERNAL_ERROR"
    hint = (
        "Egnyte did not understand the request's parameters: look for a wrong name or value, "
        "such as a redirect URI or scope with stray characters."
    )


class InvalidCredentialsError(OAuthError):
    """INVALID_USERNAME_OR_PASSWORD, 403."""

    status = 403
    code = "INVALID_USERNAME_OR_PASSWORD"
    hint = (
        "The username, the password or EGNYTE_CLIENT_SECRET is wrong; keys newer than January "
        "2015 need the secret. If all are right, try a password without special characters."
    )
    user_hint = gettext_noop("Egnyte did not accept this username and password.")


class GrantTypeError(OAuthError):
    """GRANT_PASSWORD, 403: an internal application's key takes the password flow only.

    Also ``unauthorized_client``: the key may not use this grant type (RFC 6749 section 5.2).
    """

    status = 403
    code = "GRANT_PASSWORD"
    hint = (
        "This API key was registered for another flow than was tried: compare with EGNYTE_FLOW. "
        'A key of an internal application takes "password" only.'
    )
    user_hint = gettext_noop(
        "This site is not set up correctly for Egnyte. Please tell its administrator."
    )


class MissingCredentialsError(OAuthError):
    """RESOURCE_FLOW_ISNULL, 400: no username or password arrived."""

    status = 400
    code = "RESOURCE_FLOW_ISNULL"
    hint = (
        "No username or no password reached Egnyte: check both, and that a proxy leaves the "
        "form's Content-Type header as it is."
    )
    user_hint = gettext_noop("Please enter both your Egnyte username and your password.")


class StateError(EgnyteError):
    """A callback whose state is missing, expired, spent, or another user's (`reason`)."""

    def __init__(self, message: str = "", *, reason: StateReason, **details: Any) -> None:
        super().__init__(message, **details)
        self.reason: StateReason = reason


class DecryptionError(EgnyteError):
    """No key decrypts a stored token. The token may still be valid at Egnyte."""

    hint = (
        "Put the older key back into EGNYTE_ENCRYPTION_KEYS or, if you did not set that, the older "
        "SECRET_KEY into SECRET_KEY_FALLBACKS."
    )


class LinkError(EgnyteError):
    """The user's link to Egnyte does not permit this."""


class NotLinkedError(LinkError):
    """The user has no live Egnyte account."""


class InTransactionError(LinkError):
    """A token call inside a database transaction: a rollback would lose the token."""


class TokenConflictError(LinkError):
    """The token just received is being revoked. Ask the user to try again."""


class WrongAccountError(LinkError):
    """The user authorized another Egnyte account than the one to be reconnected."""


class TooManyFailuresError(LinkError):
    """Too many failed attempts. `retry_after` is in seconds."""

    retryable = True
    retry_after: float  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, message: str = "", *, retry_after: float, **details: Any) -> None:
        super().__init__(message, retry_after=retry_after, **details)
