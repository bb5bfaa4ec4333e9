from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from django_egnyte.choices import EventKind
from django_egnyte.models import AccountEvent, EgnyteAccount, PendingRevocation
from django_egnyte.services.disconnect import disconnect, make_default, revoke
from django_egnyte.services.revoke import process_revocations
from django_egnyte.signals import account_disconnected


class SiteAccount(EgnyteAccount):
    """What a site may make to have an admin of its own."""

    class Meta:
        proxy = True
        app_label = "mysite"


def as_in_a_migration(model):
    """The model that RunPython gets, which is another class."""
    loader = MigrationExecutor(connection).loader
    found = loader.project_state(loader.graph.leaf_nodes()).apps.get_model(model._meta.label)
    assert found is not model
    return found


@pytest.mark.parametrize(
    "how",
    [
        "service",
        "instance",
        "queryset",
        "cascade",
        "proxy",
        "proxy's queryset",
        "a migration's queryset",
        "a migration's cascade",
    ],
)
def test_however_an_account_goes_its_token_dies(
    egnyte_sandbox, egnyte_account, egnyte_user, hurried, how
):
    token, pk = egnyte_account.open_token(), egnyte_account.pk
    if how == "service":
        assert disconnect(pk, actor="user:1", user=egnyte_user)
    elif how == "instance":
        egnyte_account.delete()
    elif how == "proxy":
        SiteAccount.objects.get().delete()
    elif how == "proxy's queryset":
        SiteAccount.objects.all().delete()
    elif how == "a migration's queryset":
        as_in_a_migration(EgnyteAccount).objects.all().delete()
    elif how == "a migration's cascade":
        as_in_a_migration(type(egnyte_user))._base_manager.filter(pk=egnyte_user.pk).delete()
    elif how == "queryset":
        EgnyteAccount.objects.filter(pk=pk).delete()
    else:
        egnyte_user.delete()
    assert not EgnyteAccount.objects.exists()
    assert hurried == [("process_revocations",)]
    row = PendingRevocation.objects.get()
    assert (row.account_ref, row.username, row.domain) == (pk, "jsmith", "acme.egnyte.com")
    assert row.open_token() == token
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []
    kinds = list(AccountEvent.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == [EventKind.CONNECTED, EventKind.DISCONNECTED, EventKind.TOKEN_REVOKED]


def test_a_stale_instance_queues_the_token_of_now(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    stale = EgnyteAccount.objects.get()
    link(egnyte_user)
    process_revocations()
    current = EgnyteAccount.objects.get().open_token()
    stale.delete()
    assert PendingRevocation.objects.get().access_token == current
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []


def test_a_deletion_that_is_rolled_back_queues_nothing(egnyte_sandbox, egnyte_account, hurried):
    def delete_and_fail() -> None:
        with transaction.atomic():
            egnyte_account.delete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        delete_and_fail()
    assert EgnyteAccount.objects.exists()
    assert not PendingRevocation.objects.exists()
    assert hurried == []


def test_a_row_that_no_key_opens_can_be_deleted(egnyte_account, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, of thirty-two characters or more"]
    EgnyteAccount.objects.get().delete()
    assert process_revocations() == {"failed": 1}
    row = PendingRevocation.objects.get()
    assert row.attempts == 1 and row.last_error.startswith("DecryptionError")


def test_nobody_disconnects_what_is_not_theirs(egnyte_account, make_user):
    assert not disconnect(egnyte_account.pk, actor="user:2", user=make_user("stranger"))
    assert EgnyteAccount.objects.exists()


def test_the_signal_comes_after_the_commit_and_without_tokens(egnyte_account):
    seen = []

    def receiver(account, reason, **kwargs):
        seen.append(
            (EgnyteAccount.objects.exists(), account.open_token(), account.username, reason)
        )

    account_disconnected.connect(receiver)
    try:
        disconnect(egnyte_account.pk, actor="user:7")
    finally:
        account_disconnected.disconnect(receiver)
    assert seen == [(False, "", "jsmith", "user:7")]


def test_a_receiver_that_raises_breaks_nothing(egnyte_account, caplog):
    def receiver(**kwargs):
        raise ValueError("of the site")

    account_disconnected.connect(receiver)
    try:
        assert disconnect(egnyte_account.pk, actor="user:7")
    finally:
        account_disconnected.disconnect(receiver)
    assert not EgnyteAccount.objects.exists()
    assert "A receiver of an Egnyte signal failed" in caplog.text


def test_a_revoked_account_that_is_deleted_queues_nothing(egnyte_sandbox, egnyte_account):
    revoke(egnyte_account, actor="admin:1", reason="left the company")
    process_revocations()
    EgnyteAccount.objects.get().delete()
    assert not PendingRevocation.objects.exists()


def test_one_account_is_the_default(egnyte_account, egnyte_user, link):
    other = link(egnyte_user, username="bdoe")
    assert (egnyte_account.is_default, other.is_default) == (True, False)
    make_default(egnyte_user, other)
    assert list(EgnyteAccount.objects.filter(is_default=True)) == [other]


def test_an_account_that_other_code_made_is_revoked_by_its_own_name(
    egnyte_sandbox, egnyte_user, make_user
):
    """Sites and fixtures create rows too; two of them must not be taken for one token."""
    tokens = []
    for user in (egnyte_user, make_user("other")):
        issued = egnyte_sandbox.issue("acme", "jsmith")
        tokens.append(issued.access_token)
        EgnyteAccount.objects.create(
            user=user, domain="acme.egnyte.com", egnyte_user_id=121, access_token=tokens[-1]
        )
    bulk = egnyte_sandbox.issue("acme", "bdoe")
    EgnyteAccount.objects.bulk_create(
        [
            EgnyteAccount(
                user=egnyte_user,
                domain="acme.egnyte.com",
                egnyte_user_id=122,
                access_token=bulk.access_token,
                refresh_token=bulk.refresh_token,
            )
        ]
    )
    EgnyteAccount.objects.all().delete()
    assert PendingRevocation.objects.values("fingerprint").distinct().count() == 3
    assert process_revocations() == {"revoked": 3}
    assert not any(egnyte_sandbox.is_alive(token) for token in [*tokens, bulk.access_token])
