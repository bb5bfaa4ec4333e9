"""The state parameter (RFC 6749 section 10.12): what an attempt to connect must not forget.

Each attempt is a signed cookie of its own in the browser that began it. So no write of the session
can lose one, and two attempts that begin at the same moment do not disturb each other. A cookie
goes only to the page that ends its attempt. A second, small cookie lists the attempts for the page
that begins them, which lets the oldest make room. ``services.link.spend_state`` uses a state up.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core import signing
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import get_language, override

from .choices import Flow
from .conf import STATE_LIFETIME, STATES_AT_MOST
from .exceptions import DecryptionError, StateError
from .fields import seal, unseal
from .secret import Secret

PREFIX: Final = "egnyte_attempt_"
INDEX: Final = "egnyte_attempts"
SALT: Final = "django_egnyte.state"
# Bytes. Browsers drop a cookie of more than 4,096. Servers refuse a Cookie header of more than
# about 8,000, and the site's own cookies need their share of it.
LONGEST_COOKIE: Final = 3000
ALL_COOKIES: Final = 6000
# A code that waits for its domain must fit into a cookie. Egnyte's have some dozens of characters.
LONGEST_CODE: Final = 1024
# Seconds. Egnyte has issued an implicit token even if the browser brings it too late. While the
# attempt is known, it can be revoked.
LATE_TOKEN: Final = 3600

_LISTED = re.compile(r"([0-9a-f]{32})-([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to connect. ``host`` is empty where only the Referer will tell the domain.

    ``language`` is the one that the user reads: the callback has one address in all of them.
    """

    user: str
    flow: str
    host: str
    redirect_uri: str
    scopes: tuple[str, ...]
    next: str
    relink: int | None
    started: int
    language: str

    def refuse_if_late(self) -> None:
        """``StateError`` (expired) ten minutes after it was begun."""
        if time.time() - self.started > STATE_LIFETIME:
            raise StateError("The attempt to connect took too long.", reason="expired")


def address(name: str) -> str:
    """The path of a page of this app, the same in every language of ``i18n_patterns``."""
    with override(settings.LANGUAGE_CODE):
        return reverse(name)


def new() -> str:
    """A state: 256 random bits as text."""
    return secrets.token_urlsafe(32)


def begin(
    cookies: Mapping[str, str],
    response: HttpResponse,
    state: str,
    *,
    user: str,
    flow: str,
    host: str,
    redirect_uri: str,
    scopes: tuple[str, ...],
    next: str = "",
    relink: int | None = None,
) -> None:
    """Let ``response`` set the cookie of a new attempt, under a ``state`` made by ``new``.

    ``cookies`` are the request's. The oldest attempts make room: a browser keeps no more than
    ``STATES_AT_MOST``, of ``ALL_COOKIES`` bytes together. A ``next`` that is too long is forgotten.
    """
    now = int(time.time())
    language = get_language() or settings.LANGUAGE_CODE
    attempt = Attempt(user, flow, host, redirect_uri, tuple(scopes), next, relink, now, language)
    value = _signed(state, asdict(attempt))
    if len(value) > LONGEST_COOKIE:
        value = _signed(state, asdict(attempt) | {"next": ""})
    path = _path(flow, redirect_uri)
    # The page that takes an implicit answer wants late ones, too.
    lifetime = LATE_TOKEN if flow == Flow.IMPLICIT else STATE_LIFETIME
    listed = _make_room(cookies, response, state, len(value), path)
    _set(response, INDEX, listed, path=reverse("egnyte:connect"), lifetime=lifetime)
    _set(response, _name(state), value, path=path, lifetime=lifetime)


def recall(cookies: Mapping[str, str], state: str, *, user: str, late: bool = False) -> Attempt:
    """The attempt that this state belongs to.

    ``StateError``: ``missing`` if this browser has no such attempt, ``expired`` after ten minutes
    unless a ``late`` one is wanted, too, ``foreign`` if another user of this site began it.
    """
    attempt = _recall(cookies, state, user, parked=False)[0]
    if not late:
        attempt.refuse_if_late()
    return attempt


def begun_by_anybody(cookies: Mapping[str, str], state: str) -> Attempt | None:
    """The attempt that this state belongs to, whoever began it; ``None`` if there is none.

    Only good for finding the way back to where it began: a callback may come after a logout.
    """
    values = _load(cookies, state)
    try:
        return None if values is None else _attempt(values)
    except (TypeError, KeyError):
        return None


def park(response: HttpResponse, attempt: Attempt, code: Secret) -> str:
    """Keep a code until the user has said which domain it is for; returns the state to take it
    back with. The code is sealed in a cookie for the page that asks. ``ValueError`` for a code of
    more than ``LONGEST_CODE`` characters."""
    state = new()
    sealed = _seal_code(code, state)
    values = asdict(attempt) | {"code": sealed}
    value = _signed(state, values)
    if len(value) > LONGEST_COOKIE:
        value = _signed(state, values | {"next": ""})
    _set(response, _name(state), value, path=reverse("egnyte:domain"), lifetime=STATE_LIFETIME)
    return state


def take_back(cookies: Mapping[str, str], state: str, *, user: str) -> tuple[Attempt, Secret]:
    """The attempt and the code that were parked under this state; ``StateError`` as ``recall``."""
    attempt, values = _recall(cookies, state, user, parked=True)
    attempt.refuse_if_late()
    try:
        return attempt, unseal(values["code"], _code_context(state))
    except (DecryptionError, AttributeError, TypeError):
        raise StateError("The parked code cannot be read.", reason="missing") from None


def _recall(
    cookies: Mapping[str, str], state: str, user: str, *, parked: bool
) -> tuple[Attempt, dict[str, Any]]:
    values = _load(cookies, state)
    if values is None:
        raise StateError("This browser has no attempt with this state.", reason="missing")
    try:
        attempt = _attempt(values)
        if parked is not ("code" in values):
            raise KeyError("code")
    except (TypeError, KeyError):
        raise StateError("The state does not hold what was signed.", reason="missing") from None
    if attempt.user != user:
        raise StateError("Another user began this attempt.", reason="foreign")
    return attempt, values


def _attempt(values: dict[str, Any]) -> Attempt:
    fields: dict[str, Any] = {name: values[name] for name in Attempt.__slots__}
    fields["scopes"] = tuple(values["scopes"])
    return Attempt(**fields)


def _load(cookies: Mapping[str, str], state: str) -> dict[str, Any] | None:
    """What the cookie of this state holds; ``None`` unless this site signed it for that state."""
    signed = cookies.get(_name(state), "") if state and len(state) < 200 else ""
    if not signed or len(signed) > 4096:
        return None
    try:
        values = signing.loads(signed, salt=_salt(state))
    except (signing.BadSignature, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _signed(state: str, values: dict[str, Any]) -> str:
    return signing.dumps(values, salt=_salt(state), compress=True)


def _seal_code(code: Secret, state: str) -> str:
    if len(code.reveal()) > LONGEST_CODE:
        raise ValueError("A code as long as this does not fit into a cookie.")
    return str(seal(code, _code_context(state)))


def _code_context(state: str) -> str:
    return f"code|{_name(state)}"


def _salt(state: str) -> str:
    # A cookie that is renamed opens nothing.
    return f"{SALT}|{_name(state)}"


def _name(state: str) -> str:
    # Hashed: whoever reads cookies must not learn states.
    return PREFIX + hashlib.sha256(state.encode(errors="surrogatepass")).hexdigest()[:32]


def _path(flow: str, redirect_uri: str) -> str:
    """The page that ends an attempt, as the browser sees it: a proxy may change addresses."""
    if flow == Flow.IMPLICIT:
        return address("egnyte:implicit")
    return urlsplit(redirect_uri).path or "/"


def _make_room(
    cookies: Mapping[str, str], response: HttpResponse, state: str, size: int, path: str
) -> str:
    """The list with a new attempt of ``size`` bytes. The oldest that do not fit beside it end."""
    listed = _LISTED.findall(cookies.get(INDEX, "")[:500])
    listed.append((_name(state).removeprefix(PREFIX), str(size)))
    while len(listed) > STATES_AT_MOST or (
        len(listed) > 1 and sum(int(each) for _, each in listed) > ALL_COOKIES
    ):
        oldest, _ = listed.pop(0)
        response.delete_cookie(
            PREFIX + oldest, path=path, domain=settings.SESSION_COOKIE_DOMAIN, samesite="Lax"
        )
    return ".".join(f"{name}-{each}" for name, each in listed)


def _set(response: HttpResponse, name: str, value: str, *, path: str, lifetime: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=lifetime,
        path=path,
        domain=settings.SESSION_COOKIE_DOMAIN,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
