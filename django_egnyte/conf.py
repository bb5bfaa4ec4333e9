"""The app's settings: one typed property each, read on every access."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .secret import Secret

# Seconds. A test checks their order: a chain of calls must end before the worker is told to stop,
# or the token that it obtains is lost, and the worker must end before its lease does.
TOKEN_DEADLINE = 30
# For this long a process tries to store a token that it has obtained.
WRITE_PATIENCE = 10
PROBE_DEADLINE = 10
# A proof of the key asks up to three accounts or the token endpoint, then the token again.
LONGEST_PROOF = 4 * PROBE_DEADLINE
# Under the lease: a refresh and its write, userinfo after a refusal, and the key's proof.
LONGEST_REFRESH = TOKEN_DEADLINE + WRITE_PATIENCE + TOKEN_DEADLINE + LONGEST_PROOF
LONGEST_VALIDATION = TOKEN_DEADLINE + LONGEST_REFRESH

TASK_SOFT_TIME_LIMIT = LONGEST_VALIDATION + 10
TASK_TIME_LIMIT = TASK_SOFT_TIME_LIMIT + 20
LEASE = TASK_TIME_LIMIT + 10
IN_FLIGHT = 15 * 60

# A pass begins no row after its slice, and ends the last row before it is told to stop.
SWEEP_SLICE = 120
REVOKE_SLICE = 60
SWEEP_SOFT_TIME_LIMIT = 290
SWEEP_TIME_LIMIT = 300

STATE_LIFETIME = 10 * 60
STATES_AT_MOST = 5
FAILURES_PER_HOUR = 5


def _in_order(name: str, value: object) -> Sequence[Any]:
    """Require a list, whose order counts. The order of a set differs between processes."""
    if not isinstance(value, list | tuple):
        raise ImproperlyConfigured(f"{name} must be a list, because its order matters.")
    return list(value)


def _secret(key: object) -> Secret:
    return Secret(key if isinstance(key, str) else "")


class Settings:
    """``django.conf.settings`` with this app's defaults. Times are in seconds or ``timedelta``."""

    @property
    def client_id(self) -> str:
        value = getattr(settings, "EGNYTE_CLIENT_ID", "")
        if not value:
            raise ImproperlyConfigured("EGNYTE_CLIENT_ID is not set: it is your Egnyte API key.")
        return str(value)

    @property
    def client_secret(self) -> Secret:
        """Empty for keys registered before January 2015, which have none."""
        return Secret(str(getattr(settings, "EGNYTE_CLIENT_SECRET", "") or ""))

    @property
    def flow(self) -> str:
        return str(getattr(settings, "EGNYTE_FLOW", "authorization_code"))

    @property
    def domain(self) -> str | None:
        return getattr(settings, "EGNYTE_DOMAIN", None)

    @property
    def allowed_domains(self) -> Sequence[str] | None:
        return getattr(settings, "EGNYTE_ALLOWED_DOMAINS", None)

    @property
    def domain_suffixes(self) -> Sequence[str]:
        """The first one completes a name without a suffix."""
        value = getattr(settings, "EGNYTE_DOMAIN_SUFFIXES", ["egnyte.com", "egnytegov.com"])
        return _in_order("EGNYTE_DOMAIN_SUFFIXES", value)

    @property
    def scopes(self) -> Sequence[str]:
        return getattr(settings, "EGNYTE_SCOPES", ["Egnyte.filesystem"])

    @property
    def region(self) -> str:
        return str(getattr(settings, "EGNYTE_REGION", "us"))

    @property
    def redirect_uri(self) -> str | None:
        return getattr(settings, "EGNYTE_REDIRECT_URI", None)

    @property
    def ciphers(self) -> Sequence[str]:
        """Import paths. The first cipher seals. A setting of one path counts as a list of one.

        To move from one cipher to another, list both until ``egnyte_rotate_keys`` is done.
        """
        value = getattr(settings, "EGNYTE_CIPHER", "django_egnyte.ciphers.FernetCipher")
        paths = _in_order("EGNYTE_CIPHER", [value] if isinstance(value, str) else value)
        if not paths:
            raise ImproperlyConfigured(
                "EGNYTE_CIPHER is empty: set an import path, or a list of them."
            )
        return paths

    @property
    def encryption_keys(self) -> Sequence[Secret]:
        """The newest key first. An entry that is not a text becomes an empty secret."""
        if getattr(settings, "EGNYTE_ENCRYPTION_KEYS", None) is None:
            return [
                Secret(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
            ]
        keys: Any = getattr(settings, "EGNYTE_ENCRYPTION_KEYS")  # noqa: B009
        return [*map(_secret, _in_order("EGNYTE_ENCRYPTION_KEYS", keys))]

    @property
    def timeout(self) -> tuple[float, float]:
        connect, read = getattr(settings, "EGNYTE_TIMEOUT", (3.05, 30))
        return float(connect), float(read)

    @property
    def max_retries(self) -> int:
        return int(getattr(settings, "EGNYTE_MAX_RETRIES", 2))

    @property
    def max_throttle_wait(self) -> float:
        return float(getattr(settings, "EGNYTE_MAX_THROTTLE_WAIT", 5))

    @property
    def pace_calls(self) -> bool:
        """Whether calls wait in order to stay below the rate that Egnyte allots to each token."""
        return bool(getattr(settings, "EGNYTE_PACE_CALLS", False))

    @property
    def validate_every(self) -> timedelta:
        value: timedelta = getattr(settings, "EGNYTE_VALIDATE_EVERY", timedelta(days=1))
        return value

    @property
    def refresh_before(self) -> timedelta:
        value: timedelta = getattr(settings, "EGNYTE_REFRESH_BEFORE", timedelta(days=7))
        return value

    @property
    def revoke_inactive_after(self) -> timedelta | None:
        """How long after its last use the account of a deactivated user is revoked."""
        value: timedelta | None = getattr(settings, "EGNYTE_REVOKE_INACTIVE_AFTER", None)
        return value

    @property
    def token_requests_per_hour(self) -> int:
        return int(getattr(settings, "EGNYTE_TOKEN_REQUESTS_PER_HOUR", 100))

    @property
    def events_per_hour(self) -> int:
        """How many new events the webhooks of one account may bring in an hour."""
        return int(getattr(settings, "EGNYTE_EVENTS_PER_HOUR", 100_000))

    @property
    def base_url(self) -> str | None:
        return getattr(settings, "EGNYTE_BASE_URL", None)


conf = Settings()
