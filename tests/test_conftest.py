from __future__ import annotations

import socket

import pytest

from .conftest import is_loopback


@pytest.mark.parametrize("call", ["connect", "connect_ex"])
@pytest.mark.parametrize("host", ["192.0.2.1", "acme.egnyte.com"])
def test_a_connection_to_another_machine_fails_the_test(call: str, host: str) -> None:
    with (
        socket.socket() as outside,
        pytest.raises(pytest.fail.Exception, match="may not leave this machine"),
    ):
        getattr(outside, call)((host, 443))


def test_a_connection_to_this_machine_is_let_through() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        assert connection.getpeername() == server.getsockname()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.8.0.1", True),
        ("::1", True),
        ("acme.localhost", True),
        ("0.0.0.0", False),
        ("localhost.example.com", False),
    ],
)
def test_only_loopback_hosts_count_as_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
