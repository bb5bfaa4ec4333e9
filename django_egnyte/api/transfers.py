"""Transfer files over connections that may break: report the progress and resume."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import IO, TYPE_CHECKING, Any

from django_egnyte import answers
from django_egnyte.api import checksums, steps
from django_egnyte.api.downloads import Download, undone_on_failure
from django_egnyte.api.entries import File, entry_of
from django_egnyte.api.uploads import Content, Part, Source, UploadState
from django_egnyte.exceptions import EgnyteError, ResponseError, UnavailableError

if TYPE_CHECKING:
    import requests

    from django_egnyte.api.steps import Steps

Progress = Callable[[int, "int | None"], object]
"""Called with the number of bytes done, and the total (or None)."""
Call = Callable[..., "Steps[requests.Response]"]

TRIES = 5
"""How many broken connections in a row are replaced if none of them brought a byte."""


def write(download: Download, to: IO[bytes], call: Call, progress: Progress | None) -> Steps[File]:
    """Write a download to a binary file. `call` requests the content again, with a Range.

    After an error a file that can seek is cut off at the position where the writing began, so that
    a mixture of old and new bytes cannot look complete.
    """
    tries, reached = TRIES, 0
    try:
        with undone_on_failure(to):
            while True:
                failure = yield steps.Step("io", _pump, download, to, progress)
                if failure is None:
                    return download._written()
                tries = TRIES if download._received > reached else tries - 1
                reached = download._received
                if not tries or not download._can_resume:
                    raise failure
                # Ask for the same version, even if a newer one was stored meanwhile.
                response = yield from call(
                    params={"entry_id": download.file.entry_id},
                    headers={"Range": f"bytes={reached}-"},
                    stream=True,
                )
                download._resume(response)
    finally:
        download.close()


def _pump(download: Download, to: IO[bytes], progress: Progress | None) -> EgnyteError | None:
    """Write what arrives. Returns the error if the connection broke."""
    try:
        download._pump(to, progress)
    except (ResponseError, UnavailableError) as error:
        if not download._is_broken:
            raise
        return error
    return None


class Upload:
    """An upload in one request or in chunks. `call` makes a POST to an area of the API."""

    def __init__(
        self,
        call: Call,
        path: str,
        ends: dict[str, str],
        progress: Progress | None,
        state: UploadState | None,
    ) -> None:
        """`ends` are headers for the last request."""
        self._call = call
        self._path = path
        self._ends = ends
        self._progress = progress
        self._state = UploadState() if state is None else state
        self._headers = {"Content-Type": "application/octet-stream"}

    def send(self, content: Content) -> Steps[File]:
        source: Source = yield steps.Step("io", Source, content, self._state.chunk, self._progress)
        part: Part = yield steps.Step("io", source.take)
        if part.last and not self._state.upload_id:
            headers = {**self._headers, "X-Sha512-Checksum": part.checksum, **self._ends}
            response = yield from self._call("fs-content", data=part.body, headers=headers)
            return self._stored(part.size, part.checksum, response)
        return (yield from self._send_chunks(source, part))

    def _send_chunks(self, source: Source, part: Part) -> Steps[File]:
        """Send part after part, except those that Egnyte has."""
        state = self._state
        state.chunk = source.chunk
        sent, size = 0, 0
        while True:
            sent += 1
            size += part.size
            known = state.digests[sent - 1] if sent <= len(state.digests) else None
            if known is not None and (known != part.checksum or part.last):
                raise ValueError("That is not the content whose upload was begun.")
            if known is None:
                response = yield from self._send_chunk(source, part, sent)
                if part.last:
                    return self._finished(size, response)
            if self._progress is not None:
                yield steps.Step("io", self._progress, size, source.size)
            del part  # otherwise two would be in memory while the next is read
            part = yield steps.Step("io", source.take)

    def _send_chunk(self, source: Source, part: Part, number: int) -> Steps[requests.Response]:
        state = self._state
        headers = {
            **self._headers,
            "X-Egnyte-Chunk-Num": str(number),
            "X-Egnyte-Chunk-Sha512-Checksum": part.checksum,
        }
        if state.upload_id:
            headers["X-Egnyte-Upload-Id"] = state.upload_id
        if part.last:
            whole = checksums.composite(source.chunk, [*state.digests, part.checksum])
            headers |= {"X-Egnyte-Last-Chunk": "true", "X-Sha512-Checksum": whole, **self._ends}
        response = yield from self._call(
            "fs-content-chunked",
            data=part.body,
            headers=headers,
            # A chunk may be sent again, except the last one, which creates a version of the file.
            retry=not part.last,
        )
        agree(response.headers.get("X-Egnyte-Chunk-Sha512-Checksum"), part.checksum)
        if not state.upload_id:
            state.upload_id = response.headers.get("X-Egnyte-Upload-Id", "")
            if not state.upload_id:
                raise ResponseError("Egnyte gave no id for an upload in chunks.")
        state.digests.append(part.checksum)
        return response

    def _finished(self, size: int, response: requests.Response) -> File:
        state = self._state
        whole = checksums.composite(state.chunk, state.digests)
        state.clear()
        return self._stored(size, whole, response)

    def _stored(self, size: int, checksum: str, response: requests.Response) -> File:
        value = details(response)
        said = value.get("checksum") or response.headers.get("X-Sha512-Checksum")
        agree(said if isinstance(said, str) else None, checksum)
        name = self._path.rpartition("/")[2]
        known = {"path": self._path, "name": name, "size": size, "checksum": checksum}
        file = entry_of({**value, **known, "is_folder": False})
        assert isinstance(file, File)
        return file


def details(response: requests.Response) -> dict[str, Any]:
    """The JSON of a success, which may be empty."""
    try:
        return answers.json_of(response)
    except ResponseError:
        return {}


def agree(said: str | None, checksum: str) -> None:
    """ResponseError if Egnyte names another checksum."""
    if said and said.strip().lower() != checksum:
        raise ResponseError("Egnyte stored other bytes than were sent: the checksum differs.")


def http_date(moment: datetime) -> str:
    """An aware time in the format of HTTP headers. ValueError for a naive time."""
    if moment.tzinfo is None:
        raise ValueError("last_modified must be aware: it has no time zone")
    return format_datetime(moment.astimezone(UTC), usegmt=True)
