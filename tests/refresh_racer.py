"""A process of ``tests.test_refresh_race``, with ``tests.livesite`` as its settings.

``prepare`` makes the tables and links one account. ``race START THREADS`` refreshes it in each
thread at the time START (epoch), and prints the fingerprint that each comes to hold.
"""

from __future__ import annotations

import os
import sys
import threading
import time

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


def race(start: float, count: int) -> None:
    from django.db import connection

    from django_egnyte.models import EgnyteAccount
    from django_egnyte.services.refresh import refresh

    account = EgnyteAccount.objects.get()
    connection.close()
    held: list[str] = []

    def run() -> None:
        connection.ensure_connection()
        time.sleep(max(0.0, start - time.time()))
        try:
            held.append(refresh(account, actor="client", patience=20).token_fingerprint)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("\n".join(held))


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "prepare":
        prepare()
    else:
        race(float(sys.argv[2]), int(sys.argv[3]))
