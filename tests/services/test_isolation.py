"""Many users of one Egnyte identity at once, at every isolation level that a site may choose."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from django_egnyte.exceptions import (
    NotLinkedError,
    TokenConflictError,
    TokenExpiredError,
    UnauthorizedError,
)
from django_egnyte.models import EgnyteAccount, TokenRequest
from django_egnyte.services.disconnect import disconnect
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import in_short_transaction

from .test_database_outage import check_conservation
from .test_link import code_for, link_by_code
from .threads import Threads

USERS, ROUNDS = 4, 10
# The allowed outcomes: no database error, and no refresh token is used twice.
POLITE = (NotLinkedError, TokenConflictError, TokenExpiredError, UnauthorizedError)


def levels() -> list[Any]:
    if connections["default"].vendor == "postgresql":
        import psycopg

        return [level for level in psycopg.IsolationLevel if level.value > 1]
    if connections["default"].vendor == "mysql":
        return ["read committed", "repeatable read"]
    return [None]


@pytest.fixture(params=levels(), ids=str)
def isolation_level(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Set the isolation level of all new connections."""
    options = connections["default"].settings_dict["OPTIONS"]
    before = options.get("isolation_level")
    connections["default"].close()
    if request.param is not None:
        options["isolation_level"] = request.param
    yield request.param
    connections["default"].close()
    if request.param is not None:
        options["isolation_level"] = before
        if before is None:
            del options["isolation_level"]


def test_our_own_transactions_see_what_was_committed_before_a_lock(isolation_level: Any) -> None:
    default = isolation_level in (None, levels()[0])
    with CaptureQueriesContext(connection) as queries:
        in_short_transaction(EgnyteAccount.objects.count)
    said = [query["sql"] for query in queries if "ISOLATION" in query["sql"]]
    assert said == ([] if default else ["SET TRANSACTION ISOLATION LEVEL READ COMMITTED"])


@pytest.mark.parametrize("rotates", [True, False])
def test_a_storm_loses_no_token(
    egnyte_sandbox: Any,
    make_user: Callable[[str], Any],
    isolation_level: Any,
    settings: Any,
    rotates: bool,
) -> None:
    settings.EGNYTE_TOKEN_REQUESTS_PER_HOUR = 100_000
    egnyte_sandbox.policy.same_token = True
    egnyte_sandbox.policy.refresh_rotates = rotates
    seen: Counter[str] = Counter()

    def live_of(user: Any) -> EgnyteAccount | None:
        return EgnyteAccount.objects.with_token().live().filter(user=user).first()

    def run(user: Any, chance: random.Random) -> None:
        for _ in range(ROUNDS):
            account = live_of(user)
            act = chance.choice(["link", "refresh", "disconnect", "revoke"])
            with suppress(*POLITE):
                if act == "link" or account is None:
                    link_by_code(user, code_for(egnyte_sandbox))
                elif act == "refresh":
                    refresh(account, actor="storm", patience=0.1)
                elif act == "disconnect":
                    disconnect(account.pk, actor="storm")
                else:
                    process_revocations()
                seen[act] += 1

    with Threads() as threads:
        for number in range(USERS):
            user = make_user(f"user{number}")
            for seed in range(2):
                chance = random.Random(10 * number + seed)
                threads.start(lambda user=user, chance=chance: run(user, chance))
    assert seen.total() > USERS * ROUNDS / 2
    TokenRequest.objects.all().delete()
    check_conservation(egnyte_sandbox)
