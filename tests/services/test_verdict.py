from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from django_egnyte.choices import EventKind, LeasedFor, Release, Status
from django_egnyte.models import AccountEvent, EgnyteAccount, EgnyteGrant
from django_egnyte.services import grants, leases, verdict
from django_egnyte.signals import account_suspected

pytestmark = pytest.mark.django_db

LONG = "x" * 300
MINUTE = timedelta(minutes=1)


def stored():
    return EgnyteAccount.objects.get()


def test_a_suspicion_says_why_in_as_many_words_as_fit(egnyte_account):
    before = timezone.now()
    assert verdict.suspect(egnyte_account, reason=LONG, actor="test")
    found = stored()
    for account in (egnyte_account, found):
        assert (account.status, account.status_reason) == (Status.SUSPECT, LONG[:255])
    assert before <= found.next_validation_at <= timezone.now()
    event = AccountEvent.objects.get(kind=EventKind.SUSPECTED)
    assert (event.reason, event.actor, event.account_ref) == (LONG[:255], "test", found.pk)


def test_a_second_suspicion_changes_nothing(egnyte_account, hurried):
    assert verdict.suspect(egnyte_account, reason="first", actor="test")
    assert not verdict.suspect(egnyte_account, reason="second", actor="test")
    assert stored().status_reason == "first"
    assert AccountEvent.objects.filter(kind=EventKind.SUSPECTED).count() == 1
    assert hurried == [("validate_account", egnyte_account.pk, egnyte_account.token_id)] * 2


@pytest.mark.parametrize(
    ("acting", "validated", "raised"),
    [
        (True, 59 * MINUTE, False),
        (True, 61 * MINUTE, True),
        (True, None, True),
        (False, 59 * MINUTE, True),
        (False, None, True),
    ],
)
def test_acting_as_another_raises_no_suspicion_within_an_hour_of_a_validation(
    egnyte_account, hurried, acting, validated, raised
):
    egnyte_account.last_validated_at = None if validated is None else timezone.now() - validated
    assert verdict.suspect(egnyte_account, reason="r", actor="test", acting=acting) is raised
    assert len(hurried) == raised


def test_a_suspicion_ends_with_what_was_learned(egnyte_account):
    verdict.suspect(egnyte_account, reason="r", actor="test")
    assert verdict.clear(egnyte_account, actor="test", validation_attempts=7)
    found = stored()
    assert (found.status, found.status_reason, found.validation_attempts) == (Status.ACTIVE, "", 7)
    assert (egnyte_account.status, egnyte_account.status_reason) == (Status.ACTIVE, "")
    assert AccountEvent.objects.filter(kind=EventKind.CLEARED).count() == 1


@pytest.mark.parametrize("known", [Status.ACTIVE, Status.SUSPECT])
def test_what_is_learned_of_an_active_account_is_no_event(egnyte_account, known):
    """Also if the caller had read it while it was suspect."""
    egnyte_account.status = known
    assert verdict.clear(egnyte_account, actor="test", validation_attempts=7)
    assert (stored().status, stored().validation_attempts) == (Status.ACTIVE, 7)
    assert not AccountEvent.objects.filter(kind=EventKind.CLEARED).exists()


@pytest.mark.parametrize("changes", [{"token": None}, {"status": Status.REVOKED}])
def test_nothing_is_learned_of_a_token_that_was_replaced_or_given_up(egnyte_account, changes):
    EgnyteAccount.objects.write(**changes)
    assert not verdict.clear(egnyte_account, actor="test", validation_attempts=7)
    assert stored().validation_attempts == 0


def minutes_until(moment):
    return round((moment - timezone.now()).total_seconds() / 60)


@pytest.mark.parametrize("known", [Status.ACTIVE, Status.SUSPECT])
def test_without_a_proof_the_account_waits_an_hour_and_goes_on_working(egnyte_account, known):
    EgnyteAccount.objects.write(status=known)
    verdict.wait_for_proof(EgnyteAccount.objects.get(), actor="test")
    found = stored()
    assert found.status == Status.SUSPECT and found.is_live
    assert "API key" in found.status_reason
    assert minutes_until(found.next_validation_at) == 60
    assert found.token_id == egnyte_account.token_id
    assert EgnyteGrant.objects.get().release_at is None


def test_an_account_that_waits_for_a_proof_was_made_suspect_on_record_and_once(
    egnyte_account, django_capture_on_commit_callbacks
):
    heard = []

    def receiver(sender, account, reason, **named):
        heard.append(reason)

    account_suspected.connect(receiver)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            verdict.wait_for_proof(egnyte_account, actor="test")
            EgnyteAccount.objects.write(status_reason="", next_validation_at=timezone.now())
            verdict.wait_for_proof(egnyte_account, actor="test")
    finally:
        account_suspected.disconnect(receiver)
    event = AccountEvent.objects.get(kind=EventKind.SUSPECTED)
    assert (event.actor, event.reason) == ("test", stored().status_reason)
    assert heard == [event.reason]
    assert minutes_until(stored().next_validation_at) == 60


@pytest.mark.parametrize("changes", [{"token": None}, {"status": Status.REVOKED}])
def test_nothing_waits_for_a_token_that_was_replaced_or_given_up(egnyte_account, changes):
    EgnyteAccount.objects.write(**changes)
    before = stored().next_validation_at
    verdict.wait_for_proof(egnyte_account, actor="test")
    assert stored().next_validation_at == before and stored().status_reason == ""


def test_a_verdict_leaves_nothing_of_the_token_but_its_grant(egnyte_account):
    with leases.hold(egnyte_account, LeasedFor.VERDICT, patience=0) as lease:
        assert verdict.pass_verdict(lease, reason=LONG, actor="test")
        found = stored()
        assert (found.token_id, found.expires_at) == (None, None)
        assert (found.status, found.status_reason) == (Status.REVOKED, LONG[:255])
        grant = EgnyteGrant.objects.get()
        assert grant.release_at is not None and grant.reason == Release.DEAD
        verdict.pass_verdict(lease, reason="again", actor="test")
    assert AccountEvent.objects.filter(kind=EventKind.REVOKED).count() == 1
    assert EgnyteGrant.objects.get().lease == ""


def test_a_verdict_is_for_all_who_share_the_grant(egnyte_account, make_user):
    other = another_holder(egnyte_account, make_user("other"))
    with leases.hold(egnyte_account, LeasedFor.VERDICT, patience=0) as lease:
        assert verdict.pass_verdict(lease, reason="r", actor="test")
    assert set(EgnyteAccount.objects.values_list("status", "token")) == {(Status.REVOKED, None)}
    refs = AccountEvent.objects.filter(kind=EventKind.REVOKED).values_list("account_ref", flat=True)
    assert set(refs) == {egnyte_account.pk, other.pk}


def another_holder(account, user):
    return EgnyteAccount.objects.create(
        user=user,
        domain=account.domain,
        egnyte_user_id=account.egnyte_user_id,
        token=grants.copied(account.token, str(user.pk)),
    )


@pytest.mark.parametrize("changes", [{"generation": 2}, {"lease": "another's"}])
def test_no_verdict_without_the_lease_of_that_very_token(egnyte_account, changes):
    with leases.hold(egnyte_account, LeasedFor.VERDICT, patience=0) as lease:
        EgnyteGrant.objects.write(**changes)
        assert not verdict.pass_verdict(lease, reason="r", actor="test")
    assert stored().status == Status.ACTIVE
    assert EgnyteGrant.objects.get().release_at is None


@pytest.mark.django_db(transaction=True)
def test_a_suspicion_in_a_transaction_managed_by_hand_is_a_suspicion(egnyte_account):
    seen = []

    def receiver(account, **kwargs):
        seen.append(account.pk)

    account_suspected.connect(receiver)
    transaction.set_autocommit(False)
    try:
        assert verdict.suspect(egnyte_account, reason="401", actor="client")
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
        account_suspected.disconnect(receiver)
    assert seen == [egnyte_account.pk]
    assert EgnyteAccount.objects.get().status == Status.SUSPECT
