from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_egnyte import queue
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.sandbox import Sandbox
from django_egnyte.services.transactions import DatabaseNow

HOST = "acme.egnyte.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Services begin and end transactions. What needs none of its own says so, and is faster."""
    for item in items:
        ours = "tests/services/" in item.path.as_posix()
        if ours and item.get_closest_marker("django_db") is None:
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was sent to the workers: the task's name and its arguments."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(queue, "_send", lambda task, args: sent.append((task, *args)))
    return sent


@pytest.fixture
def make_user(django_user_model: Any, django_username_field: str) -> Iterator[Callable[[str], Any]]:
    def make(name: str) -> Any:
        value = f"{name}@example.com" if "email" in django_username_field else name
        return django_user_model.objects.create(**{django_username_field: value})

    return make


@pytest.fixture
def link(egnyte_sandbox: Sandbox) -> Callable[..., EgnyteAccount]:
    def make(user: Any, **options: Any) -> EgnyteAccount:
        return link_account(egnyte_sandbox, user, **options)

    return make


@pytest.fixture
def many(make_user: Callable[[str], Any], link: Callable[..., EgnyteAccount]) -> Any:
    """Make so many users with an account each."""

    def make(count: int, **options: Any) -> list[EgnyteAccount]:
        return [link(make_user(f"user{number}"), **options) for number in range(count)]

    return make


@pytest.fixture
def legacy(
    egnyte_sandbox: Sandbox, egnyte_user: Any, link: Callable[..., EgnyteAccount]
) -> EgnyteAccount:
    """An account without a refresh token."""
    egnyte_sandbox.policy.style = "legacy"
    return link(egnyte_user)


def due_now() -> None:
    """Let all accounts be due for a validation."""
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - timedelta(minutes=1))


def all_due() -> None:
    """As if every wait in the outbox were over."""
    PendingRevocation.objects.write(not_before=DatabaseNow(), claimed_until=None, claim="")


def orphans(sandbox: Sandbox) -> set[str]:
    """Grants alive at Egnyte that no live account holds."""
    held = set()
    for account in EgnyteAccount.objects.live():
        held |= {account.open_token(), account.opened_token().refresh_token.reveal()}
    grants = {token.grant_id for token in sandbox.live_tokens() if token.value in held}
    return {token.grant_id for token in sandbox.live_tokens()} - grants
