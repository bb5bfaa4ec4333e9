from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

pytestmark = pytest.mark.django_db(transaction=True)


def flush() -> list[str]:
    """Flush as after a test. Returns the statements that write rows."""
    with CaptureQueriesContext(connection) as captured:
        call_command("flush", verbosity=0, interactive=False, reset_sequences=False)
    queries = [query["sql"] for query in captured.captured_queries]
    return [sql for sql in queries if sql.startswith("INSERT")]


def permissions() -> set[tuple[str, str]]:
    return set(Permission.objects.values_list("content_type__model", "codename"))


def test_all_rows_go_but_those_that_migrate_wrote(egnyte_account: Any) -> None:
    group = Group.objects.create(name="a group")
    group.permissions.set(Permission.objects.all())
    egnyte_account.user.groups.add(group)
    before = permissions()
    assert ("egnyteaccount", "view_egnyteaccount") in before
    assert flush() == []
    assert permissions() == before
    for model in (type(egnyte_account), type(egnyte_account.user), Group):
        assert not model._default_manager.exists()
    assert not Group.permissions.through.objects.exists()


@pytest.mark.parametrize("change", ["add", "edit", "delete"])
def test_what_migrate_wrote_comes_back_if_a_test_changes_it(change: str) -> None:
    before = permissions()
    some = Permission.objects.get(codename="view_group")
    if change == "add":
        Permission.objects.create(content_type=some.content_type, codename="made_up")
    elif change == "edit":
        Permission.objects.filter(pk=some.pk).update(codename="made_up")
    else:
        some.delete()
    assert permissions() != before
    assert flush()
    assert permissions() == before
    # From then on, it is as quick as before.
    assert flush() == []
    assert permissions() == before
