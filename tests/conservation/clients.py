"""A process of the site. Its threads connect, call, refresh, disconnect and delete at random.

``python -m tests.conservation.clients SEED THREADS LOG`` runs until SIGTERM. Each line of LOG is
the outcome of one operation.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
import requests

REDIRECT = "http://testserver/egnyte/callback/"
SCOPES = ("Egnyte.filesystem",)


class Client:
    """The users of one thread."""

    def __init__(self, seed: int, write: Callable[[dict[str, Any]], None]) -> None:
        from .egnyte import PEOPLE

        self.rng = random.Random(seed)
        self.write = write
        self.people = PEOPLE
        self.base_url = os.environ["CONSERVATION_EGNYTE"]
        self.operations: list[tuple[int, Callable[[], str | None]]] = [
            (24, self.connect),
            (12, self.reconnect),
            (8, self.callback),
            (5, self.disconnect),
            (3, self.delete_instance),
            (2, self.delete_queryset),
            (2, self.delete_user),
            (2, self.delete_unnoticed),
            (3, self.revoke),
            (18, self.refresh),
            (30, self.call),
            (6, self.validate),
            (3, self.save_stale),
            (1, self.change_password),
        ]

    def run(self, stop: threading.Event) -> None:
        from django.db import connection

        from django_egnyte.exceptions import EgnyteError

        weights = [weight for weight, _ in self.operations]
        while not stop.is_set():
            _, operation = self.rng.choices(self.operations, weights)[0]
            line: dict[str, Any] = {"op": operation.__name__}
            try:
                line["result"] = operation() or "ok"
            except EgnyteError as error:
                line["result"] = type(error).__name__
                time.sleep(self.rng.uniform(0, 0.3))
            except Exception as error:
                line["result"] = type(error).__name__
                line["traceback"] = traceback.format_exc()
            self.write(line)
        connection.close()

    # The operations

    def connect(self, relink: Any = None) -> str | None:
        from django_egnyte.secret import Secret
        from django_egnyte.services import link

        user = relink.user if relink is not None else self.user()
        label = self.rng.choice(list(self.people)) if relink is None else None
        host = relink.domain if relink is not None else f"{label}.egnyte.com"
        name = relink.username if relink is not None else self.rng.choice(self.people[str(label)])
        code = code_of(self.base_url, host, name)
        account = link.link_with_code(
            user,
            code=Secret(code),
            host=host,
            redirect_uri=REDIRECT,
            scopes=SCOPES,
            relink=relink.pk if relink is not None else None,
        )
        return "created" if account.created_at == account.connected_at else "linked"

    def reconnect(self) -> str | None:
        account = self.account(live=False)
        return self.connect(account) if account is not None else "none"

    def callback(self) -> str | None:
        from django.db import DatabaseError
        from django.test import Client as Browser

        label = self.rng.choice(list(self.people))
        browser = Browser()
        try:
            browser.force_login(self.user())
        except DatabaseError:
            return "the user was deleted"
        begun = browser.post("/egnyte/connect/", {"domain": label})
        if begun.status_code != 302 or "/puboauth/" not in begun["Location"]:
            return f"connect {begun.status_code}"
        name = self.rng.choice(self.people[label])
        location = tell(self.base_url, "authorize", url=begun["Location"], username=name)[
            "location"
        ]
        back = urlsplit(location)
        answer = browser.get(f"{back.path}?{back.query}")
        if answer.status_code == 500:
            raise AssertionError("the callback answered 500")
        return f"callback {answer.status_code}"

    def disconnect(self) -> str | None:
        from django_egnyte.services.disconnect import disconnect

        account = self.account(live=False)
        if account is None:
            return "none"
        return str(disconnect(account.pk, actor="user:1"))

    def delete_instance(self) -> str | None:
        account = self.account(live=False)
        if account is None:
            return "none"
        time.sleep(self.rng.uniform(0, 0.2))
        account.delete()
        return None

    def delete_queryset(self) -> str | None:
        from django_egnyte.models import EgnyteAccount

        return "some" if EgnyteAccount.objects.filter(user=self.user()).delete()[0] else "none"

    def delete_user(self) -> str | None:
        from django.contrib.auth import get_user_model
        from django.db import IntegrityError

        user = self.user()
        get_user_model().objects.create(username=f"{time.time_ns()}-{self.rng.random()}")
        try:
            user.delete()
        except IntegrityError:
            return "linked meanwhile"  # from Django: a row was inserted after its collector had run
        return None

    def delete_unnoticed(self) -> str | None:
        """Delete as raw SQL does, without signals and events."""
        from django_egnyte.models import EgnyteAccount

        account = self.account(live=False)
        if account is None:
            return "none"
        self.write({"op": "delete_unnoticed", "result": "begun", "account": account.pk})
        rows = EgnyteAccount.objects.filter(pk=account.pk)
        return str(rows._raw_delete(rows.db))

    def revoke(self) -> str | None:
        from django_egnyte.services.disconnect import revoke

        account = self.account()
        if account is None:
            return "none"
        return str(revoke(account, actor="admin:1", reason="a test"))

    def refresh(self) -> str | None:
        from django_egnyte.services.refresh import refresh

        account = self.account()
        if account is None:
            return "none"
        refresh(account, actor="client", patience=1.0)
        return None

    def call(self) -> str | None:
        account = self.account()
        if account is None:
            return "none"
        if self.rng.random() < 0.5:
            account.client.userinfo()
        else:
            return str(account.client.get("/pubapi/v1/fs/Shared").status_code)
        return None

    def validate(self) -> str | None:
        from django_egnyte.services.validate import validate

        account = self.account()
        return validate(account.pk, actor="command") if account is not None else "none"

    def save_stale(self) -> str | None:
        from django.db import DatabaseError

        account = self.account(live=False)
        if account is None:
            return "none"
        time.sleep(self.rng.uniform(0, 0.3))
        try:
            account.save()
        except DatabaseError as error:
            if "did not affect any rows" not in str(error):
                raise
            return "gone"
        return None

    def change_password(self) -> str | None:
        label = self.rng.choice(list(self.people))
        name = self.rng.choice(self.people[label])
        tell(self.base_url, "password", domain=label, username=name, password="new-password-1")
        return None

    # Helpers

    def user(self) -> Any:
        from django.contrib.auth import get_user_model

        return get_user_model().objects.order_by("?")[0]

    def account(self, *, live: bool = True) -> Any:
        from django_egnyte.models import EgnyteAccount

        rows = EgnyteAccount.objects.select_related("user")
        keys = list((rows.live() if live else rows).values_list("pk", flat=True))
        return rows.filter(pk=self.rng.choice(keys)).first() if keys else None


def code_of(base_url: str, host: str, username: str) -> str:
    """The code in the redirect from the sandbox."""
    from django_egnyte import gateway

    url = gateway.oauth(host).authorization_url(redirect_uri=REDIRECT, state="s", scopes=SCOPES)
    back = tell(base_url, "authorize", url=url, username=username)["location"]
    return parse_qs(urlsplit(back).query)["code"][0]


def tell(base_url: str, what: str, **values: Any) -> Any:
    """Call the sandbox's control API, which has no faults. Retries a dropped connection."""
    control = base_url.partition("/d/")[0] + "/_sandbox/"
    for tried in range(5):
        try:
            answer = requests.post(control + what, json=values, timeout=20)
        except requests.ConnectionError:
            if tried == 4:
                raise
            continue
        answer.raise_for_status()
        return answer.json()


def main(seed: int, threads: int, path: str) -> None:
    django.setup()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(line: dict[str, Any]) -> None:
        os.write(log, json.dumps(line).encode() + b"\n")

    running = [
        threading.Thread(target=Client(seed * 1000 + number, write).run, args=(stop,))
        for number in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
