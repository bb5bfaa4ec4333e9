"""Time the admin's pages over many accounts: queries and milliseconds for each page.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python benchmarks/admin_at_scale.py

makes a database of its own on that PostgreSQL server and drops it afterwards (``--keep`` leaves
it, and uses one that was left). ``--accounts`` says how many.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
NAME = "django_egnyte_admin_at_scale"

FILL = """
INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
                       is_active, date_joined)
SELECT '!', false, 'user' || n, 'First', 'Last', 'user' || n || '@example.com', false, true, now()
FROM generate_series(1, %(accounts)s) AS n;

INSERT INTO django_egnyte_egnytegrant
  (id, domain, key_digest, fingerprint, generation, next_refresh_at, refresh_attempts, lease,
   leased_for, reason, revoke_attempts, revoke_refreshes, last_error, user_ref, account_ref,
   username, flow, created_at)
OVERRIDING SYSTEM VALUE
SELECT n, 'company' || (sqrt(random()) * 400)::int || '.egnyte.com', md5('k'),
   encode(sha256(('a' || n)::bytea), 'hex'), 1, now() + random() * interval '23 days', 0, '', '',
   '', 0, 0, '', id, n, '', 'authorization_code', now() - random() * interval '400 days'
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM auth_user) AS users
WHERE n <= %(accounts)s;

INSERT INTO django_egnyte_egnytetoken
  (id, grant_id, domain, user_ref, seal_id, access_token, refresh_token, fingerprint,
   refresh_fingerprint, refreshed_from, generation, expires_at, created_at)
OVERRIDING SYSTEM VALUE
SELECT id, id, domain, user_ref, md5('s' || id), repeat('x', 160), repeat('y', 160), fingerprint,
   encode(sha256(('r' || id)::bytea), 'hex'), '', 1, now() + random() * interval '30 days',
   created_at
FROM django_egnyte_egnytegrant;

INSERT INTO django_egnyte_egnyteaccount
  (domain, egnyte_user_id, username, first_name, last_name, email, scopes, flow, token_id, status,
   status_reason, is_default, default_of, created_at, connected_at, last_validated_at,
   last_used_at, next_validation_at, validation_attempts, user_id)
SELECT domain, id, 'jsmith' || id, 'Jane', 'Smith',
   'jsmith' || id || '@company.example', 'Egnyte.filesystem', flow,
   CASE WHEN id %% 50 = 0 THEN NULL ELSE id END,
   CASE WHEN id %% 50 = 0 THEN 'revoked' WHEN id %% 500 = 1 THEN 'suspect' ELSE 'active' END, '',
   true, user_ref, created_at, now() - random() * interval '200 days',
   now() - random() * CASE WHEN id %% 40 = 0 THEN interval '30 days' ELSE interval '1 day' END,
   now() - random() * interval '10 days', now() + random() * interval '1 day', 0, user_ref::int
FROM django_egnyte_egnytegrant;

UPDATE django_egnyte_egnytegrant
SET release_at = now(), reason = 'disconnected', revoke_attempts = id %% 9,
   created_at = now() - random() * interval '9 days'
WHERE id %% 50 = 0;

INSERT INTO django_egnyte_accountevent
  (created_at, kind, actor, account_ref, user_ref, domain, username, reason)
SELECT now() - random() * interval '90 days',
   (ARRAY['refreshed', 'refreshed', 'refreshed', 'connected', 'disconnected', 'revoked',
          'reconnected'])[1 + n %% 7],
   'task', n, n, 'company' || n %% 400 || '.egnyte.com', 'jsmith' || n, ''
FROM generate_series(1, 2 * %(accounts)s) AS n;
"""


def use_own_database(name: str) -> bool:
    """Point Django at a database of this benchmark's own; whether it was made just now."""
    import psycopg

    url = urlsplit(os.environ.get("DATABASE_URL", ""))
    if not url.scheme.startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL server.")
    with psycopg.connect(urlunsplit(url), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        made = found.fetchone() is None
        if made:
            connection.execute(f'CREATE DATABASE "{name}"')
    os.environ["DATABASE_URL"] = urlunsplit(url._replace(path=f"/{name}"))
    return made


def drop(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{NAME}" WITH (FORCE)')


def fill(accounts: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"accounts": accounts})
        cursor.execute("VACUUM ANALYZE")
    print(f"{accounts:,} accounts made in {time.perf_counter() - started:.0f} s")


def measure() -> None:
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import reverse

    from django_egnyte.models import EgnyteAccount

    user, _ = get_user_model().objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client()
    client.force_login(user)
    accounts = reverse("admin:django_egnyte_egnyteaccount_changelist")
    middle = EgnyteAccount.objects.order_by("pk")[EgnyteAccount.objects.count() // 2]
    pages = {
        "list": accounts,
        "list, page 5": f"{accounts}?p=5",
        "list, last page": f"{accounts}?p={EgnyteAccount.objects.count() // 100}",
        "search: username of the site": f"{accounts}?q=user4711",
        "search: e-mail address": f"{accounts}?q=jsmith4711@company.example",
        "search: domain": f"{accounts}?q=company7.egnyte.com",
        "search: nothing found": f"{accounts}?q=nobody",
        "filter: suspect": f"{accounts}?status__exact=suspect",
        "filter: active": f"{accounts}?status__exact=active",
        "filter: domain": f"{accounts}?domain=company7.egnyte.com",
        "filter: scope": f"{accounts}?scope=Egnyte.filesystem",
        "filter: scope nobody has": f"{accounts}?scope=Egnyte.sign",
        "filter: stale": f"{accounts}?stale=yes",
        "filter: expiring": f"{accounts}?expiring=week",
        "account": reverse("admin:django_egnyte_egnyteaccount_change", args=[middle.pk]),
        "health": reverse("admin:django_egnyte_egnyteaccount_health"),
        "events": reverse("admin:django_egnyte_accountevent_changelist"),
        "grants": reverse("admin:django_egnyte_egnytegrant_changelist"),
        "grants to be revoked": reverse("admin:django_egnyte_egnytegrant_changelist")
        + "?state=waiting",
    }
    print(f"{'page':32} {'queries':>7} {'first ms':>9} {'best ms':>8}")
    for name, url in pages.items():
        times = []
        for _ in range(3):
            with CaptureQueriesContext(connection) as queries:
                started = time.perf_counter()
                response = client.get(url)
                times.append((time.perf_counter() - started) * 1000)
            assert response.status_code == 200, (name, response.status_code, response.headers)
        print(f"{name:32} {len(queries):7} {times[0]:9.0f} {min(times):8.0f}")
        if os.environ.get("SLOWEST"):
            for query in sorted(queries.captured_queries, key=lambda q: -float(q["time"]))[:3]:
                print(f"    {query['time']} {query['sql'][:400]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--keep", action="store_true", help="keep the database for the next run")
    options = parser.parse_args()
    server = os.environ.get("DATABASE_URL", "")
    made = use_own_database(NAME)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    try:
        if made:
            fill(options.accounts)
        measure()
    finally:
        if not options.keep:
            from django.db import connection

            connection.close()
            drop(server)


if __name__ == "__main__":
    main()
