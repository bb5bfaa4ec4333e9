"""Validations per second and worker, compared with a plain loop of the same calls."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_egnyte.models import EgnyteAccount

ROOT = Path(__file__).resolve().parents[2]
HOST = "acme.egnyte.com"


@contextmanager
def sandbox() -> Iterator[str]:
    """Start a sandbox in another process. Yields its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "django_egnyte.sandbox", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/d/{{domain}}"
    finally:
        process.terminate()
        process.wait(10)


def measure(accounts: int, rounds: int) -> Iterator[tuple[str, str]]:
    """Link accounts at the sandbox, and validate them in alternating rounds of both."""
    from django_egnyte.models import EgnyteAccount
    from django_egnyte.services import sweep

    linked = _linked(accounts)
    keys = [account.pk for account in linked]
    tokens = [account.open_token() for account in linked]

    def ours() -> float:
        began = time.perf_counter()
        for start in range(0, accounts, sweep.BATCH):
            outcomes = sweep.validate_batch(keys[start : start + sweep.BATCH], actor="task")
            assert set(outcomes) == {"alive"}
        return accounts / (time.perf_counter() - began)

    contenders = {"bare": lambda: _bare(tokens, sweep.THREADS), "ours": ours}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-1, rounds):
        for name, run in sorted(contenders.items(), reverse=bool(number % 2)):
            rate = run()
            if number >= 0:  # the first round is a warm-up for both
                rates[name].append(rate)
    # Of adjacent rounds, so that other load on the machine affects both alike.
    ratio = statistics.median(
        ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)
    )
    bare_rate, our_rate = map(statistics.median, (rates["bare"], rates["ours"]))
    assert EgnyteAccount.objects.filter(pk__in=keys, status="active").count() == accounts
    yield (
        "validations a second and worker",
        (
            f"{our_rate:,.0f}; a bare loop {bare_rate:,.0f}; ratio {ratio:.2f} "
            f"({sweep.THREADS} threads, median of {rounds} pairs)"
        ),
    )


def _linked(accounts: int) -> list[EgnyteAccount]:
    from django.contrib.auth import get_user_model

    from django_egnyte.secret import Secret
    from django_egnyte.services import link
    from tests.conservation.clients import REDIRECT, SCOPES, code_of

    users, base_url = get_user_model()._default_manager, os.environ["EGNYTE_TEST_BASE_URL"]
    return [
        link.link_with_code(
            users.create(username=f"linked{number}"),
            code=Secret(code_of(base_url, HOST, "jsmith")),
            host=HOST,
            redirect_uri=REDIRECT,
            scopes=SCOPES,
        )
        for number in range(accounts)
    ]


def _bare(tokens: list[str], threads: int) -> float:
    import requests

    mine = threading.local()
    url = os.environ["EGNYTE_TEST_BASE_URL"].replace("{domain}", "acme") + "/pubapi/v1/userinfo"

    def begin() -> None:
        mine.session = requests.Session()

    def ask(token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        assert mine.session.get(url, headers=headers, timeout=30).status_code == 200

    began = time.perf_counter()
    with ThreadPoolExecutor(threads, initializer=begin) as pool:
        list(pool.map(ask, tokens))
    return len(tokens) / (time.perf_counter() - began)
