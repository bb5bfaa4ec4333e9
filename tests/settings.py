"""Settings of the test site. Environment variables select variants.

``DATABASE_URL``
    a database other than SQLite.
``EGNYTE_TEST_USER_MODEL=1``
    a user model with a UUID key and the email address as its name.
``EGNYTE_TEST_ATOMIC=1``
    ``ATOMIC_REQUESTS``.
``EGNYTE_TEST_NO_TZ=1``
    naive times, in Berlin.
``EGNYTE_TEST_BROKER_URL``
    the broker of ``tests.celeryapp``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import dj_database_url


def _enabled(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def _database() -> dict[str, Any]:
    if url := os.environ.get("DATABASE_URL"):
        database: dict[str, Any] = dict(dj_database_url.parse(url))
        # tox environments that run in parallel must not share a test database.
        label = os.environ.get("TOX_ENV_NAME", "").replace("-", "_").replace(".", "_")
        database["TEST"] = {"NAME": f"test_django_egnyte_{label}".rstrip("_")}
        return database
    # A file, because an in-memory database cannot be used by several threads at once. Its name is
    # put into the environment so that the processes a test starts see the same one.
    path = os.environ.setdefault(
        "EGNYTE_TEST_SQLITE",
        str(Path(tempfile.gettempdir()) / f"django_egnyte_{os.getpid()}.sqlite3"),
    )
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "TEST": {"NAME": path.removesuffix(".sqlite3") + "_test.sqlite3"},
        "OPTIONS": {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        },
    }


BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "a secret of the tests, thirty-two characters and more"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]

DATABASES = {"default": _database()}
DATABASES["default"]["ATOMIC_REQUESTS"] = _enabled("EGNYTE_TEST_ATOMIC")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_egnyte",
]
if _enabled("EGNYTE_TEST_USER_MODEL"):
    INSTALLED_APPS.append("tests.customuser")
    AUTH_USER_MODEL = "customuser.User"

MIDDLEWARE = [
    "tests.policy.middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_egnyte.middleware.EgnyteMiddleware",
]
ROOT_URLCONF = "tests.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
LOGIN_REDIRECT_URL = "/"

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = not _enabled("EGNYTE_TEST_NO_TZ")
TIME_ZONE = "UTC" if USE_TZ else "Europe/Berlin"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

CELERY_BROKER_URL = os.environ.get("EGNYTE_TEST_BROKER_URL", "memory://")
CELERY_TASK_ALWAYS_EAGER = False

EGNYTE_CLIENT_ID = "test-client-id"
EGNYTE_CLIENT_SECRET = "test-client-secret"
