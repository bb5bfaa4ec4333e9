from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from django_egnyte.sandbox import Sandbox, Settings, TokenPolicy
from django_egnyte.sandbox.tree import TreeError

from .calls import CALLBACK


def test_an_unseeded_sandbox_is_empty() -> None:
    sandbox = Sandbox(seeded=False)
    assert sandbox.domains == {}
    assert sandbox.key("sandbox-code-key") is None


def test_it_starts_with_the_settings_it_is_given() -> None:
    sandbox = Sandbox(settings=Settings(qps_limit=5), policy=TokenPolicy(lifetime=60))
    assert sandbox.settings.qps_limit == 5
    assert sandbox.issue("acme", "jsmith").expires_in == 60


def test_users_get_ids_addresses_and_a_private_folder() -> None:
    sandbox = Sandbox()
    user = sandbox.add_user("acme", "new")
    assert (user.id, user.email) == (123, "new@acme.example")
    sandbox.add_file("acme", "/Private/new/a.txt", b"a", username="new")
    assert sandbox.read_file("acme", "/Private/new/a.txt") == b"a"
    again = sandbox.add_user("acme", "new", "other-password", email="", id=7)
    assert (again.id, again.email) == (7, "")


def test_a_removed_user_loses_everything() -> None:
    sandbox = Sandbox()
    issued = sandbox.issue("acme", "bdoe")
    assert sandbox.remove_user("acme", "bdoe") == 2
    assert not sandbox.is_alive(issued.access_token)
    with pytest.raises(KeyError):
        sandbox.issue("acme", "bdoe")


def test_the_clock_runs_and_can_be_moved() -> None:
    sandbox = Sandbox()
    issued = sandbox.issue("acme", "jsmith")
    assert abs(sandbox.now() - time.time()) < 5
    sandbox.advance(2_591_990)
    assert sandbox.is_alive(issued.access_token)
    sandbox.clock_offset += 20
    assert not sandbox.is_alive(issued.access_token)
    assert issued.refresh_token
    assert sandbox.is_alive(issued.refresh_token)


def test_live_tokens_and_grants() -> None:
    sandbox = Sandbox()
    jane = sandbox.issue("acme", "jsmith", scopes=["Egnyte.link"])
    mia = sandbox.issue("globex", "mmiller")
    (grant,) = sandbox.live_grants("acme")
    assert (grant.username, grant.scopes) == ("jsmith", ("Egnyte.link",))
    assert {token.value for token in sandbox.live_tokens("globex")} == {
        mia.access_token,
        mia.refresh_token,
    }
    sandbox.revoke(jane.access_token)
    assert sandbox.live_grants("acme") == []
    assert len(sandbox.live_grants()) == 1


def test_unknown_tokens() -> None:
    sandbox = Sandbox()
    assert not sandbox.is_alive("unknown")
    with pytest.raises(KeyError):
        sandbox.revoke("unknown")
    with pytest.raises(KeyError):
        sandbox.expire_token("unknown")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda box: box.issue("acme", "nobody"), "no user 'nobody', there are: jsmith, bdoe"),
        (lambda box: box.issue("initech", "jsmith"), "no domain 'initech', there are: acme, glo"),
        (lambda box: box.issue("acme", "jsmith", client_id="x"), "no key 'x', there are: sandbox-"),
        (lambda box: box.add_user("initech", "x"), "no domain 'initech'"),
        (lambda box: box.check_password("initech", "x", "y"), "no domain 'initech'"),
        (lambda box: box.set_password("acme", "nobody", "x"), "no user 'nobody'"),
        (lambda box: box.remove_user("acme", "nobody"), "no user 'nobody'"),
        (lambda box: box.suspend_key("x"), "no key 'x'"),
        (lambda box: box.resume_key("x"), "no key 'x'"),
        (lambda box: box.add_folder("initech", "/Shared/a"), "no domain 'initech'"),
        (lambda box: box.add_file("acme", "/Shared/a", b"", username="x"), "no user 'x'"),
        (lambda box: box.read_file("initech", "/Shared/a"), "no domain 'initech'"),
    ],
)
def test_a_name_that_is_unknown_is_answered_with_those_that_are(
    call: Callable[[Sandbox], Any], said: str
) -> None:
    with pytest.raises(KeyError, match=said):
        call(Sandbox())


def test_an_empty_sandbox_says_that_there_is_nothing() -> None:
    with pytest.raises(KeyError, match="no domain 'acme', there are: none"):
        Sandbox(seeded=False).user("acme", "jsmith")


@pytest.mark.parametrize("path", ["/NoSuch/x", "/Shared", "/x", "/", ""])
def test_what_can_be_stored_nowhere_is_answered_with_where_it_can(path: str) -> None:
    sandbox = Sandbox()
    for store in (
        lambda: sandbox.add_file("acme", path, b""),
        lambda: sandbox.add_synthetic_file("acme", path, 1),
        lambda: sandbox.add_folder("acme", path),
    ):
        with pytest.raises(ValueError, match="is not below /Shared or /Private"):
            store()


def test_where_a_user_may_not_write_nothing_is_stored() -> None:
    with pytest.raises(TreeError, match="permission"):
        Sandbox().add_file("acme", "/Private/bdoe/x", b"", username="jsmith")


def test_a_value_that_is_none_of_its_choices_is_refused() -> None:
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="style is one of modern, legacy, not 'x'"):
        sandbox.policy.style = "x"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="token_throttle is one of 409, quota, not 409"):
        sandbox.settings.token_throttle = 409  # type: ignore[assignment]
    with pytest.raises(ValueError, match="error_shape is one of"):
        Settings(error_shape="xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flow is one of code, implicit, internal, not 'enh"):
        sandbox.add_key("key", flow="enhanced")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="flow is one of"):
        sandbox.issue("acme", "jsmith", flow="password")  # type: ignore[arg-type]
    assert sandbox.live_tokens() == []
    assert (sandbox.policy, sandbox.settings) == (TokenPolicy(), Settings())


def test_reset_brings_the_first_world_back() -> None:
    sandbox = Sandbox()
    issued = sandbox.issue("acme", "jsmith")
    sandbox.faults.add(status=500)
    sandbox.add_domain("initech")
    sandbox.add_file("acme", "/Shared/x", b"x")
    sandbox.settings.qps_limit = 1
    sandbox.reset()
    assert not sandbox.is_alive(issued.access_token)
    assert sandbox.faults.rules == []
    assert set(sandbox.domains) == {"acme", "globex"}
    assert sandbox.settings == Settings()


def test_authorize_leaves_out_a_state_that_was_not_sent() -> None:
    sandbox = Sandbox()
    url = (
        "https://acme.egnyte.com/puboauth/token?client_id=sandbox-code-key"
        f"&response_type=code&redirect_uri={CALLBACK}"
    )
    assert "state" not in sandbox.authorize(url, "jsmith")
