"""A file of any size goes through the storage in constant memory.

The sandbox runs in another process, whose memory holds the file.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.core.files.base import File

from django_egnyte.api import EgnyteClient
from django_egnyte.contrib.storage import EgnyteStorage
from tests.api.connections import Line

MB = 1024 * 1024
SERVER = """
import sys
from django_egnyte.sandbox import SandboxServer
with SandboxServer() as server:
    token = server.sandbox.issue("acme", "admin").access_token
    print(server.base_url.replace("{domain}", "acme"), token, flush=True)
    sys.stdin.read()
"""


class Zeros(io.RawIOBase):
    """A file of zeros of this size, which takes no memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.size - self.position)
        buffer[:count] = bytes(count)
        self.position += count
        return count

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + {0: 0, 1: self.position, 2: self.size}[whence]
        return self.position


@pytest.fixture(scope="module")
def storage() -> Iterator[EgnyteStorage]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        base_url, token = server.stdout.readline().split()

        class Storage(EgnyteStorage):
            @property
            def client(self) -> Any:
                return EgnyteClient(Line(base_url, token))

        yield Storage(account=1, root="/Shared/site")
        server.kill()


def peak(work: Any) -> float:
    """The peak memory during the transfer, in MB."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()


def read(storage: EgnyteStorage, name: str, size: int) -> None:
    with storage.open(name) as file:
        assert sum(map(len, file.chunks(MB))) == size


def test_memory_does_not_grow_with_the_size(storage: EgnyteStorage) -> None:
    taken: dict[str, list[float]] = {"save": [], "read": []}
    storage.save("warm.bin", File(Zeros(MB), "warm.bin"))
    # In one request, and in two chunks: over 100 MB.
    for size in (16 * MB, 64 * MB, 128 * MB):
        name = f"{size}.bin"
        taken["save"].append(peak(partial(storage.save, name, File(Zeros(size), name))))
        assert storage.size(name) == size
        taken["read"].append(peak(partial(read, storage, name, size)))
    for figures in taken.values():
        assert max(figures) < 24, taken
        assert max(figures) - min(figures) < 8, taken
