"""Settings of the example site. By default, it uses SQLite and a sandbox.

These environment variables select other services:

``EGNYTE_CLIENT_ID``, ``EGNYTE_CLIENT_SECRET``
    an API key of Egnyte, to use Egnyte instead of the sandbox. The other ``EGNYTE_*`` settings
    that are strings are read, too. Separate the values of ``EGNYTE_SCOPES`` and
    ``EGNYTE_ALLOWED_DOMAINS`` by spaces.
``EGNYTE_REDIRECT_URI``
    ``https://HOST/egnyte/callback/``. Egnyte accepts only https, so HOST must be a proxy that
    terminates TLS. The site trusts its ``X-Forwarded-Proto``.
``DATABASE_URL``, ``CELERY_BROKER_URL``
    ``postgres://...``, ``redis://...`` and the like.
``SECRET_KEY``
    the secret key. By default, one is generated and stored in ``EXAMPLE_VAR``.
``EXAMPLE_VAR``
    the folder of the database, the messages and the logs; ``example_project/var`` by default.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

from django_egnyte.schedules import BEAT_SCHEDULE

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("EXAMPLE_VAR", BASE_DIR / "var"))
VAR.mkdir(parents=True, exist_ok=True)


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


SECRET_KEY = os.environ.get("SECRET_KEY") or _kept_secret(VAR / "secret-key")
PUBLIC = urlsplit(os.environ.get("EGNYTE_REDIRECT_URI", ""))
DEBUG = not PUBLIC.netloc
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
if PUBLIC.netloc:
    ALLOWED_HOSTS.append(PUBLIC.hostname or "")
    CSRF_TRUSTED_ORIGINS = [f"{PUBLIC.scheme}://{PUBLIC.netloc}"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_egnyte",
    "files",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "demo.security.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_egnyte.middleware.EgnyteMiddleware",
]
ROOT_URLCONF = "demo.urls"
WSGI_APPLICATION = "demo.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Searched before the apps' own: templates/egnyte/base.html replaces django-egnyte's.
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "files:home"
# Browsers do not separate cookies by port. Another site on this machine must not log users out.
SESSION_COOKIE_NAME = "example_session"
CSRF_COOKIE_NAME = "example_csrf"
USE_TZ = True
LOCALE_PATHS = [BASE_DIR / "locale"]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if "DATABASE_URL" in os.environ:
    DATABASES: dict[str, Any] = {"default": dj_database_url.config(conn_max_age=60)}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": VAR / "db.sqlite3",
            # The site, the worker and the beat write in parallel: readers must not block
            # writers, and a writing transaction must wait for the lock when it begins.
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
            },
        }
    }

CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {**BEAT_SCHEDULE}
if "EXAMPLE_SWEEP_EVERY" in os.environ:  # seconds; a short interval for run.py --check
    _every = {"schedule": float(os.environ["EXAMPLE_SWEEP_EVERY"])}
    CELERY_BEAT_SCHEDULE = {name: {**entry, **_every} for name, entry in BEAT_SCHEDULE.items()}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat")
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
if "CELERY_BROKER_URL" in os.environ:
    CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
else:
    # A broker that needs no server: messages are files in a folder.
    MESSAGES = VAR / "messages"
    MESSAGES.mkdir(exist_ok=True)
    CELERY_BROKER_URL = "filesystem://"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(MESSAGES),
        "data_folder_out": str(MESSAGES),
        "control_folder": str(VAR / "exchanges"),
        "polling_interval": 0.1,
    }
    # It deletes a message when a worker receives it, even if the task then fails. The work is
    # also in the database, and the next sweep does it.
    CELERY_TASK_ANNOTATIONS = {"*": {"acks_late": False}}

for _name in ("CLIENT_ID", "CLIENT_SECRET", "FLOW", "DOMAIN", "REGION", "REDIRECT_URI", "BASE_URL"):
    if os.environ.get(f"EGNYTE_{_name}"):
        globals()[f"EGNYTE_{_name}"] = os.environ[f"EGNYTE_{_name}"]
for _name in ("SCOPES", "ALLOWED_DOMAINS"):
    if os.environ.get(f"EGNYTE_{_name}"):
        globals()[f"EGNYTE_{_name}"] = os.environ[f"EGNYTE_{_name}"].split()
if "EGNYTE_CLIENT_ID" not in os.environ:
    # `python -m django_egnyte.sandbox` prints the same keys.
    EGNYTE_CLIENT_ID = "sandbox-code-key"
    EGNYTE_CLIENT_SECRET = "sandbox-code-secret"
    EGNYTE_BASE_URL = os.environ.get("EGNYTE_BASE_URL", "http://127.0.0.1:8765/d/{domain}")

# Browsers also apply form-action to redirects after a form, so it must include Egnyte.
_EGNYTE = "https://*.egnyte.com https://*.egnytegov.com"
if "EGNYTE_BASE_URL" in globals():
    _sandbox = urlsplit(globals()["EGNYTE_BASE_URL"])
    _EGNYTE = f"{_sandbox.scheme}://{_sandbox.netloc.replace('{domain}', '*')}"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; "
    f"form-action 'self' {_EGNYTE}; base-uri 'none'; frame-ancestors 'none'"
)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"without_codes": {"()": "demo.security.WithoutCodes"}},
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["without_codes"],
            "formatter": "plain",
        }
    },
    "loggers": {
        "django.server": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
    "root": {"handlers": ["console"], "level": "INFO"},
}
