from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_egnyte.choices import EventKind
from django_egnyte.exceptions import (
    InTransactionError,
    NotLinkedError,
    UnauthorizedError,
)
from django_egnyte.models import (
    AccountEvent,
    EgnyteAccount,
    EgnyteGrant,
    EgnyteToken,
    KeyState,
    TokenRequest,
)
from django_egnyte.services import verdict
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import hence
from django_egnyte.services.validate import note_use, validate
from django_egnyte.signals import account_revoked, account_suspected

from .conftest import grant_of
from .rows import expired_now
from .threads import Threads


def test_a_living_token_is_noted(egnyte_account):
    EgnyteAccount.objects.write(
        last_validated_at=None, next_validation_at=timezone.now(), validation_attempts=3
    )
    assert validate(egnyte_account.pk, egnyte_account.token_id, actor="task") == "alive"
    stored = EgnyteAccount.objects.get()
    assert stored.last_validated_at is not None and stored.validation_attempts == 0
    due_in = stored.next_validation_at - timezone.now()
    assert timedelta(hours=21) < due_in <= timedelta(days=1)
    assert not KeyState.objects.exists()  # one write less for each validation


def test_a_suspect_that_lives_proves_the_key_of_its_grant(egnyte_account):
    EgnyteAccount.objects.write(status="suspect")
    assert validate(egnyte_account.pk, actor="task") == "alive"
    assert KeyState.objects.get().accepted_at is not None


def test_a_suspect_of_another_key_proves_nothing(egnyte_account):
    EgnyteAccount.objects.write(status="suspect")
    EgnyteGrant.objects.write(key_digest="another key")
    assert validate(egnyte_account.pk, actor="task") == "alive"
    assert not KeyState.objects.exists()


def test_a_dead_token_without_a_refresh_token_is_a_verdict(egnyte_sandbox, legacy, hurried):
    seen = []
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    receiver = lambda account, **kwargs: seen.append(account.status)  # noqa: E731
    account_revoked.connect(receiver)
    try:
        assert validate(legacy.pk, legacy.token_id, actor="task") == "dead"
    finally:
        account_revoked.disconnect(receiver)
    stored = EgnyteAccount.objects.get()
    assert (stored.status, stored.token_id) == ("revoked", None)
    assert stored.status_reason == "Egnyte refuses the token"
    assert seen == ["revoked"]
    assert ("process_revocations",) in hurried
    assert AccountEvent.objects.filter(kind=EventKind.REVOKED, actor="task").count() == 1
    assert process_revocations() == {"dead": 1}


def test_a_dead_access_token_with_a_living_refresh_token_is_refreshed(
    egnyte_sandbox, egnyte_account
):
    egnyte_sandbox.expire_token(egnyte_account.open_token())
    assert validate(egnyte_account.pk, egnyte_account.token_id, actor="task") == "refreshed"
    stored = EgnyteAccount.objects.get()
    assert stored.status == "active" and egnyte_sandbox.is_alive(stored.open_token())


def test_an_expired_token_whose_refresh_is_refused_is_asked_about(egnyte_sandbox, egnyte_account):
    expired_now()
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    assert validate(egnyte_account.pk, egnyte_account.token_id, actor="task") == "dead"
    assert EgnyteAccount.objects.get().status_reason == "Egnyte refuses both tokens"


def test_an_expired_token_is_refreshed_before_anybody_asks(egnyte_sandbox, egnyte_account):
    expired_now()
    asked = egnyte_sandbox.counts["userinfo"]
    assert validate(egnyte_account.pk, egnyte_account.token_id, actor="task") == "refreshed"
    assert egnyte_sandbox.counts["userinfo"] == asked


@pytest.mark.parametrize("where", ["/userinfo", "^/puboauth/token"])
def test_a_transient_failure_marks_nothing(egnyte_sandbox, egnyte_account, where):
    if where != "/userinfo":
        egnyte_sandbox.expire_token(egnyte_account.open_token())
    egnyte_sandbox.faults.add(path=where, status=503)
    assert validate(egnyte_account.pk, egnyte_account.token_id, actor="task") == "unknown"
    stored = EgnyteAccount.objects.get()
    assert (stored.status, stored.token_id) == ("active", egnyte_account.token_id)
    assert stored.validation_attempts >= 1
    assert timezone.now() < stored.next_validation_at < timezone.now() + timedelta(minutes=5)


def test_a_token_that_was_replaced_meanwhile_is_not_judged(
    egnyte_sandbox, legacy, egnyte_user, link
):
    link(egnyte_user)
    asked = egnyte_sandbox.counts["userinfo"]
    assert validate(legacy.pk, legacy.token_id, actor="task") == "gone"
    assert egnyte_sandbox.counts["userinfo"] == asked
    assert validate(999_999, 1, actor="task") == "gone"


def test_a_verdict_needs_the_lease(egnyte_sandbox, legacy):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    EgnyteGrant.objects.write(lease="a-refresher", leased_until=hence(60))
    assert validate(legacy.pk, legacy.token_id, actor="task") == "unknown"
    assert EgnyteAccount.objects.get().status == "active"


def test_no_key_is_no_verdict(egnyte_sandbox, legacy, settings):
    settings.EGNYTE_ENCRYPTION_KEYS = ["another key, of thirty-two characters or more"]
    assert validate(legacy.pk, legacy.token_id, actor="task") == "unknown"
    assert EgnyteAccount.objects.get().status == "active"


def test_no_validation_inside_a_transaction(egnyte_account):
    with transaction.atomic(), pytest.raises(InTransactionError):
        validate(egnyte_account.pk, egnyte_account.token_id, actor="task")


def test_a_401_is_a_suspicion_and_hurries_a_worker(egnyte_sandbox, legacy, hurried):
    seen = []
    receiver = lambda account, **kwargs: seen.append(account.status)  # noqa: E731
    account_suspected.connect(receiver)
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    try:
        with pytest.raises(UnauthorizedError):
            legacy.client.userinfo()
    finally:
        account_suspected.disconnect(receiver)
    stored = EgnyteAccount.objects.get()
    assert stored.status == "suspect" and stored.is_live
    assert hurried == [("validate_account", legacy.pk, legacy.token_id)]
    assert seen == ["suspect"]
    # It continues to work until it is validated.
    with pytest.raises(UnauthorizedError):
        stored.client.userinfo()
    assert AccountEvent.objects.filter(kind=EventKind.SUSPECTED).count() == 1


def test_a_suspicion_in_a_transaction_hurries_a_worker_though_it_is_rolled_back(
    egnyte_sandbox, legacy, hurried
):
    egnyte_sandbox.set_password("acme", "jsmith", "new")
    with pytest.raises(UnauthorizedError), transaction.atomic():
        legacy.client.userinfo()
    assert EgnyteAccount.objects.get().status == "active"
    assert hurried == [("validate_account", legacy.pk, legacy.token_id)]


def test_a_suspicion_about_an_older_token_is_dropped(legacy, egnyte_user, link, hurried):
    link(egnyte_user)
    hurried.clear()
    assert not verdict.suspect(legacy, reason="401", actor="client")
    assert EgnyteAccount.objects.get().status == "active"


def test_acting_as_another_raises_suspicion_hourly_at_most(egnyte_sandbox, legacy, hurried):
    assert not verdict.suspect(legacy, reason="401", actor="client", acting=True)
    assert hurried == []
    EgnyteAccount.objects.write(last_validated_at=timezone.now() - timedelta(minutes=61))
    assert verdict.suspect(EgnyteAccount.objects.get(), reason="401", actor="client", acting=True)


def test_a_suspect_whose_token_lives_is_cleared(legacy):
    verdict.suspect(legacy, reason="401", actor="client")
    assert validate(legacy.pk, legacy.token_id, actor="task") == "alive"
    stored = EgnyteAccount.objects.get()
    assert (stored.status, stored.status_reason) == ("active", "")
    assert AccountEvent.objects.filter(kind=EventKind.CLEARED).count() == 1


def test_a_call_that_succeeds_counts_as_a_validation_once_an_hour(
    legacy, django_assert_num_queries
):
    EgnyteAccount.objects.write(last_used_at=None, last_validated_at=None)
    account = EgnyteAccount.objects.with_token().get()
    with django_assert_num_queries(1):
        for _ in range(3):
            account.client.userinfo()
    stored = EgnyteAccount.objects.get()
    assert stored.last_used_at is not None and stored.last_validated_at is not None


def test_a_use_in_a_transaction_is_noted_after_the_commit(legacy, django_assert_num_queries):
    EgnyteAccount.objects.write(last_used_at=None, status="suspect")
    account = EgnyteAccount.objects.get()
    with transaction.atomic():
        with django_assert_num_queries(0):
            for _ in range(3):
                note_use(account)
        assert account.status == "suspect"
    stored = EgnyteAccount.objects.get()
    assert stored.last_used_at is not None and stored.status == "active"
    assert AccountEvent.objects.filter(kind=EventKind.CLEARED).count() == 1


def test_a_use_in_a_transaction_ends_no_suspicion_that_is_younger(legacy):
    EgnyteAccount.objects.write(last_used_at=None)
    account = EgnyteAccount.objects.get()
    with transaction.atomic():
        note_use(account)
        verdict.suspect(EgnyteAccount.objects.get(), reason="401", actor="client")
    stored = EgnyteAccount.objects.get()
    assert stored.status == "suspect" and stored.next_validation_at <= timezone.now()


def test_a_use_in_a_transaction_says_nothing_of_a_token_that_was_replaced(
    legacy, egnyte_user, link
):
    EgnyteAccount.objects.write(last_used_at=None)
    account = EgnyteAccount.objects.get()
    with transaction.atomic():
        note_use(account)
        EgnyteAccount.objects.write(token=another_token(account))
    assert EgnyteAccount.objects.get().last_used_at is None


def test_without_autocommit_a_use_is_noted_at_once(legacy):
    EgnyteAccount.objects.write(last_used_at=None)
    account = EgnyteAccount.objects.get()
    transaction.set_autocommit(False)
    try:
        note_use(account)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert EgnyteAccount.objects.get().last_used_at is not None


def test_two_requests_of_a_user_with_two_accounts_do_not_lock_each_other_out(egnyte_user, link):
    one, two = link(egnyte_user), link(egnyte_user, username="bdoe")
    EgnyteAccount.objects.update(last_used_at=None)
    # If a transaction locks the whole database, the second begins after the first.
    together = 2 if connection.features.has_select_for_update else 1
    barrier = threading.Barrier(together, timeout=20)

    def request(*keys: int) -> None:
        with transaction.atomic():  # as under ATOMIC_REQUESTS
            for pk in keys:
                EgnyteAccount.objects.get(pk=pk).client.get("/pubapi/v1/userinfo")
                if pk == keys[0]:
                    barrier.wait()

    with Threads() as threads:
        threads.start(lambda: request(one.pk, two.pk))
        threads.start(lambda: request(two.pk, one.pk))
    assert EgnyteAccount.objects.exclude(last_used_at=None).count() == 2


def test_a_call_that_succeeds_ends_a_suspicion(legacy):
    verdict.suspect(legacy, reason="401", actor="client")
    note_use(legacy)
    assert EgnyteAccount.objects.get().status == "active"


def another_token(account: EgnyteAccount) -> EgnyteToken:
    """As after a refresh or a new link."""
    token = account.token
    assert token is not None
    return EgnyteToken.objects.create(
        grant_id=token.grant_id,
        domain=token.domain,
        user_ref=token.user_ref,
        access_token=token.access_token,
        fingerprint="another",
        generation=token.generation + 1,
    )


def test_a_use_that_the_database_does_not_take_fails_no_call(legacy, monkeypatch, caplog):
    """Egnyte has carried out the call. After an exception, the caller would repeat it."""
    EgnyteAccount.objects.write(last_used_at=None, status="suspect")
    account = EgnyteAccount.objects.with_token().get()

    def locked(*args, **values):
        raise OperationalError("database is locked")

    monkeypatch.setattr(verdict, "clear", locked)
    account.client.userinfo()
    assert [r for r in caplog.records if getattr(r, "event", "") == "use_not_noted"]
    assert EgnyteAccount.objects.get().last_used_at is None


def test_an_account_of_another_key_is_shown_and_neither_refreshed_nor_judged(
    egnyte_sandbox, egnyte_account, settings
):
    # An account of the new key is valid, so that key is always proved.
    egnyte_sandbox.add_key("new-key", "new-secret")
    settings.EGNYTE_CLIENT_ID, settings.EGNYTE_CLIENT_SECRET = "new-key", "new-secret"
    # While Egnyte accepts the old key's token, the account works.
    assert validate(egnyte_account.pk, actor="task") == "alive"
    egnyte_sandbox.suspend_key("sandbox-code-key")
    for _ in range(3):
        assert validate(egnyte_account.pk, actor="task") == "paused"
    stored = EgnyteAccount.objects.with_token().get()
    assert (stored.status, stored.token_id) == ("suspect", egnyte_account.token_id)
    assert "another API key" in stored.status_reason and "reconnect" in stored.status_reason
    assert AccountEvent.objects.filter(kind=EventKind.SUSPECTED).count() == 1
    assert not EgnyteGrant.objects.exclude(release_at=None).exists()
    # An expired token is not refreshed with the wrong secret, either.
    expired_now()
    assert validate(egnyte_account.pk, actor="task") == "paused"
    assert egnyte_sandbox.counts["token:refresh_token"] == 0
    with pytest.raises(NotLinkedError) as caught:
        refresh(stored, actor="test")
    assert "reconnect" in caught.value.hint
    assert not TokenRequest.objects.exists()
    # The old key is configured again, so everything works.
    settings.EGNYTE_CLIENT_ID = "sandbox-code-key"
    settings.EGNYTE_CLIENT_SECRET = "sandbox-code-secret"
    egnyte_sandbox.resume_key("sandbox-code-key")
    assert validate(egnyte_account.pk, actor="task") == "refreshed"
    assert EgnyteAccount.objects.get().status == "active"


def test_who_reconnects_after_a_change_of_key_gets_a_grant_of_the_new_one(
    egnyte_sandbox, egnyte_account, egnyte_user, link, settings
):
    before = grant_of(egnyte_account)
    egnyte_sandbox.add_key("new-key", "new-secret")
    settings.EGNYTE_CLIENT_ID, settings.EGNYTE_CLIENT_SECRET = "new-key", "new-secret"
    link(egnyte_user)
    after = grant_of(egnyte_account)
    assert (before.key_digest != after.key_digest) and after.release_at is None
    assert process_revocations() == {"revoked": 1}
    assert [grant.id for grant in egnyte_sandbox.live_grants()]
    assert validate(egnyte_account.pk, actor="task") == "alive"
