"""Create a million accounts in seconds: PostgreSQL generates the rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django_egnyte.exceptions import DecryptionError
from django_egnyte.secret import Secret

HOSTS = 1000
HANGING = frozenset(f"h{number}.egnyte.com" for number in range(0, HOSTS, 100))

# Every account is due for validation, and a tenth of the grants for a refresh. As many further
# grants have no account and are due for revocation. Each account has two rows of history.
STATEMENTS = (
    """
INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
                       is_active, date_joined)
SELECT '!', false, 'user' || n, 'First', 'Last', 'user' || n || '@mail.example', false, true, now()
FROM generate_series(1, %(accounts)s) AS n
""",
    """
INSERT INTO django_egnyte_egnytegrant
  (id, domain, key_digest, fingerprint, generation, next_refresh_at, refresh_attempts, lease,
   leased_for, release_at, reason, revoke_attempts, revoke_refreshes, last_error, user_ref,
   account_ref, username, flow, created_at)
OVERRIDING SYSTEM VALUE
SELECT n, 'h' || n %% %(hosts)s || '.egnyte.com', %(key)s, encode(sha256(('a' || n)::bytea), 'hex'),
   1,
   CASE WHEN n %% 10 = 0 THEN now() - random() * interval '1 hour'
        ELSE now() + interval '1 day' + random() * interval '22 days' END, 0, '', '',
   CASE WHEN n > %(accounts)s THEN now() - random() * interval '1 hour' END,
   CASE WHEN n > %(accounts)s THEN 'disconnected' ELSE '' END, 0, 0, '', n, n, '',
   'authorization_code', now() - random() * interval '400 days'
FROM generate_series(1, %(accounts)s + %(accounts)s / 10) AS n
""",
    """
INSERT INTO django_egnyte_egnytetoken
  (id, grant_id, domain, user_ref, seal_id, access_token, refresh_token, fingerprint,
   refresh_fingerprint, refreshed_from, generation, expires_at, created_at)
OVERRIDING SYSTEM VALUE
SELECT id, id, domain, user_ref, md5('s' || id), 'plain:' || lpad(id::text, 154, 'a'),
   'plain:' || lpad(id::text, 154, 'r'), fingerprint,
   encode(sha256(('r' || id)::bytea), 'hex'), '', 1,
   next_refresh_at + interval '7 days', created_at
FROM django_egnyte_egnytegrant
""",
    """
INSERT INTO django_egnyte_egnyteaccount
  (domain, egnyte_user_id, username, first_name, last_name, email, scopes, flow, token_id, status,
   status_reason, is_default, default_of, created_at, connected_at, last_validated_at,
   last_used_at, next_validation_at, validation_attempts, user_id)
SELECT domain, id, 'jsmith' || id, 'Jane', 'Smith', 'jsmith' || id || '@company.example',
   'Egnyte.filesystem', flow, id, CASE WHEN id %% 1000 = 1 THEN 'suspect' ELSE 'active' END, '',
   true, users.pk::text, created_at, created_at, now() - random() * interval '1 day',
   now() - random() * interval '10 days', now() - random() * interval '1 hour', 0, users.pk
FROM django_egnyte_egnytegrant
JOIN (SELECT id AS pk, row_number() OVER (ORDER BY id) AS n FROM auth_user) AS users ON n = id
WHERE release_at IS NULL
""",
    """
INSERT INTO django_egnyte_accountevent
  (created_at, kind, actor, account_ref, user_ref, domain, username, reason)
SELECT now() - random() * interval '90 days',
   (ARRAY['refreshed', 'refreshed', 'refreshed', 'connected', 'disconnected', 'revoked',
          'reconnected'])[1 + n %% 7],
   'task', n, n, 'h' || n %% %(hosts)s || '.egnyte.com', 'jsmith' || n, ''
FROM generate_series(1, 2 * %(accounts)s) AS n
""",
)
TABLES = ("egnytegrant", "egnytetoken", "egnyteaccount", "accountevent")


class PlainCipher:
    """Does not encrypt: SQL cannot, and only the database is measured here."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        pass

    def seal(self, plaintext: Secret, context: str) -> str:
        return f"plain:{plaintext.reveal()}"

    def open(self, sealed: str, context: str) -> Secret:
        self.needs_reseal(sealed)
        return Secret(sealed.removeprefix("plain:"))

    def needs_reseal(self, sealed: str) -> bool:
        if not sealed.startswith("plain:"):
            raise DecryptionError("Not of this cipher.")
        return False


def fill(accounts: int) -> float:
    """Create accounts with users, grants, tokens and history. Returns the seconds it took."""
    from django.db import connection

    from django_egnyte.gateway import key_digest

    values = {"accounts": accounts, "hosts": HOSTS, "key": key_digest()}
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SET maintenance_work_mem = '256MB'")
        # Without checks of foreign keys. Indexes are created at the end.
        cursor.execute("SET session_replication_role = replica")
        with _without_indexes(cursor):
            for statement in STATEMENTS:
                cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = origin")
        for table in ("egnytegrant", "egnytetoken"):
            name = f"django_egnyte_{table}"
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"
            )
        cursor.execute("RESET synchronous_commit")
        cursor.execute("RESET maintenance_work_mem")
        cursor.execute("VACUUM ANALYZE")
    return time.perf_counter() - started


@contextmanager
def _without_indexes(cursor: Any) -> Iterator[None]:
    names = [f"django_egnyte_{table}" for table in TABLES]
    cursor.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'u' AND conrelid::regclass::text = ANY(%s)",
        [names],
    )
    constraints = cursor.fetchall()
    for table, name, _ in constraints:
        cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes "
        "WHERE tablename = ANY(%s) AND indexname NOT LIKE '%%_pkey'",
        [names],
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    for _, definition in indexes:
        cursor.execute(definition)
    for table, name, definition in constraints:
        cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
