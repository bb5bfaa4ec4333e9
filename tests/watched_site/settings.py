"""The test site's settings, with an audit log of all models and an in-memory database."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [*INSTALLED_APPS, "auditlog"]
MIDDLEWARE = [*MIDDLEWARE, "auditlog.middleware.AuditlogMiddleware"]
AUDITLOG_INCLUDE_ALL_MODELS = True
EGNYTE_ENCRYPTION_KEYS = ["a key of tokens, of thirty-two characters and more"]
