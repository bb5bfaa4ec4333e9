"""Handle every exception of the package."""

from __future__ import annotations

from typing import assert_never, assert_type

from django.utils.translation import gettext as _

from django_egnyte.exceptions import (
    AccessDeniedError,
    APIError,
    BadRequestError,
    ConflictError,
    DecryptionError,
    EgnyteError,
    ForbiddenError,
    GrantTypeError,
    ImplicitKeyError,
    InactiveKeyError,
    InTransactionError,
    InvalidCredentialsError,
    InvalidDomainError,
    InvalidGrantError,
    InvalidHeaderError,
    InvalidPathError,
    LinkError,
    LockedError,
    MalformedRequestError,
    MissingCredentialsError,
    NotFoundError,
    NotLinkedError,
    OAuthError,
    RateLimitedError,
    RequestQuotaError,
    ResponseError,
    StateError,
    TokenConflictError,
    TokenExpiredError,
    TokenUse,
    TooLargeError,
    TooManyFailuresError,
    UnauthorizedError,
    UnavailableError,
    WrongAccountError,
)

OURS = (DecryptionError, InTransactionError, InvalidHeaderError, LinkError)
MISCONFIGURED = (ImplicitKeyError, InactiveKeyError, MalformedRequestError, GrantTypeError)
MISTYPED = (InvalidPathError, InvalidDomainError, InvalidCredentialsError, MissingCredentialsError)
RECONNECT = (NotLinkedError, UnauthorizedError, InvalidGrantError)
ONCE_MORE = (AccessDeniedError, StateError, TokenConflictError, WrongAccountError)


def seconds_to_wait(error: EgnyteError) -> float | None:
    """The seconds to wait. ``None`` if waiting does not help."""
    assert_type(error.retryable, bool)
    if not error.retryable:
        return None
    if isinstance(error, RateLimitedError | TooManyFailuresError):
        assert_type(error.retry_after, float)
        return error.retry_after
    if isinstance(error, UnavailableError):
        assert_type(error.sent, bool)
        return 30.0 if error.sent else 1.0
    return 30.0


def explain(error: EgnyteError) -> str:
    """One sentence for the user."""
    if isinstance(error, RateLimitedError):
        return _limit(error)
    if isinstance(error, StateError):
        return _state(error)
    if isinstance(error, MISCONFIGURED):
        return str(error.user_hint)
    if isinstance(error, RECONNECT):
        return _("Please connect to Egnyte again.")
    if isinstance(error, ONCE_MORE):
        return _("Nothing was connected. Please try again.")
    if isinstance(error, MISTYPED):
        return _("Please check what you typed.")
    if isinstance(error, APIError):
        return _refusal(error)
    if isinstance(error, RequestQuotaError | OAuthError):
        return _(error.user_hint)
    if isinstance(error, UnavailableError | ResponseError | TokenExpiredError):
        return _("Egnyte does not answer as it should.")
    if isinstance(error, OURS):
        return _("This site has a problem with Egnyte.")
    return str(error)


def report(error: EgnyteError) -> dict[str, object]:
    """A text for the log. It contains no secret."""
    assert_type(error.status, int | None)
    assert_type(error.code, str | None)
    assert_type(error.hint, str)
    assert_type(error.host, str | None)
    assert_type(error.used, TokenUse | None)
    return {
        "path": error.path if isinstance(error, APIError) else None,
        "account": error.used.account_id if error.used is not None else None,
        "status": error.status,
        "code": error.code,
        "hint": error.hint,
        "host": error.host,
        "user": explain(error),
        "again_in": seconds_to_wait(error),
    }


def _limit(error: RateLimitedError) -> str:
    match error.kind:
        case "qps":
            return _("Egnyte is busy.")
        case "daily":
            return _("You have used Egnyte enough for today.")
        case "token_endpoint":
            return _("Too many users are connecting.")
        case _:
            assert_never(error.kind)


def _state(error: StateError) -> str:
    match error.reason:
        case "missing" | "spent":
            return _("Please begin again.")
        case "expired":
            return _("That took too long.")
        case "foreign":
            return _("Somebody else began this.")
        case _:
            assert_never(error.reason)


def _refusal(error: APIError) -> str:
    match error:
        case NotFoundError():
            return _("There is no such file.")
        case ForbiddenError():
            return _("You may not see this file.")
        case LockedError() | ConflictError():
            return _("Somebody else is working on this file.")
        case TooLargeError():
            return _("This file is too large.")
        case BadRequestError():
            return _("Egnyte did not understand.")
        case _:
            return _("Egnyte refused.")
