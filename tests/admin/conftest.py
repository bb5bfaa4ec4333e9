from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from django_egnyte.models import (
    EgnyteAccount,
)

from .rows import log_in, make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Services open durable transactions, which only work outside the test's own transaction.
    for item in items:
        if "tests/admin/" in item.path.as_posix():
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The tasks that were sent, and whether a transaction was open."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        "django_egnyte.queue._send",
        lambda task, args: sent.append((task, *args, connection.in_atomic_block)),
    )
    return sent


@pytest.fixture
def account(egnyte_user: Any) -> EgnyteAccount:
    return make(egnyte_user, 121)


@pytest.fixture
def superuser(django_user_model: Any) -> Client:
    return log_in(django_user_model, superuser=True)


@pytest.fixture
def staff(django_user_model: Any) -> Callable[..., Client]:
    return lambda *permissions: log_in(django_user_model, *permissions)
