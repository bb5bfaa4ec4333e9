from __future__ import annotations

import time

import pytest

from django_egnyte.sandbox import Sandbox, Settings, TokenPolicy

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
