"""The error codes of the token endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from django_egnyte import exceptions, gateway
from django_egnyte.secret import Secret
from tests.rawserver import always, answer, serving

from .tables import CALLBACK, HOST, rows_of

ERRORS = """
| Error Code | Error Message | HTTP Code | Exception |
| APIKEY_FOR_IMPLICIT | This API key is configured only for Implicit Grant flow. Please check the documentation and try again. | 400 | ImplicitKeyError |
| INTERNAL_ERROR | OAuth request from this source has gone over its rate limit quota. | 400 | RequestQuotaError |
| INTERNAL_ERROR | No active developer profile found for api key | 401 | InactiveKeyError |
| INTERNAL_ERROR | null | 400 | MalformedRequestError |
| INVALID_USERNAME_OR_PASSWORD | Invalid client credentials were supplied. | 403 | InvalidCredentialsError |
| GRANT_PASSWORD | For resource owner flow, grant_type must be password. Check documentation and try again. | 403 | GrantTypeError |
| RESOURCE_FLOW_ISNULL | Resource owner flow based access request but username and/or password is null. Please check documentation and try again. | 400 | MissingCredentialsError |
"""  # noqa: E501
# A word from Egnyte's column "Troubleshooting" that our hint must contain.
TROUBLESHOOTING = {
    "ImplicitKeyError": "implicit",
    "RequestQuotaError": "stored and used again",
    "InactiveKeyError": "EGNYTE_CLIENT_ID",
    "MalformedRequestError": "parameters",
    "InvalidCredentialsError": "special characters",
    "GrantTypeError": '"password"',
    "MissingCredentialsError": "Content-Type",
}
SHAPES: dict[str, Callable[[str, Any], Any]] = {
    "errorCode": lambda code, text: {"errorCode": code, "message": text},
    "error": lambda code, text: {"error": code, "error_description": text},
    "Errors": lambda code, text: {"Errors": [{"code": code, "description": text}]},
    "inputErrors": lambda code, text: {
        "errors": {"inputErrors": {"client_id": [{"code": code, "msg": text}]}}
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("code", "text", "status", "name"), rows_of(ERRORS))
def test_each_error_of_the_token_endpoint_is_an_exception_of_its_own(
    settings: Any, code: str, text: str, status: str, name: str, shape: str
) -> None:
    said = None if text == "null" and shape == "errorCode" else text
    body = json.dumps(SHAPES[shape](code, said)).encode()
    refusal = answer(f"{status} No", body, Content_Type="text/plain")
    with serving(always(refusal)) as server:
        settings.EGNYTE_BASE_URL = f"{server.url}/d/{{domain}}"
        with pytest.raises(exceptions.OAuthError) as caught:
            gateway.oauth(HOST).password("jsmith", Secret("s3cret-password"), ["Egnyte.filesystem"])
        assert len(server.requests) == 1
    error = caught.value
    assert type(error) is getattr(exceptions, name)
    assert (error.code, error.status, error.host) == (code, int(status), HOST)
    assert TROUBLESHOOTING[name] in error.hint
    assert error.user_hint
    assert not error.retryable
    for secret in ("s3cret-password", "test-client-secret"):
        assert secret not in f"{error!r} {error} {error.hint} {error.user_hint}"


def test_the_seven_errors_have_seven_exceptions_and_seven_hints() -> None:
    kinds = {getattr(exceptions, row[3]) for row in rows_of(ERRORS)}
    assert len(kinds) == 7
    assert len({kind.hint for kind in kinds}) == 7
    assert exceptions.OAuthError not in kinds


def _implicit_key(sandbox: Any, settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "sandbox-implicit-key"
    gateway.oauth(HOST).password("jsmith", Secret("demo-password-1"), ())


def _quota(sandbox: Any, settings: Any) -> None:
    sandbox.settings.token_throttle = "quota"
    sandbox.settings.token_requests_per_hour = 1
    for _ in range(2):
        with pytest.raises(exceptions.InvalidGrantError):
            gateway.oauth(HOST).exchange_code(Secret("code"), CALLBACK, ())


def _unknown_key(sandbox: Any, settings: Any) -> None:
    settings.EGNYTE_CLIENT_ID = "a-key-that-egnyte-does-not-know"
    gateway.oauth(HOST).exchange_code(Secret("code"), CALLBACK, ())


def _no_code(sandbox: Any, settings: Any) -> None:
    gateway.oauth(HOST).exchange_code(Secret(""), CALLBACK, ())


def _internal(settings: Any) -> Any:
    settings.EGNYTE_CLIENT_ID = "sandbox-internal-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-internal-secret"
    return gateway.oauth(HOST)


def _wrong_password(sandbox: Any, settings: Any) -> None:
    _internal(settings).password("jsmith", Secret("wrong"), ())


def _wrong_grant(sandbox: Any, settings: Any) -> None:
    _internal(settings).exchange_code(Secret("code"), CALLBACK, ())


def _no_username(sandbox: Any, settings: Any) -> None:
    _internal(settings).password("", Secret("demo-password-1"), ())


PROVOKED: list[Callable[[Any, Any], None]] = [
    _implicit_key, _quota, _unknown_key, _no_code, _wrong_password, _wrong_grant, _no_username,
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "provoke"),
    list(zip(rows_of(ERRORS), PROVOKED, strict=True)),
    ids=[row[3] for row in rows_of(ERRORS)],
)
def test_each_error_can_be_provoked(
    egnyte_sandbox: Any, settings: Any, row: list[str], provoke: Callable[[Any, Any], None]
) -> None:
    with pytest.raises(exceptions.OAuthError) as caught:
        provoke(egnyte_sandbox, settings)
    assert type(caught.value).__name__ == row[3]
    assert (caught.value.code, str(caught.value.status)) == (row[0], row[2])
