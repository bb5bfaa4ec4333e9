"""The state parameter (RFC 6749 section 10.12): what an attempt to connect must not forget.

Each attempt has a session key of its own, so that two tabs do not disturb each other. The
payload is signed, since a session's backend may be weaker than the site's secret. Using a state
up is ``services.link.spend_state``'s work, whatever the session's backend makes of races.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.core import signing

from .conf import STATE_LIFETIME, STATES_AT_MOST
from .exceptions import StateError

PREFIX: Final = "egnyte_state_"
SALT: Final = "django_egnyte.state"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to connect. ``host`` is empty where only the Referer will tell the domain."""

    user: str
    flow: str
    host: str
    redirect_uri: str
    scopes: tuple[str, ...]
    next: str
    relink: int | None
    started: int


def begin(
    session: MutableMapping[str, Any],
    *,
    user: str,
    flow: str,
    host: str,
    redirect_uri: str,
    scopes: tuple[str, ...],
    next: str = "",
    relink: int | None = None,
) -> str:
    """Remember an attempt in the session and return its state, 256 random bits as text.

    The oldest attempts make room: there are never more than ``STATES_AT_MOST``.
    """
    state = secrets.token_urlsafe(32)
    now = int(time.time())
    attempt = Attempt(user, flow, host, redirect_uri, tuple(scopes), next, relink, now)
    _make_room(session)
    session[_key(state)] = signing.dumps(asdict(attempt), salt=SALT)
    return state


def recall(session: MutableMapping[str, Any], state: str, *, user: str) -> Attempt:
    """The attempt that this state belongs to.

    ``StateError``: ``missing`` if this session began no such attempt, ``expired`` after ten
    minutes, ``foreign`` if another user of this site began it.
    """
    sealed = session.get(_key(state)) if state and len(state) < 200 else None
    if not isinstance(sealed, str):
        raise StateError("No attempt to connect was begun with this state.", reason="missing")
    try:
        values = signing.loads(sealed, salt=SALT)
        attempt = Attempt(**values | {"scopes": tuple(values["scopes"])})
    except (signing.BadSignature, TypeError, ValueError, KeyError):
        raise StateError("The state does not hold what was signed.", reason="missing") from None
    if time.time() - attempt.started > STATE_LIFETIME:
        raise StateError("The attempt to connect took too long.", reason="expired")
    if attempt.user != user:
        raise StateError("Another user began this attempt.", reason="foreign")
    return attempt


def _key(state: str) -> str:
    # Hashed: a session store that leaks must not hand out states.
    return PREFIX + hashlib.sha256(state.encode()).hexdigest()[:32]


def _make_room(session: MutableMapping[str, Any]) -> None:
    ages: dict[str, int] = {}
    for key in [key for key in session.keys() if key.startswith(PREFIX)]:  # noqa: SIM118
        try:
            ages[key] = int(signing.loads(session[key], salt=SALT)["started"])
        except (signing.BadSignature, TypeError, ValueError, KeyError):
            ages[key] = 0
    now = time.time()
    oldest_first = sorted(ages, key=lambda key: ages[key])
    for index, key in enumerate(oldest_first):
        if index <= len(ages) - STATES_AT_MOST or now - ages[key] > STATE_LIFETIME:
            del session[key]
