"""Uploads as the part `file` of a form, which Egnyte's Go SDK and command-line tool send."""

from __future__ import annotations

import pytest

from django_egnyte.sandbox import Sandbox
from django_egnyte.sandbox.multipart import MultipartError, read_file

from .calls import Caller, sha512

EDGE = "----edge"
KIND = f'multipart/form-data; boundary="{EDGE}"'


class Body:
    """Hands out a body a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self.data, self.step = data, step

    def read(self, size: int) -> bytes:
        taken = self.data[: min(size, self.step)]
        self.data = self.data[len(taken) :]
        return taken


def form(*parts: tuple[str, bytes], end: bytes = b"--\r\nafter") -> bytes:
    made = b"before"
    for name, value in parts:
        head = f'\r\n--{EDGE}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n'
        made += head.encode() + b"Content-Type: text/plain\r\n\r\n" + value
    return made + f"\r\n--{EDGE}".encode() + end


def test_an_upload_as_a_form_is_the_file_alone(sandbox: Sandbox, call: Caller) -> None:
    data = bytes(range(256)) * 1000 + b"\r\n--"
    sent = {"note": (None, "first"), "file": ("other-name.bin", data)}
    headers = {"X-Sha512-Checksum": sha512(data)}
    stored = call("POST", "fs-content/Shared/form.bin", headers, files=sent)
    assert (stored.status_code, stored.json()["checksum"]) == (200, sha512(data))
    assert sandbox.read_file("acme", "/Shared/form.bin") == data
    assert call("GET", "userinfo").status_code == 200


@pytest.mark.parametrize("step", [1, 2, 7, 64, 65_536])
@pytest.mark.parametrize(
    "value", [b"", b"x", b"\r\n", b"\r\n--", f"\r\n--{EDGE[:-1]}".encode(), b"\r\n-" * 40]
)
def test_the_file_is_found_however_the_body_arrives(step: int, value: bytes) -> None:
    body, got = Body(form(("a", b"skipped"), ("file", value), ("b", b"skipped")), step), bytearray()
    read_file(body, KIND, got.extend)
    assert bytes(got) == value
    assert body.data == b""


@pytest.mark.parametrize("step", [1, 65_536])
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (form(("a", b"x")), KIND),
        (form(("file", b"x"))[:-14], KIND),
        (b"nothing of the kind", KIND),
        (b"", KIND),
        (form(("file", b"x"), end=b""), "multipart/form-data"),
        (f"--{EDGE}\r\n".encode() + b"x" * 70_000, KIND),
    ],
)
def test_what_has_no_file_is_refused(data: bytes, kind: str, step: int) -> None:
    with pytest.raises(MultipartError):
        read_file(Body(data, step), kind, lambda block: None)


def test_a_form_without_a_file_is_a_400_and_one_too_large_a_413(
    sandbox: Sandbox, call: Caller
) -> None:
    sandbox.settings.upload_limit = 10
    assert call("POST", "fs-content/Shared/x", files={"other": b"x"}).status_code == 400
    assert call("POST", "fs-content/Shared/x", files={"file": b"x" * 11}).status_code == 413
    assert call("POST", "fs-content/Shared/x", files={"file": b"x" * 10}).status_code == 200
