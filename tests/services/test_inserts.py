from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from django_egnyte.models import AccountEvent, HostState, KeyState, SpentState
from django_egnyte.services.inserts import insert
from django_egnyte.services.transactions import DatabaseNow

pytestmark = pytest.mark.django_db


def state(digest: str = "a" * 64) -> SpentState:
    return SpentState(digest=digest, expires_at=timezone.now())


def test_an_inserted_row_is_the_one_that_is_read() -> None:
    row = AccountEvent(kind="connected", actor="100 % 'command'", account_ref=None, username="ünï")
    assert insert(row)
    stored = AccountEvent.objects.get(pk=row.pk)
    for field in AccountEvent._meta.concrete_fields:
        assert getattr(stored, field.attname) == getattr(row, field.attname)


def test_an_inserted_row_is_no_longer_new() -> None:
    row = HostState(host="acme.egnyte.com")
    insert(row)
    assert not row._state.adding
    row.failures = 3
    row.save()
    assert HostState.objects.get().failures == 3


def test_a_value_can_be_the_clock_of_the_database() -> None:
    insert(KeyState(host="acme.egnyte.com", accepted_at=DatabaseNow(timedelta(hours=-1))))
    accepted = KeyState.objects.get().accepted_at
    assert accepted is not None
    assert abs(timezone.now() - timedelta(hours=1) - accepted) < timedelta(minutes=1)


def test_nothing_is_inserted_if_the_condition_finds_a_row() -> None:
    """``lastrowid`` of SQLite and of MariaDB may then be that of another statement."""
    unless = "SELECT id FROM django_egnyte_spentstate WHERE digest = %s"
    first, second, third = state(), state(), state("b" * 64)
    assert insert(first, unless=unless, values=[first.digest])
    assert not insert(second, unless=unless, values=[second.digest])
    assert insert(third, unless=unless, values=[third.digest])
    assert second.pk is None
    assert second._state.adding
    assert {*SpentState.objects.values_list("pk", "digest")} == {
        (first.pk, first.digest),
        (third.pk, third.digest),
    }


def test_a_constraint_refuses_a_row() -> None:
    insert(state())
    with pytest.raises(IntegrityError):
        insert(state())


def test_receivers_are_called_as_by_save() -> None:
    def heard(work: Any) -> list[tuple[Any, dict[str, Any]]]:
        calls: list[tuple[Any, dict[str, Any]]] = []

        def receiver(signal: Any, sender: Any, instance: Any, **values: Any) -> None:
            calls.append((signal, {"sender": sender, "is_new": instance.pk is None, **values}))

        for signal in (pre_save, post_save):
            signal.connect(receiver, sender=SpentState)
        try:
            work()
        finally:
            for signal in (pre_save, post_save):
                signal.disconnect(receiver, sender=SpentState)
        return calls

    assert heard(lambda: insert(state())) == heard(state("b" * 64).save)


def test_the_columns_of_our_tables_need_no_quotes() -> None:
    for model in apps.get_app_config("django_egnyte").get_models():
        names = [model._meta.db_table, *(field.column for field in model._meta.concrete_fields)]
        assert all(name.isidentifier() and name == name.lower() for name in names)
        assert model._meta.pk is not None
        assert model._meta.pk.column == "id"
