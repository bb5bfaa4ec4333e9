"""Peak memory of large uploads and downloads with the client and with EgnyteStorage.

    python benchmarks/transfer_memory.py [MEGABYTES]

Transfers go to the sandbox in another process. Prints for each how much the peak memory of this
process (VmHWM, on Linux) rose.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django_egnyte.api import Connection, Credentials, EgnyteClient
from django_egnyte.secret import Secret

SERVER = """
import sys
from django_egnyte.sandbox import SandboxServer
with SandboxServer() as server:
    server.sandbox.add_synthetic_file("acme", "/Shared/large.bin", int(sys.argv[1]))
    issued = server.sandbox.issue("acme", "admin")
    print(server.base_url.replace("{domain}", "acme"), issued.access_token, flush=True)
    sys.stdin.read()
"""


class Line(Connection):
    """A connection with a fixed token."""

    host = "acme.egnyte.com"
    timeout = (3.05, 120.0)
    max_retries = 0
    max_throttle_wait = 5.0

    def __init__(self, base_url: str, token: str) -> None:
        self.base_url = base_url
        self._token = Secret(token)

    def credentials(self) -> Credentials:
        return Credentials(self._token, 1)

    def rejected(self, used: Credentials, *, acting: bool) -> None:
        return None


class Zeros:
    """A binary file of a given length. It generates its bytes, and discards what is written."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.position = 0
        self.written = 0

    def read(self, size: int) -> bytes:
        size = min(size, self.size - self.position)
        self.position += size
        return bytes(size)

    def write(self, piece: bytes) -> int:
        self.written += len(piece)
        return len(piece)


class SeekableZeros(Zeros):
    closed = False

    def tell(self) -> int:
        return self.position

    def seek(self, position: int, whence: int = 0) -> int:
        self.position = position + (self.size if whence == 2 else 0)
        return self.position


def peak() -> float:
    """The peak memory of this process, in megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(name: str, megabytes: int, transfer: Callable[[], Any]) -> None:
    before, started = peak(), time.perf_counter()
    transfer()
    seconds = time.perf_counter() - started
    print(f"{name:40} {megabytes} MB in {seconds:5.1f} s, peak +{peak() - before:.1f} MB")


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield bytes(65536)


def through_storage(base_url: str, token: str, megabytes: int) -> None:
    """Save a file with Django's storage, and read it."""
    import django
    from django.conf import settings
    from django.core.files.base import File

    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_egnyte"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    from django_egnyte.contrib.storage import EgnyteStorage

    class Storage(EgnyteStorage):
        """The storage with a client instead of an account, so that it needs no database."""

        @property
        def client(self) -> Any:
            return EgnyteClient(Line(base_url, token))

    size = megabytes * 1024 * 1024
    storage = Storage(account=1, root="/Shared/site")
    content: Any = SeekableZeros(size)
    report(
        "save through EgnyteStorage",
        megabytes,
        lambda: storage.save("large.bin", File(content, "large.bin")),
    )

    def read() -> None:
        with storage.open("large.bin") as file:
            assert sum(map(len, file.chunks(1024 * 1024))) == size

    report("read back through EgnyteStorage", megabytes, read)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    size = megabytes * 1024 * 1024
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        base_url, token = server.stdout.readline().split()
        files = EgnyteClient(Line(base_url, token)).files
        files.upload("/Shared/small.bin", b"warm up")
        files.download("/Shared/small.bin")
        to: Any = Zeros(0)
        report("download to a file", megabytes, lambda: files.download("/Shared/large.bin", to))
        assert to.written == size
        simple: Any = SeekableZeros(99_000_000)
        report("upload in one request", 99, lambda: files.upload("/Shared/one.bin", simple))
        known: Any = SeekableZeros(size)
        report("upload in chunks", megabytes, lambda: files.upload("/Shared/up.bin", known))
        report(
            "upload in chunks, length unknown",
            megabytes,
            lambda: files.upload("/Shared/up2.bin", pieces(size)),
        )
        through_storage(base_url, token, megabytes)
        server.kill()


if __name__ == "__main__":
    main()
