"""What the HTTP libraries raise, said in this package's own exceptions."""

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
    "Check this machine's clock and its CA certificates. Where a proxy inspects TLS, let "
    "REQUESTS_CA_BUNDLE name a file with the proxy's CA."
)
_PROXY_HINT = "The proxy comes from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY."


def explain(
    failure: Exception, host: str, call: Call | None = None, *, in_body: bool = False
) -> EgnyteError:
    """The exception to raise instead of `failure`, which is only read, never kept.

    `in_body` says that status and headers had come already.
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

    def any_of(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    if any_of(ssl.SSLCertVerificationError):
        return _unsent(f"The certificate of {host} could not be verified.", host, _CERTIFICATE_HINT)
    if any_of(requests.exceptions.ProxyError, urllib3.ProxyError):
        return _unsent(f"The proxy on the way to {host} failed.", host, _PROXY_HINT)
    if any_of(urllib3.NameResolutionError):
        return _unsent(f"The name {host} cannot be resolved.", host)
    if any_of(requests.ConnectTimeout, urllib3.ConnectTimeoutError):
        # NewConnectionError is a kind of it in urllib3, whatever the reason.
        if any_of(ConnectionRefusedError):
            return _unsent(f"{host} refused the connection.", host)
        return _unsent(f"{host} could not be reached.", host)
    if any_of(urllib3.NewConnectionError):
        return _unsent(f"{host} could not be reached.", host)
    if any_of(requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
        return EgnyteError("The request has a URL that cannot be sent.", host=host)
    if any_of(requests.ReadTimeout, urllib3.ReadTimeoutError, TimeoutError):
        return UnavailableError(f"{host} did not answer in time.", host=host)
    if any_of(ssl.SSLError):
        return UnavailableError(
            f"The TLS connection to {host} failed.", host=host, hint=_CERTIFICATE_HINT
        )
    if any_of(http.client.HTTPException) and not any_of(http.client.RemoteDisconnected):
        return ResponseError(f"{host} did not answer in HTTP.", host=host)
    if any_of(OSError, urllib3.HTTPError):
        return UnavailableError(f"{host} closed the connection before it answered.", host=host)
    return EgnyteError("The request could not be sent.", host=host)


def _in_body(failure: Exception, host: str) -> EgnyteError:
    chain = list(_chain(failure))
    if any(isinstance(one, urllib3.ReadTimeoutError | TimeoutError) for one in chain):
        return UnavailableError(f"{host} stopped in the middle of its answer.", host=host)
    if isinstance(failure, zlib.error):
        return ResponseError(f"The answer of {host} cannot be unpacked.", host=host)
    return ResponseError(f"The answer of {host} was cut off.", host=host)


def _unsent(message: str, host: str, hint: str = "") -> UnavailableError:
    error = UnavailableError(message, host=host, hint=hint)
    error.sent = False
    return error


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """`failure` and all that it wraps, by whichever way requests and urllib3 wrapped it."""
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
