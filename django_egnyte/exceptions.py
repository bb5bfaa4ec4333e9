"""Every exception this package raises. One tree: `except EgnyteError` catches all of it.

Messages and attributes never hold a token, a code, a password, a URL's query or a body, so an
exception may be logged, shown and pickled as it is.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

RateLimitKind = Literal["qps", "daily", "token_endpoint"]
StateReason = Literal["missing", "expired", "spent", "foreign"]

_E = TypeVar("_E", bound="EgnyteError")


def gettext_noop(text: str) -> str:
    """Mark a text for ``makemessages``, which knows this name; who shows it translates it."""
    return text


class EgnyteError(Exception):
    """Anything that goes wrong between this site and Egnyte.

    `status` is the HTTP status of the answer, if there was one, `code` Egnyte's own error code,
    `hint` what an operator can do about it, `host` the Egnyte host that was asked.
    """

    retryable: bool = False
    """Whether the same call may succeed later, with nothing changed at our side."""
    status: int | None = None
    code: str | None = None
    hint: str = ""
    host: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        hint: str = "",
        host: str | None = None,
    ) -> None:
        super().__init__(message)
        # What is not given keeps the class's own default.
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        if hint:
            self.hint = hint
        if host is not None:
            self.host = host

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[_E], args: tuple[Any, ...], attributes: dict[str, Any]) -> _E:
    """Rebuild a pickled exception without its constructor, whose arguments may be required."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class UnavailableError(EgnyteError):
    """Egnyte could not be reached or is in trouble: DNS, refused, TLS, timeout, 5xx."""

    retryable = True
    sent: bool = True
    """False when the request surely never reached Egnyte, so that any method may be repeated."""


class RateLimitedError(EgnyteError):
    """Egnyte asked to slow down. `retry_after` is in seconds.

    `kind` is "qps" (calls a second of one token), "daily" (calls a day of one token) or
    "token_endpoint" (token requests an hour of the whole API key, or of one user).
    """

    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float,
        kind: RateLimitKind,
        status: int | None = None,
        code: str | None = None,
        hint: str = "",
        host: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, hint=hint, host=host)
        self.retry_after = retry_after
        self.kind: RateLimitKind = kind


class TokenExpiredError(EgnyteError):
    """The access token has expired and is not replaced yet: try again in `retry_after` seconds."""

    retryable = True

    def __init__(self, message: str = "", *, retry_after: float = 5.0, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class ResponseError(EgnyteError):
    """Not the answer promised: not JSON, cut off, too large, or without what it must hold."""


class InvalidPathError(EgnyteError, ValueError):
    """A path that climbs, leaves the host, or holds what no path may hold. Nothing was sent.

    Or the path of a file that was to be listed as a folder: that is known from Egnyte's answer.
    """


class InvalidHeaderError(EgnyteError, ValueError):
    """A header, or a name to act as, that may not be sent. Nothing was sent."""


class InvalidDomainError(EgnyteError, ValueError):
    """Not the domain of an Egnyte customer."""


class APIError(EgnyteError):
    """Egnyte refused an API call, with the status and the code given."""


class BadRequestError(APIError):
    """400: a parameter is missing or wrong."""

    status = 400


class UnauthorizedError(APIError):
    """401: the token is dead (password changed, revoked, expired) or unknown."""

    status = 401


class ForbiddenError(APIError):
    """403 without a throttle's header: this user, or this token's scope, may not do this."""

    status = 403


class NotFoundError(APIError):
    """404: there is no such file, folder or resource, or the user may not see it."""

    status = 404


class ConflictError(APIError):
    """409: something of that name exists, or the resource is in another state."""

    status = 409


class TooLargeError(APIError):
    """413: more than the server takes in one request."""

    status = 413


class LockedError(APIError):
    """423: another user holds a lock on the file."""

    status = 423


class OAuthError(EgnyteError):
    """Egnyte refused to authorize. `hint` speaks to the operator, `user_hint` to the end user."""

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
    """INTERNAL_ERROR, 401, "No active developer profile found for api key"."""

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
    user_hint = gettext_noop("Please give both your Egnyte username and your password.")


class StateError(EgnyteError):
    """A callback whose state is missing, expired, spent, or another user's (`reason`)."""

    def __init__(
        self,
        message: str = "",
        *,
        reason: StateReason,
        status: int | None = None,
        code: str | None = None,
        hint: str = "",
        host: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, hint=hint, host=host)
        self.reason: StateReason = reason


class DecryptionError(EgnyteError):
    """A stored token does not open with any of the keys. Never a verdict on the token."""


class LinkError(EgnyteError):
    """The user's link to Egnyte does not allow this."""


class NotLinkedError(LinkError):
    """The user has no live Egnyte account."""


class InTransactionError(LinkError):
    """A token call was asked for inside a database transaction, whose rollback would lose it."""


class TokenConflictError(LinkError):
    """The token just received is being revoked at this moment: the user should try again."""


class WrongAccountError(LinkError):
    """Egnyte answered for another account than the one to be relinked."""


class TooManyFailuresError(LinkError):
    """Too many failed attempts. `retry_after` is in seconds."""

    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float,
        status: int | None = None,
        code: str | None = None,
        hint: str = "",
        host: str | None = None,
    ) -> None:
        super().__init__(message, status=status, code=code, hint=hint, host=host)
        self.retry_after = retry_after
