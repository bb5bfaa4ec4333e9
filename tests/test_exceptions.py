from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from django_egnyte import exceptions
from django_egnyte.exceptions import (
    APIError,
    EgnyteError,
    InvalidCredentialsError,
    OAuthError,
    PartialFailureError,
    RateLimitedError,
    StateError,
    TokenExpiredError,
    TooManyFailuresError,
    UnauthorizedError,
    UnavailableError,
)

CLASSES = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, EgnyteError)
]
SEVEN_ROWS = {
    "ImplicitKeyError": ("APIKEY_FOR_IMPLICIT", 400),
    "RequestQuotaError": ("INTERNAL_ERROR", 400),
    "InactiveKeyError": ("INTERNAL_ERROR", 401),
    "MalformedRequestError": ("INTERNAL_ERROR", 400),
    "InvalidCredentialsError": ("INVALID_USERNAME_OR_PASSWORD", 403),
    "GrantTypeError": ("GRANT_PASSWORD", 403),
    "MissingCredentialsError": ("RESOURCE_FLOW_ISNULL", 400),
}


def make(kind: type[EgnyteError]) -> EgnyteError:
    required: dict[type[EgnyteError], dict[str, object]] = {
        PartialFailureError: {"failures": {"id": "why"}},
        RateLimitedError: {"retry_after": 1.5, "kind": "qps"},
        StateError: {"reason": "spent"},
        TooManyFailuresError: {"retry_after": 60.0},
    }
    extra = required.get(kind, {})
    return kind("what happened", status=418, code="TEAPOT", hint="h", host="a.egnyte.com", **extra)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_exception_survives_pickling_and_copying(kind: type[EgnyteError]) -> None:
    error = make(kind)
    error.add_note("a note")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == "what happened"
        assert twin.__dict__ == error.__dict__
        assert (twin.status, twin.code, twin.hint, twin.host) == (
            418,
            "TEAPOT",
            "h",
            "a.egnyte.com",
        )


@pytest.mark.parametrize("kind", CLASSES)
def test_every_exception_says_what_it_is(kind: type[EgnyteError]) -> None:
    assert kind.__doc__
    assert kind.__name__.endswith("Error")


def test_retryable_are_only_those_that_pass_by_themselves() -> None:
    retryable = {kind.__name__ for kind in CLASSES if kind.retryable}
    assert retryable == {
        "UnavailableError",
        "RateLimitedError",
        "TokenExpiredError",
        "TooManyFailuresError",
    }
    assert TokenExpiredError.retryable


@pytest.mark.parametrize(("name", "row"), SEVEN_ROWS.items())
def test_each_row_of_the_token_endpoint_has_code_status_and_hints(
    name: str, row: tuple[str, int]
) -> None:
    kind = getattr(exceptions, name)
    assert issubclass(kind, OAuthError)
    error = kind("message")
    assert (error.code, error.status) == row
    assert error.hint
    assert error.user_hint
    others = [getattr(exceptions, other).hint for other in SEVEN_ROWS if other != name]
    assert error.hint not in others


def test_a_given_hint_replaces_the_class_hint_and_an_empty_one_does_not() -> None:
    assert InvalidCredentialsError("m", hint="other").hint == "other"
    assert InvalidCredentialsError("m").hint == InvalidCredentialsError.hint != ""


def test_an_unauthorized_error_is_a_401_unless_told_otherwise() -> None:
    assert UnauthorizedError("m").status == 401
    assert UnauthorizedError("m", status=403).status == 403
    assert issubclass(UnauthorizedError, APIError)


def test_whether_a_request_was_sent_travels_with_the_error() -> None:
    error = UnavailableError("m")
    assert error.sent
    error.sent = False
    assert not pickle.loads(pickle.dumps(error)).sent
