"""A server for uploads that behaves like Egnyte, including chunks and composite checksums."""

from __future__ import annotations

import hashlib
import http.client
import json
from typing import Any

from tests.rawserver import Visitor, answer


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


class Storage:
    """Stores files in memory. With `keeps` false, it stores only sizes and ignores checksums."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.keeps = keeps
        self.files: dict[str, bytes] = {}
        self.checksums: dict[str, str] = {}
        self.headers: list[dict[str, str]] = []
        self.sizes: list[int] = []
        self.trouble: list[Any] = []
        """The faults of the next requests: a status, "reset", or None for no fault."""
        self._chunks: list[tuple[str, bytes]] = []

    def __call__(self, visitor: Visitor) -> None:
        with visitor.sock.makefile("rb") as incoming:
            while line := incoming.readline():
                path = line.decode().split()[1].removeprefix("/pubapi/v1/")
                headers = dict(http.client.parse_headers(incoming).items())
                body = self._body(incoming, int(headers.get("Content-Length", 0)))
                trouble = self.trouble.pop(0) if self.trouble else None
                if trouble == "reset":
                    visitor.reset()
                    return
                visitor.send(answer(f"{trouble} x") if trouble else self._take(path, headers, body))

    def _body(self, incoming: Any, size: int) -> bytes:
        if self.keeps:
            return bytes(incoming.read(size))
        self.sizes.append(size)
        buffer = memoryview(bytearray(1024 * 1024))
        while size:
            size -= incoming.readinto(buffer[: min(size, len(buffer))])
        return b""

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        self.headers.append(headers)
        if self.keeps:
            self.sizes.append(len(body))
        area, _, name = path.partition("/")
        if area == "fs-content":
            return self._store(name, body, headers["X-Sha512-Checksum"], sha512(body))
        number = int(headers["X-Egnyte-Chunk-Num"])
        if number == 1:
            self._chunks = []
        checksum = headers["X-Egnyte-Chunk-Sha512-Checksum"]
        known = headers.get("X-Egnyte-Upload-Id") == (None if number == 1 else "an id")
        too_large = self.sizes[-1] > self.sizes[0] or (
            "X-Egnyte-Last-Chunk" not in headers and self.sizes[-1] != self.sizes[0]
        )
        if too_large or not known or (self.keeps and sha512(body) != checksum):
            return answer("400 Bad", b'{"errorMessage": "Not this chunk"}')
        self._chunks[number - 1 :] = [(checksum, body)]
        if "X-Egnyte-Last-Chunk" not in headers:
            return answer(X_Egnyte_Upload_Id="an id", X_Egnyte_Chunk_Sha512_Checksum=checksum)
        joined = sha512("".join(digest for digest, _ in self._chunks).encode())
        composite = f"2-{len(self._chunks)}-{self.sizes[0]}-{joined}"
        whole = b"".join(data for _, data in self._chunks)
        return self._store(name, whole, headers["X-Sha512-Checksum"], composite)

    def _store(self, name: str, data: bytes, said: str, checksum: str) -> bytes:
        if said != checksum:
            return answer("400 Bad", b'{"errorMessage": "Checksum does not match"}')
        self.files[name], self.checksums[name] = data, checksum
        stored = {"checksum": checksum, "path": f"/{name}", "group_id": "g", "entry_id": "e"}
        return answer(body=json.dumps(stored).encode())
