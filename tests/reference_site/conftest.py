"""These tests need the settings of the reference site: see the docstring of the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.utils import translation

if settings.SETTINGS_MODULE != "tests.reference_site.settings":
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "reference_site" in item.nodeid:
            asked = item.get_closest_marker("django_db")
            transaction = asked is not None and asked.kwargs.get("transaction", False)
            marker = pytest.mark.django_db(transaction=transaction, databases="__all__")
            item.add_marker(marker, append=False)


@pytest.fixture(autouse=True)
def _no_language_stays() -> Iterator[None]:
    """Restore the language, because requests of the test client do not."""
    with translation.override("en"):
        yield


@pytest.fixture
def bearer(egnyte_user: Any) -> dict[str, str]:
    """The headers of a script with a JSON web token of the user."""
    from rest_framework_simplejwt.tokens import AccessToken

    return {"Authorization": f"Bearer {AccessToken.for_user(egnyte_user)}"}
