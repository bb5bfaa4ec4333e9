"""Authorization requests: check them, and answer with the decision of a person or a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from . import refusals
from .addressing import SERVICES, domain_label, locate_url
from .oauth import token_body
from .state import Key, User
from .world import World

AUTHORIZE = "/puboauth/token"
AUTHORIZE_TOO = "/puboauth/authorize"
ENHANCED = "/services/oauth/code"


class AuthorizationError(Exception):
    """A request for which Egnyte shows an error and does not redirect to the application.

    The error is a page or, with `raw`, JSON as at the token endpoint.
    """

    def __init__(self, status: int, message: str, *, raw: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.raw = raw


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid request. `state` is None if none was sent."""

    key: Key
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None
    response_type: str


def check(sandbox: World, args: Mapping[str, str]) -> AuthorizationRequest:
    """Check the parameters of the consent page. Raises AuthorizationError."""
    key = sandbox.key(args.get("client_id", ""))
    if key is None or key.suspended:
        raise AuthorizationError(401, refusals.unknown_key(sandbox.settings).message)
    response_type = args.get("response_type", "")
    if response_type not in ("code", "token"):
        raise AuthorizationError(400, "response_type must be code or token")
    if key.flow == "implicit" and response_type == "code":
        raise AuthorizationError(400, "This API key is configured only for Implicit Grant flow.")
    if key.flow == "code" and response_type == "token":
        raise AuthorizationError(400, "This API key is not configured for Implicit Grant flow.")
    if key.flow == "internal":
        # Four people have reported this message, as JSON in their browser.
        message = "Incorrect request type GET for resource owner flow"
        raise AuthorizationError(400, message, raw=True)
    redirect_uri = args.get("redirect_uri", "")
    _check_redirect(sandbox, key, redirect_uri)
    return AuthorizationRequest(
        key,
        redirect_uri,
        tuple(dict.fromkeys(args.get("scope", "").split())),
        args.get("state"),
        response_type,
    )


def decide(sandbox: World, asked: AuthorizationRequest, label: str, user: User | None) -> str:
    """The URL of the last redirect, with a code or a token. `user` of None: access denied."""
    fields: dict[str, object]
    if user is None:
        fields = {"error": "access_denied"}
    elif asked.response_type == "code":
        lifetime = sandbox.settings.code_lifetime
        with sandbox.lock:
            code = sandbox.grants.make_code(
                asked.key, label, user.username, asked.redirect_uri, asked.scopes, lifetime
            )
        fields = {"code": code}
    else:
        policy = sandbox.policy_of(asked.key.client_id)
        with sandbox.lock:
            issued = sandbox.grants.grant(
                asked.key, policy, label, user.username, asked.scopes, "implicit"
            )
        fields = token_body(issued, policy, with_refresh=False)
    if asked.state is not None:
        fields["state"] = asked.state
    if asked.response_type == "token":
        return f"{asked.redirect_uri}#{urlencode(fields)}"
    joint = "&" if "?" in asked.redirect_uri else "?"
    return f"{asked.redirect_uri}{joint}{urlencode(fields)}"


def enhanced_domain(sandbox: World, text: str) -> str:
    """The label of a known domain. Raises AuthorizationError for any other."""
    label = domain_label(text)
    if label not in sandbox.domains:
        raise AuthorizationError(404, "There is no such domain in this sandbox")
    return label


def target(sandbox: World, url: str, domain: str | None) -> tuple[str, str, dict[str, str]]:
    """The label, its URL prefix, and the parameters of an authorization URL.

    Raises AuthorizationError if the URL is not that of a consent page.
    """
    parts = urlsplit(url)
    address = locate_url(parts.netloc, parts.path)
    args = dict(parse_qsl(parts.query, keep_blank_values=True))
    if address.label in SERVICES and address.path == ENHANCED:
        chosen = enhanced_domain(sandbox, domain or args.get("domain", ""))
        prefix = address.prefix.replace(address.label, chosen)
        return chosen, prefix, args
    if address.label not in sandbox.domains or address.path not in (AUTHORIZE, AUTHORIZE_TOO):
        raise AuthorizationError(404, "Not an authorization URL of a known domain")
    if domain is not None and domain_label(domain) != address.label:
        raise AuthorizationError(400, "The URL is for another domain")
    return address.label, address.prefix, args


def location(
    sandbox: World, url: str, username: str, *, allow: bool = True, domain: str | None = None
) -> str:
    """The redirect URL after the user has logged in and allowed or denied the request of `url`.

    Raises ValueError if Egnyte would show an error page, and KeyError for an unknown user.
    """
    try:
        label, _, args = target(sandbox, url, domain)
        asked = check(sandbox, args)
    except AuthorizationError as error:
        raise ValueError(error.message) from None
    user = sandbox.user(label, username) if allow else None
    return decide(sandbox, asked, label, user)


def referer(sandbox: World, url: str, domain: str | None = None) -> str:
    """The Referer of the last redirect, without its query. Empty if the setting disables it.

    Raises ValueError as `location` does.
    """
    if not sandbox.settings.send_referer:
        return ""
    try:
        _, prefix, _ = target(sandbox, url, domain)
    except AuthorizationError as error:
        raise ValueError(error.message) from None
    return f"{prefix}{AUTHORIZE}" if "/d/" in prefix else f"{prefix}/"


def _check_redirect(sandbox: World, key: Key, redirect_uri: str) -> None:
    # It is sent in a header, so it may have no white space or control characters.
    clean = redirect_uri.isascii() and all(" " < char < "\x7f" for char in redirect_uri)
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        clean, parts = False, urlsplit("")
    if not clean or parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment:
        raise AuthorizationError(400, "redirect_uri is not an absolute URL")
    if key.redirect_uri is not None and redirect_uri != key.redirect_uri:
        raise AuthorizationError(400, "redirect_uri does not match the one registered for the key")
    if sandbox.settings.require_https_redirect and parts.scheme != "https":
        raise AuthorizationError(400, "redirect_uri must be https")
