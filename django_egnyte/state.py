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
from .exceptions import DecryptionError, StateError
from .fields import seal, unseal
from .secret import Secret

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

    def refuse_if_late(self) -> None:
        """``StateError`` (expired) ten minutes after it was begun."""
        if time.time() - self.started > STATE_LIFETIME:
            raise StateError("The attempt to connect took too long.", reason="expired")


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


def recall(
    session: MutableMapping[str, Any], state: str, *, user: str, late: bool = False
) -> Attempt:
    """The attempt that this state belongs to.

    ``StateError``: ``missing`` if this session began no such attempt, ``expired`` after ten
    minutes unless a ``late`` one is wanted, too, ``foreign`` if another user of this site began
    it.
    """
    attempt = _recall(session, state, user, parked=False)[0]
    if not late:
        attempt.refuse_if_late()
    return attempt


def _recall(
    session: MutableMapping[str, Any], state: str, user: str, *, parked: bool
) -> tuple[Attempt, dict[str, Any]]:
    sealed = session.get(_key(state)) if state and len(state) < 200 else None
    if not isinstance(sealed, str):
        raise StateError("No attempt to connect was begun with this state.", reason="missing")
    try:
        values = signing.loads(sealed, salt=SALT)
        if parked is not ("code" in values):
            raise ValueError
        fields: dict[str, Any] = {name: values[name] for name in Attempt.__slots__}
        fields["scopes"] = tuple(values["scopes"])
        attempt = Attempt(**fields)
    except (signing.BadSignature, TypeError, ValueError, KeyError):
        raise StateError("The state does not hold what was signed.", reason="missing") from None
    if attempt.user != user:
        raise StateError("Another user began this attempt.", reason="foreign")
    return attempt, values


def park(session: MutableMapping[str, Any], attempt: Attempt, code: str) -> str:
    """Keep a code until the user has said which domain it is for; returns the state to take it
    back with. The code never leaves the server, and is sealed while it waits there."""
    state = secrets.token_urlsafe(32)
    _make_room(session)
    values = asdict(attempt) | {"code": str(seal(Secret(code), _code_context(state)))}
    session[_key(state)] = signing.dumps(values, salt=SALT)
    return state


def take_back(session: MutableMapping[str, Any], state: str, *, user: str) -> tuple[Attempt, str]:
    """The attempt and the code that were parked under this state; ``StateError`` as ``recall``."""
    attempt, values = _recall(session, state, user, parked=True)
    attempt.refuse_if_late()
    try:
        return attempt, unseal(values["code"], _code_context(state)).reveal()
    except DecryptionError:
        raise StateError("The parked code cannot be read.", reason="missing") from None


def _code_context(state: str) -> str:
    return f"code|{_key(state)}"


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
