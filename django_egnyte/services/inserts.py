"""Insert a row with little work.

Django builds the statement of each ``INSERT`` anew, which takes several times as long as the
database takes to run it. A link inserts five such rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from django.db import connections, models
from django.db.models.signals import post_save, pre_save

from .transactions import DatabaseNow, alias


def insert(row: models.Model, *, unless: str = "", values: Sequence[Any] = ()) -> bool:
    """Insert a new row and set its primary key. Sends the signals of ``save()``.

    ``unless`` is a ``SELECT``, and ``values`` are its parameters. If it finds anything, nothing is
    inserted and the result is ``False``.
    """
    model, using = type(row), alias()
    connection = connections[using]
    about: dict[str, Any] = {"instance": row, "raw": False, "using": using, "update_fields": None}
    pre_save.send(model, **about)
    placeholders: list[str] = []
    parameters: list[Any] = []
    for field in _inserted_fields(model):
        value: Any = field.pre_save(row, True)
        if isinstance(value, DatabaseNow):
            placeholder, of_value = value.compiled(connection)
        else:
            placeholder, of_value = "%s", (field.get_db_prep_save(value, connection),)
        placeholders.append(placeholder)
        parameters += of_value
    row_of_values = f"VALUES ({', '.join(placeholders)})"
    if unless:
        # MariaDB does not take a WHERE without a FROM.
        one_row = "FROM (SELECT 1 AS one) AS one_row"
        row_of_values = f"SELECT {', '.join(placeholders)} {one_row} WHERE NOT EXISTS ({unless})"
        parameters += values
    pk = _executed(connection, f"{_insert_into(model)} {row_of_values}", parameters)
    if pk is None:
        return False
    row.pk = pk
    row._state.adding, row._state.db = False, using
    post_save.send(model, created=True, **about)
    return True


def _executed(connection: Any, sql: str, parameters: list[Any]) -> int | None:
    """Run the statement. The primary key of its row, or ``None`` without a row."""
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.execute(sql, parameters)
            return cursor.lastrowid if cursor.rowcount else None
        cursor.execute(f"{sql} RETURNING id", parameters)
        found = cursor.fetchone()
        return found[0] if found else None


@functools.cache
def _inserted_fields(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return [field for field in model._meta.local_concrete_fields if not field.primary_key]


@functools.cache
def _insert_into(model: type[models.Model]) -> str:
    # Our columns need no quotes.
    columns = ", ".join(str(field.column) for field in _inserted_fields(model))
    return f"INSERT INTO {model._meta.db_table} ({columns})"
