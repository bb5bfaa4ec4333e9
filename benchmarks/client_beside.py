"""Compare the client with other HTTP clients: calls with a linked account, and transfers.

    python benchmarks/client_beside.py [CALLS] [MEGABYTES]

Calls go to a small server in another process, with and without TLS. ``account.client.get`` is
compared with a reused ``requests.Session``, in one thread and in eight; ``aget`` with
``httpx.AsyncClient``, each with 200 parallel calls. Downloads and uploads go to the sandbox in
another process, and are compared with ``requests`` and the same checksum. Prints the CPU seconds of
this process and the ratios of speeds, as medians of alternating rounds, and for calls in one thread
also the calls of Python functions, which depend on no other load. Needs httpx and openssl.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import httpx
import requests
from django.conf import settings
from transfer_memory import SERVER, Line, SeekableZeros, Zeros, peak

ROUNDS, TRANSFERS, THREADS, IN_FLIGHT = 9, 7, 8, 200
CHUNK = 10 * 1024 * 1024
"""The size of a chunk of an upload, in bytes."""
PATH = "/pubapi/v1/userinfo"
TOKEN = "t" * 24
CALLED = """
import socketserver, ssl, sys
BODY = b'{"id": 1, "username": "jsmith", "first_name": "Jane", "last_name": "Smith"}'
ANSWER = (b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"
          % len(BODY)) + BODY
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        waiting = b""
        while piece := self.request.recv(65536):
            waiting += piece
            while b"\\r\\n\\r\\n" in waiting:
                _, _, waiting = waiting.partition(b"\\r\\n\\r\\n")
                self.request.sendall(ANSWER)
class Server(socketserver.ThreadingTCPServer):
    request_queue_size, daemon_threads = 512, True
    def handle_error(self, *args): pass
server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def main(calls: int, megabytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        certificate = certified(Path(folder))
        os.environ["REQUESTS_CA_BUNDLE"] = certificate[0]
        plain = stack.enter_context(server(CALLED))
        over_tls = stack.enter_context(server(CALLED, *certificate))
        account = linked(Path(folder))
        for name, base_url in (
            ("plain", f"http://127.0.0.1:{plain[0]}"),
            ("TLS", f"https://127.0.0.1:{over_tls[0]}"),
        ):
            settings.EGNYTE_BASE_URL = base_url
            called(name, account, base_url, calls)
        base_url, token = stack.enter_context(server(SERVER, str(megabytes << 20)))
        transferred(base_url, token, megabytes)


class server:
    """Start a process. Returns it and the words of its first line."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.command = [sys.executable, "-c", script, *arguments]

    def __enter__(self) -> list[str]:
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def __exit__(self, *args: object) -> None:
        self.process.kill()
        self.process.communicate()


def certified(folder: Path) -> tuple[str, str]:
    names = (str(folder / "cert.pem"), str(folder / "key.pem"))
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", names[0], "-keyout", names[1]),
        ],
        check=True,
        capture_output=True,
    )
    return names


def linked(folder: Path) -> Any:
    settings.configure(
        SECRET_KEY="a key of the benchmark, thirty-two characters and more",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_egnyte"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "site.sqlite3",
                "OPTIONS": {"timeout": 30},
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        EGNYTE_CLIENT_ID="key",
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from django_egnyte.fields import seal
    from django_egnyte.models import EgnyteAccount, EgnyteGrant, EgnyteToken
    from django_egnyte.secret import Secret

    call_command("migrate", verbosity=0)
    user, host = User.objects.create(username="me"), "acme.egnyte.com"
    grant = EgnyteGrant.objects.create(domain=host, fingerprint="f", user_ref=str(user.pk))
    token = EgnyteToken(grant=grant, domain=host, user_ref=str(user.pk), fingerprint="f")
    token.access_token = seal(Secret(TOKEN), token.seal_context("access_token"))
    token.save()
    return EgnyteAccount.objects.create(user=user, domain=host, egnyte_user_id=1, token=token)


def called(name: str, account: Any, base_url: str, calls: int) -> None:
    client = account.client
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
    with requests.Session() as session:
        session.headers.update(headers)
        url = base_url + PATH

        def ours(times: int = calls) -> None:
            for _ in range(times):
                client.get(PATH).json()

        def theirs(times: int = calls) -> None:
            for _ in range(times):
                session.get(url, timeout=(3.05, 30)).json()

        beside(f"{name}, one thread", ours, theirs, "requests.Session")
        counts = f"{functions(ours):.0f}, requests.Session {functions(theirs):.0f}"
        print(f"{name}, calls of Python functions: {counts}", flush=True)
        each = calls // THREADS
        with ThreadPoolExecutor(THREADS) as pool:
            beside(
                f"{name}, {THREADS} threads",
                lambda: list(pool.map(ours, [each] * THREADS)),
                lambda: list(pool.map(theirs, [each] * THREADS)),
                "requests.Session",
            )
    asyncio.run(in_flight(name, client, base_url, headers))


async def in_flight(name: str, client: Any, base_url: str, headers: dict[str, str]) -> None:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    verify: Any = os.environ["REQUESTS_CA_BUNDLE"]
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, limits=limits, verify=verify, timeout=30
    ) as theirs:
        spent: list[tuple[float, float]] = []
        for _ in range(ROUNDS + 1):
            pair = []
            for get in (client.aget, theirs.get):
                began = time.process_time()
                for answer in await asyncio.gather(*(get(PATH) for _ in range(IN_FLIGHT))):
                    answer.json()
                pair.append(time.process_time() - began)
            spent.append((pair[0], pair[1]))
    report(f"{name}, {IN_FLIGHT} in flight", spent[1:], "httpx.AsyncClient")


def beside(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], what: str) -> None:
    spent = [(cpu(ours), cpu(theirs)) for _ in range(ROUNDS + 1)]
    report(name, spent[1:], what)


def cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def functions(work: Callable[[int], Any], times: int = 100) -> float:
    """How many Python functions one call runs."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work(times)
    finally:
        sys.setprofile(None)
    return count / times


def report(name: str, spent: list[tuple[float, float]], what: str) -> None:
    ours, theirs = (statistics.median(each) for each in zip(*spent, strict=True))
    ratio = statistics.median(b / a for a, b in spent)
    print(f"{name}: {ours:.3f} s, {what} {theirs:.3f} s: {ratio:.2f} of its speed", flush=True)


def transferred(base_url: str, token: str, megabytes: int) -> None:
    from django_egnyte.api import EgnyteClient

    size = megabytes << 20
    files = EgnyteClient(Line(base_url, token)).files
    url = f"{base_url}/pubapi/v1/fs-content/Shared/"
    headers = {"Authorization": f"Bearer {token}"}
    files.upload("/Shared/small.bin", b"warm up")

    def raw_download() -> None:
        checksum = hashlib.sha512()
        with requests.get(f"{url}large.bin", headers=headers, stream=True) as answer:
            for piece in answer.iter_content(64 * 1024):
                checksum.update(piece)

    def raw_upload() -> None:
        """Send the same number of requests with a chunk each, after computing its checksum."""
        for _ in range(max(1, size // CHUNK)):
            checksum, source = hashlib.sha512(), Zeros(CHUNK)
            while piece := source.read(64 * 1024):
                checksum.update(piece)
            requests.post(
                f"{url}raw.bin", headers=headers, data=SeekableZeros(CHUNK)
            ).raise_for_status()

    before = peak()
    to: Any = Zeros(0)
    source: Any = SeekableZeros(size)
    down, up = [], []
    for _ in range(TRANSFERS):
        down.append((cpu(lambda: files.download("/Shared/large.bin", to)), cpu(raw_download)))
        source.seek(0)
        up.append((cpu(lambda: files.upload("/Shared/up.bin", source)), cpu(raw_upload)))
    report(f"download of {megabytes} MB", down, "requests")
    report(f"upload of {megabytes} MB", up, "requests")
    print(f"peak memory above the start: {peak() - before:.1f} MB")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*(given + [400, 1024][len(given) :]))
