from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import FieldError
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.db.models.signals import post_save
from django.utils import timezone

from django_egnyte.choices import EventKind, Status
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant, EgnyteToken
from django_egnyte.pytest_plugin import link_account
from django_egnyte.sandbox import Sandbox
from django_egnyte.services import grants
from django_egnyte.services.disconnect import make_default

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(egnyte_account: EgnyteAccount) -> EgnyteAccount:
    return egnyte_account


def replace(account: EgnyteAccount) -> EgnyteToken:
    """As a service that gives it another token does."""
    newer = grants.copied(account.token, "another user")
    EgnyteAccount.objects.filter(pk=account.pk).write(
        token=newer, status=Status.SUSPECT, status_reason="newer"
    )
    return newer


def test_a_stale_instance_never_brings_an_earlier_state_back(account: EgnyteAccount) -> None:
    stale = EgnyteAccount.objects.get()
    newer = replace(account)
    stale.status = Status.ACTIVE
    stale.token = None
    stale.first_name = "Jane"

    stale.save()
    async_to_sync(stale.asave)()

    found = EgnyteAccount.objects.get()
    assert found.first_name == "Jane"
    assert (found.token, found.status, found.status_reason) == (newer, Status.SUSPECT, "newer")


def test_force_update_does_not_either(account: EgnyteAccount) -> None:
    newer = replace(account)

    account.save(force_update=True)

    assert EgnyteAccount.objects.get().token == newer


@pytest.mark.parametrize(
    ("name", "value"), [("domain", "globex.egnyte.com"), ("egnyte_user_id", 9), ("user", "other")]
)
def test_an_account_does_not_become_another_by_saving_it(
    account: EgnyteAccount, name: str, value: Any
) -> None:
    """Otherwise a merge of two users would delete the account with its old user."""
    users = type(account.user)
    if value == "other":
        value = users.objects.create(**{users.USERNAME_FIELD: "other@example.com"})
    setattr(account, name, value)
    with pytest.raises(FieldError, match="reassign"):
        account.save()
    with pytest.raises(FieldError, match="reassign"):
        async_to_sync(account.asave)(update_fields=["first_name"])
    assert EgnyteAccount.objects.get().domain == "acme.egnyte.com"


@pytest.mark.parametrize("name", sorted(EgnyteAccount.guarded_fields))
def test_save_refuses_to_be_told_so(account: EgnyteAccount, name: str) -> None:
    with pytest.raises(FieldError, match=name):
        account.save(update_fields=["first_name", name])
    with pytest.raises(FieldError, match=name):
        async_to_sync(account.asave)(update_fields=[name])


def test_save_writes_what_it_is_told_else(account: EgnyteAccount) -> None:
    before = account.last_name
    account.first_name, account.last_name = "June", "Jones"

    account.save(update_fields=["first_name"])
    assert EgnyteAccount.objects.values_list("first_name", "last_name").get() == ("June", before)
    account.save(update_fields=[])
    assert EgnyteAccount.objects.get().last_name == before


def test_a_deferred_instance_saves_what_was_loaded(account: EgnyteAccount) -> None:
    partial = EgnyteAccount.objects.only("first_name").get()
    EgnyteAccount.objects.update(last_name="Smith")
    partial.first_name = "Jane"

    partial.save()

    found = EgnyteAccount.objects.get()
    assert (found.first_name, found.last_name, found.token) == ("Jane", "Smith", account.token)


def test_a_new_instance_with_a_taken_key_replaces_nothing(
    account: EgnyteAccount, egnyte_user: Any
) -> None:
    impostor = EgnyteAccount(
        pk=account.pk, user=egnyte_user, domain="globex.egnyte.com", egnyte_user_id=1
    )

    with pytest.raises(IntegrityError), transaction.atomic():
        impostor.save()

    assert EgnyteAccount.objects.get().token == account.token


def test_a_row_copied_by_clearing_its_key_is_refused(account: EgnyteAccount) -> None:
    account.pk = None
    with pytest.raises(ValueError, match="no primary key"), transaction.atomic():
        account.save()
    account._state.adding = True
    account.egnyte_user_id = 122
    with pytest.raises(IntegrityError), transaction.atomic():
        account.save()


def test_copies_and_pickles_open_and_do_not_show(account: EgnyteAccount) -> None:
    token = account.open_token()
    for original in (account, EgnyteAccount.objects.with_token().get()):
        dumped = pickle.dumps(original)
        assert token.encode() not in dumped
        for twin in (copy.copy(original), copy.deepcopy(original), pickle.loads(dumped)):
            assert twin.open_token() == token
            twin.first_name = "Jane"
            twin.save()


def test_a_pickled_queryset_stays_sealed(account: EgnyteAccount) -> None:
    dumped = pickle.dumps(EgnyteToken.objects.all())

    assert account.open_token().encode() not in dumped
    (token,) = pickle.loads(dumped)
    assert token.open().access_token.reveal() == account.open_token()


def test_a_receiver_of_post_save_can_use_the_token(
    egnyte_sandbox: Sandbox, egnyte_user: Any
) -> None:
    seen = []

    def receiver(instance: EgnyteAccount, **kwargs: Any) -> None:
        seen.append(instance.open_token())

    post_save.connect(receiver, sender=EgnyteAccount)
    try:
        account = link_account(egnyte_sandbox, egnyte_user)
        account.save()
    finally:
        post_save.disconnect(receiver, sender=EgnyteAccount)

    assert seen == [account.open_token()] * 2


def test_an_account_expires_with_its_token(account: EgnyteAccount) -> None:
    assert account.token is not None
    assert account.expires_at == account.token.expires_at
    assert EgnyteAccount().expires_at is None


def test_an_identity_is_linked_once_by_each_user(account: EgnyteAccount, egnyte_user: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        EgnyteAccount.objects.create(user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=121)


def test_an_account_is_named_without_secrets(account: EgnyteAccount) -> None:
    assert str(account) == "jsmith @ acme.egnyte.com"
    account.username = ""
    assert str(account) == "121 @ acme.egnyte.com"


@pytest.mark.parametrize(
    ("status", "live"), [(Status.ACTIVE, True), (Status.SUSPECT, True), (Status.REVOKED, False)]
)
def test_live_is_active_or_suspect(status: Status, live: bool) -> None:
    assert EgnyteAccount(status=status).is_live is live


def test_scopes_have_words() -> None:
    account = EgnyteAccount(scopes=["Egnyte.link", "Egnyte.unheardof"])

    assert account.scope_labels == [
        "Create and delete links to files and folders",
        "Egnyte.unheardof",
    ]


def test_the_history_is_append_only() -> None:
    event = AccountEvent.objects.create(kind=EventKind.CONNECTED, username="jsmith", domain="acme")

    event.reason = "another"
    with pytest.raises(FieldError, match="append-only"):
        event.save()
    assert str(event) == "Connected: jsmith @ acme"


def test_a_deleted_users_grant_stays_to_be_revoked(account: EgnyteAccount) -> None:
    user_ref, token = str(account.user_id), account.open_token()
    account.user.delete()

    grant = EgnyteGrant.objects.get()
    assert (grant.user_ref, grant.reason) == (user_ref, "disconnected")
    assert grant.release_at is not None
    (kept,) = grant.tokens.all()
    assert kept.open().access_token.reveal() == token
    assert str(grant) == str(kept) == f"{kept.fingerprint[:8]} @ acme.egnyte.com"
    assert AccountEvent.objects.first().user_ref == user_ref


def test_a_token_in_use_cannot_be_deleted(account: EgnyteAccount) -> None:
    for row in (account.token, EgnyteGrant.objects.get()):
        with pytest.raises(ProtectedError), transaction.atomic():
            row.delete()


def test_a_users_primary_key_may_be_a_long_name() -> None:
    """For example an e-mail address. Otherwise no token could be stored for that user."""
    key = f"{'a' * 64}@{'b' * 190}"
    AccountEvent(kind=EventKind.CONNECTED, user_ref=key, actor=f"admin:{key}").full_clean()
    grant = EgnyteGrant(user_ref=key, domain="acme.egnyte.com", fingerprint="f", key_digest="k")
    grant.full_clean()
    grant.save()
    assert EgnyteGrant.objects.get(user_ref=key) == grant


@pytest.mark.parametrize("custom_user", ["", "1"])
def test_the_migrations_are_complete(custom_user: str) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "EGNYTE_TEST_USER_MODEL": custom_user,
        "DATABASE_URL": "",
    }
    command = [sys.executable, "-m", "django", "makemigrations", "--check", "--dry-run"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, "No changes detected"), done.stderr


def test_a_stale_instance_brings_no_default_and_no_time_back(
    account: EgnyteAccount, egnyte_sandbox: Sandbox
) -> None:
    other = link_account(egnyte_sandbox, account.user, domain="globex", username="mmiller")
    stale = EgnyteAccount.objects.get(pk=account.pk)
    make_default(account.user, other)
    values = {
        "flow": "implicit", "validation_attempts": 3,
        **dict.fromkeys(
            ("connected_at", "last_validated_at", "last_used_at", "next_validation_at"),
            timezone.now() + timedelta(days=1),
        ),
    }  # fmt: skip
    EgnyteAccount.objects.filter(pk=account.pk).update(**values)
    stale.first_name = "Jane"
    stale.save()
    found = EgnyteAccount.objects.get(pk=account.pk)
    assert (found.first_name, found.is_default, found.default_of) == ("Jane", False, None)
    assert {name: getattr(found, name) for name in values} == values
    with pytest.raises(FieldError):
        EgnyteAccount.objects.update(is_default=True)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's own second index")
def test_no_large_table_has_an_index_that_nothing_reads() -> None:
    """Django creates a second index for LIKE for each unique or indexed text column."""
    large = (EgnyteAccount, EgnyteGrant, EgnyteToken, AccountEvent)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = ANY(%s)",
            [[model._meta.db_table for model in large]],
        )
        names = {name for (name,) in cursor.fetchall()}
    assert {"egnyte_grant_begun", "egnyte_account_default"} <= names
    assert not {name for name in names if name.endswith("_like")}


def test_what_is_searched_follows_the_columns(account: EgnyteAccount) -> None:
    EgnyteAccount.objects.filter(pk=account.pk).update(email="Jane@ACME.example")
    found = EgnyteAccount.objects.get(email_lower="jane@acme.example")
    found.username = "Jane.Doe"
    found.save()
    assert EgnyteAccount.objects.filter(username_lower="jane.doe").get() == account
