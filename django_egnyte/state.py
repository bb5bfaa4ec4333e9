"""The state parameter (RFC 6749 section 10.12) and the data of an attempt to connect.

Each attempt is a signed cookie of its own in the browser that began it. It is not in the session,
because requests that run at the same time overwrite each other's changes of a session. The browser
sends the cookie only to the page that ends its attempt. A second, small cookie lists the attempts
for the page that begins them, which removes the oldest. ``services.link.spend_state`` makes sure
that a state is used once.
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
# about 8,000, which must also hold the site's own cookies.
LONGEST_COOKIE: Final = 3000
ALL_COOKIES: Final = 6000
# A code that waits for its domain must fit into a cookie. Egnyte's codes are far shorter.
LONGEST_CODE: Final = 1024
# Seconds. If the browser delivers an implicit token too late, Egnyte has issued it all the same.
# It can be revoked while the attempt is known.
LATE_TOKEN: Final = 3600

_LISTED = re.compile(r"([0-9a-f]{32})-([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to connect. ``host`` is empty if only the Referer will name the domain.

    ``language`` is the user's language: the callback has one address for all languages.
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
        """Raise ``StateError`` (expired) if the attempt began more than ten minutes ago."""
        if time.time() - self.started > STATE_LIFETIME:
            raise StateError("The attempt to connect took too long.", reason="expired")


def address(name: str) -> str:
    """The path of a page of this app. It is the same in every language of ``i18n_patterns``."""
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
    """Set the cookie of a new attempt on ``response``, for a ``state`` made by ``new``.

    ``cookies`` are the request's. A browser keeps at most ``STATES_AT_MOST`` attempts with
    ``ALL_COOKIES`` bytes together; the oldest are removed. A ``next`` that is too long is dropped.
    """
    now = int(time.time())
    language = get_language() or settings.LANGUAGE_CODE
    attempt = Attempt(user, flow, host, redirect_uri, tuple(scopes), next, relink, now, language)
    value = _signed(state, asdict(attempt))
    if len(value) > LONGEST_COOKIE:
        value = _signed(state, asdict(attempt) | {"next": ""})
    path = _path(flow, redirect_uri)
    # The page for an implicit answer takes late ones too.
    lifetime = LATE_TOKEN if flow == Flow.IMPLICIT else STATE_LIFETIME
    listed = _make_room(cookies, response, state, len(value), path)
    _set(response, INDEX, listed, path=reverse("egnyte:connect"), lifetime=lifetime)
    _set(response, _name(state), value, path=path, lifetime=lifetime)


def recall(cookies: Mapping[str, str], state: str, *, user: str, late: bool = False) -> Attempt:
    """The attempt of this state.

    ``StateError``: ``missing`` if this browser has no such attempt, ``expired`` after ten minutes
    (unless ``late``), ``foreign`` if another user of this site began it.
    """
    attempt = _recall(cookies, state, user, parked=False)[0]
    if not late:
        attempt.refuse_if_late()
    return attempt


def begun_by_anybody(cookies: Mapping[str, str], state: str) -> Attempt | None:
    """The attempt of this state, whichever user began it. ``None`` if there is none.

    Use it only to find the page where the attempt began: a callback may come after a logout.
    """
    values = _load(cookies, state)
    try:
        return None if values is None else _attempt(values)
    except (TypeError, KeyError):
        return None


def park(response: HttpResponse, attempt: Attempt, code: Secret) -> str:
    """Keep a code until the user has named its domain. Returns the state that returns the code.

    The code is sealed in a cookie for the page that asks. ``ValueError`` for a code of more than
    ``LONGEST_CODE`` characters.
    """
    state = new()
    sealed = _seal_code(code, state)
    values = asdict(attempt) | {"code": sealed}
    value = _signed(state, values)
    if len(value) > LONGEST_COOKIE:
        value = _signed(state, values | {"next": ""})
    _set(response, _name(state), value, path=reverse("egnyte:domain"), lifetime=STATE_LIFETIME)
    return state


def take_back(cookies: Mapping[str, str], state: str, *, user: str) -> tuple[Attempt, Secret]:
    """The attempt and the code that ``park`` has kept. ``StateError`` as for ``recall``."""
    attempt, values = _recall(cookies, state, user, parked=True)
    attempt.refuse_if_late()
    try:
        return attempt, unseal(values["code"], _code_context(state))
    except (DecryptionError, AttributeError, TypeError):
        raise StateError("The code in the cookie cannot be decrypted.", reason="missing") from None


def _recall(
    cookies: Mapping[str, str], state: str, user: str, *, parked: bool
) -> tuple[Attempt, dict[str, Any]]:
    values = _load(cookies, state)
    if values is None:
        raise StateError("This browser has started no attempt with this state.", reason="missing")
    try:
        attempt = _attempt(values)
        if parked is not ("code" in values):
            raise KeyError("code")
    except (TypeError, KeyError):
        raise StateError(
            "The content of the state is not what this site signs.", reason="missing"
        ) from None
    if attempt.user != user:
        raise StateError("Another user started this attempt.", reason="foreign")
    return attempt, values


def _attempt(values: dict[str, Any]) -> Attempt:
    fields: dict[str, Any] = {name: values[name] for name in Attempt.__slots__}
    fields["scopes"] = tuple(values["scopes"])
    return Attempt(**fields)


def _load(cookies: Mapping[str, str], state: str) -> dict[str, Any] | None:
    """The content of the state's cookie. ``None`` unless this site signed it for that state."""
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
        raise ValueError("The code is too long for a cookie.")
    return str(seal(code, _code_context(state)))


def _code_context(state: str) -> str:
    return f"code|{_name(state)}"


def _salt(state: str) -> str:
    # The signature includes the name: a renamed cookie is invalid.
    return f"{SALT}|{_name(state)}"


def _name(state: str) -> str:
    # Hash the state: somebody who reads the cookies must not learn it.
    return PREFIX + hashlib.sha256(state.encode(errors="surrogatepass")).hexdigest()[:32]


def _path(flow: str, redirect_uri: str) -> str:
    """The path of the page that ends an attempt, as the browser sees it behind a proxy."""
    if flow == Flow.IMPLICIT:
        return address("egnyte:implicit")
    return urlsplit(redirect_uri).path or "/"


def _make_room(
    cookies: Mapping[str, str], response: HttpResponse, state: str, size: int, path: str
) -> str:
    """The list with a new attempt of ``size`` bytes, without the oldest that no longer fit."""
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
