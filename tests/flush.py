"""A quick ``flush``: Django's command runs after each test that has real transactions.

Django's empties all tables, and then writes the content types and permissions again, which takes
ten times as long. This one leaves what ``migrate`` wrote, if the test has not changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.core.management.color import no_style
from django.core.management.commands.flush import Command
from django.db import connections

Rows = dict[str, set[tuple[Any, ...]]]  # of each table
Written = dict[str, Rows]  # of each database


def written_by_migrate() -> Written:
    """The rows of all tables that are not empty, before the first test."""
    return {alias: rows_of(alias, tables_of(alias)) for alias in connections}


@contextmanager
def quick_flush(written: Written) -> Iterator[None]:
    flush = Command.handle

    def handle(self: Command, *, database: str, **options: Any) -> None:
        kept = written[database]
        if rows_of(database, kept) == kept:
            delete(database, [table for table in tables_of(database) if table not in kept])
        else:
            flush(self, database=database, **options)
            # The same rows, but with other keys.
            written[database] = rows_of(database, tables_of(database))

    with mock.patch.object(Command, "handle", handle):
        yield


def tables_of(alias: str) -> list[str]:
    inspection = connections[alias].introspection
    return inspection.django_table_names(only_existing=True, include_views=False)


def rows_of(alias: str, tables: Iterable[str]) -> Rows:
    """What is in these tables, without those that are empty."""
    rows = {}
    with connections[alias].cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connections[alias].ops.quote_name(table)}")
            rows[table] = set(cursor.fetchall())
    return {table: each for table, each in rows.items() if each}


def delete(alias: str, tables: list[str]) -> None:
    operations = connections[alias].ops
    if connections[alias].vendor == "postgresql":
        # With few rows, TRUNCATE takes ten times as long. The constraints are deferred to the
        # commit, so the order does not matter.
        statements = [f"DELETE FROM {operations.quote_name(table)};" for table in tables]
    else:
        statements = operations.sql_flush(no_style(), tables)
    operations.execute_sql_flush(statements)
