from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models.deletion import Collector
from django.test.utils import CaptureQueriesContext

from django_egnyte.choices import EventKind, Status
from django_egnyte.exceptions import TokenConflictError
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteAccountQuerySet,
    EgnyteGrant,
)
from django_egnyte.services import disconnect as disconnecting
from django_egnyte.services import grants, sweep
from django_egnyte.services.disconnect import disconnect, make_default, revoke
from django_egnyte.services.revoke import process_revocations
from django_egnyte.signals import account_disconnected

from .conftest import grant_of, pending


class SiteAccount(EgnyteAccount):
    """A proxy model, which a site may create for its own admin."""

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
def test_however_an_account_goes_its_grant_is_revoked(
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
    (grant,) = pending()
    assert (grant.reason, grant.domain) == ("disconnected", "acme.egnyte.com")
    assert [kept.open().access_token.reveal() for kept in grant.tokens.all()] == [token]
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []
    events = AccountEvent.objects.order_by("pk")
    kinds = list(events.values_list("kind", flat=True))
    assert kinds == [EventKind.CONNECTED, EventKind.DISCONNECTED, EventKind.TOKEN_REVOKED]
    assert [event.account_ref for event in events][:2] == [pk, pk]


def test_a_stale_instance_releases_the_grant_of_now(
    egnyte_sandbox, egnyte_account, egnyte_user, link
):
    stale = EgnyteAccount.objects.get()
    link(egnyte_user)
    process_revocations()
    current = grant_of(stale)
    stale.delete()
    assert pending() == [current]
    process_revocations()
    assert egnyte_sandbox.live_tokens() == []


def test_a_deletion_that_is_rolled_back_releases_nothing(egnyte_sandbox, egnyte_account, hurried):
    def delete_and_fail() -> None:
        with transaction.atomic():
            egnyte_account.delete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        delete_and_fail()
    assert EgnyteAccount.objects.exists()
    assert pending() == []
    assert hurried == []


def test_a_row_that_no_key_opens_can_be_deleted(egnyte_account, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, of thirty-two characters or more"]
    EgnyteAccount.objects.get().delete()
    assert process_revocations() == {"failed": 1}
    (grant,) = pending()
    assert grant.revoke_attempts == 1 and grant.last_error.startswith("DecryptionError")


def test_nobody_disconnects_what_is_not_theirs(egnyte_account, make_user):
    assert not disconnect(egnyte_account.pk, actor="user:2", user=make_user("stranger"))
    assert EgnyteAccount.objects.exists()


def test_the_signal_comes_after_the_commit_and_names_the_account(egnyte_account):
    seen, pk = [], egnyte_account.pk

    def receiver(account, reason, **kwargs):
        seen.append((EgnyteAccount.objects.exists(), account.pk == pk, account.username, reason))
        assert account.token_id is None  # it is about to be revoked

    account_disconnected.connect(receiver)
    try:
        disconnect(egnyte_account.pk, actor="user:7")
    finally:
        account_disconnected.disconnect(receiver)
    assert seen == [(False, True, "jsmith", "user:7")]


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


def test_a_revoked_account_that_is_deleted_releases_nothing(egnyte_sandbox, egnyte_account):
    revoke(egnyte_account, actor="admin:1", reason="left the company")
    process_revocations()
    EgnyteAccount.objects.get().delete()
    assert not EgnyteGrant.objects.exists()


def test_one_account_is_the_default(egnyte_account, egnyte_user, link):
    other = link(egnyte_user, username="bdoe")
    assert (egnyte_account.is_default, other.is_default) == (True, False)
    make_default(egnyte_user, other)
    assert list(EgnyteAccount.objects.filter(is_default=True)) == [other]


def test_a_default_that_a_new_link_takes_meanwhile_is_taken_back(
    egnyte_account, egnyte_user, link, monkeypatch
):
    other = link(egnyte_user, username="bdoe")
    write, met = EgnyteAccountQuerySet.write, []

    def meeting(self, **values):
        if values.get("is_default") and not met:
            met.append(1)
            raise IntegrityError("default_of is not unique")
        return write(self, **values)

    monkeypatch.setattr(EgnyteAccountQuerySet, "write", meeting)
    make_default(egnyte_user, other)
    assert met
    assert list(EgnyteAccount.objects.filter(is_default=True)) == [other]


def test_the_choice_of_a_default_is_one_users(egnyte_account, egnyte_user, make_user, link):
    stranger = make_user("stranger")
    make_default(stranger, egnyte_account)
    assert list(EgnyteAccount.objects.filter(is_default=True)) == [egnyte_account]
    assert EgnyteAccount.objects.get().default_of == str(egnyte_user.pk)


def test_a_deletion_that_comes_second_is_not_in_the_history(egnyte_account, monkeypatch):
    """Two requests that delete one account at once, of which one waits for the other's row."""
    delete = EgnyteAccount.delete

    def late(self, **options):
        EgnyteAccount.objects.filter(pk=self.pk)._raw_delete("default")
        return delete(self, **options)

    monkeypatch.setattr(EgnyteAccount, "delete", late)
    assert not disconnect(egnyte_account.pk, actor="user:1")
    assert not AccountEvent.objects.filter(kind=EventKind.DISCONNECTED).exists()


def raw_sql(account):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_egnyte_egnyteaccount WHERE id = %s", [account.pk])


def raw_delete(account):
    rows = EgnyteAccount.objects.filter(pk=account.pk)
    rows._raw_delete(rows.db)


@pytest.mark.parametrize("delete", [raw_sql, raw_delete])
def test_a_deletion_without_a_signal_is_found_by_the_slow_sweep(
    egnyte_sandbox, egnyte_account, make_user, link, delete, caplog
):
    kept = link(make_user("another"), username="bdoe")
    delete(egnyte_account)
    assert process_revocations() == {}
    assert sweep.release_forgotten() == 1
    assert process_revocations() == {"revoked": 1}
    assert sweep.release_forgotten() == 0
    warned = [r for r in caplog.records if getattr(r, "event", "") == "forgotten_grants"]
    assert [r.getMessage()[:24] for r in warned] == ["1 accounts were deleted "]
    assert {token.username for token in egnyte_sandbox.live_tokens()} == {kept.username}


def test_what_a_migration_deletes_is_revoked(egnyte_sandbox, egnyte_account):
    state = MigrationExecutor(connection).loader.project_state()
    historical = state.apps.get_model("django_egnyte", "EgnyteAccount")
    assert historical is not EgnyteAccount
    historical._base_manager.filter(pk=egnyte_account.pk).delete()
    assert process_revocations() == {"revoked": 1}
    assert egnyte_sandbox.live_tokens() == []


@pytest.mark.django_db(transaction=True)
def test_accounts_that_were_truncated_are_found_by_the_slow_sweep(
    egnyte_sandbox, egnyte_account, make_user, link
):
    link(make_user("another"), username="bdoe")
    with connection.cursor() as cursor:
        statement = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
        cursor.execute(f"{statement} django_egnyte_egnyteaccount")
    assert sweep.release_forgotten() == 2
    assert process_revocations() == {"revoked": 2}
    assert egnyte_sandbox.live_tokens() == []


def test_the_slow_sweep_goes_on_where_it_ended(many, monkeypatch):
    accounts = many(5)
    EgnyteAccount.objects.all()._raw_delete("default")
    monkeypatch.setattr(sweep, "FORGOTTEN_CHUNK", 2)
    looks = iter([0.0, 0.0, 1000.0, *[2000.0] * 5])
    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    assert sweep.release_forgotten(seconds=10) == 2
    assert sweep.release_forgotten(seconds=10) == 3
    assert len(pending()) == len(accounts)


@pytest.mark.parametrize("how", ["users", "accounts", "user", "team", "teams"])
def test_deleting_many_takes_no_more_queries_than_deleting_few(
    make_user, egnyte_user, team_model, how
):
    """The queries on this app's tables, without those of Django's own batches."""

    Team, Member = team_model

    def delete(count: int, name: str) -> int:
        users = [make_user(f"{name}{number}") for number in range(1 if how == "user" else count)]
        teams = [Team.objects.create() for _ in range(2)]
        for number, user in enumerate(users * (count // len(users))):
            if how.startswith("team"):
                team = teams[number % 2 if how == "teams" else 0]
                Member(user_ptr_id=user.pk, team=team).save_base(raw=True)
            grant = EgnyteGrant.objects.create(
                domain="acme.egnyte.com", fingerprint=f"{name}{number}", user_ref=str(user.pk)
            )
            token = grant.tokens.create(
                domain=grant.domain, user_ref=str(user.pk), fingerprint=grant.fingerprint
            )
            EgnyteAccount.objects.create(
                user=user, domain=grant.domain, egnyte_user_id=number, token=token
            )
        keys = [user.pk for user in users]
        with CaptureQueriesContext(connection) as queries:
            if how == "users":
                type(egnyte_user)._default_manager.filter(pk__in=keys).delete()
            elif how == "user":
                users[0].delete()
            elif how == "team":
                teams[0].delete()
            elif how == "teams":
                Team.objects.all().delete()
            else:
                EgnyteAccount.objects.filter(user__in=keys).delete()
        # For users with a child table, Django makes one query for each.
        return len([each for each in queries.captured_queries if "_egnyte" in each["sql"]])

    few, many = delete(10, "few"), delete(100, "many")
    assert many <= few + 6
    assert len(pending()) == 110
    disconnected = AccountEvent.objects.filter(kind=EventKind.DISCONNECTED)
    assert disconnected.count() == 110


def test_users_who_go_along_with_other_users_release_their_accounts(many):
    """A cascade may delete further users, which are not in the deleted queryset."""
    accounts = many(3)
    users = get_user_model()._default_manager.filter(pk=accounts[0].user_id)
    collector = Collector(using="default", origin=users)
    collector.collect([account.user for account in accounts])
    collector.delete()
    assert len(pending()) == 3
    events = AccountEvent.objects.filter(kind=EventKind.DISCONNECTED)
    assert sorted(events.values_list("account_ref", flat=True)) == [each.pk for each in accounts]


def test_a_deleted_users_key_is_not_taken_for_an_accounts_key(make_user, link):
    gone, other = link(make_user("gone")), link(make_user("other"))
    if not isinstance(gone.user_id, int):
        pytest.skip("the keys of these users are texts")
    EgnyteAccount.objects.filter(pk=gone.pk).write(id=10_000)
    EgnyteAccount.objects.filter(pk=other.pk).write(id=gone.user_id)
    as_in_a_migration(get_user_model())._base_manager.filter(pk=gone.user_id).delete()
    assert [grant.pk for grant in pending()] == [gone.token.grant_id]
    assert EgnyteAccount.objects.get().user == other.user


def test_a_deletion_is_forgotten_when_it_is_over(egnyte_account, egnyte_user):
    egnyte_user.delete()
    assert disconnecting._last.get() is None


def test_a_deletion_that_is_tried_again_releases_all_again(many):
    many(3)
    rows = EgnyteAccount.objects.all()

    def delete_and_fail() -> None:
        with transaction.atomic():
            rows.delete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        delete_and_fail()
    assert pending() == []
    rows.delete()
    assert len(pending()) == 3


@pytest.mark.parametrize("end", ["delete", "many", "revoke"])
def test_the_history_of_a_grants_end_names_the_account(make_user, link, end):
    accounts = [link(make_user(f"user{number}"), username="jsmith") for number in range(2)]
    pks = [account.pk for account in accounts]
    if end == "many":
        EgnyteAccount.objects.all().delete()
    for account in accounts if end != "many" else ():
        if end == "delete":
            account.delete()
        else:
            assert revoke(account, actor="command", reason="why")
    assert process_revocations() == {"revoked": 2}
    events = AccountEvent.objects.filter(kind=EventKind.TOKEN_REVOKED).order_by("account_ref")
    assert list(events.values_list("account_ref", "username")) == [(pk, "jsmith") for pk in pks]


def test_a_refresh_that_was_first_does_not_keep_an_account_from_being_revoked(
    egnyte_sandbox, egnyte_account, monkeypatch
):
    make_due = grants.make_due

    def after_a_refresh(grant_id, reason):
        monkeypatch.undo()
        newer = grants.copied(egnyte_account.token, "another row")
        EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(token=newer)
        make_due(grant_id, reason)

    monkeypatch.setattr(grants, "make_due", after_a_refresh)
    assert revoke(egnyte_account, actor="command", reason="why")
    account = EgnyteAccount.objects.get()
    assert (account.status, account.token_id) == (Status.REVOKED, None)
    assert process_revocations() == {"revoked": 1}


@pytest.mark.parametrize("always", [False, True])
def test_an_account_that_is_linked_anew_while_it_is_revoked_is_not_passed_over(
    egnyte_account, make_user, link, monkeypatch, always
):
    make_due, others = grants.make_due, [link(make_user(f"user{n}")) for n in range(4)]

    def after_a_link(grant_id, reason):
        if not always:
            monkeypatch.undo()
        EgnyteAccount.objects.filter(pk=egnyte_account.pk).write(token=others.pop().token)
        make_due(grant_id, reason)

    monkeypatch.setattr(grants, "make_due", after_a_link)
    if always:
        with pytest.raises(TokenConflictError):
            revoke(egnyte_account, actor="command", reason="why")
        assert EgnyteAccount.objects.get(pk=egnyte_account.pk).is_live
    else:
        assert revoke(egnyte_account, actor="command", reason="why")
        assert not EgnyteAccount.objects.get(pk=egnyte_account.pk).is_live


def test_what_a_collector_without_an_origin_deletes_is_revoked_too(many):
    accounts = many(2)
    with transaction.atomic():
        for account in accounts:
            collector = Collector(using=connection.alias)
            collector.collect([account])
            collector.delete()
    assert not EgnyteAccount.objects.exists()
    assert len(pending()) == 2
