"""Uploads in chunks, as the live tests of Egnyte's SDKs assert them."""

from __future__ import annotations

import hashlib

import pytest
import requests

from django_egnyte.sandbox import Sandbox

from .calls import Caller, bearer, sha512

PATH = "fs-content-chunked/Shared/chunked.bin"
CHUNKS = (b"one.", b"two.", b"3")
WHOLE = b"".join(CHUNKS)


@pytest.fixture(autouse=True)
def small_chunks(sandbox: Sandbox) -> None:
    sandbox.settings.chunk_minimum = 4


def composite(chunks: tuple[bytes, ...]) -> str:
    digests = "".join(sha512(chunk) for chunk in chunks)
    return f"2-{len(chunks)}-{len(chunks[0])}-{hashlib.sha512(digests.encode()).hexdigest()}"


def send(
    call: Caller,
    number: int | None,
    data: bytes,
    upload_id: str = "",
    path: str = PATH,
    **more: str,
) -> requests.Response:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if number is not None:
        headers["X-Egnyte-Chunk-Num"] = str(number)
    if upload_id:
        headers["X-Egnyte-Upload-Id"] = upload_id
    return call("POST", path, headers, data=data)


def finish(call: Caller, upload_id: str, **headers: str) -> requests.Response:
    return send(call, 3, CHUNKS[2], upload_id, X_Egnyte_Last_Chunk="true", **headers)


def begin(call: Caller) -> str:
    """The id of an upload of which two chunks have arrived."""
    upload_id: str = send(call, 1, CHUNKS[0]).headers["X-Egnyte-Upload-Id"]
    assert send(call, 2, CHUNKS[1], upload_id).status_code == 200
    return upload_id


def test_the_defaults_are_egnytes(sandbox: Sandbox) -> None:
    sandbox.reset()
    limits = sandbox.settings
    assert limits.chunk_minimum == 10 * 1024 * 1024
    assert limits.chunk_limit == 1024**3
    assert limits.upload_lifetime == 24 * 3600


def test_each_chunk_is_answered(call: Caller) -> None:
    first = send(call, 1, CHUNKS[0], X_Egnyte_Chunk_Sha512_Checksum=sha512(CHUNKS[0]))
    assert (first.status_code, first.content) == (200, b"")
    assert first.headers["X-Egnyte-Chunk-Num"] == "1"
    assert first.headers["X-Egnyte-Chunk-Sha512-Checksum"] == sha512(CHUNKS[0])
    assert first.headers["X-Egnyte-Upload-Id"]


def test_the_checksum_of_the_file_is_a_composite_ever_after(sandbox: Sandbox, call: Caller) -> None:
    last = finish(call, begin(call), X_Sha512_Checksum=composite(CHUNKS))
    assert last.status_code == 200
    assert last.json()["checksum"] == last.headers["X-Sha512-Checksum"] == composite(CHUNKS)
    assert last.json()["path"] == "/Shared/chunked.bin"
    assert last.headers["ETag"] == last.json()["entry_id"]
    got = call("GET", "fs-content/Shared/chunked.bin")
    assert (got.content, got.headers["X-Sha512-Checksum"]) == (WHOLE, composite(CHUNKS))
    assert call("GET", "fs/Shared/chunked.bin").json()["checksum"] == composite(CHUNKS)
    move = {"action": "copy", "destination": "/Shared/copy.bin"}
    assert call("POST", "fs/Shared/chunked.bin", json=move).status_code == 200
    assert call("GET", "fs/Shared/copy.bin").json()["checksum"] == composite(CHUNKS)
    assert sandbox.read_file("acme", "/Shared/copy.bin") == WHOLE
    assert sandbox.counts["fs-content-chunked"] == 3


@pytest.mark.parametrize("claimed", [sha512(WHOLE), composite(CHUNKS[:2]), "2-3-4-", ""])
def test_the_plain_checksum_and_other_wrong_ones_are_refused(call: Caller, claimed: str) -> None:
    upload_id = begin(call)
    assert finish(call, upload_id, X_Sha512_Checksum=claimed).status_code == 400
    assert call("GET", "fs/Shared/chunked.bin").status_code == 404
    assert finish(call, upload_id).status_code == 200


def test_the_checksum_may_be_left_out(call: Caller) -> None:
    assert finish(call, begin(call)).json()["checksum"] == composite(CHUNKS)


def test_a_part_of_a_file_from_chunks_is_downloaded(call: Caller) -> None:
    finish(call, begin(call))
    for start in range(len(WHOLE)):
        for stop in range(start, len(WHOLE)):
            asked = {"Range": f"bytes={start}-{stop}"}
            got = call("GET", "fs-content/Shared/chunked.bin", asked)
            assert (got.status_code, got.content) == (206, WHOLE[start : stop + 1])


def test_chunks_may_be_sent_again_and_in_any_order(sandbox: Sandbox, call: Caller) -> None:
    upload_id = send(call, 1, CHUNKS[0]).headers["X-Egnyte-Upload-Id"]
    four = (*CHUNKS[:2], b"tri.", b"4")
    assert send(call, 3, four[2], upload_id).status_code == 200
    assert send(call, 2, b"bad!", upload_id).status_code == 200
    assert send(call, 2, four[1], upload_id).status_code == 200
    last = send(call, 4, four[3], upload_id, X_Egnyte_Last_Chunk="true")
    assert last.json()["checksum"] == composite(four)
    assert sandbox.read_file("acme", "/Shared/chunked.bin") == b"".join(four)


def test_the_first_number_may_be_left_out(call: Caller) -> None:
    first = send(call, None, CHUNKS[0])
    assert (first.status_code, first.headers["X-Egnyte-Chunk-Num"]) == (200, "1")
    assert send(call, None, CHUNKS[1], first.headers["X-Egnyte-Upload-Id"]).status_code == 400


def test_bad_chunks_are_refused(sandbox: Sandbox, call: Caller, acme: str) -> None:
    sandbox.settings.chunk_limit = 8
    upload_id = send(call, 1, CHUNKS[0]).headers["X-Egnyte-Upload-Id"]
    bob = Caller(acme, sandbox.issue("acme", "bdoe").access_token)
    wrong = sha512(b"wrong")
    answers = {
        "no first": send(call, 2, CHUNKS[1]),
        "zero": send(call, 0, CHUNKS[1], upload_id),
        "no number": send(call, None, CHUNKS[1], upload_id),
        "no such upload": send(call, 2, CHUNKS[1], "other"),
        "of another user": send(bob, 2, CHUNKS[1], upload_id),
        "for another path": send(call, 2, CHUNKS[1], upload_id, path=f"{PATH}.2"),
        "checksum": send(call, 2, CHUNKS[1], upload_id, X_Egnyte_Chunk_Sha512_Checksum=wrong),
        "missing": send(call, 3, CHUNKS[2], upload_id, X_Egnyte_Last_Chunk="true"),
        "below the least size": send(call, 1, b"xyz"),
        "smaller, not last": send(call, 2, b"xyz", upload_id),
        "larger": send(call, 2, b"vwxyz", upload_id),
        "last, and larger": send(call, 2, b"vwxyz", upload_id, X_Egnyte_Last_Chunk="true"),
    }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        answers, 400
    )
    assert send(call, 1, b"123456789").status_code == 413
    assert call("GET", "fs/Shared/chunked.bin").status_code == 404
    assert send(call, 2, CHUNKS[1], upload_id).status_code == 200


def test_an_upload_lives_for_a_day(sandbox: Sandbox, call: Caller) -> None:
    first, second = begin(call), begin(call)
    sandbox.advance(24 * 3600 - 60)
    assert finish(call, first).status_code == 200
    sandbox.advance(61)
    assert finish(call, second).status_code == 400
    assert sandbox.uploads == {}


def test_an_upload_ends_with_its_last_chunk(call: Caller) -> None:
    upload_id = begin(call)
    assert finish(call, upload_id).status_code == 200
    assert finish(call, upload_id).status_code == 400


@pytest.mark.parametrize(("single", "status"), [(True, 200), (False, 400)])
def test_one_chunk_alone(sandbox: Sandbox, call: Caller, single: bool, status: int) -> None:
    sandbox.settings.single_chunk = single
    assert send(call, 1, b"x", X_Egnyte_Last_Chunk="true").status_code == status


def test_chunks_by_id_are_a_new_version(sandbox: Sandbox, call: Caller) -> None:
    group_id = call("GET", "fs/Shared/report%202024.txt").json()["group_id"]
    where = f"fs-content-chunked/ids/file/{group_id}"
    upload_id = send(call, 1, CHUNKS[0], path=where).headers["X-Egnyte-Upload-Id"]
    last = send(call, 2, CHUNKS[2], upload_id, where, X_Egnyte_Last_Chunk="true")
    assert (last.json()["path"], last.json()["group_id"]) == ("/Shared/report 2024.txt", group_id)
    assert sandbox.read_file("acme", "/Shared/report 2024.txt") == CHUNKS[0] + CHUNKS[2]


def test_a_chunk_needs_the_scope(sandbox: Sandbox, acme: str) -> None:
    token = sandbox.issue("acme", "jsmith", scopes=["Egnyte.link"]).access_token
    answer = requests.post(f"{acme}/pubapi/v1/{PATH}", b"x" * 4, headers=bearer(token), timeout=10)
    assert answer.status_code == 403
