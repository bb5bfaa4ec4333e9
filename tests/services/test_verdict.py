from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from django_egnyte.choices import EventKind, Status
from django_egnyte.models import AccountEvent, EgnyteAccount, KeyState, PendingRevocation
from django_egnyte.services import budget, leases, verdict
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
    assert hurried == [("validate_account", egnyte_account.pk, 1)] * 2


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
    assert verdict.clear(egnyte_account, actor="test", attempts=7)
    found = stored()
    assert (found.status, found.status_reason, found.attempts) == (Status.ACTIVE, "", 7)
    assert (egnyte_account.status, egnyte_account.status_reason) == (Status.ACTIVE, "")
    assert AccountEvent.objects.filter(kind=EventKind.CLEARED).count() == 1


@pytest.mark.parametrize("known", [Status.ACTIVE, Status.SUSPECT])
def test_what_is_learned_of_an_active_account_is_no_event(egnyte_account, known):
    """Also if the caller had read it while it was suspect."""
    egnyte_account.status = known
    assert verdict.clear(egnyte_account, actor="test", attempts=7)
    assert (stored().status, stored().attempts) == (Status.ACTIVE, 7)
    assert not AccountEvent.objects.filter(kind=EventKind.CLEARED).exists()


@pytest.mark.parametrize("changes", [{"token_id": 2}, {"status": Status.REVOKED}])
def test_nothing_is_learned_of_a_token_that_was_replaced_or_given_up(egnyte_account, changes):
    EgnyteAccount.objects.write(**changes)
    assert not verdict.clear(egnyte_account, actor="test", attempts=7)
    assert stored().attempts == 0


@pytest.fixture
def paused(egnyte_account):
    budget.prepare()
    KeyState.objects.update(verdicts_paused_at=timezone.now())


def minutes_until(moment):
    return round((moment - timezone.now()).total_seconds() / 60)


@pytest.mark.parametrize(("due_in", "moved_to"), [(-MINUTE, 60), (30 * MINUTE, 60), (None, None)])
def test_while_verdicts_are_paused_the_account_waits_an_hour(
    egnyte_account, paused, due_in, moved_to
):
    due = None if due_in is None else timezone.now() + due_in
    EgnyteAccount.objects.write(next_refresh_at=due)
    with leases.hold(egnyte_account, patience=0) as lease:
        assert not verdict.pass_verdict(lease, reason="r", actor="test")
    found = stored()
    assert found.status == Status.SUSPECT and "waiting" in found.status_reason
    assert minutes_until(found.next_validation_at) == 60
    assert (found.next_refresh_at and minutes_until(found.next_refresh_at)) == moved_to
    assert not PendingRevocation.objects.exists()


def test_an_account_that_waits_for_verdicts_was_made_suspect_on_record_and_once(
    egnyte_account, paused, django_capture_on_commit_callbacks
):
    heard = []

    def receiver(sender, account, reason, **named):
        heard.append(reason)

    account_suspected.connect(receiver)
    try:
        with (
            django_capture_on_commit_callbacks(execute=True),
            leases.hold(egnyte_account, patience=0) as lease,
        ):
            verdict.pass_verdict(lease, reason="r", actor="test")
            EgnyteAccount.objects.write(status_reason="", next_validation_at=timezone.now())
            verdict.pass_verdict(lease, reason="r", actor="test")
    finally:
        account_suspected.disconnect(receiver)
    event = AccountEvent.objects.get(kind=EventKind.SUSPECTED)
    assert (event.actor, event.reason) == ("test", stored().status_reason)
    assert heard == [event.reason]
    assert minutes_until(stored().next_validation_at) == 60


def test_a_refresh_that_is_due_later_stays_due_then(egnyte_account, paused):
    EgnyteAccount.objects.write(next_refresh_at=timezone.now() + 90 * MINUTE)
    with leases.hold(egnyte_account, patience=0) as lease:
        verdict.pass_verdict(lease, reason="r", actor="test")
    assert minutes_until(stored().next_refresh_at) == 90


def test_a_verdict_leaves_nothing_of_the_token_but_its_row(egnyte_account):
    with leases.hold(egnyte_account, patience=0) as lease:
        assert verdict.pass_verdict(lease, reason=LONG, actor="test")
        found = stored()
        assert (found.open_token(), found.opened_token().refresh_token.reveal()) == ("", "")
        assert (found.token_fingerprint, found.refresh_fingerprint) == ("", "")
        assert (found.expires_at, found.next_refresh_at) == (None, None)
        assert (found.status, found.status_reason) == (Status.REVOKED, LONG[:255])
        assert (found.lease, found.leased_until) == ("", None)
        assert found.token_id == 2
        assert found.grant_id != egnyte_account.grant_id
        assert PendingRevocation.objects.get().reason == "given up"
        assert not verdict.pass_verdict(lease, reason="again", actor="test")
    assert PendingRevocation.objects.count() == 1


@pytest.mark.parametrize("changes", [{"token_id": 2}, {"lease": "another's"}])
def test_no_verdict_without_the_lease_of_that_very_token(egnyte_account, changes):
    with leases.hold(egnyte_account, patience=0) as lease:
        EgnyteAccount.objects.write(**changes)
        assert not verdict.pass_verdict(lease, reason="r", actor="test")
    assert stored().status == Status.ACTIVE
