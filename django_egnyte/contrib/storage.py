"""A Django storage whose files are in a folder of a linked Egnyte account."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from django.core.cache import caches
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import Storage
from django.utils import timezone
from django.utils.deconstruct import deconstructible

from ..api.areas.reader import RemoteFile
from ..api.entries import File as EgnyteFile
from ..api.entries import Folder
from ..api.paths import clean_path, fs_path, is_name
from ..exceptions import InvalidPathError, NotFoundError, NotLinkedError
from ..models import EgnyteAccount

if TYPE_CHECKING:
    from types import TracebackType

    from ..access import LinkedClient

    AnyFile = File[Any]
else:
    # Django's File takes no parameters at run time.
    AnyFile = File

BUFFER = 1024 * 1024
"""The number of bytes read at once."""
MEMORY = 10 * BUFFER
RACES = 10
LONGEST_NAME = 200
CONTENT = "/pubapi/v1/fs-content"


@deconstructible(path="django_egnyte.contrib.storage.EgnyteStorage")
class EgnyteStorage(Storage):
    """Files below `root` of one account, each with the account's own rights.

    The account is named by its primary key, `account`, or by its Egnyte `username` and `domain`.
    `base_url` is the address of a view of yours that serves the files. Without it, `url()` makes a
    link that expires `link_days` after today, for the people that `link_accessibility` names, and
    keeps it in the cache `cache` for half that time. With neither, `url()` raises ValueError.

    Each method reads the account from the database: NotLinkedError if it is not connected. Errors
    of Egnyte are raised unchanged, except that a 404 becomes FileNotFoundError.
    """

    def __init__(
        self,
        *,
        account: int | None = None,
        username: str = "",
        domain: str = "",
        root: str = "/Shared",
        base_url: str | None = None,
        link_days: int | None = None,
        link_accessibility: str = "anyone",
        allow_overwrite: bool = False,
        cache: str = "default",
    ) -> None:
        if (account is None) == (not (username and domain)):
            raise ValueError("EgnyteStorage takes either account, or username and domain")
        if link_days is not None and link_days < 1:
            raise ValueError("link_days must be at least 1")
        self._which: dict[str, Any] = (
            {"username": username, "domain": domain} if account is None else {"pk": account}
        )
        self.root = clean_path(root)
        self.base_url = base_url if base_url is None or base_url.endswith("/") else f"{base_url}/"
        self.link_days = link_days
        self.link_accessibility = link_accessibility
        self.allow_overwrite = allow_overwrite
        self._cache = cache

    @property
    def client(self) -> LinkedClient:
        """The client of the account. NotLinkedError if it is not connected."""
        account = EgnyteAccount.objects.live().filter(**self._which).order_by("pk").first()
        if account is None:
            raise NotLinkedError("The Egnyte account of this storage is not connected.")
        return account.client

    def path_of(self, name: str) -> str:
        """The path of a file at Egnyte. SuspiciousFileOperation for a name outside the root."""
        text = str(name).replace("\\", "/")
        parts = [part for part in text.split("/") if part not in ("", ".")]
        try:
            if ".." in parts or text.startswith("/"):
                raise InvalidPathError("A name may not leave the folder of its storage.")
            return clean_path("/".join([self.root, *parts]))
        except InvalidPathError as error:
            raise SuspiciousFileOperation(str(error)) from error

    def get_valid_name(self, name: str) -> str:
        """Like Django's, but always a name that Egnyte accepts, for any name of an upload.

        It is never empty: Django would then store the file under the name of its folder.
        """
        # Keep the end, with the extension. Django may append characters to get a free name.
        valid = super().get_valid_name(name).rstrip(".")[-LONGEST_NAME:]
        if valid.lower().endswith(".tmp"):
            valid += "_"
        # Egnyte refuses Thumbs.db, .DS_Store and names that begin with "._".
        return valid if is_name(valid) else f"_{valid}"

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        # With allow_overwrite a file of that name gets a new version.
        if self.allow_overwrite and not (max_length and len(name) > max_length):
            return name
        return super().get_available_name(name, max_length)

    def exists(self, name: str) -> bool:
        return self.client.files.exists(self.path_of(name))

    def size(self, name: str) -> int:
        size = self._file(name).size
        if size is None:
            raise NotImplementedError("Egnyte did not say how large the file is.")
        return size

    def get_modified_time(self, name: str) -> datetime:
        """Aware if USE_TZ is set, otherwise naive in the site's time zone."""
        from django.conf import settings

        moment = self._file(name).last_modified
        if moment is None:
            raise NotImplementedError("Egnyte did not say when the file was changed.")
        return moment if settings.USE_TZ else timezone.make_naive(moment)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files in a folder."""
        with _found(path):
            entries = list(self.client.files.list(self.path_of(path)))
        folders = [entry.name for entry in entries if isinstance(entry, Folder)]
        return folders, [entry.name for entry in entries if not isinstance(entry, Folder)]

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with its content. It is not an error if there is none."""
        if not name:
            raise ValueError("The name must be given to delete().")
        path = self.path_of(name)
        if path == self.root:
            raise SuspiciousFileOperation("The folder of a storage is not deleted.")
        self._forget_link(path)
        try:
            self.client.files.delete(path)
        except NotFoundError:
            return

    def url(self, name: str | None) -> str:
        if name is None:
            raise ValueError("This file is not accessible via a URL.")
        path = self.path_of(name)
        if self.base_url is not None:
            return self.base_url + quote(path.removeprefix(self.root).lstrip("/"))
        if self.link_days is None:
            raise ValueError("This file is not accessible via a URL: set base_url or link_days.")
        cache, key = caches[self._cache], self._link_key(path)
        address = cache.get(key)
        if not isinstance(address, str):
            with _found(name):
                address = self._new_link(path)
            cache.set(key, address, self.link_days * 43_200)
        return address

    def _open(self, name: str, mode: str = "rb") -> AnyFile:
        kind = mode.replace("b", "").replace("t", "")
        if kind not in ("r", "w"):
            raise ValueError(f"EgnyteStorage opens files to read or to write, not with {mode!r}")
        path = self.path_of(name)
        if path == self.root:
            raise IsADirectoryError(f"{name!r} is a folder")
        text = "b" not in mode
        if kind == "w":
            upload = _Upload(self, name)
            return _NewFile(upload, io.TextIOWrapper(upload, "utf-8") if text else upload, name)
        with _found(name):
            remote = RemoteFile(self.client.files, fs_path(path, under=CONTENT), name)
        return _StoredFile(self, remote, name, mode)

    def _save(self, name: str, content: AnyFile) -> str:
        """Store a file. If another process took the name meanwhile, use another name."""
        for _ in range(RACES):
            path = self.path_of(name)
            stored = self.client.files.upload(path, _binary(content))
            self._forget_link(path)
            if self.allow_overwrite or not self._was_taken(path, stored):
                return name
            name = self.get_available_name(name)
        raise FileExistsError(f"No name could be found for {name!r} that stays free")

    def _was_taken(self, path: str, stored: EgnyteFile) -> bool:
        """Whether the upload became a version of another's file. If so, delete the version."""
        files = self.client.files
        now = files.info(path)
        if not isinstance(now, EgnyteFile) or (now.num_versions or 1) < 2 or not stored.entry_id:
            return False
        files.delete(path, entry_id=stored.entry_id)
        return True

    def replace(self, name: str, content: Any) -> None:
        """Store bytes or a binary file under exactly this name, as a new version if it exists."""
        path = self.path_of(name)
        self.client.files.upload(path, content)
        self._forget_link(path)

    def _file(self, name: str) -> EgnyteFile:
        with _found(name):
            entry = self.client.files.info(self.path_of(name))
        if not isinstance(entry, EgnyteFile):
            raise IsADirectoryError(f"{name!r} is a folder")
        return entry

    def _new_link(self, path: str) -> str:
        last = timezone.now().date() + timedelta(days=self.link_days or 1)
        accessibility: Any = self.link_accessibility
        link = self.client.links.create(path, accessibility=accessibility, expiry_date=last)
        if not link.url:
            raise ValueError("Egnyte made a link and did not say its address.")
        return link.url

    def _forget_link(self, path: str) -> None:
        if self.link_days is not None:
            caches[self._cache].delete(self._link_key(path))

    def _link_key(self, path: str) -> str:
        which = f"{sorted(self._which.items())}:{self.link_accessibility}:{path}"
        return f"egnyte-link:{hashlib.sha256(which.encode()).hexdigest()}"


class _StoredFile(AnyFile):
    """A file that is read from Egnyte."""

    def __init__(self, storage: EgnyteStorage, remote: RemoteFile, name: str, mode: str) -> None:
        reader = io.BufferedReader(remote, BUFFER)
        super().__init__(reader if "b" in mode else io.TextIOWrapper(reader, "utf-8"), name)
        self._storage = storage
        self.mode = mode
        # Otherwise Django would look for a local file of that name.
        self.size = remote.size

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> _StoredFile:
        """Read from the start again. A closed file is fetched again, in its current version."""
        mode = mode or self.mode
        if "w" in mode:
            raise ValueError("This file was opened to be read: ask the storage to open it again.")
        if self.closed or ("b" in mode) != ("b" in self.mode):
            again = self._storage._open(self.name or "", mode)
            self.close()
            self.file, self.size, self.mode = again.file, again.size, mode
        else:
            self.seek(0)
        return self


class _NewFile(AnyFile):
    """A file that is being written. After an error in its with block it is not stored."""

    def __init__(self, upload: _Upload, file: Any, name: str) -> None:
        super().__init__(file, name)
        self._upload = upload

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> _NewFile:
        raise ValueError("The file cannot be reopened.")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._upload.discard()
        self.close()


class _Upload(io.BufferedIOBase):
    """The bytes written so far. Closing it stores them."""

    def __init__(self, storage: EgnyteStorage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._buffer: IO[bytes] = SpooledTemporaryFile(MEMORY)  # noqa: SIM115
        self._wanted = True

    @property
    def name(self) -> str:
        return self._name

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._buffer.write(data)

    def discard(self) -> None:
        """Store nothing when this is closed."""
        self._wanted = False

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        with self._buffer:
            if self._wanted:
                self._buffer.seek(0)
                self._storage.replace(self._name, self._buffer)

    def __del__(self) -> None:
        # A file that was never closed may be incomplete.
        self.discard()
        super().__del__()


@contextmanager
def _found(name: str) -> Iterator[None]:
    """Turn Egnyte's 404 into FileNotFoundError, as Django's storages raise."""
    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(f"There is no {name!r} in this storage") from error


def _binary(content: AnyFile) -> Any:
    """The content for `files.upload`. Text is stored as UTF-8."""
    if not content.seekable():
        return _encoded(content.chunks(BUFFER))
    content.seek(0)
    binary = isinstance(content.read(1), bytes)
    content.seek(0)
    return content if binary else _encoded(content.chunks(BUFFER))


def _encoded(chunks: Iterable[Any]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk.encode() if isinstance(chunk, str) else chunk
