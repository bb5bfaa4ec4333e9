"""The package works with every behaviour about which Egnyte's sources disagree.

Each test runs with every value of the sandbox's settings.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_egnyte.api import EgnyteClient, File
from django_egnyte.api.uploads import SMALLEST_CHUNK
from django_egnyte.exceptions import (
    APIError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InactiveKeyError,
    InvalidGrantError,
    LockedError,
    NotFoundError,
    RateLimitedError,
    UnauthorizedError,
)
from django_egnyte.oauth import OAuthClient
from django_egnyte.sandbox import Sandbox, SandboxServer
from django_egnyte.sandbox.state import CHOICES
from django_egnyte.secret import Secret

from .connections import Line

FILE = "/Shared/Documents/welcome.txt"
FOLDER = "/Shared/Documents"
JSON_SHAPES = [each for each in CHOICES["error_shape"] if each not in ("text", "html", "empty")]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(server: SandboxServer) -> Sandbox:
    server.sandbox.reset()
    return server.sandbox


@pytest.fixture
def client_of(server: SandboxServer, sandbox: Sandbox) -> Callable[[str], EgnyteClient]:
    def make(username: str) -> EgnyteClient:
        token = sandbox.issue("acme", username).access_token
        base_url = server.base_url.replace("{domain}", "acme")
        return EgnyteClient(Line(base_url, token, max_retries=0, max_throttle_wait=0.0))

    return make


@pytest.fixture
def jane(client_of: Callable[[str], EgnyteClient]) -> EgnyteClient:
    return client_of("jsmith")


@pytest.fixture
def oauth(server: SandboxServer, sandbox: Sandbox) -> OAuthClient:
    return OAuthClient(
        host="acme.egnyte.com",
        base_url=server.base_url.replace("{domain}", "acme"),
        client_id="sandbox-code-key",
        client_secret=Secret("sandbox-code-secret"),
        timeout=(2.0, 5.0),
        deadline=10.0,
    )


@pytest.fixture(params=CHOICES["existing_folder_status"])
def existing(sandbox: Sandbox, request: pytest.FixtureRequest) -> None:
    sandbox.settings.existing_folder_status = request.param


@pytest.mark.usefixtures("existing")
def test_a_folder_that_exists(jane: EgnyteClient) -> None:
    for path in (FOLDER, "/Shared"):
        with pytest.raises(ConflictError):
            jane.files.create_folder(path)
    assert jane.files.create_folder(FOLDER, exist_ok=True).path == FOLDER
    assert jane.files.create_folder("/Shared/new", exist_ok=True).path == "/Shared/new"


@pytest.mark.parametrize("action", ["move", "copy"])
@pytest.mark.parametrize("status", [403, 409])
def test_a_taken_destination(
    sandbox: Sandbox, jane: EgnyteClient, status: int, action: str
) -> None:
    sandbox.settings.taken_destination_status = status
    with pytest.raises(ConflictError):
        getattr(jane.files, action)("/Shared/report 2024.txt", FILE)
    assert sandbox.read_file("acme", FILE).startswith(b"Welcome")


def test_a_folder_that_is_poured_into_another(sandbox: Sandbox, jane: EgnyteClient) -> None:
    sandbox.settings.taken_destination_status = 200
    sandbox.add_file("acme", "/Shared/more/plan.txt", b"soon")
    jane.files.move("/Shared/more", FOLDER)
    assert [entry.name for entry in jane.files.list(FOLDER)] == ["plan.txt", "welcome.txt"]


@pytest.mark.parametrize("stored", [True, False])
def test_an_empty_file(sandbox: Sandbox, jane: EgnyteClient, stored: bool) -> None:
    sandbox.settings.stores_empty_files = stored
    for content in (b"", io.BytesIO()):
        if stored:
            assert jane.files.upload("/Shared/empty.txt", content).size == 0
        else:
            with pytest.raises(BadRequestError):
                jane.files.upload("/Shared/empty.txt", content)
    if stored:
        assert jane.files.download("/Shared/empty.txt") == b""


@pytest.mark.parametrize("made", [True, False])
def test_missing_parents(sandbox: Sandbox, jane: EgnyteClient, made: bool) -> None:
    sandbox.settings.makes_parents = made
    calls: list[Callable[[], object]] = [
        lambda: jane.files.upload("/Shared/a/b.txt", b"x"),
        lambda: jane.files.create_folder("/Shared/c/d"),
        lambda: jane.files.copy(FILE, "/Shared/e/f.txt"),
    ]
    for call in calls:
        if made:
            call()
        else:
            with pytest.raises(NotFoundError):
                call()


@pytest.mark.parametrize("deleted", [True, False])
def test_a_full_folder(sandbox: Sandbox, jane: EgnyteClient, deleted: bool) -> None:
    sandbox.settings.deletes_full_folders = deleted
    if not deleted:
        with pytest.raises(ForbiddenError):
            jane.files.delete(FOLDER)
        jane.files.delete(FILE)
    jane.files.delete(FOLDER)
    with pytest.raises(NotFoundError):
        jane.files.info(FOLDER)


@pytest.mark.parametrize("statuses", CHOICES["statuses"])
def test_the_statuses_of_success(
    sandbox: Sandbox, client_of: Callable[[str], EgnyteClient], statuses: Any
) -> None:
    sandbox.settings.statuses = statuses
    admin = client_of("admin")
    assert admin.files.upload("/Shared/x.txt", b"x").size == 1
    assert admin.links.create("/Shared/x.txt").url
    admin.files.delete("/Shared/x.txt")
    with pytest.raises(NotFoundError):
        admin.files.info("/Shared/x.txt")


@pytest.mark.parametrize(
    ("status", "kind"), [(403, ForbiddenError), (409, ConflictError), (423, LockedError)]
)
def test_a_locked_file(
    sandbox: Sandbox,
    client_of: Callable[[str], EgnyteClient],
    status: int,
    kind: type[APIError],
) -> None:
    sandbox.settings.locked_status = status
    jane, bob = client_of("jsmith"), client_of("bdoe")
    with jane.files.lock(FILE):
        calls: list[Callable[[], object]] = [
            lambda: bob.files.upload(FILE, b"x"),
            lambda: bob.files.delete(FILE),
            lambda: bob.files.move(FILE, "/Shared/x.txt"),
            lambda: bob.files.lock(FILE),
        ]
        for call in calls:
            with pytest.raises(kind) as caught:
                call()
            assert caught.value.status == status
    assert bob.files.upload(FILE, b"x").size == 1


def test_a_page_that_is_cut_loses_nothing(sandbox: Sandbox, jane: EgnyteClient) -> None:
    wanted = [f"{number:02}" for number in range(25)]
    for name in wanted:
        sandbox.add_folder("acme", f"/Shared/many/{name}")
    sandbox.settings.list_limit = 10
    with pytest.raises(BadRequestError):
        jane.files.list("/Shared/many", page_size=11)
    sandbox.settings.count_over_limit = "cut"
    assert [entry.name for entry in jane.files.list("/Shared/many", page_size=100)] == wanted


@pytest.mark.parametrize("filters", [False, True])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_page_from_which_entries_were_removed_ends_no_listing(
    sandbox: Sandbox, jane: EgnyteClient, filters: bool, size: int
) -> None:
    for name in ("aaa", "zzz"):
        sandbox.add_user("acme", name)
    sandbox.settings.filters_pages = filters
    assert [entry.name for entry in jane.files.list("/Private", page_size=size)] == ["jsmith"]


@pytest.mark.parametrize("text", [False, True])
def test_values_of_either_type(sandbox: Sandbox, jane: EgnyteClient, text: bool) -> None:
    sandbox.settings.values_as_text = text
    jane.files.upload(FILE, b"two")
    folder, file = jane.files.list("/Shared", page_size=1)
    assert (folder.is_folder, file.is_folder) == (True, False)
    described = jane.files.info(FILE)
    assert isinstance(described, File)
    assert (described.size, described.num_versions, described.is_folder) == (3, 2, False)
    assert [version.size for version in jane.files.versions(FILE)] == [3, 31]


@pytest.mark.parametrize("limit", CHOICES["search_limit"])
def test_a_search_of_either_limit(sandbox: Sandbox, jane: EgnyteClient, limit: int) -> None:
    for number in range(45):
        sandbox.add_file("acme", f"/Shared/found/{number:02} match.txt", b"x")
    sandbox.settings.search_limit = limit
    assert len({hit.path for hit in jane.search("match")}) == 45
    assert len({hit.path for hit in jane.search("match", page_size=limit)}) == 45
    if limit < 100:
        with pytest.raises(BadRequestError):
            list(jane.search("match", page_size=100))
    sandbox.settings.count_over_limit = "cut"
    assert len({hit.path for hit in jane.search("match", page_size=100)}) == 45


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_stream_about_as_large_as_a_chunk(
    sandbox: Sandbox, jane: EgnyteClient, single: bool, more: int
) -> None:
    sandbox.settings.single_chunk = single
    size = SMALLEST_CHUNK + more
    content = (b"x" * part for part in (SMALLEST_CHUNK // 2, size - SMALLEST_CHUNK // 2))
    assert jane.files.upload("/Shared/large.bin", content).size == size


@pytest.mark.parametrize("shape", CHOICES["api_error_shape"])
def test_an_error_in_every_shape(sandbox: Sandbox, jane: EgnyteClient, shape: Any) -> None:
    sandbox.settings.api_error_shape = shape
    with pytest.raises(NotFoundError) as caught:
        jane.files.info("/Shared/none.txt")
    assert caught.value.path == "/Shared/none.txt"
    if shape in JSON_SHAPES:
        assert "File or folder not found" in str(caught.value)


@pytest.mark.parametrize("shape", ["errorMessage", "fault"])
@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("status", CHOICES["throttle_status"])
def test_a_throttle_of_either_gateway(
    sandbox: Sandbox,
    jane: EgnyteClient,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    tells: bool,
    shape: Any,
) -> None:
    now = sandbox.now()
    monkeypatch.setattr(sandbox, "now", lambda: now + sandbox.clock_offset)
    limits = sandbox.settings
    limits.throttle_status, limits.retry_after, limits.api_error_shape = status, tells, shape
    for name, kind in (("qps_limit", "qps"), ("daily_limit", "daily")):
        setattr(limits, name, 1)
        sandbox.advance(86_400)
        jane.userinfo()
        with pytest.raises(RateLimitedError) as caught:
            jane.userinfo()
        setattr(limits, name, None)
        assert caught.value.kind == kind


@pytest.mark.parametrize("shape", ["errorMessage", "fault"])
@pytest.mark.parametrize("status", CHOICES["unknown_token_status"])
def test_a_dead_token_of_either_gateway(
    sandbox: Sandbox, jane: EgnyteClient, server: SandboxServer, status: int, shape: Any
) -> None:
    sandbox.settings.unknown_token_status = status
    sandbox.settings.api_error_shape = shape
    unknown = EgnyteClient(Line(server.base_url.replace("{domain}", "acme"), "unknown"))
    sandbox.set_password("acme", "jsmith", "new")
    for client in (unknown, jane):
        with pytest.raises(UnauthorizedError):
            client.userinfo()


@pytest.mark.parametrize("status", CHOICES["refused_refresh_status"])
@pytest.mark.parametrize("kind", CHOICES["refused_refresh"])
def test_a_refused_refresh_in_every_form(
    sandbox: Sandbox, oauth: OAuthClient, kind: Any, status: int
) -> None:
    sandbox.settings.refused_refresh = kind
    sandbox.settings.refused_refresh_status = status
    with pytest.raises(InvalidGrantError):
        oauth.refresh(Secret("unknown"))


@pytest.mark.parametrize("shape", JSON_SHAPES)
@pytest.mark.parametrize("words", CHOICES["unknown_key_text"])
def test_an_unknown_key_is_no_refused_refresh(
    sandbox: Sandbox, oauth: OAuthClient, words: Any, shape: Any
) -> None:
    sandbox.settings.unknown_key_text = words
    sandbox.settings.error_shape = shape
    refresh_token = sandbox.issue("acme", "jsmith").refresh_token
    assert refresh_token
    sandbox.suspend_key("sandbox-code-key")
    with pytest.raises(InactiveKeyError):
        oauth.refresh(Secret(refresh_token))


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("repeats", [True, False])
def test_a_refresh_that_rotates_or_not(
    sandbox: Sandbox, oauth: OAuthClient, rotates: bool, repeats: bool
) -> None:
    sandbox.policy.refresh_rotates = rotates
    sandbox.policy.refresh_repeats = repeats
    first = sandbox.issue("acme", "jsmith").refresh_token
    assert first
    answer = oauth.refresh(Secret(first))
    told = answer.refresh_token.reveal()
    assert (told != first) if rotates else (told == (first if repeats else ""))
    assert oauth.refresh(Secret(told or first)).access_token.reveal()
