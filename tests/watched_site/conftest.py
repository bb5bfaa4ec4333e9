"""These tests need the watched site's own settings: see the package's docstring."""

from __future__ import annotations

from django.conf import settings

if settings.SETTINGS_MODULE != "tests.watched_site.settings":
    collect_ignore_glob = ["test_*.py"]
