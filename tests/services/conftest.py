from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, models
from django.test.utils import isolate_apps
from django.utils import timezone

from django_egnyte import gateway, queue
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.oauth import OAuthClient, TokenAnswer, UserInfo
from django_egnyte.pytest_plugin import link_account
from django_egnyte.sandbox import Sandbox
from django_egnyte.secret import Secret
from django_egnyte.services import link as linking
from django_egnyte.services.obtain import keep
from django_egnyte.services.transactions import DatabaseNow

HOST = "acme.egnyte.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of services real transactions, unless they have a mark of their own."""
    for item in items:
        ours = "tests/services/" in item.path.as_posix()
        if ours and item.get_closest_marker("django_db") is None:
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The tasks that were sent to the workers: name and arguments."""
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
    """Create this number of users with one account each."""

    def make(count: int, **options: Any) -> list[EgnyteAccount]:
        return [link(make_user(f"user{number}"), **options) for number in range(count)]

    return make


@pytest.fixture
def team_model() -> Iterator[tuple[Any, Any]]:
    """A model above the users: deleting a team deletes its members."""
    with isolate_apps("tests"):

        class Team(models.Model):  # noqa: DJ008
            class Meta:
                app_label = "tests"

        class Member(get_user_model()):
            team = models.ForeignKey(Team, on_delete=models.CASCADE)

            class Meta:
                app_label = "tests"

        with connection.schema_editor() as editor:
            editor.create_model(Team)
            editor.create_model(Member)
        yield Team, Member
        with connection.schema_editor() as editor:
            editor.delete_model(Member)
            editor.delete_model(Team)


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., EgnyteAccount]:
    """Link a user with these tokens, which are jsmith's at Egnyte."""
    monkeypatch.setattr(OAuthClient, "userinfo", lambda client, token: UserInfo(121, "jsmith"))

    def store(user: Any, access: str, refresh: str = "", **options: Any) -> EgnyteAccount:
        return store_token(user, arrive(user, access, refresh), **options)

    return store


def arrive(user: Any, access: str, refresh: str = "") -> EgnyteToken:
    """Store an answer of the token endpoint, without linking it."""
    answer = TokenAnswer(Secret(access), Secret(refresh), 3600)
    return keep(answer, client=gateway.oauth(HOST), user_ref=str(user.pk))


def store_token(
    user: Any, token: EgnyteToken, flow: str = "authorization_code", relink: int | None = None
) -> EgnyteAccount:
    """The second part of a link: call userinfo, and let the account point to the token."""
    request = linking.LinkRequest(user, HOST, (), flow, relink, actor=f"user:{user.pk}")
    return linking.prove_and_store(request, token)


@pytest.fixture
def legacy(
    egnyte_sandbox: Sandbox, egnyte_user: Any, link: Callable[..., EgnyteAccount]
) -> EgnyteAccount:
    """An account without a refresh token."""
    egnyte_sandbox.policy.style = "legacy"
    return link(egnyte_user)


def due_now() -> None:
    """Make all accounts due for validation."""
    EgnyteAccount.objects.update(next_validation_at=timezone.now() - timedelta(minutes=1))


def all_due() -> None:
    """Make all revocations due."""
    EgnyteGrant.objects.exclude(release_at=None).write(
        release_at=DatabaseNow(), lease="", leased_until=None, leased_for=""
    )


def pending() -> list[EgnyteGrant]:
    """The grants that are due for revocation, the oldest first."""
    return list(EgnyteGrant.objects.exclude(release_at=None).order_by("pk"))


def grant_of(account: EgnyteAccount) -> EgnyteGrant:
    """Read the row again."""
    return EgnyteGrant.objects.get(tokens__accounts=account.pk)


def refresh_token_of(account: EgnyteAccount) -> str:
    return account.opened_token().refresh_token.reveal()


def orphans(sandbox: Sandbox) -> set[str]:
    """Grants that are valid at Egnyte and not used by a live account."""
    held = set()
    for account in EgnyteAccount.objects.with_token().live():
        held |= {secret.reveal() for secret in account.opened_token()}
    grants = {token.grant_id for token in sandbox.live_tokens() if token.value in held}
    return {token.grant_id for token in sandbox.live_tokens()} - grants
