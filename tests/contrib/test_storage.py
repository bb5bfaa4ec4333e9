from __future__ import annotations

import io
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import connection, models
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings

from django_egnyte.api.files import Files
from django_egnyte.contrib.storage import EgnyteStorage
from django_egnyte.exceptions import (
    ForbiddenError,
    NotLinkedError,
    ResponseError,
    UnauthorizedError,
    UnavailableError,
)
from django_egnyte.models import EgnyteAccount
from django_egnyte.pytest_plugin import link_account
from django_egnyte.sandbox import Sandbox
from django_egnyte.services.disconnect import revoke

ROOT = "/Shared/site"

Make = Callable[..., EgnyteStorage]


@pytest.fixture
def account(egnyte_sandbox: Sandbox, egnyte_user: Any) -> EgnyteAccount:
    cache.clear()
    return link_account(egnyte_sandbox, egnyte_user, scopes=())


@pytest.fixture
def make(account: EgnyteAccount) -> Make:
    def make(**options: Any) -> EgnyteStorage:
        return EgnyteStorage(account=account.pk, root=ROOT, **options)

    return make


@pytest.fixture
def storage(make: Make) -> EgnyteStorage:
    return make()


def content(sandbox: Sandbox, name: str) -> bytes:
    return sandbox.read_file("acme", f"{ROOT}/{name}")


def test_a_file_is_saved_found_read_and_deleted(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox
) -> None:
    assert not storage.exists("a/report.txt")
    assert storage.save("a/report.txt", ContentFile(b"hello")) == "a/report.txt"
    assert content(egnyte_sandbox, "a/report.txt") == b"hello"
    assert storage.exists("a/report.txt")
    assert storage.size("a/report.txt") == 5
    with storage.open("a/report.txt") as file:
        assert isinstance(file, File)
        assert (file.name, file.size, file.read(), file.closed) == (
            "a/report.txt",
            5,
            b"hello",
            False,
        )
    assert file.closed
    storage.delete("a/report.txt")
    assert not storage.exists("a/report.txt")
    storage.delete("a/report.txt")  # As any storage: no error.


@pytest.mark.parametrize(
    "made",
    [
        lambda: ContentFile(b"content"),
        lambda: ContentFile("content"),
        lambda: SimpleUploadedFile("x.txt", b"content"),
        lambda: File(io.BytesIO(b"content")),
        lambda: File(io.StringIO("content")),
        lambda: io.BytesIO(b"content"),
        lambda: written(TemporaryUploadedFile("x.txt", "text/plain", 7, None)),
        lambda: half_read(ContentFile(b"content")),
        lambda: Unseekable(b"content"),
    ],
)
def test_any_content_is_saved(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox, made: Callable[[], Any]
) -> None:
    source = made()
    name = storage.save("x.txt", source)
    assert content(egnyte_sandbox, name) == b"content"
    source.close()


def written(file: Any) -> Any:
    file.write(b"content")
    return file


def half_read(file: Any) -> Any:
    file.read(3)
    return file


class Unseekable(File):  # type: ignore[type-arg]
    """Content from a pipe."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), "x.txt")

    def seekable(self) -> bool:
        return False

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        assert self.file is not None
        while piece := self.file.read(3):
            yield piece


def test_text_is_stored_as_utf8_and_read_as_it(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox
) -> None:
    name = storage.save("x.txt", ContentFile("Größe\nzwei\n"))
    assert content(egnyte_sandbox, name) == "Größe\nzwei\n".encode()
    with storage.open(name, "r") as file:
        assert list(file) == ["Größe\n", "zwei\n"]


def test_an_empty_file(storage: EgnyteStorage) -> None:
    name = storage.save("empty.txt", ContentFile(b""))
    assert storage.size(name) == 0
    with storage.open(name) as file:
        assert file.read() == b""


def test_a_name_that_is_taken_is_left(storage: EgnyteStorage, egnyte_sandbox: Sandbox) -> None:
    first = storage.save("x.txt", ContentFile(b"first"))
    second = storage.save("x.txt", ContentFile(b"second"))
    assert first == "x.txt" != second
    assert (content(egnyte_sandbox, first), content(egnyte_sandbox, second)) == (
        b"first",
        b"second",
    )


def test_a_name_that_is_taken_meanwhile_is_left(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Files.upload

    def overtaken(files: Files, path: str, data: Any) -> Any:
        monkeypatch.undo()
        egnyte_sandbox.add_file("acme", path, b"other", username="bdoe")
        return upload(files, path, data)

    monkeypatch.setattr(Files, "upload", overtaken)
    name = storage.save("x.txt", ContentFile(b"mine"))
    assert name != "x.txt"
    assert content(egnyte_sandbox, "x.txt") == b"other"
    assert content(egnyte_sandbox, name) == b"mine"
    with egnyte_sandbox.lock:
        versions = egnyte_sandbox.tree("acme").get(f"{ROOT}/x.txt", None).versions
    assert len(versions) == 1


def test_with_allow_overwrite_a_file_gets_a_version(make: Make, egnyte_sandbox: Sandbox) -> None:
    storage = make(allow_overwrite=True)
    for text in (b"one", b"two"):
        assert storage.save("x.txt", ContentFile(text)) == "x.txt"
    assert content(egnyte_sandbox, "x.txt") == b"two"
    assert len(storage.get_available_name("y" * 50 + ".txt", max_length=20)) == 20


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        *(("a b.txt", "a_b.txt"), ("note.", "note"), ("x.TMP", "x.TMP_"), ("a", "a")),
        *(("...", "_"), ("._x.jpg", "_._x.jpg"), ("thumbs.db", "_thumbs.db")),
        (".DS_Store", "_.DS_Store"),
        ("n" * 300 + ".txt", "n" * 196 + ".txt"),
    ],
)
def test_names_that_egnyte_refuses_are_made_valid(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox, name: str, valid: str
) -> None:
    assert storage.get_valid_name(name) == valid
    for _ in range(2):  # the second file gets another name
        stored = storage.save(storage.generate_filename(f"docs/{name}"), ContentFile(b"x"))
        assert stored.startswith("docs/")
        assert content(egnyte_sandbox, stored) == b"x"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\\..\\x", "a\nb"])
def test_no_name_leaves_the_root(storage: EgnyteStorage, name: str) -> None:
    acts: list[Callable[[str], Any]] = [
        storage.open,
        storage.exists,
        storage.size,
        storage.listdir,
        storage.delete,
        storage.url,
        storage.get_modified_time,
        lambda name: storage.save(name, ContentFile(b"x")),
    ]
    for act in acts:
        with pytest.raises(SuspiciousFileOperation):
            act(name)


def test_what_is_not_there(make: Make) -> None:
    storage = make(link_days=1)
    for act in (
        storage.open,
        storage.size,
        storage.listdir,
        storage.url,
        storage.get_modified_time,
    ):
        with pytest.raises(FileNotFoundError):
            act("none.txt")  # type: ignore[operator]


def test_folders_are_no_files(storage: EgnyteStorage) -> None:
    storage.save("folder/x.txt", ContentFile(b"x"))
    for act in (storage.size, storage.get_modified_time):
        with pytest.raises(IsADirectoryError):
            act("folder")  # type: ignore[operator]
    with pytest.raises(IsADirectoryError):
        storage.open("")
    with pytest.raises(ValueError, match="name"):
        storage.delete("")
    with pytest.raises(SuspiciousFileOperation):
        storage.delete(".")


def test_a_folder_is_listed(storage: EgnyteStorage) -> None:
    for name in ("b.txt", "a.txt", "below/c.txt"):
        storage.save(name, ContentFile(b"x"))
    assert storage.listdir("") == (["below"], ["a.txt", "b.txt"])
    assert storage.listdir("below/") == ([], ["c.txt"])


def test_the_time_of_a_change(storage: EgnyteStorage) -> None:
    name = storage.save("x.txt", ContentFile(b"x"))
    with override_settings(USE_TZ=True):
        aware = storage.get_modified_time(name)
    assert abs(datetime.now(UTC) - aware) < timedelta(minutes=5)
    with override_settings(USE_TZ=False):
        naive = storage.get_modified_time(name)
    assert naive.tzinfo is None


def test_reading_seeks_by_ranges(storage: EgnyteStorage, egnyte_sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 20_000
    egnyte_sandbox.add_file("acme", f"{ROOT}/big.bin", data)
    with storage.open("big.bin") as file:
        assert file.read(10) == data[:10]
        file.seek(4_000_000)
        assert file.read(300) == data[4_000_000:4_000_300]
        file.seek(-5, io.SEEK_END)
        assert file.read() == data[-5:]
        assert file.read() == b""
        file.seek(0)
        assert file.read() == data
        assert file.tell() == len(data)
        file.seek(len(data) + 10)
        assert file.read() == b""
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_chunks_and_reopening(storage: EgnyteStorage) -> None:
    storage.save("x.txt", ContentFile(b"0123456789"))
    file = storage.open("x.txt")
    assert list(file.chunks(4)) == [b"0123", b"4567", b"89"]
    assert file.open() is file and file.read() == b"0123456789"
    file.close()
    storage.replace("x.txt", b"newer and longer")
    assert file.open().read() == b"newer and longer"
    assert file.size == 16
    assert file.open("r").read() == "newer and longer"
    with pytest.raises(ValueError, match="opened to be read"):
        file.open("wb")
    file.close()
    storage.delete("x.txt")
    with pytest.raises(FileNotFoundError):
        file.open()


def test_a_file_replaced_while_it_is_read_stays_the_one_that_was_opened(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox
) -> None:
    storage.save("x.txt", ContentFile(b"old" * 1000))
    with storage.open("x.txt") as file:
        assert file.read(3) == b"old"
        egnyte_sandbox.add_file("acme", f"{ROOT}/x.txt", b"new" * 1000)
        file.seek(2997)
        assert file.read() == b"old"


def test_reading_goes_on_after_a_broken_connection(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox
) -> None:
    data = bytes(range(256)) * 20_000
    egnyte_sandbox.add_file("acme", f"{ROOT}/big.bin", data)
    breaks = egnyte_sandbox.faults.add(path="big.bin", times=3, truncate=1_000_000)
    with storage.open("big.bin") as file:
        assert file.read() == data
    assert egnyte_sandbox.faults.hits(breaks) == 3
    egnyte_sandbox.faults.add(path="big.bin", times=1, truncate=1_000_000)
    egnyte_sandbox.faults.add(path="big.bin", times=None, reset=True)
    with storage.open("big.bin") as file, pytest.raises((ResponseError, UnavailableError)):
        file.read()


def test_a_gigabyte_is_read_in_constant_memory(
    storage: EgnyteStorage, egnyte_sandbox: Sandbox
) -> None:
    size = 1024 * 1024 * 1024
    egnyte_sandbox.add_synthetic_file("acme", f"{ROOT}/huge.bin", size)
    done = 0
    tracemalloc.start()
    try:
        with storage.open("huge.bin") as file:
            for chunk in file.chunks(1024 * 1024):
                done += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done == size
    assert peak < 64 * 1024 * 1024


def test_a_file_is_written(storage: EgnyteStorage, egnyte_sandbox: Sandbox) -> None:
    with storage.open("x.txt", "wb") as file:
        file.write(b"one")
        assert not storage.exists("x.txt")
    assert content(egnyte_sandbox, "x.txt") == b"one"
    with storage.open("x.txt", "w") as file:
        file.write("Größe")
    assert content(egnyte_sandbox, "x.txt") == "Größe".encode()
    with pytest.raises(TypeError), storage.open("x.txt", "wb") as file:
        file.writelines([b"half", "of it"])
    assert content(egnyte_sandbox, "x.txt") == "Größe".encode()
    forgotten = storage.open("x.txt", "wb")
    forgotten.write(b"half")
    del forgotten, file
    assert content(egnyte_sandbox, "x.txt") == "Größe".encode()
    for mode in ("a", "r+b", "x"):
        with pytest.raises(ValueError, match="read or to write"):
            storage.open("x.txt", mode)


def test_a_url_is_a_link_that_ends(make: Make, egnyte_sandbox: Sandbox) -> None:
    storage = make(link_days=7, link_accessibility="domain")
    name = storage.save("x.txt", ContentFile(b"x"))
    address = storage.url(name)
    assert storage.url(name) == address
    [link] = storage.client.links.list()
    assert (link.url, link.accessibility) == (address, "domain")
    assert link.expiry_date == (datetime.now(UTC) + timedelta(days=7)).date()
    storage.delete(name)
    storage.save("x.txt", ContentFile(b"other"))
    assert storage.url(name) != address


def test_a_url_of_a_view(make: Make) -> None:
    storage = make(base_url="/media")
    assert storage.url("a b/50%.txt") == "/media/a%20b/50%25.txt"


def test_without_either_there_is_no_url(storage: EgnyteStorage) -> None:
    for name in ("x.txt", None):
        with pytest.raises(ValueError, match="not accessible"):
            storage.url(name)


def test_an_account_is_named_by_its_username_and_domain(
    account: EgnyteAccount, egnyte_sandbox: Sandbox
) -> None:
    storage = EgnyteStorage(username="jsmith", domain="acme.egnyte.com", root=ROOT)
    storage.save("x.txt", ContentFile(b"x"))
    assert content(egnyte_sandbox, "x.txt") == b"x"
    with pytest.raises(NotLinkedError):
        EgnyteStorage(username="bdoe", domain="acme.egnyte.com").exists("x")


@pytest.mark.parametrize(
    "options", [{}, {"username": "x"}, {"account": 1, "username": "x", "domain": "y"}]
)
def test_exactly_one_way_to_name_an_account(options: Any) -> None:
    with pytest.raises(ValueError, match="either"):
        EgnyteStorage(**options)
    with pytest.raises(ValueError, match="link_days"):
        EgnyteStorage(account=1, link_days=0)


def test_a_token_that_egnyte_refuses(storage: EgnyteStorage, egnyte_sandbox: Sandbox) -> None:
    egnyte_sandbox.set_password("acme", "jsmith", "another-password-1")
    with pytest.raises(UnauthorizedError):
        storage.exists("x.txt")


def test_an_account_that_is_disconnected(storage: EgnyteStorage, account: EgnyteAccount) -> None:
    account.delete()
    with pytest.raises(NotLinkedError):
        storage.save("x.txt", ContentFile(b"x"))
    with pytest.raises(NotLinkedError):
        storage.open("x.txt")


@pytest.mark.django_db(transaction=True)
def test_an_account_that_is_revoked(storage: EgnyteStorage, account: EgnyteAccount) -> None:
    storage.save("x.txt", ContentFile(b"x"))
    assert revoke(account, actor="test", reason="a test")
    for act in (storage.exists, storage.open, storage.size, storage.delete):
        with pytest.raises(NotLinkedError):
            act("x.txt")  # type: ignore[operator]


def test_an_account_that_lacks_the_scope(egnyte_sandbox: Sandbox, egnyte_user: Any) -> None:
    account = link_account(egnyte_sandbox, egnyte_user, scopes=("Egnyte.filesystem",))
    storage = EgnyteStorage(account=account.pk, root=ROOT, link_days=1)
    name = storage.save("x.txt", ContentFile(b"x"))
    with pytest.raises(ForbiddenError) as caught:
        storage.url(name)
    assert caught.value.scope == "Egnyte.link"


def test_it_is_written_into_migrations() -> None:
    storage = EgnyteStorage(account=7, root=ROOT)
    text, imports = MigrationWriter.serialize(storage)
    assert text == ("django_egnyte.contrib.storage.EgnyteStorage(account=7, root='/Shared/site')")
    assert imports == {"import django_egnyte.contrib.storage"}


def test_it_is_configured_by_settings(account: EgnyteAccount, egnyte_sandbox: Sandbox) -> None:
    options = {"account": account.pk, "root": ROOT}
    backend = "django_egnyte.contrib.storage.EgnyteStorage"
    with override_settings(
        STORAGES={
            "default": {"BACKEND": backend, "OPTIONS": options},
            "staticfiles": {"BACKEND": "django.core.files.storage.memory.InMemoryStorage"},
        }
    ):
        default: Storage = storages["default"]
        default.save("x.txt", ContentFile(b"x"))
    assert content(egnyte_sandbox, "x.txt") == b"x"


@pytest.fixture
def document(transactional_db: None) -> Iterator[Any]:
    """A model with a file, and its table."""

    class Document(models.Model):
        file = models.FileField(upload_to="in/", storage=None)

        class Meta:
            app_label = "storage_tests"

        def __str__(self) -> str:
            return str(self.file)

    with connection.schema_editor() as editor:
        editor.create_model(Document)
    yield Document
    with connection.schema_editor() as editor:
        editor.delete_model(Document)
    from django.apps import apps

    del apps.all_models["storage_tests"]


def test_a_file_field(document: Any, make: Make, egnyte_sandbox: Sandbox) -> None:
    document.file.field.storage = make(link_days=1)
    with tempfile.TemporaryFile() as source:
        source.write(b"x" * 3_000_000)
        made = document.objects.create(file=File(source, "a report.txt"))
    made = document.objects.get(pk=made.pk)
    assert made.file.name == "in/a_report.txt"
    assert made.file.size == 3_000_000
    assert made.file.url.startswith("https://acme.egnyte.com/dl/")
    for _ in range(2):  # the field keeps its file object, closed, between the two
        with made.file.open() as file:
            assert file.read(3) == b"xxx"
    assert content(egnyte_sandbox, "in/a_report.txt") == b"x" * 3_000_000
    made.file.save("other.txt", ContentFile(b"other"))
    assert document.objects.get().file.read() == b"other"
    made.file.delete()
    assert not made.file
    assert made.file.storage.listdir("in") == ([], ["a_report.txt"])
