"""Translate the exceptions of the HTTP libraries into those of this package."""

from __future__ import annotations

import http.client
import ssl
import zlib
from collections.abc import Iterator

import requests
from urllib3 import exceptions as urllib3

from django_egnyte.exceptions import EgnyteError, ResponseError, UnavailableError
from django_egnyte.http.line import Call

_CERTIFICATE_HINT = (
    "Check this machine's clock and its CA certificates. If a proxy inspects TLS, set "
    "REQUESTS_CA_BUNDLE to a file with the CA of the proxy."
)
_PROXY_HINT = "The proxy comes from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY."


_Kinds = tuple[type[BaseException], ...]
# The first row that fits counts: earlier rows are more precise.
_UNSENT: tuple[tuple[_Kinds, str, str], ...] = (
    (
        (ssl.SSLCertVerificationError,),
        "The certificate of {} could not be verified.",
        _CERTIFICATE_HINT,
    ),
    (
        (requests.exceptions.ProxyError, urllib3.ProxyError),
        "The proxy on the way to {} failed.",
        _PROXY_HINT,
    ),
    ((urllib3.NameResolutionError,), "The name {} cannot be resolved.", ""),
    ((ConnectionRefusedError,), "{} refused the connection.", ""),
    (
        (requests.ConnectTimeout, urllib3.ConnectTimeoutError, urllib3.NewConnectionError),
        "{} could not be reached.",
        "",
    ),
)
_CLOSED = "{} closed the connection before it answered."
_OTHERS: tuple[tuple[_Kinds, str, str, type[EgnyteError]], ...] = (
    (
        (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema),
        "The request has a URL that cannot be sent.",
        "",
        EgnyteError,
    ),
    (
        (requests.ReadTimeout, urllib3.ReadTimeoutError, TimeoutError),
        "{} did not answer in time.",
        "",
        UnavailableError,
    ),
    ((ssl.SSLError,), "The TLS connection to {} failed.", _CERTIFICATE_HINT, UnavailableError),
    ((http.client.RemoteDisconnected,), _CLOSED, "", UnavailableError),
    ((http.client.HTTPException,), "{} did not answer in HTTP.", "", ResponseError),
    ((OSError, urllib3.HTTPError), _CLOSED, "", UnavailableError),
)


def explain(
    failure: Exception, host: str, call: Call | None = None, *, in_body: bool = False
) -> EgnyteError:
    """The exception to raise instead of `failure`. It keeps no reference to `failure`.

    `in_body` says that status and headers had already arrived.
    """
    error = _in_body(failure, host) if in_body else _before_answer(failure, host)
    if isinstance(error, UnavailableError) and call is not None and call.expired:
        sent = error.sent
        error = UnavailableError(
            f"{host} did not finish its answer within {call.seconds:g} s.", host=host
        )
        error.sent = sent
    return error


def _before_answer(failure: Exception, host: str) -> EgnyteError:
    chain = list(_chain(failure))
    for kinds, message, hint in _UNSENT:
        if any(isinstance(one, kinds) for one in chain):
            error = UnavailableError(message.format(host), host=host, hint=hint)
            error.sent = False
            return error
    for kinds, message, hint, kind in _OTHERS:
        if any(isinstance(one, kinds) for one in chain):
            return kind(message.format(host), host=host, hint=hint)
    return EgnyteError("The request could not be sent.", host=host)


def _in_body(failure: Exception, host: str) -> EgnyteError:
    chain = list(_chain(failure))
    if any(isinstance(one, urllib3.ReadTimeoutError | TimeoutError) for one in chain):
        return UnavailableError(f"{host} stopped in the middle of its answer.", host=host)
    if isinstance(failure, zlib.error):
        return ResponseError(f"The answer of {host} cannot be decompressed.", host=host)
    return ResponseError(f"The answer of {host} was cut off.", host=host)


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """`failure` and every exception that requests and urllib3 wrapped in it."""
    waiting: list[BaseException] = [failure]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting.extend(part for part in inner if isinstance(part, BaseException))
