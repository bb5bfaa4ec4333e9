"""A log by PostgreSQL's triggers: all stored tokens, and when each account used which.

Triggers write it, so that it is complete even if a process is killed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db import connection

TRIGGERS = """
CREATE TABLE ledger_written (fingerprint text);
CREATE TABLE ledger_held (
  at timestamptz DEFAULT clock_timestamp(), account bigint, status text, access text, refresh text
);
CREATE FUNCTION ledger_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO ledger_written VALUES (NEW.fingerprint), (NEW.refresh_fingerprint);
  RETURN NULL;
END $$;
CREATE FUNCTION ledger_hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO ledger_held (account, status, access, refresh) VALUES (OLD.id, 'gone', '', '');
  ELSIF TG_OP = 'INSERT' OR NEW.status <> OLD.status
    OR NEW.token_id IS DISTINCT FROM OLD.token_id THEN
    INSERT INTO ledger_held (account, status, access, refresh)
    SELECT NEW.id, NEW.status, coalesce(t.fingerprint, ''), coalesce(t.refresh_fingerprint, '')
    FROM (SELECT 1) AS one LEFT JOIN django_egnyte_egnytetoken t ON t.id = NEW.token_id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER ledger_write AFTER INSERT ON django_egnyte_egnytetoken
  FOR EACH ROW EXECUTE FUNCTION ledger_write();
CREATE TRIGGER ledger_hold AFTER INSERT OR UPDATE OR DELETE ON django_egnyte_egnyteaccount
  FOR EACH ROW EXECUTE FUNCTION ledger_hold();
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """An account used a token from ``began`` to ``ended`` (seconds since the epoch)."""

    account: int
    fingerprint: str
    began: float
    ended: float
    then: str
    """The account's status afterwards: ``gone``, or ``active`` with another token."""


def install() -> None:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS)


def written() -> set[str]:
    """The fingerprints of all tokens that were ever stored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT fingerprint FROM ledger_written")
        return {name for (name,) in cursor.fetchall()}


def accounts() -> tuple[set[int], set[int]]:
    """All accounts that ever existed, and the deleted ones."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT account, status FROM ledger_held")
        rows = cursor.fetchall()
    return {pk for pk, _ in rows}, {pk for pk, status in rows if status == "gone"}


def holdings() -> list[Holding]:
    """Which account used which access token, and when."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT account, status, access, extract(epoch FROM at)::float8 FROM ledger_held "
            "ORDER BY account, at"
        )
        rows = cursor.fetchall()
    by_account = defaultdict(list)
    for account, status, access, at in rows:
        by_account[account].append((status, access, at))
    found = []
    for account, steps in by_account.items():
        for index, (_, access, at) in enumerate(steps):
            if not access:
                continue
            later = next((step for step in steps[index + 1 :] if step[1] != access), None)
            ended, then = (later[2], later[0]) if later else (float("inf"), "active")
            found.append(Holding(account, access, at, ended, then))
    return found
