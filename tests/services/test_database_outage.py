"""The database fails at each statement in turn. No token may be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.utils import timezone

from django_egnyte.exceptions import EgnyteError
from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken, TokenRequest
from django_egnyte.sandbox import Sandbox
from django_egnyte.services import grants, sweep
from django_egnyte.services.disconnect import disconnect, revoke
from django_egnyte.services.refresh import refresh
from django_egnyte.services.revoke import process_revocations
from django_egnyte.services.transactions import DatabaseNow
from django_egnyte.services.validate import validate

pytestmark = pytest.mark.django_db(transaction=True)

MOST_STATEMENTS = 80
DAYS = 4


class Outage:
    """Lets the ``number``-th statement fail, and ``length - 1`` after it."""

    def __init__(self, number: int, length: int) -> None:
        self.number, self.length, self.seen = number, length, 0

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        self.seen += 1
        if self.number <= self.seen < self.number + self.length:
            raise OperationalError("the database is away")
        return execute(sql, params, many, context)

    @property
    def was_reached(self) -> bool:
        return self.seen >= self.number


@contextmanager
def outage(number: int, length: int) -> Iterator[Outage]:
    happening = Outage(number, length)
    with connection.execute_wrapper(happening):
        yield happening


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "WRITE_PATIENCE", 0.0)
    monkeypatch.setattr("django_egnyte.services.transactions.FIRST_PAUSE", 0.0001)


def a_day_passes() -> None:
    """All waits are over, all leases have expired, and everything is due."""
    TokenRequest.objects.all().delete()
    EgnyteGrant.objects.write(lease="", leased_until=None, leased_for="")
    EgnyteGrant.objects.exclude(release_at=None).write(release_at=DatabaseNow(), revoke_refreshes=0)
    EgnyteGrant.objects.exclude(next_refresh_at=None).write(next_refresh_at=timezone.now())
    EgnyteAccount.objects.update(next_validation_at=timezone.now())
    sweep.refresh_due(actor="test")
    sweep.validate_due(actor="test")
    sweep.release_forgotten()
    process_revocations(actor="test")


def not_conserved(sandbox: Sandbox, kinds: tuple[str, ...]) -> list[str]:
    """What is wrong: an account uses each valid grant, and each account's token is valid.

    A grant is valid if Egnyte accepts a token of these kinds.
    """
    wrong = []
    held = {account.open_token() for account in EgnyteAccount.objects.with_token().live()}
    if not all(map(sandbox.is_alive, held)):
        wrong.append("an account holds a dead token")
    used = {token.grant_id for token in sandbox.live_tokens() if token.value in held}
    alive = {token.grant_id for token in sandbox.live_tokens() if token.kind in kinds}
    if alive - used:
        wrong.append("a grant is alive at Egnyte and nobody knows it")
    if EgnyteGrant.objects.filter(release_at=None).count() != len(used):
        wrong.append("a grant that no account uses is kept")
    if EgnyteGrant.objects.exclude(release_at=None).exists():
        wrong.append("a grant still waits for its revocation")
    if EgnyteToken.objects.exclude(grant__in=EgnyteGrant.objects.all()).exists():
        wrong.append("a token is left without its grant")
    return wrong


def check_conservation(sandbox: Sandbox, *, kinds: tuple[str, ...] = ("access", "refresh")) -> None:
    """Assert that nothing is wrong after one day, or after a few."""
    sandbox.faults.clear()
    for _ in range(DAYS):
        a_day_passes()
        wrong = not_conserved(sandbox, kinds)
        if not wrong:
            break
    assert not wrong


def fails_at_every_statement(
    work: Callable[[], Any], prepare: Callable[[], None], check: Callable[[], None], length: int
) -> int:
    """Do ``work`` again and again, each time with the outage one statement later."""
    for number in range(1, MOST_STATEMENTS):
        prepare()
        with outage(number, length) as happening, suppress(EgnyteError, DatabaseError):
            work()
        check()
        if not happening.was_reached:
            for _ in range(DAYS):  # nothing goes wrong later
                check()
            return number - 1
    raise AssertionError(f"more than {MOST_STATEMENTS} statements")


# A short outage is over when the statement is repeated. A long one is not.
LENGTHS = pytest.mark.parametrize("length", [1, 4, 40], ids=["blink", "short", "long"])
REFRESHES = pytest.mark.parametrize("rotates", [True, False], ids=["rotates", "repeats"])


@LENGTHS
def test_a_link(egnyte_sandbox, egnyte_user, make_user, link, length):
    number = 0

    def prepare() -> None:
        nonlocal number
        number += 1

    def work() -> None:
        link(make_user(f"user{number}"))

    statements = fails_at_every_statement(
        work, prepare, lambda: check_conservation(egnyte_sandbox), length
    )
    assert statements > 5


@LENGTHS
def test_a_relink(egnyte_sandbox, egnyte_user, link, length):
    statements = fails_at_every_statement(
        lambda: link(egnyte_user),
        lambda: None,
        lambda: check_conservation(egnyte_sandbox),
        length,
    )
    assert statements > 5


@LENGTHS
@REFRESHES
def test_a_refresh(egnyte_sandbox, egnyte_user, link, length, rotates):
    egnyte_sandbox.policy.refresh_rotates = rotates
    # Where Egnyte repeats the refresh token, an access token that could not be written is left to
    # expire: revoking it would end the account's grant.
    kinds = ("access", "refresh") if rotates else ("refresh",)
    account: EgnyteAccount

    def prepare() -> None:
        nonlocal account
        account = link(egnyte_user)

    statements = fails_at_every_statement(
        lambda: refresh(account, actor="test"),
        prepare,
        lambda: check_conservation(egnyte_sandbox, kinds=kinds),
        length,
    )
    assert statements > 5
    assert EgnyteAccount.objects.live().count() == 1


@LENGTHS
def test_a_revocation(egnyte_sandbox, egnyte_user, link, length):
    def prepare() -> None:
        disconnect(link(egnyte_user).pk, actor="test")

    statements = fails_at_every_statement(
        process_revocations, prepare, lambda: check_conservation(egnyte_sandbox), length
    )
    assert statements > 5
    assert egnyte_sandbox.live_tokens() == []


@LENGTHS
@pytest.mark.parametrize("end", ["disconnect", "delete", "queryset", "user", "revoke"])
def test_a_deletion(egnyte_sandbox, make_user, link, length, end):
    number, account = 0, EgnyteAccount()

    def prepare() -> None:
        nonlocal number, account
        number += 1
        account = link(make_user(f"user{number}"))

    def work() -> None:
        ends = {
            "disconnect": lambda: disconnect(account.pk, actor="test"),
            "delete": account.delete,
            "queryset": lambda: EgnyteAccount.objects.filter(pk=account.pk).delete(),
            "user": account.user.delete,
            "revoke": lambda: revoke(account, actor="test", reason="a test"),
        }
        ends[end]()

    statements = fails_at_every_statement(
        work, prepare, lambda: check_conservation(egnyte_sandbox), length
    )
    assert statements > 2


@LENGTHS
def test_a_verdict(egnyte_sandbox, egnyte_user, make_user, link, length):
    link(make_user("witness"), domain="globex", username="mmiller")
    account: EgnyteAccount

    def prepare() -> None:
        nonlocal account
        account = link(egnyte_user)
        egnyte_sandbox.set_password("acme", "jsmith", "another password")

    statements = fails_at_every_statement(
        lambda: validate(account.pk, actor="test"),
        prepare,
        lambda: check_conservation(egnyte_sandbox),
        length,
    )
    assert statements > 5
