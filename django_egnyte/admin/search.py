"""The search in the list of accounts. It uses indexes, so a million rows are no problem.

A word matches the beginning of the user's name or e-mail address, of the username or e-mail
address at Egnyte, or of the domain. ``icontains`` would read every row of two tables.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from ..models import EgnyteAccount

FIELDS: Final = ("user", "email_lower", "username_lower", "domain")
# If a word matches more keys than this, the condition is a subquery and not a list.
MOST: Final = 1000


def found(accounts: QuerySet[EgnyteAccount], text: str) -> QuerySet[EgnyteAccount]:
    """The accounts that match each word of ``text``. Words in quotes are one word."""
    for word in smart_split(text):
        if word[0] in "\"'" and word[0] == word[-1]:
            word = unescape_string_literal(word)
        accounts = accounts.filter(_fits(accounts.db, word))
    return accounts


def _fits(using: str, word: str) -> Q:
    lower = word.lower()
    domains = EgnyteAccount.objects.filter(_begins(using, "domain", lower)).order_by()
    return (
        _begins(using, "username_lower", lower)
        | _begins(using, "email_lower", lower)
        | _among("domain", domains.values_list("domain", flat=True).distinct())
        | _among("user_id", _users(using, word))
    )


def _users(using: str, word: str) -> QuerySet[Any]:
    """The primary keys of matching users. The index of their names is case-sensitive."""
    model: Any = get_user_model()
    names = [model.USERNAME_FIELD]
    with suppress(FieldDoesNotExist):
        names.append(model._meta.get_field(model.get_email_field_name()).name)
    condition = Q()
    for name in dict.fromkeys(names):
        for spelling in {word, word.lower()}:
            condition |= _begins(using, name, spelling)
    users: QuerySet[Any] = model._base_manager.using(using).filter(condition)
    return users.order_by().values_list("pk", flat=True)


def _begins(using: str, name: str, text: str) -> Q:
    # MariaDB's index ignores case, and Django's case-sensitive startswith would not use it.
    ignores_case = connections[using].vendor == "mysql"
    return Q(**{f"{name}__{'istartswith' if ignores_case else 'startswith'}": text})


def _among(name: str, values: QuerySet[Any]) -> Q:
    """The condition as a short list, if possible: databases use an index for it."""
    known = list(values[: MOST + 1])
    return Q(**{f"{name}__in": known if len(known) <= MOST else values})
