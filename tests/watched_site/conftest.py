"""These tests need the settings of the watched site: see the docstring of the package."""

from __future__ import annotations

from django.conf import settings

if settings.SETTINGS_MODULE != "tests.watched_site.settings":
    collect_ignore_glob = ["test_*.py"]
