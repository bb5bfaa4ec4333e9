"""Rotation of many tokens, and a list of many accounts, each compared with a minimum.

    python benchmarks/tokens_at_scale.py [TOKENS] [ACCOUNTS]

Rotation is compared with a loop that decrypts and encrypts the same values with one Fernet key each
and writes them with ``bulk_update``. The list of accounts is compared with one without tokens.
Prints seconds, CPU seconds of this process, and the ratios. ``DATABASE_URL`` names an empty
database. The default is a temporary SQLite file.
"""

from __future__ import annotations

import base64
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import dj_database_url
import django
from cryptography.fernet import Fernet
from django.conf import settings

OLD, NEW = "the old key " * 4, "the new key " * 4
BATCH = 200
ROUNDS = 15


def main(tokens: int, accounts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/tokens.sqlite3"
        settings.configure(
            SECRET_KEY=OLD,
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_egnyte"],
            DATABASES={"default": dj_database_url.parse(url)},
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            USE_TZ=True,
            EGNYTE_ENCRYPTION_KEYS=[OLD],
        )
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        fill(tokens)
        settings.EGNYTE_ENCRYPTION_KEYS = [NEW, OLD]
        rotation(tokens)
        lists(accounts)


def fill(tokens: int) -> None:
    from django_egnyte.fields import seal
    from django_egnyte.models import EgnyteGrant, EgnyteToken
    from django_egnyte.secret import Secret

    host = "acme.egnyte.com"
    for start in range(0, tokens, 5000):
        numbers = range(start, min(start + 5000, tokens))
        grants = EgnyteGrant.objects.bulk_create(
            EgnyteGrant(domain=host, fingerprint=f"{n:064}", user_ref=str(n)) for n in numbers
        )
        rows = []
        for number, grant in zip(numbers, grants, strict=True):
            row = EgnyteToken(grant=grant, domain=host, user_ref=str(number))
            row.fingerprint = grant.fingerprint
            for name in ("access_token", "refresh_token"):
                setattr(row, name, seal(Secret(f"{number:032}"), row.seal_context(name)))
            rows.append(row)
        EgnyteToken.objects.bulk_create(rows)


def rotation(tokens: int) -> None:
    from django_egnyte.services.rotate import rotate

    def ours() -> None:
        (*_, done) = rotate()
        if done.resealed != 2 * tokens:
            raise SystemExit(f"not all values were re-encrypted: {done}")

    ours_took = took(ours)
    bare_took = took(lambda: bare(tokens))
    report(f"rotation of {tokens:,} tokens", ours_took, bare_took, per_second=True)


def bare(tokens: int) -> None:
    """The same with one Fernet key: decrypt, encrypt, ``bulk_update``."""
    from django.db.models import QuerySet

    from django_egnyte.fields import Sealed
    from django_egnyte.models import EgnyteToken

    fernet = Fernet(base64.urlsafe_b64encode(b"k" * 32))
    sealed = fernet.encrypt(b"0" * 32)
    rows: QuerySet[Any] = QuerySet(EgnyteToken)
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH]):
        for row in batch:
            row.access_token = Sealed(fernet.encrypt(fernet.decrypt(sealed)).decode())
            row.refresh_token = Sealed(fernet.encrypt(fernet.decrypt(sealed)).decode())
        rows.bulk_update(batch, ["access_token", "refresh_token"])
        last = batch[-1].pk


def lists(accounts: int) -> None:
    """Medians of alternating rounds."""
    from django.contrib.auth.models import User
    from django.db import connection, models

    from django_egnyte.models import EgnyteAccount

    left_out = {"id", "user", "token", "default_of"}
    own = [field for field in EgnyteAccount._meta.concrete_fields if field.name not in left_out]
    columns: dict[str, Any] = {
        field.name: models.TextField(default="") if field.name == "scopes" else field.clone()
        for field in own
    }

    class Meta:
        app_label = "auth"

    plain: Any = type(
        "Plain",
        (models.Model,),
        columns
        | {
            "user": models.ForeignKey(User, models.CASCADE),
            "default_of": models.TextField(null=True),
        }
        | {"Meta": Meta, "__module__": __name__},
    )
    with connection.schema_editor() as editor:
        editor.create_model(plain)
    User.objects.bulk_create(User(username=f"user {n}") for n in range(accounts))
    users = list(User.objects.values_list("pk", flat=True))
    for model in (EgnyteAccount, plain):
        model.objects.bulk_create(
            model(user_id=user, domain="acme.egnyte.com", egnyte_user_id=user, username=f"u{user}")
            for user in users
        )
    pairs = [
        (took(lambda: list(EgnyteAccount.objects.all())), took(lambda: list(plain.objects.all())))
        for _ in range(ROUNDS)
    ]
    ours, theirs = (
        tuple(statistics.median(pair[side][which] for pair in pairs) for which in (0, 1))
        for side in (0, 1)
    )
    report(f"a list of {accounts:,} accounts", ours, theirs)
    with connection.schema_editor() as editor:
        editor.delete_model(plain)


def took(work: Callable[[], Any]) -> tuple[float, ...]:
    """Seconds, and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def report(
    name: str, ours: tuple[float, ...], bare: tuple[float, ...], *, per_second: bool = False
) -> None:
    for unit, mine, theirs in zip(("seconds", "CPU seconds"), ours, bare, strict=True):
        # For speeds, higher is better. For times, lower is better.
        ratio, what = (theirs / mine, "speed") if per_second else (mine / theirs, "time")
        print(f"{name}, {unit}: {mine:.3f}, beside {theirs:.3f}: {ratio:.2f} of its {what}")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*(given + [100_000, 10_000][len(given) :]))
