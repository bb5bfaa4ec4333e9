"""The app's settings: one typed property each, read on every access."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# Seconds. The order matters and is checked by a test: a call that carries a code or a refresh
# token must end before its worker is told to stop, and its worker before the lease ends.
TOKEN_DEADLINE = 45
TASK_SOFT_TIME_LIMIT = 90
TASK_TIME_LIMIT = 110
LEASE = 120
IN_FLIGHT = 15 * 60

STATE_LIFETIME = 10 * 60
STATES_AT_MOST = 5
FAILURES_PER_HOUR = 5


class Settings:
    """``django.conf.settings`` with this app's defaults. Times are in seconds or ``timedelta``."""

    @property
    def client_id(self) -> str:
        value = getattr(settings, "EGNYTE_CLIENT_ID", "")
        if not value:
            raise ImproperlyConfigured("EGNYTE_CLIENT_ID is not set: it is your Egnyte API key.")
        return str(value)

    @property
    def client_secret(self) -> str:
        """Empty for keys registered before January 2015, which have none."""
        return str(getattr(settings, "EGNYTE_CLIENT_SECRET", "") or "")

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
        return getattr(settings, "EGNYTE_DOMAIN_SUFFIXES", ["egnyte.com", "egnytegov.com"])

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
        """Import paths, the one that seals first. A setting of one path is a list of one; a site
        that moves from one cipher to another lists both until ``egnyte_rotate_keys`` is done."""
        value = getattr(settings, "EGNYTE_CIPHER", "django_egnyte.ciphers.FernetCipher")
        return [value] if isinstance(value, str) else list(value)

    @property
    def encryption_keys(self) -> Sequence[str]:
        keys = getattr(settings, "EGNYTE_ENCRYPTION_KEYS", None)
        if keys is None:
            return [str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS)]
        if isinstance(keys, str):
            raise ImproperlyConfigured("EGNYTE_ENCRYPTION_KEYS must be a list of strings.")
        return list(keys)

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
    def validate_every(self) -> timedelta:
        value: timedelta = getattr(settings, "EGNYTE_VALIDATE_EVERY", timedelta(days=1))
        return value

    @property
    def refresh_before(self) -> timedelta:
        value: timedelta = getattr(settings, "EGNYTE_REFRESH_BEFORE", timedelta(days=7))
        return value

    @property
    def token_requests_per_hour(self) -> int:
        return int(getattr(settings, "EGNYTE_TOKEN_REQUESTS_PER_HOUR", 100))

    @property
    def base_url(self) -> str | None:
        return getattr(settings, "EGNYTE_BASE_URL", None)

    @property
    def debug(self) -> bool:
        return bool(settings.DEBUG)


conf = Settings()
