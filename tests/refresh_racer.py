"""A process of ``tests.test_refresh_race``, with ``tests.livesite`` as its settings.

``prepare`` creates the tables and links one account. ``race THREADS`` prints ``ready``, waits for a
line, refreshes the account in each thread, and prints the fingerprint of each thread's token.
"""

from __future__ import annotations

import os
import sys
import threading

import django


def prepare() -> None:
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from django_egnyte.choices import Flow
    from django_egnyte.secret import Secret
    from django_egnyte.services import link
    from tests.conservation.clients import REDIRECT, SCOPES, code_of

    call_command("migrate", verbosity=0)
    user = get_user_model().objects.create(username="racer")
    code = code_of(os.environ["EGNYTE_TEST_BASE_URL"], "acme.egnyte.com", "jsmith")
    link.link_with_code(
        user,
        code=Secret(code),
        host="acme.egnyte.com",
        redirect_uri=REDIRECT,
        scopes=SCOPES,
        flow=Flow.AUTHORIZATION_CODE,
    )


def race(count: int) -> None:
    from django.db import connection

    from django_egnyte.models import EgnyteAccount
    from django_egnyte.services.refresh import refresh

    account = EgnyteAccount.objects.get()
    connection.close()
    held: list[str] = []

    barrier = threading.Barrier(count + 1)

    def run() -> None:
        connection.ensure_connection()
        barrier.wait()
        barrier.wait()
        try:
            new = refresh(account, actor="client", patience=20)
            held.append(new.token.fingerprint if new.token is not None else "none")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    barrier.wait()
    for thread in threads:
        thread.join()
    print("\n".join(held))


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "prepare":
        prepare()
    else:
        race(int(sys.argv[2]))
