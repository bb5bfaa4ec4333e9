"""Checks of the site: middleware, sessions, URLs, and misspelt settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from ..conf import Settings

PREFIX: Final = "EGNYTE_"
MIDDLEWARE: Final = "django_egnyte.middleware.EgnyteMiddleware"
AUTHENTICATION: Final = "django.contrib.auth.middleware.AuthenticationMiddleware"


def middleware() -> Iterator[CheckMessage]:
    kinds = [_middleware_kind(name) for name in settings.MIDDLEWARE]
    ours = next((i for i, kind in enumerate(kinds) if kind == "egnyte"), None)
    theirs = next((i for i, kind in enumerate(kinds) if kind == "authentication"), None)
    if ours is None:
        yield Warning(
            f"{MIDDLEWARE} is not in MIDDLEWARE: there is no request.egnyte.",
            hint="Add it after AuthenticationMiddleware. Silence this if you do not use "
            "request.egnyte.",
            id="egnyte.W004",
        )
    elif theirs is None or theirs > ours:
        yield Error(
            f"{MIDDLEWARE} comes before AuthenticationMiddleware, or that one is missing.",
            hint="request.egnyte needs request.user. Put it after AuthenticationMiddleware.",
            id="egnyte.E015",
        )


def _middleware_kind(name: str) -> str:
    """Which of the two middlewares this is, also as a subclass. Empty for any other."""
    if name in (MIDDLEWARE, AUTHENTICATION):
        return "egnyte" if name == MIDDLEWARE else "authentication"
    try:
        found = import_string(name)
    except ImportError:
        return ""  # Django reports this error
    if isinstance(found, type):
        for base, kind in ((MIDDLEWARE, "egnyte"), (AUTHENTICATION, "authentication")):
            if issubclass(found, import_string(base)):
                return kind
    return ""


def sessions() -> Iterator[CheckMessage]:
    if not apps.is_installed("django.contrib.sessions"):
        yield Error(
            "django.contrib.sessions is not installed.",
            hint="Users must log in before they connect, and a login needs sessions. Add it to "
            "INSTALLED_APPS.",
            id="egnyte.E016",
        )
    if str(settings.SESSION_COOKIE_SAMESITE).lower() == "strict":
        yield Warning(
            'SESSION_COOKIE_SAMESITE is "Strict": the browser comes back from Egnyte without its '
            "session, and no account can be linked.",
            hint='Use "Lax", which is Django\'s default.',
            id="egnyte.W005",
        )


def urls() -> Iterator[CheckMessage]:
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    try:
        reverse("egnyte:callback")
    except NoReverseMatch:
        yield Warning(
            "The URLs of django_egnyte are not included: no account can be linked.",
            hint='Add path("egnyte/", include("django_egnyte.urls")) to the URLconf. Silence this '
            "if they are in the URLs of another host, or if this site links no accounts itself.",
            id="egnyte.W012",
        )
    except (ImportError, ImproperlyConfigured):
        return  # an error that Django's own checks report


def names() -> Iterator[CheckMessage]:
    known = {name.removeprefix(PREFIX) for name in setting_names()}
    for name in sorted(dir(settings)):
        own = name.removeprefix(PREFIX)
        if own == name or own in known:
            continue
        near = difflib.get_close_matches(own, sorted(known), n=1)
        yield Warning(
            f"{name} is not a setting of django_egnyte, and has no effect.",
            hint=(f"Did you mean {PREFIX}{near[0]}? " if near else "")
            + "Silence this if the setting is your site's own.",
            id="egnyte.W013",
        )


def setting_names() -> set[str]:
    """The names of this app's settings."""
    found = {name for name, value in vars(Settings).items() if isinstance(value, property)}
    names = {"ciphers": "CIPHER"}
    return {f"{PREFIX}{names.get(name, name.upper())}" for name in found}
