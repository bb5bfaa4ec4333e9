"""The table of the sandbox's addresses."""

from __future__ import annotations

import pytest

from django_egnyte.sandbox import table


def test_every_row_of_the_api_is_reached_by_the_path_it_names() -> None:
    for route in table.ROUTES:
        path = route.path.replace("/**", "/Some/path").replace("*", "some-id")
        found = table.route_of(route.method, f"/pubapi{path}")
        assert found is not None
        assert found.route is route


def test_every_row_without_a_bearer_is_reached() -> None:
    for door in table.DOORS:
        path = f"{door.path}key" if door.path.endswith("/") else door.path
        assert table.door_of(door.method, path) is door


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("GET", "/pubapi/v1/fs", "fs:list"),
        ("GET", "/pubapi/v1/fs/Shared/a\nb", "fs:list"),
        ("GET", "/pubapi/v1/fsx/Shared", "other"),
        ("GET", "/pubapi/v1/fs-content/Shared/a", "fs-content:download"),
        ("POST", "/pubapi/v1/fs-content-chunked/Shared/a", "fs-content-chunked"),
        ("GET", "/pubapi/v2/fs/trash", "trash:list"),
        ("GET", "/puboauth/token", "authorize"),
        ("GET", "/puboauth/authorize", "authorize"),
        ("POST", "/puboauth/token", "token"),
        ("GET", "/", "other"),
        ("GET", "/pubapi", "other"),
    ],
)
def test_endpoints(method: str, path: str, endpoint: str) -> None:
    assert table.endpoint_of(method, path) == endpoint
