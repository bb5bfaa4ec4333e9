from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import FieldError
from django.db import IntegrityError, transaction
from django.db.models import F, Value
from django.utils import timezone

from django_egnyte.choices import Status
from django_egnyte.fields import Sealed
from django_egnyte.models import EgnyteAccount, PendingRevocation

pytestmark = pytest.mark.django_db

GUARDED = [
    ("access_token", "x"),
    ("access_token", Value("x")),
    ("access_token", F("refresh_token")),
    ("refresh_token", ""),
    ("token_version", 9),
    ("token_version", F("token_version") + 1),
    ("token_fingerprint", ""),
    ("status", Status.ACTIVE),
    ("lease", ""),
    ("leased_until", None),
    ("expires_at", None),
    ("grant_id", "x"),
    ("seal_id", "x"),
    ("domain", "globex.egnyte.com"),
    ("user_id", 1),
]


@pytest.fixture
def account(egnyte_user: Any) -> EgnyteAccount:
    return make(egnyte_user, 1)


def make(user: Any, number: int, **values: Any) -> EgnyteAccount:
    values = {"access_token": "an access token", "domain": "acme.egnyte.com"} | values
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
    second = make(egnyte_user, 1, next_attempt_at=now - hour)
    first = make(egnyte_user, 2, next_attempt_at=now - 2 * hour, status=Status.SUSPECT)
    make(egnyte_user, 3, next_attempt_at=now - hour, status=Status.REVOKED)
    make(egnyte_user, 4, next_attempt_at=now + hour)

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


def test_the_outbox_is_guarded_too() -> None:
    with pytest.raises(FieldError, match="access_token"):
        PendingRevocation.objects.update(access_token="")
    with pytest.raises(FieldError, match="claim"):
        PendingRevocation.objects.update(claim="")


def test_update_writes_the_rest(account: EgnyteAccount) -> None:
    assert EgnyteAccount.objects.update(first_name="Jane") == 1

    account.refresh_from_db()
    assert account.first_name == "Jane"


def test_bulk_update_refuses_what_only_services_write(account: EgnyteAccount) -> None:
    account.access_token, account.first_name = "another", "Jane"

    with pytest.raises(FieldError, match="access_token"):
        EgnyteAccount.objects.bulk_update([account], ["first_name", "access_token"])
    with pytest.raises(FieldError, match="status"):
        run_async(EgnyteAccount.objects.abulk_update)([account], iter(["status"]))

    assert EgnyteAccount.objects.bulk_update([account], ["first_name"]) == 1
    stored = EgnyteAccount.objects.get()
    assert (stored.first_name, stored.access_token) == ("Jane", "an access token")


def test_bulk_create_seals(egnyte_user: Any) -> None:
    new = [
        EgnyteAccount(
            user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=n, access_token=f"token {n}"
        )
        for n in range(3)
    ]

    EgnyteAccount.objects.bulk_create(iter(new))

    assert not EgnyteAccount.objects.filter(access_token__isnull=True).exists()
    rows = EgnyteAccount.objects.order_by("egnyte_user_id")
    assert [row.access_token for row in rows] == ["token 0", "token 1", "token 2"]
    assert all(isinstance(v, Sealed) for v in rows.values_list("access_token", flat=True))
    assert new[1].access_token == "token 1"


def test_bulk_create_does_not_replace_a_token(egnyte_user: Any, account: EgnyteAccount) -> None:
    again = EgnyteAccount(
        user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=1, access_token="other"
    )
    unique = ["user", "domain", "egnyte_user_id"]

    with pytest.raises(FieldError, match="access_token"):
        EgnyteAccount.objects.bulk_create(
            [again],
            update_conflicts=True,
            unique_fields=unique,
            update_fields=["first_name", "access_token"],
        )
    with pytest.raises(FieldError, match="access_token"):
        EgnyteAccount.objects.bulk_create([again], None, False, True, ["access_token"], unique)
    with pytest.raises(IntegrityError), transaction.atomic():
        EgnyteAccount.objects.bulk_create([again])


def test_bulk_create_of_an_expression_is_refused(egnyte_user: Any) -> None:
    new = EgnyteAccount(user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=1)
    new.access_token = Value("x")

    with pytest.raises(FieldError, match="expression"):
        EgnyteAccount.objects.bulk_create([new])


def test_update_or_create_creates_and_updates(egnyte_user: Any) -> None:
    key = {"user": egnyte_user, "domain": "acme.egnyte.com", "egnyte_user_id": 1}

    first, created = EgnyteAccount.objects.update_or_create(
        defaults={"first_name": "Jane"}, create_defaults={"access_token": "t"}, **key
    )
    assert created
    again, created = EgnyteAccount.objects.update_or_create(
        defaults={"first_name": "Janet"}, create_defaults={"access_token": "u"}, **key
    )
    assert not created
    run_async(EgnyteAccount.objects.aupdate_or_create)(defaults={"last_name": "Smith"}, **key)

    stored = EgnyteAccount.objects.get()
    assert first == again == stored
    assert stored.connected_at == first.connected_at
    assert (stored.first_name, stored.last_name) == ("Janet", "Smith")
    assert stored.access_token == "t"


def test_update_or_create_refuses_what_only_services_write(
    egnyte_user: Any, account: EgnyteAccount
) -> None:
    for manager in (EgnyteAccount.objects, egnyte_user.egnyte_accounts):
        with pytest.raises(FieldError, match="access_token"):
            manager.update_or_create(defaults={"access_token": "x"}, egnyte_user_id=1)

    assert EgnyteAccount.objects.get().access_token == "an access token"


def test_an_account_does_not_move_to_another_user(egnyte_user: Any, account: EgnyteAccount) -> None:
    other = type(egnyte_user).objects.create(**{egnyte_user.USERNAME_FIELD: "other@example.com"})

    with pytest.raises(FieldError, match="user"):
        other.egnyte_accounts.add(account)


def test_services_write_sealed_values_only(account: EgnyteAccount) -> None:
    rows = EgnyteAccount.objects.filter(pk=account.pk)

    for value in ("plain", Value("plain"), F("refresh_token")):
        with pytest.raises(FieldError, match="encrypted"):
            rows.write(access_token=value)
    assert rows.write(token_version=F("token_version") + 1, access_token="") == 1


@pytest.mark.parametrize("name", ["access_token", "-access_token", "refresh_token"])
def test_the_order_of_sealed_values_is_refused(name: str) -> None:
    with pytest.raises(FieldError, match="order"):
        EgnyteAccount.objects.order_by("pk", name)


def test_any_other_expression_sees_sealed_text(account: EgnyteAccount) -> None:
    seen = EgnyteAccount.objects.annotate(t=F("access_token")).values_list("t", flat=True).get()

    assert "an access token" not in str(seen)
    assert list(EgnyteAccount.objects.order_by(F("access_token").desc(), "-pk")) == [account]
