"""The settings of the test site, plus many packages. Needs the extra ``reference``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.csp import CSP

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, TEMPLATES, _database

DEBUG = False
ROOT_URLCONF = "tests.reference_site.urls"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/en/"

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "rest_framework",
    "rest_framework.authtoken",
    "allauth",
    "allauth.account",
    "django_htmx",
    "auditlog",
    "debug_toolbar",
]
MIDDLEWARE = [
    "debug_toolbar.middleware.DebugToolbarMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "auditlog.middleware.AuditlogMiddleware",
    "django_egnyte.middleware.EgnyteMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
ACCOUNT_EMAIL_VERIFICATION = "none"

TEMPLATES[0]["OPTIONS"]["context_processors"] += [
    "django.template.context_processors.csp",
    "django_egnyte.context_processors.egnyte",
]

# Sessions are in a separate database, as on some sites.
_sessions: dict[str, Any] = _database()
if _sessions["ENGINE"].endswith("sqlite3"):
    for _settings in (_sessions, _sessions["TEST"]):
        _settings["NAME"] = _settings["NAME"].replace(".sqlite3", "_sessions.sqlite3")
else:
    _sessions["TEST"]["NAME"] += "_sessions"
DATABASES["sessions"] = _sessions
DATABASE_ROUTERS = ["tests.reference_site.routers.SessionRouter"]

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.SELF],
    "script-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "form-action": [CSP.SELF, "https://*.egnyte.com"],
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication",
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "EXCEPTION_HANDLER": "django_egnyte.contrib.rest_framework.exception_handler",
}
SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=5)}

DEBUG_TOOLBAR_CONFIG = {"SHOW_TOOLBAR_CALLBACK": "tests.reference_site.toolbar.is_shown"}
INTERNAL_IPS = ["127.0.0.1"]
