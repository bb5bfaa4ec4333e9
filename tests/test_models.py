from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import FieldError
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save
from django.utils import timezone

from django_egnyte.choices import EventKind, Status
from django_egnyte.fields import Sealed, seal
from django_egnyte.models import AccountEvent, EgnyteAccount, PendingRevocation

pytestmark = pytest.mark.django_db

TOKEN = "the access token"
# What a service writes when it replaces a token and takes the lease.
NEWER: dict[str, Any] = {
    "token_version": 2,
    "token_fingerprint": "newer",
    "refresh_fingerprint": "newer",
    "grant_id": "newer",
    "status": Status.SUSPECT,
    "status_reason": "newer",
    "lease": "newer",
    "expires_at": None,
}


@pytest.fixture
def account(egnyte_user: Any) -> EgnyteAccount:
    return EgnyteAccount.objects.create(
        user=egnyte_user,
        domain="acme.egnyte.com",
        egnyte_user_id=121,
        username="jsmith",
        access_token=TOKEN,
        expires_at=timezone.now(),
        leased_until=timezone.now(),
    )


def replace(account: EgnyteAccount) -> None:
    values = NEWER | {"leased_until": None}
    values["access_token"] = seal("the newer token", account.seal_context("access_token"))
    EgnyteAccount.objects.filter(pk=account.pk).write(**values)


def test_a_stale_instance_never_brings_a_dead_token_back(account: EgnyteAccount) -> None:
    stale = EgnyteAccount.objects.get()
    replace(account)
    stale.access_token = "an older token"
    stale.status = Status.ACTIVE
    stale.first_name = "Jane"

    stale.save()
    async_to_sync(stale.asave)()

    found = EgnyteAccount.objects.get()
    assert found.first_name == "Jane"
    assert found.access_token == "the newer token"
    for name, value in NEWER.items():
        assert getattr(found, name) == value
    assert found.leased_until is None


def test_force_update_does_not_either(account: EgnyteAccount) -> None:
    replace(account)

    account.save(force_update=True)

    assert EgnyteAccount.objects.get().token_version == 2


@pytest.mark.parametrize("name", sorted(EgnyteAccount.guarded_fields))
def test_save_refuses_to_be_told_so(account: EgnyteAccount, name: str) -> None:
    with pytest.raises(FieldError, match=name):
        account.save(update_fields=["first_name", name])
    with pytest.raises(FieldError, match=name):
        async_to_sync(account.asave)(update_fields=[name])


def test_save_writes_what_it_is_told_else(account: EgnyteAccount) -> None:
    account.first_name, account.last_name = "Jane", "Smith"

    account.save(update_fields=["first_name"])
    assert EgnyteAccount.objects.values_list("first_name", "last_name").get() == ("Jane", "")
    account.save(update_fields=[])
    assert EgnyteAccount.objects.get().last_name == ""


def test_a_deferred_instance_saves_what_was_loaded(account: EgnyteAccount) -> None:
    partial = EgnyteAccount.objects.only("first_name").get()
    EgnyteAccount.objects.update(last_name="Smith")
    partial.first_name = "Jane"

    partial.save()

    found = EgnyteAccount.objects.get()
    assert (found.first_name, found.last_name, found.access_token) == ("Jane", "Smith", TOKEN)


def test_a_new_instance_with_a_taken_key_replaces_nothing(
    account: EgnyteAccount, egnyte_user: Any
) -> None:
    impostor = EgnyteAccount(
        pk=account.pk, user=egnyte_user, domain="globex.egnyte.com", egnyte_user_id=1
    )

    with pytest.raises(IntegrityError), transaction.atomic():
        impostor.save()

    assert EgnyteAccount.objects.get().access_token == TOKEN


def test_a_row_copied_by_clearing_its_key_is_refused(account: EgnyteAccount) -> None:
    account.pk = None
    with pytest.raises(ValueError, match="no primary key"), transaction.atomic():
        account.save()
    account._state.adding = True
    account.egnyte_user_id = 122
    with pytest.raises(IntegrityError), transaction.atomic():
        account.save()


def test_copies_and_pickles_open_and_do_not_show(account: EgnyteAccount) -> None:
    for original in (account, EgnyteAccount.objects.get()):
        dumped = pickle.dumps(original)
        assert TOKEN.encode() not in dumped
        for twin in (copy.copy(original), copy.deepcopy(original), pickle.loads(dumped)):
            assert isinstance(vars(twin)["access_token"], Sealed)
            assert twin.access_token == TOKEN
            twin.first_name = "Jane"
            twin.save()
    assert EgnyteAccount.objects.get().access_token == TOKEN


def test_a_pickled_queryset_stays_sealed(account: EgnyteAccount) -> None:
    dumped = pickle.dumps(EgnyteAccount.objects.all())

    assert TOKEN.encode() not in dumped
    assert [each.access_token for each in pickle.loads(dumped)] == [TOKEN]


def test_a_receiver_of_post_save_can_use_the_token(egnyte_user: Any) -> None:
    seen = []

    def receiver(instance: EgnyteAccount, **kwargs: Any) -> None:
        seen.append(instance.access_token)

    post_save.connect(receiver, sender=EgnyteAccount)
    try:
        account = EgnyteAccount.objects.create(
            user=egnyte_user, domain="acme.egnyte.com", egnyte_user_id=1, access_token=TOKEN
        )
        account.save()
    finally:
        post_save.disconnect(receiver, sender=EgnyteAccount)

    assert seen == [TOKEN, TOKEN]


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

    assert account.scope_labels == ["Links to files and folders", "Egnyte.unheardof"]


def test_the_history_is_append_only() -> None:
    event = AccountEvent.objects.create(kind=EventKind.CONNECTED, username="jsmith", domain="acme")

    event.reason = "another"
    with pytest.raises(FieldError, match="append-only"):
        event.save()
    assert str(event) == "Connected: jsmith @ acme"


def test_a_deleted_users_tokens_are_in_the_outbox(account: EgnyteAccount, egnyte_user: Any) -> None:
    user_ref = str(egnyte_user.pk)
    egnyte_user.delete()

    row = PendingRevocation.objects.get()
    assert (row.user_ref, row.access_token) == (user_ref, TOKEN)
    assert str(row) == f"{row.fingerprint[:8]} @ acme.egnyte.com"
    assert AccountEvent.objects.get().user_ref == user_ref


def test_a_users_primary_key_may_be_a_long_name() -> None:
    """Where it is an e-mail address, say: no token could be written down for that user."""
    key = f"{'a' * 64}@{'b' * 190}"
    AccountEvent(kind=EventKind.CONNECTED, user_ref=key, actor=f"admin:{key}").full_clean()
    row = PendingRevocation(
        user_ref=key, domain="acme.egnyte.com", seal_id="s", fingerprint="f", grant_id="g"
    )
    row.full_clean()
    row.save()
    assert PendingRevocation.objects.get(user_ref=key) == row


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
