from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from django_egnyte.api.paths import api_path, clean_path, fs_path
from django_egnyte.exceptions import InvalidPathError

CLIMBING = [
    "/a/../b",
    "..",
    ".",
    "/./a",
    "/a/..",
    "/a/%2e%2e/b",
    "/a/.%2E/b",
    "/a/%252e%252e/b",
    "/a/%25252e%25252E/b",
    "/a/..%2fb",
    "/a%2f..%2fb",
    "/a/%252e%252e%252fb",
    "/a/..;x=y/b",
    "/a/%2e%2e;/b",
    "/a/..%3bx/b",
    "/a/ .. /b",
    "/a/..%20/b",
    "/a/\uff0e\uff0e/b",
    "/a/\u2025/b",
    "/a/%u002e%u002e/b",
    "/a/%c0%ae%c0%ae/b",
    "/a/%25c0%25ae%25c0%25ae/b",
    "/a/..%c0%af/b",
    "/a\\..\\b",
    "/a/..%5cb",
    "/a%255c..%255cb",
    "/a/%00b",
    "/a/\x00b",
    "/a\nb",
    "/a%0d%0ab",
    "/a\x7fb",
    "/a\x85b",
    "/a\ud800b",
    "/a/%" + "25" * 20 + "2e",
    "/" + "a" * 9000,
    "",
]


REALLY_CLIMBING = [
    *("/a/../b", "..", ".", "/./a", "/a/..", "/a\\..\\b", "/a\\b", "", "/" + "a" * 9000),
    *(". ", "/a/.. /b", "/a/ .. /b", "/a/\u00a0../b"),
    *("/a/\x00b", "/a\nb", "/a\x7fb", "/a\x85b", "/a\ud800b"),
]


@pytest.mark.parametrize("path", CLIMBING)
def test_a_raw_path_that_climbs_or_is_unprintable_is_refused(path: str) -> None:
    with pytest.raises(InvalidPathError):
        api_path(path)


@pytest.mark.parametrize("path", REALLY_CLIMBING)
@pytest.mark.parametrize("function", [fs_path, clean_path])
def test_a_file_path_that_climbs_or_is_unprintable_is_refused(function: object, path: str) -> None:
    with pytest.raises(InvalidPathError):
        function(path)  # type: ignore[operator]


@pytest.mark.parametrize("path", [each for each in CLIMBING if each not in REALLY_CLIMBING])
def test_what_only_looks_like_climbing_is_a_name(path: str) -> None:
    """Egnyte lists such names, so they can be opened: each segment is encoded as a whole."""
    sent = fs_path(path, under="/pubapi/v1/fs")
    assert "/../" not in f"{sent}/" and "/./" not in f"{sent}/"
    assert unquote(sent) == f"/pubapi/v1/fs{clean_path(path)}"
    assert api_path(sent) is sent
    url = requests.Request("GET", f"https://acme.egnyte.com{sent}").prepare().url
    assert url == f"https://acme.egnyte.com{sent}"


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.org/pubapi",
        "HTTP:evil",
        "javascript:x",
        "//evil.org/pubapi",
        "/a//b",
        "/a#b",
        "?a=b",
        "/100%",
        "/a%zz",
        "/caf%E9",
    ],
)
def test_a_raw_path_is_a_path_and_nothing_else(path: str) -> None:
    with pytest.raises(InvalidPathError):
        api_path(path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/pubapi/v1/userinfo", "/pubapi/v1/userinfo"),
        ("pubapi/v1/userinfo", "/pubapi/v1/userinfo"),
        ("/pubapi/v1/fs/a b/\u00e4.txt", "/pubapi/v1/fs/a%20b/%C3%A4.txt"),
        ("/pubapi/v1/fs/a%20b%2Fc", "/pubapi/v1/fs/a%20b%2Fc"),
        ("/pubapi/v1/fs/x?list_content=true&count=5", "/pubapi/v1/fs/x?list_content=true&count=5"),
        ("/pubapi/v1/search?query=../a b", "/pubapi/v1/search?query=../a%20b"),
        ("/pubapi/v1/fs/a:b@c", "/pubapi/v1/fs/a:b@c"),
        ("/pubapi/v1/fs/...", "/pubapi/v1/fs/..."),
        ("/pubapi/v1/fs/.hidden/a..b", "/pubapi/v1/fs/.hidden/a..b"),
        ("/pubapi/v1/fs/", "/pubapi/v1/fs/"),
    ],
)
def test_a_raw_path_keeps_what_is_encoded(path: str, expected: str) -> None:
    assert api_path(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/Shared", "/Shared"),
        ("Shared/x/", "/Shared/x"),
        ("/Shared//x", "/Shared/x"),
        ("/Shared/50% off", "/Shared/50%25%20off"),
        ("/Shared/a#b?c&d=e+f;g", "/Shared/a%23b%3Fc%26d%3De%2Bf%3Bg"),
        ("/Shared/\u00e4\U0001f600", "/Shared/%C3%A4%F0%9F%98%80"),
        ("/Shared/a%2Fb", "/Shared/a%252Fb"),
        ("/Shared/a:b", "/Shared/a%3Ab"),
    ],
)
def test_a_file_path_is_encoded_segment_by_segment(path: str, expected: str) -> None:
    assert fs_path(path) == expected


@given(st.text(max_size=60))
def test_a_file_path_arrives_as_it_was_written(path: str) -> None:
    try:
        encoded = fs_path(path, under="/pubapi/v1/fs")
    except InvalidPathError:
        return
    assert unquote(encoded) == f"/pubapi/v1/fs{clean_path(path)}"
    assert api_path(encoded) == encoded
    # requests sends the same path.
    url = requests.Request("GET", f"https://acme.egnyte.com{encoded}").prepare().url
    assert url == f"https://acme.egnyte.com{encoded}"


@given(
    st.lists(st.sampled_from(["a", ".", "..", "/", "%", "2e", "25", ";", " ", "\\"]), max_size=12),
    st.integers(0, 3),
)
def test_no_path_that_is_sent_climbs_however_often_it_is_decoded(
    parts: list[str], levels: int
) -> None:
    path = "/x/" + "".join(parts)
    for _ in range(levels):
        path = quote(path, safe="/")
    try:
        sent = api_path(path)
    except InvalidPathError:
        return
    for _ in range(12):
        segments = [part.partition(";")[0].strip() for part in sent.split("/")]
        assert "." not in segments
        assert ".." not in segments
        sent = unquote(sent)
