from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_egnyte.exceptions import InTransactionError
from django_egnyte.models import HostState
from django_egnyte.services import transactions
from django_egnyte.services.transactions import (
    DatabaseNow,
    ago,
    hence,
    in_short_transaction,
    refuse_in_transaction,
)


@pytest.mark.parametrize("seconds", [0, 120, -3600, 0.5])
def test_the_databases_clock_is_stored_as_the_sites_clock_would_be(seconds):
    HostState.objects.create(host="h", held_off_until=hence(seconds))
    stored = HostState.objects.get().held_off_until
    assert abs(stored - timezone.now() - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_the_databases_clock_compares_with_what_the_site_wrote():
    now = timezone.now()
    HostState.objects.create(host="past", held_off_until=now - timedelta(seconds=30))
    HostState.objects.create(host="future", held_off_until=now + timedelta(seconds=30))
    hosts = HostState.objects.values_list("host", flat=True)
    assert list(hosts.filter(held_off_until__lte=DatabaseNow())) == ["past"]
    assert list(hosts.filter(held_off_until__gt=DatabaseNow())) == ["future"]
    assert list(hosts.filter(held_off_until__gt=ago(60)).order_by("host")) == ["future", "past"]


def test_a_callers_transaction_is_noticed():
    refuse_in_transaction()
    with transaction.atomic(), pytest.raises(InTransactionError):
        refuse_in_transaction()


def test_a_deadlock_is_tried_again_and_not_for_ever():
    tries = []

    def work() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("deadlock detected")
        return "done"

    assert in_short_transaction(work) == "done"
    assert len(tries) == 3

    def hopeless() -> None:
        tries.append(1)
        raise OperationalError("deadlock detected")

    tries.clear()
    with pytest.raises(OperationalError):
        in_short_transaction(hopeless)
    assert len(tries) == transactions.TRIES


def test_a_short_transaction_may_be_a_threads_first_work():
    done = []

    def work() -> None:
        try:
            done.append(in_short_transaction(HostState.objects.count))
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [0]
