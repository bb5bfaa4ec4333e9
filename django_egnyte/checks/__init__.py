"""System checks: they report wrong settings at start, before a request fails.

No check queries the database. The check of the models' database asks only the router.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.translation import get_language

from .. import domains, gateway, queue
from ..choices import Flow, Scope
from ..ciphers import SHORTEST_KEY
from ..conf import conf
from ..exceptions import InvalidDomainError
from ..fields import ciphers
from ..schedules import BEAT_SCHEDULE
from ..scopes import SCOPE
from .site import middleware, names, sessions, urls
from .values import HOUR, LONGEST, MOST_REQUESTS, MOST_RETRIES, SILENCE, VALUES

__all__ = ["HOUR", "LONGEST", "MOST_REQUESTS", "MOST_RETRIES", "SILENCE"]

TAG: Final = "egnyte"

# RFC 6749 section 3.3, one scope-token.


@checks.register(TAG)
def check_key(**kwargs: Any) -> list[CheckMessage]:
    """Check the API key, its flow and the redirect URI."""
    return [*_key(), *_flow(), *_redirect_uri(), *_scopes()]


@checks.register(TAG)
def check_domains(**kwargs: Any) -> list[CheckMessage]:
    """Check the hosts to which a token may be sent."""
    return [*_suffixes(), *_domains(), *_base_url()]


@checks.register(TAG, Tags.security)
def check_encryption(**kwargs: Any) -> list[CheckMessage]:
    """Check that tokens can be encrypted."""
    try:
        ciphers()
    except (ImproperlyConfigured, TypeError, AttributeError) as error:
        return [
            Error(
                f"Tokens cannot be encrypted: {error}",
                hint="Check EGNYTE_CIPHER (an import path, or a list of them) and "
                "EGNYTE_ENCRYPTION_KEYS (a list of secrets of 32 characters or more, newest "
                "first; by default SECRET_KEY and SECRET_KEY_FALLBACKS).",
                id="egnyte.E009",
            )
        ]
    key = getattr(settings, "CRYPTOGRAPHY_KEY", None)
    used = any(str(path).startswith("django_egnyte.django_cryptography.") for path in conf.ciphers)
    if used and key and len(key) < SHORTEST_KEY:
        return [
            Warning(
                f"CRYPTOGRAPHY_KEY is shorter than {SHORTEST_KEY} characters, and encrypts tokens.",
                hint="A thief of the database can try all short keys. Set a longer one, put this "
                "one into EGNYTE_ENCRYPTION_KEYS, and run 'manage.py egnyte_rotate_keys'.",
                id="egnyte.W011",
            )
        ]
    return []


@checks.register(TAG)
def check_values(**kwargs: Any) -> list[CheckMessage]:
    """Check the types and bounds of the settings that are numbers or times."""
    return [
        Error(f"{name} must be {what}.", hint=f"For example: {name} = {example}", id="egnyte.E010")
        for name, what, example, is_right in VALUES
        if hasattr(settings, name) and not is_right(getattr(settings, name))
    ]


@checks.register(TAG)
def check_site(**kwargs: Any) -> list[CheckMessage]:
    """Check middleware, sessions and URLs, and find misspelt settings."""
    return [*middleware(), *sessions(), *urls(), *names()]


@checks.register(TAG, Tags.models)
def check_databases(**kwargs: Any) -> list[CheckMessage]:
    """Check that all models are in one database, because one transaction writes several tables."""
    models = list(apps.get_app_config("django_egnyte").get_models())
    used = {router.db_for_write(model) for model in models}
    used |= {router.db_for_read(model) for model in models}
    if len(used) == 1:
        return [*_autocommit(used.pop())]
    return [
        Error(
            f"The models of django_egnyte are on several databases: {', '.join(sorted(used))}.",
            hint="Change your database router: it must send them all to one database, for reading "
            "and for writing. One transaction writes several tables, and a replica lags behind.",
            id="egnyte.E012",
        )
    ]


def _autocommit(alias: str) -> Iterator[CheckMessage]:
    if settings.DATABASES.get(alias, {}).get("AUTOCOMMIT", True) is False:
        yield Error(
            f'DATABASES["{alias}"] has AUTOCOMMIT off: no account can be linked, refreshed or '
            "revoked.",
            hint="Without it, each query is part of a transaction that the site ends itself, and a "
            "rollback would lose a token that Egnyte has issued. Remove AUTOCOMMIT, or write a "
            "database router that sends the models of django_egnyte to another alias.",
            id="egnyte.E018",
        )


@checks.register(TAG)
def check_schedule(**kwargs: Any) -> list[CheckMessage]:
    """Check that Celery's beat schedule has the sweeps. Does not connect to the broker."""
    scheduled = queue.scheduled_tasks()
    if scheduled is None:
        return []
    missing = sorted({entry["task"] for entry in BEAT_SCHEDULE.values()} - scheduled)
    if not missing:
        return []
    return [
        Warning(
            f"Celery's beat schedule lacks {', '.join(missing)}.",
            hint="Merge django_egnyte.schedules.BEAT_SCHEDULE into your beat schedule. Silence "
            "this if the schedule is in a database, or if cron runs 'manage.py egnyte_sweep'.",
            id="egnyte.W006",
        )
    ]


@checks.register(TAG, Tags.security, deploy=True)
def check_production(**kwargs: Any) -> list[CheckMessage]:
    """Check for settings that are for development only, or too weak."""
    messages: list[CheckMessage] = []
    if conf.base_url:
        messages.append(
            Error(
                "EGNYTE_BASE_URL is set: tokens go to it and not to Egnyte.",
                hint="It is for development with 'manage.py egnyte_sandbox'. Remove it.",
                id="egnyte.E013",
            )
        )
    if conf.flow == Flow.PASSWORD:
        messages.append(
            Warning(
                'EGNYTE_FLOW is "password": users give this site their Egnyte password.',
                hint="Egnyte allows this flow for trusted internal applications only. Use "
                '"authorization_code" if you can.',
                id="egnyte.W007",
            )
        )
    if conf.flow == Flow.IMPLICIT:
        messages.append(
            Warning(
                'EGNYTE_FLOW is "implicit": tokens pass through browsers and prove no identity.',
                hint='Use "authorization_code" (RFC 9700 section 2.1.2 advises against implicit).',
                id="egnyte.W008",
            )
        )
    sandbox = [name for name in settings.INSTALLED_APPS if name.startswith("django_egnyte.sandbox")]
    if sandbox or _is_sandbox_key():
        messages.append(
            Error(
                "The sandbox is configured in production.",
                hint="It imitates Egnyte for development, with public passwords. Set "
                "EGNYTE_CLIENT_ID to your own key, and remove the sandbox from INSTALLED_APPS.",
                id="egnyte.E014",
            )
        )
    return messages


def _is_sandbox_key() -> bool:
    return str(getattr(settings, "EGNYTE_CLIENT_ID", "")).startswith("sandbox-")


def _key() -> Iterator[CheckMessage]:
    if not getattr(settings, "EGNYTE_CLIENT_ID", ""):
        yield Error(
            "EGNYTE_CLIENT_ID is not set.",
            hint="Register an application at https://developers.egnyte.com and set its API key.",
            id="egnyte.E001",
        )
    for name in ("EGNYTE_CLIENT_ID", "EGNYTE_CLIENT_SECRET"):
        value = getattr(settings, name, "")
        if value and not _is_plain(value):
            # Do not show the value: it may be the secret.
            yield Error(
                f"{name} is not a plain string.",
                hint="It must be a string without spaces or line breaks around it. Look for a "
                "comma after the value, or for a line break that was read from a file with it.",
                id="egnyte.E017",
            )
    if not conf.client_secret and conf.flow != Flow.IMPLICIT:
        yield Warning(
            "EGNYTE_CLIENT_SECRET is not set.",
            hint="Only API keys from before 2015 have no secret. Silence this if yours is one.",
            id="egnyte.W001",
        )


def _flow() -> Iterator[CheckMessage]:
    if conf.flow not in Flow.values:
        yield Error(
            "EGNYTE_FLOW is not one of this app's flows.",
            hint=f"Use one of {', '.join(Flow.values)}.",
            id="egnyte.E002",
        )
    if conf.region not in gateway.ENHANCED_HOSTS:
        yield Error(
            "EGNYTE_REGION is not a region of the Enhanced Authentication Service.",
            hint='Use "us" or "eu".',
            id="egnyte.E003",
        )


def _redirect_uri() -> Iterator[CheckMessage]:
    uri: Any = conf.redirect_uri
    if uri in (None, ""):
        return
    # RFC 6749 section 3.1.2: absolute, and without a fragment.
    scheme = "https?" if conf.base_url else "https"
    path = None
    if isinstance(uri, str) and re.fullmatch(rf"{scheme}://[^\s/?#]+([/?][^\s#]*)?", uri):
        with suppress(ValueError):  # for example a bracket outside an IPv6 address
            path = urlsplit(uri).path
    if path is None:
        yield Error(
            "EGNYTE_REDIRECT_URI is not an https address.",
            hint="Egnyte accepts https only. For development, set EGNYTE_BASE_URL to a sandbox.",
            id="egnyte.E004",
        )
    elif not _leads_to_callback(path):
        yield Warning(
            "EGNYTE_REDIRECT_URI does not end like the address of egnyte:callback: no account can "
            "be linked.",
            hint=f"Let it end in {reverse('egnyte:callback')}, and register the same address at "
            "Egnyte. Silence this if a proxy forwards from one to the other.",
            id="egnyte.W010",
        )


def _leads_to_callback(path: str) -> bool:
    """Whether this path ends like the callback's.

    The beginning may differ: a proxy may remove a prefix, and ``i18n_patterns`` adds a language.
    """
    if not getattr(settings, "ROOT_URLCONF", None):
        return True
    try:
        callback = reverse("egnyte:callback")
    except NoReverseMatch:
        return True  # not included, or in the URLs of another host
    language = get_language() or settings.LANGUAGE_CODE
    end = callback.removeprefix(get_script_prefix()).removeprefix(f"{language}/")
    path = unquote(path)
    paths = (path, f"{path}/") if settings.APPEND_SLASH else (path,)
    return any(each.endswith(f"/{unquote(end)}") for each in paths)


def _scopes() -> Iterator[CheckMessage]:
    scopes = conf.scopes
    if not _all_text(scopes) or not all(SCOPE.fullmatch(scope) for scope in scopes):
        yield Error(
            "EGNYTE_SCOPES must be a list of scopes.",
            hint='For example: ["Egnyte.filesystem", "Egnyte.link"].',
            id="egnyte.E005",
        )
        return
    if not scopes:
        yield Warning(
            "EGNYTE_SCOPES is empty: tokens may do everything that their users may.",
            hint="List the scopes that your site needs.",
            id="egnyte.W002",
        )
    if unknown := [scope for scope in scopes if scope not in Scope.values]:
        yield Warning(
            f"EGNYTE_SCOPES has scopes that this app does not know: {', '.join(unknown)}.",
            hint=f"Known are {', '.join(Scope.values)}. Silence this if Egnyte has a new one.",
            id="egnyte.W003",
        )


def _suffixes() -> Iterator[CheckMessage]:
    suffixes = _usable_suffixes()
    problem = ""
    if suffixes is None:
        problem = "must be a list with at least one name, and not a set, because its order matters"
    elif wrong := [each for each in suffixes if not _is_suffix(each)]:
        problem = f"has entries that cannot be the end of a customer's host: {', '.join(wrong)}"
    if problem:
        yield Error(
            f"EGNYTE_DOMAIN_SUFFIXES {problem}.",
            hint='For example: ["egnyte.com", "egnytegov.com"].',
            id="egnyte.E006",
        )


def _usable_suffixes() -> Sequence[str] | None:
    try:
        suffixes = conf.domain_suffixes
    except ImproperlyConfigured:
        return None
    return suffixes if suffixes and _all_text(suffixes) else None


def _is_suffix(text: str) -> bool:
    # A top-level domain would let tokens go anywhere under it.
    return bool(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", text.lower(), re.ASCII))


def _domains() -> Iterator[CheckMessage]:
    if _usable_suffixes() is None:
        return
    allowed = conf.allowed_domains
    if allowed is not None:
        if not _all_text(allowed):
            yield _bad_domain("EGNYTE_ALLOWED_DOMAINS must be a list of domains, or None.")
            return
        for each in allowed:
            if _host(each) is None:
                yield _bad_domain(f"EGNYTE_ALLOWED_DOMAINS has {each!r}, which is not a domain.")
    domain = conf.domain
    if domain is None or domain == "":
        if allowed is not None and not allowed:
            yield Warning(
                "EGNYTE_ALLOWED_DOMAINS is empty: nobody can link an account.",
                hint="To allow every domain, set None. Silence this if none should be allowed.",
                id="egnyte.W009",
            )
        return
    host = _host(domain)
    if host is None:
        yield _bad_domain(f"EGNYTE_DOMAIN is {domain!r}, which is not a domain.")
    elif allowed is not None and host not in {_host(each) for each in allowed}:
        yield Error(
            "EGNYTE_DOMAIN is not among EGNYTE_ALLOWED_DOMAINS: nobody can link an account.",
            hint="Set only one of the two, or add the domain to the list.",
            id="egnyte.E008",
        )


def _bad_domain(text: str) -> CheckMessage:
    return Error(
        text,
        hint='A domain is "acme" or "acme.egnyte.com", under one of EGNYTE_DOMAIN_SUFFIXES.',
        id="egnyte.E007",
    )


def _host(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        return domains.parse(text, suffixes=conf.domain_suffixes)
    except InvalidDomainError:
        return None


def _base_url() -> Iterator[CheckMessage]:
    url: Any = conf.base_url
    if url and not (
        isinstance(url, str)
        and url.startswith(("http://", "https://"))
        and gateway.is_loopback(url.replace("{domain}", "acme"))
    ):
        yield Error(
            "EGNYTE_BASE_URL does not name this machine.",
            hint='It is for development, e.g. "http://127.0.0.1:8765/d/{domain}". The app refuses '
            "every call, because tokens would go to that address. Remove the setting.",
            id="egnyte.E011",
        )


def _all_text(values: Any) -> bool:
    """Whether this is a list or a set of strings, and not one string."""
    return (
        isinstance(values, Sequence | set | frozenset)
        and not isinstance(values, str)
        and all(isinstance(value, str) and value for value in values)
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value == value.strip()
