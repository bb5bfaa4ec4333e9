from __future__ import annotations

import logging

from django.db import connection, transaction
from django.dispatch import Signal
from django.test.utils import CaptureQueriesContext

from django_egnyte.choices import EventKind
from django_egnyte.models import AccountEvent, EgnyteGrant
from django_egnyte.services import history

LONG = "x" * 300


def test_what_happened_is_logged_with_its_reason_if_it_has_one(egnyte_account, caplog):
    options = {"actor": "test"}
    with caplog.at_level(logging.INFO, logger="django_egnyte"):
        history.record(EventKind.CLEARED, egnyte_account, **options)
        history.record(EventKind.CLEARED, egnyte_account, reason="why", **options)
    bare = f"{EventKind.CLEARED.value}: account {egnyte_account.pk} at acme.egnyte.com (test)"
    assert caplog.messages == [bare, f"{bare}: why"]


def test_a_signal_is_sent_after_the_commit_and_a_receiver_that_raises_stops_no_other(
    egnyte_account, caplog
):
    seen = []
    signal = Signal()

    def broken(**kwargs):
        seen.append("broken")
        raise ZeroDivisionError

    def sound(**kwargs):
        seen.append(kwargs["reason"])

    signal.connect(broken)
    signal.connect(sound)
    with transaction.atomic():
        history.announce(signal, egnyte_account, reason="why")
        assert seen == []
    assert seen == ["broken", "why"]
    ours = [record for record in caplog.records if record.name == "django_egnyte"]
    assert [record.event for record in ours] == ["receiver_failed"]
    assert "broken" in ours[0].getMessage()


def test_an_event_names_whom_it_is_about(egnyte_account):
    account, user = egnyte_account.pk, str(egnyte_account.user_id)
    history.record(EventKind.CLEARED, egnyte_account, actor="a", reason=LONG)
    egnyte_account.delete()
    history.record(EventKind.TOKEN_DEAD, EgnyteGrant.objects.get(), actor="b")
    for kind, actor, reason in (
        (EventKind.CLEARED, "a", LONG[:255]),
        (EventKind.TOKEN_DEAD, "b", ""),
    ):
        event = AccountEvent.objects.get(kind=kind)
        assert (event.account_ref, event.user_ref) == (account, user)
        assert (event.domain, event.username) == ("acme.egnyte.com", "jsmith")
        assert (event.actor, event.reason) == (actor, reason)


def test_many_events_are_one_statement(many):
    accounts = many(3)
    with CaptureQueriesContext(connection) as queries:
        history.record_all(EventKind.CLEARED, accounts, actor="test", reason="why")
    # Outside a transaction some versions of Django count its BEGIN and COMMIT, too.
    said = [each["sql"].split()[0] for each in queries.captured_queries]
    assert [word for word in said if word not in ("BEGIN", "COMMIT")] == ["INSERT"]
    events = AccountEvent.objects.filter(kind=EventKind.CLEARED)
    assert set(events.values_list("account_ref", flat=True)) == {each.pk for each in accounts}
