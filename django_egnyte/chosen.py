"""The account that ``request.egnyte`` uses.

Each page that uses Egnyte needs it, so its SQL is compiled once for each database. Django needs
more time to compile a query over thirty columns of two tables than to execute it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.db.models.sql import Query

from .choices import LIVE
from .models import UNCALLED, EgnyteAccount, EgnyteToken

_ACCOUNT: Final = [field.attname for field in EgnyteAccount._meta.concrete_fields]
_TOKEN: Final = [
    field.attname for field in EgnyteToken._meta.concrete_fields if field.name not in UNCALLED
]
_USER: Final = object()
"""The placeholder for the user's primary key."""


class _Written(NamedTuple):
    """The compiled query, and what is needed to convert its columns."""

    query: Query
    sql: str
    values: list[Any]
    columns: list[Any]


_written: dict[str, _Written] = {}


def chosen_account(user: Any) -> EgnyteAccount | None:
    """The user's default account, live or not. If none is marked, the oldest live one.

    A revoked default is not replaced by another account, which could be another company's. One
    query reads the account and its token, but not the refresh token, which calls do not need.
    """
    if not user.is_authenticated:
        return None
    rows = EgnyteAccount.objects.all()
    connection = connections[rows.db]
    query, sql, values, columns = _written.get(rows.db) or _write(rows.db)
    field: Any = EgnyteAccount._meta.get_field("user")
    key = field.get_db_prep_value(user.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, [key if each is _USER else each for each in values])
        row = cursor.fetchone()
    if row is None:
        return None
    compiler = query.get_compiler(connection=connection)
    (row,) = compiler.apply_converters([row], compiler.get_converters(columns))
    account = EgnyteAccount.from_db(rows.db, _ACCOUNT, row[: len(_ACCOUNT)])
    if account.token_id is not None:
        account.token = EgnyteToken.from_db(rows.db, _TOKEN, row[len(_ACCOUNT) :])
    return account


def _write(using: str) -> _Written:
    rows = EgnyteAccount.objects.filter(user_id=RawSQL("%s", [_USER]))
    rows = rows.filter(Q(is_default=True) | Q(status__in=LIVE)).order_by("-is_default", "pk")
    query = rows.values_list(*_ACCOUNT, *(f"token__{name}" for name in _TOKEN))[:1].query
    compiler = query.get_compiler(using)
    sql, values = compiler.as_sql()
    columns = [column for column, *_ in compiler.select]
    _written[using] = written = _Written(query, sql, list(values), columns)
    return written
