from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from django_egnyte.api import uploads
from django_egnyte.models import EgnyteAccount
from django_egnyte.sandbox import Sandbox

Run = Callable[..., Any]
DATA = os.urandom(2_500_000)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def one(accounts: list[EgnyteAccount]) -> str:
    return f"--account={accounts[0].pk}"


def test_a_folder_is_listed(run: Run, one: str) -> None:
    ran = run("egnyte_files", "ls", "/Shared", one)
    assert ran.code == 0
    folder, file = ran.out.splitlines()
    assert folder.split()[0] == "folder" and folder.endswith("Documents")
    assert file.split()[0] == "29" and file.endswith("report 2024.txt")
    assert "Shared" in run("egnyte_files", "ls", one).out


def test_a_file_is_downloaded(run: Run, one: str, here: Path, egnyte_sandbox: Sandbox) -> None:
    egnyte_sandbox.add_file("acme", "/Shared/big.bin", DATA)
    breaks = egnyte_sandbox.faults.add(path="big.bin", times=2, truncate=600_000)
    ran = run("egnyte_files", "get", "/Shared/big.bin", one)
    assert (ran.code, ran.out) == (0, "big.bin: 2,500,000 bytes\n")
    assert egnyte_sandbox.faults.hits(breaks) == 2
    assert (here / "big.bin").read_bytes() == DATA
    (here / "folder").mkdir()
    assert run("egnyte_files", "get", "/Shared/big.bin", "folder", one).code == 0
    assert (here / "folder" / "big.bin").read_bytes() == DATA
    assert sorted(path.name for path in here.iterdir()) == ["big.bin", "folder"]


def test_what_is_there_is_not_replaced_unasked(run: Run, one: str, here: Path) -> None:
    (here / "x.txt").write_text("mine")
    arguments = ("egnyte_files", "get", "/Shared/report 2024.txt", "x.txt", one)
    ran = run(*arguments)
    assert ran.code == 1 and "--force" in ran.error
    assert (here / "x.txt").read_text() == "mine"
    assert run(*arguments, "--force").code == 0
    assert (here / "x.txt").read_text().startswith("Quarterly")


def test_a_download_takes_no_file_that_is_somebodys(run: Run, one: str, here: Path) -> None:
    (here / "x.txt.part").write_text("mine")
    ran = run("egnyte_files", "get", "/Shared/report 2024.txt", "x.txt", one)
    assert ran.code == 1 and "x.txt.part" in ran.error
    assert (here / "x.txt.part").read_text() == "mine"


def test_a_download_that_fails_leaves_what_was_there(run: Run, one: str, here: Path) -> None:
    (here / "none.txt").write_text("mine")
    ran = run("egnyte_files", "get", "/Shared/none.txt", "--force", one)
    assert ran.code == 1 and "File" in ran.error
    assert [path.name for path in here.iterdir()] == ["none.txt"]
    assert (here / "none.txt").read_text() == "mine"


def test_a_file_is_uploaded(run: Run, one: str, here: Path, egnyte_sandbox: Sandbox) -> None:
    (here / "a.bin").write_bytes(DATA)
    ran = run("egnyte_files", "put", "a.bin", "/Shared/in/", one)
    assert (ran.code, ran.out) == (0, "/Shared/in/a.bin: 2,500,000 bytes\n")
    assert egnyte_sandbox.read_file("acme", "/Shared/in/a.bin") == DATA
    assert run("egnyte_files", "put", "a.bin", "/Shared/other.bin", one).code == 0
    assert egnyte_sandbox.read_file("acme", "/Shared/other.bin") == DATA
    assert [path.name for path in here.iterdir()] == ["a.bin"]


@pytest.fixture
def broken(
    run: Run,
    one: str,
    here: Path,
    egnyte_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> Path:
    """A file whose upload in chunks broke off."""
    settings.EGNYTE_MAX_RETRIES = 0
    monkeypatch.setattr(uploads, "SIMPLE_LIMIT", 100_000)
    monkeypatch.setattr(uploads, "SMALLEST_CHUNK", 500_000)
    egnyte_sandbox.settings.chunk_minimum = 1
    egnyte_sandbox.faults.add(path="chunked", skip=3, reset=True)
    (here / "a.bin").write_bytes(DATA)
    ran = run("egnyte_files", "put", "a.bin", "/Shared/a.bin", one)
    assert ran.code == 1
    kept = here / "a.bin.egnyte-upload"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert egnyte_sandbox.counts["fs-content-chunked"] == 4
    return kept


def test_an_upload_goes_on_where_it_was(
    run: Run, one: str, broken: Path, egnyte_sandbox: Sandbox
) -> None:
    assert run("egnyte_files", "put", "a.bin", "/Shared/a.bin", one).code == 0
    assert egnyte_sandbox.counts["fs-content-chunked"] == 6
    assert egnyte_sandbox.read_file("acme", "/Shared/a.bin") == DATA
    assert not broken.exists()


def test_an_upload_to_elsewhere_begins_anew(
    run: Run, one: str, broken: Path, egnyte_sandbox: Sandbox
) -> None:
    assert run("egnyte_files", "put", "a.bin", "/Shared/b.bin", one).code == 0
    assert egnyte_sandbox.counts["fs-content-chunked"] == 9


def test_a_file_that_was_changed_since_begins_anew(
    run: Run, one: str, broken: Path, here: Path, egnyte_sandbox: Sandbox
) -> None:
    (here / "a.bin").write_bytes(b"x" + DATA[1:])
    arguments = ("egnyte_files", "put", "a.bin", "/Shared/a.bin", one)
    ran = run(*arguments)
    assert ran.code == 1 and "upload it anew" in ran.error
    assert not broken.exists()
    assert run(*arguments).code == 0
    assert egnyte_sandbox.read_file("acme", "/Shared/a.bin") == b"x" + DATA[1:]


@pytest.mark.parametrize("state", [None, [], {}])
def test_a_state_that_cannot_be_read_is_none(
    run: Run, one: str, broken: Path, egnyte_sandbox: Sandbox, state: Any
) -> None:
    kept = json.loads(broken.read_text())
    broken.write_text("[]" if state is None else json.dumps({**kept, "state": state}))
    assert run("egnyte_files", "put", "a.bin", "/Shared/a.bin", one).code == 0
    assert egnyte_sandbox.counts["fs-content-chunked"] == 9


def test_one_account_is_named(run: Run, accounts: list[EgnyteAccount], one: str) -> None:
    user = accounts[0].user.get_username()
    ran = run("egnyte_files", "ls", f"--user={user}")
    assert ran.code == 1 and "2 accounts match" in ran.error
    assert run("egnyte_files", "ls", "--domain=globex").code == 0
    assert run("egnyte_files", "ls").code == 1
    assert run("egnyte_files", "ls", "--account=999999").code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "/Shared/none.txt"),
        ("get", "/Shared/../x"),
        ("get", "/", "--force"),
        ("ls", "/Shared/none"),
        ("put", "none.txt", "/Shared/"),
        ("put", ".", "/Shared/"),
    ],
)
def test_what_goes_wrong_is_said(
    run: Run, one: str, here: Path, arguments: tuple[str, ...]
) -> None:
    ran = run("egnyte_files", *arguments, one)
    assert ran.code == 1 and ran.error
    assert list(here.iterdir()) == []
