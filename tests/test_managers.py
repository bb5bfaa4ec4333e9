from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import FieldError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.signals import post_save
from django.utils import timezone

from django_egnyte.choices import Status
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken

pytestmark = pytest.mark.django_db

GUARDED = [
    ("token", None),
    ("token_id", 9),
    ("token_id", F("token_id") + 1),
    ("status", Status.ACTIVE),
    ("status_reason", ""),
    ("default_of", "1"),
    ("domain", "globex.egnyte.com"),
    ("user", 1),
    ("user_id", 1),
    ("egnyte_user_id", 1),
]


@pytest.fixture
def account(egnyte_user: Any) -> EgnyteAccount:
    return make(egnyte_user, 1)


def make(user: Any, number: int, **values: Any) -> EgnyteAccount:
    values = {"domain": "acme.egnyte.com"} | values
    return EgnyteAccount.objects.create(user=user, egnyte_user_id=number, **values)


def run_async(method: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine method for a synchronous test; the manager's are not marked as such."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await method(*args, **kwargs)

    return async_to_sync(call)


def test_live_accounts_are_active_or_suspect(egnyte_user: Any) -> None:
    active = make(egnyte_user, 1)
    suspect = make(egnyte_user, 2, status=Status.SUSPECT)
    make(egnyte_user, 3, status=Status.REVOKED)

    assert set(EgnyteAccount.objects.live()) == {active, suspect}


def test_for_user_gives_the_users_own(egnyte_user: Any, account: EgnyteAccount) -> None:
    stranger = type(egnyte_user).objects.create(
        **{egnyte_user.USERNAME_FIELD: "stranger@example.com"}
    )
    make(stranger, 1)

    assert list(EgnyteAccount.objects.for_user(egnyte_user)) == [account]
    assert list(EgnyteAccount.objects.for_user(AnonymousUser())) == []


def test_due_for_validation_gives_live_accounts_the_longest_due_first(egnyte_user: Any) -> None:
    now = timezone.now()
    hour = timedelta(hours=1)
    second = make(egnyte_user, 1, next_validation_at=now - hour)
    first = make(egnyte_user, 2, next_validation_at=now - 2 * hour, status=Status.SUSPECT)
    make(egnyte_user, 3, next_validation_at=now - hour, status=Status.REVOKED)
    make(egnyte_user, 4, next_validation_at=now + hour)

    assert list(EgnyteAccount.objects.due_for_validation(now)) == [first, second]


@pytest.mark.parametrize(("name", "value"), GUARDED)
def test_update_refuses_what_only_services_write(
    account: EgnyteAccount, name: str, value: Any
) -> None:
    for update in (
        EgnyteAccount.objects.update,
        run_async(EgnyteAccount.objects.aupdate),
        EgnyteAccount.objects.filter(pk=account.pk).update,
    ):
        with pytest.raises(FieldError, match=name):
            update(**{name: value})


@pytest.mark.parametrize("model", [EgnyteGrant, EgnyteToken])
def test_grants_and_tokens_are_guarded_too(model: Any) -> None:
    for name in sorted(model.guarded_fields):
        with pytest.raises(FieldError, match=name):
            model.objects.update(**{name: ""})


def test_update_writes_the_rest(account: EgnyteAccount) -> None:
    assert EgnyteAccount.objects.update(first_name="Jane") == 1

    account.refresh_from_db()
    assert account.first_name == "Jane"


def test_bulk_update_refuses_what_only_services_write(account: EgnyteAccount) -> None:
    account.status, account.first_name = Status.REVOKED, "Jane"
    with pytest.raises(FieldError, match="status"):
        EgnyteAccount.objects.bulk_update([account], ["first_name", "status"])
    with pytest.raises(FieldError, match="token"):
        run_async(EgnyteAccount.objects.abulk_update)([account], iter(["token"]))
    assert EgnyteAccount.objects.bulk_update([account], ["first_name"]) == 1
    found = EgnyteAccount.objects.get()
    assert (found.first_name, found.status) == ("Jane", Status.ACTIVE)


def test_bulk_create_replaces_nothing_guarded(egnyte_user: Any, account: EgnyteAccount) -> None:
    again = EgnyteAccount(user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=1)
    unique = ["user", "domain", "egnyte_user_id"]
    with pytest.raises(FieldError, match="status"):
        EgnyteAccount.objects.bulk_create(
            [again],
            update_conflicts=True,
            unique_fields=unique,
            update_fields=["first_name", "status"],
        )
    for positional in ([["token"]], [["token"], unique]):
        with pytest.raises(FieldError, match="may not write token:"):
            EgnyteAccount.objects.bulk_create([again], None, False, True, *positional)
    with pytest.raises(ValueError, match="must be provided"):  # Django's own refusal
        EgnyteAccount.objects.bulk_create([again], None, False, True)
    with pytest.raises(IntegrityError), transaction.atomic():
        EgnyteAccount.objects.bulk_create([again])


def test_update_or_create_creates_and_updates(egnyte_user: Any) -> None:
    key = {"user": egnyte_user, "domain": "acme.egnyte.com", "egnyte_user_id": 1}
    first, created = EgnyteAccount.objects.update_or_create(
        defaults={"first_name": "Jane"}, create_defaults={"status": Status.SUSPECT}, **key
    )
    assert created
    again, created = EgnyteAccount.objects.update_or_create(
        defaults={"first_name": "Janet"}, create_defaults={"status": Status.ACTIVE}, **key
    )
    assert not created
    run_async(EgnyteAccount.objects.aupdate_or_create)(defaults={"last_name": "Smith"}, **key)
    found = EgnyteAccount.objects.get()
    assert first == again == found
    assert (found.first_name, found.last_name, found.status) == ("Janet", "Smith", "suspect")


def test_update_or_create_writes_no_other_column(account: EgnyteAccount) -> None:
    written: list[Any] = []

    def note(sender: Any, update_fields: Any, **kwargs: Any) -> None:
        written.append(update_fields)

    post_save.connect(note, sender=EgnyteAccount)
    try:
        EgnyteAccount.objects.update_or_create(defaults={"first_name": "Janet"}, pk=account.pk)
    finally:
        post_save.disconnect(note, sender=EgnyteAccount)
    assert written == [{"first_name"}]


def test_update_or_create_refuses_what_only_services_write(
    egnyte_user: Any, account: EgnyteAccount
) -> None:
    for manager in (EgnyteAccount.objects, egnyte_user.egnyte_accounts):
        with pytest.raises(FieldError, match="status"):
            manager.update_or_create(defaults={"status": Status.REVOKED}, egnyte_user_id=1)
    assert EgnyteAccount.objects.get().status == Status.ACTIVE


def test_an_account_does_not_move_to_another_user(egnyte_user: Any, account: EgnyteAccount) -> None:
    other = type(egnyte_user).objects.create(**{egnyte_user.USERNAME_FIELD: "other@example.com"})

    with pytest.raises(FieldError, match="user"):
        other.egnyte_accounts.add(account)


def test_a_service_writes_a_row_and_its_instance(account: EgnyteAccount) -> None:
    stale = EgnyteAccount.objects.get()
    rows = EgnyteAccount.objects.filter(status=Status.ACTIVE)
    assert rows.write_to(account, status=Status.SUSPECT, status_reason="a test")
    assert (account.status, account.status_reason) == (Status.SUSPECT, "a test")
    assert not rows.write_to(stale, status_reason="too late")
    assert stale.status_reason == ""
    assert EgnyteAccount.objects.get().status_reason == "a test"


def test_the_queries_go_to_the_database_that_is_written_to(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Router:
        def db_for_read(self, model: Any, **hints: Any) -> str:
            return "replica"

    monkeypatch.setattr("django.db.router.routers", [Router()])
    assert EgnyteAccount.objects.all().db == "default"
    assert EgnyteAccount.objects.live().filter(pk=1).db == "default"
    assert EgnyteToken.objects.using("other").all().db == "other"


@pytest.mark.parametrize("name", ["update", "write", "write_to", "update_or_create"])
def test_no_template_calls_what_writes(name: str) -> None:
    assert getattr(EgnyteAccount.objects.all(), name).alters_data is True
